"""docs/architecture.md says what is so: layers as import-linter holds them, and sizes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def table(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the first table whose header begins so."""
    lines = [*PAGE.split(f"| {heading} |", 1)[1].splitlines()[2:], ""]
    rows = lines[: next(place for place, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip(" *") for cell in row.strip("|").split("|")] for row in rows]


def line_count(folder: str) -> int:
    files = (ROOT / folder).rglob("*.py")
    return sum(len(file.read_text().splitlines()) for file in files)


def test_the_layers_inside_packages_are_those_that_import_linter_holds() -> None:
    held = {
        contract["containers"][0].removeprefix("driftline.").replace(".", "/"): " · ".join(
            layer.replace(" | ", ", ") for layer in contract["layers"]
        )
        for contract in TOOLS["importlinter"]["contracts"]
        if contract["type"] == "layers" and "containers" in contract
    }

    assert dict(table("inside")) == held


@pytest.mark.parametrize("row", table("package"), ids=lambda row: row[0])
def test_no_package_is_larger_than_its_limit_and_the_page_says_how_large(row: list[str]) -> None:
    name, _, now, limit, _ = (cell.replace(",", "") for cell in row)
    rows = [cells for cells in table("package") if cells[0] != "all"]
    size = sum(line_count(cells[0]) for cells in rows) if name == "all" else line_count(name)

    assert size <= int(limit)
    assert size == pytest.approx(int(now), rel=0.02)


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", PAGE)

    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
