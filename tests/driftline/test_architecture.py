"""docs/architecture.md says what is so: layers as import-linter holds them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def table(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the first table whose header begins so."""
    lines = [*PAGE.split(f"| {heading} |", 1)[1].splitlines()[2:], ""]
    rows = lines[: next(place for place, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip(" *") for cell in row.strip("|").split("|")] for row in rows]


def test_the_layers_inside_packages_are_those_that_import_linter_holds() -> None:
    held = {
        contract["containers"][0].removeprefix("driftline.").replace(".", "/"): " · ".join(
            layer.replace(" | ", ", ") for layer in contract["layers"]
        )
        for contract in TOOLS["importlinter"]["contracts"]
        if contract["type"] == "layers" and "containers" in contract
    }

    assert dict(table("inside")) == held


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", PAGE)

    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
