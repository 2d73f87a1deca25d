"""CONTRIBUTING's table of extensions names tables that are there, and groups that are read."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (an? [^|]+) \| .*?`([A-Z_]+)` in `([\w/]+)\.py` \|([^|]*)\|$",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_the_table_has_seven_rows() -> None:
    assert len(ROWS) == 7


@pytest.mark.parametrize(("thing", "table", "file", "group"), ROWS, ids=[row[0] for row in ROWS])
def test_an_extension_has_its_table_and_its_entry_point_group(
    thing: str, table: str, file: str, group: str
) -> None:
    name = file.replace("/", ".")
    module = import_module(name if name.startswith("driftline.") else f"driftline.{name}")
    named = re.findall(r"`(driftline\.\w+)`", group)
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]

    assert len(getattr(module, table)) > 1
    for one in named:
        # Some test installs a package with an entry point of this group, and uses it.
        assert any(f"[{one}]" in text and "import plug" in text for text in tests), one
