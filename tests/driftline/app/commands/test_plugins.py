"""What other packages plug in, as ``driftline plugins`` lists it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Make a folder with an installed package that plugs in a distance and a check."""
    info = tmp_path / "orders_checks-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orders-checks\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[driftline.distances]\nearth_mover = orders_checks:earth_mover\n\n"
        "[driftline.checks]\npostcode = orders_checks:postcode\n\n"
        "[console_scripts]\norders = orders_checks:main\n"
    )
    return tmp_path


def _plugins(*options: str, packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "driftline", "plugins", *options],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(packages), "COLUMNS": "120"},
    )


def test_plugins_of_every_group_are_listed_without_being_imported(packages: Path) -> None:
    listed = json.loads(_plugins("--json", packages=packages).stdout)

    assert [one for one in listed if one["package"] == "orders-checks"] == [
        {"group": "driftline.checks", "name": "postcode", "package": "orders-checks",
         "version": "1.2", "object": "orders_checks:postcode"},
        {"group": "driftline.distances", "name": "earth_mover", "package": "orders-checks",
         "version": "1.2", "object": "orders_checks:earth_mover"},
    ]  # fmt: skip


def test_an_installation_without_plugins_says_where_they_are_described(tmp_path: Path) -> None:
    listed = _plugins(packages=tmp_path)

    assert listed.stdout == ""
    assert "no plug-ins are installed" in listed.stderr
