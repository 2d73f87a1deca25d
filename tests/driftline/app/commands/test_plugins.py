"""What other packages plug in, as ``driftline plugins`` lists it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from driftline.app.cli import build


def test_plugins_of_every_group_are_listed_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "orders_checks-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orders-checks\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[driftline.distances]\nearth_mover = orders_checks:earth_mover\n\n"
        "[driftline.checks]\npostcode = orders_checks:postcode\n\n"
        "[console_scripts]\norders = orders_checks:main\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    listed = json.loads(CliRunner().invoke(build("plugins"), ["plugins", "--json"]).stdout)

    assert [one for one in listed if one["package"] == "orders-checks"] == [
        {"group": f"driftline.{group}", "name": name, "package": "orders-checks",
         "version": "1.2", "object": f"orders_checks:{name}"}
        for group, name in (("checks", "postcode"), ("distances", "earth_mover"))
    ]  # fmt: skip
