"""Journeys and their kit know driftline from outside only, so that they survive its redesign."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
INNER = re.compile(r"^\s*(from driftline[. ]|import driftline\.)", re.MULTILINE)
FILES = [file for name in ("kit", "journeys") for file in sorted((TESTS / name).rglob("*.py"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_but_the_face_is_imported_also_in_code_of_other_processes(file: Path) -> None:
    assert INNER.findall(file.read_text()) == []


def test_an_import_of_the_inside_would_be_found() -> None:
    inside = [
        "from driftline.app import cli",
        "    import driftline.errors",
        "from driftline import x",
    ]

    assert all(INNER.search(line) for line in inside)
    assert not INNER.search("import driftline as dl")
