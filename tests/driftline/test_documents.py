"""The files and tests that the documents name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "bench").glob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
)
FOLDERS = r"(?:alerts|baseline|bench|capture|dashboard|docs|driftline|monitors|serving|tests)"
# A file in a folder of the repository; `tests/` and others also without a file's name.
FILE = re.compile(rf"(?<![\w./~-]){FOLDERS}/[\w./-]*\w\.(?:py|md|toml|yaml|png|json|parquet)\b")
PLACE = re.compile(
    r"(?<![\w./~-])(?:docs|bench|tests|scripts|\.ci)/[\w/-]*\w(?![\w-]|\.\w|/?[<{*])"
)
TEST = re.compile(r"(?<![\w/])test_\w+\.py\b")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Files that a reader makes while following a document, in folders named as ours are.
MADE = {"baseline/constraints.json", "baseline/statistics.json"}


TEST_FILES = {file.name for file in (ROOT / "tests").rglob("test_*.py")}


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def prose(text: str) -> str:
    return FENCE.sub("", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text()
    named = {*FILE.findall(text), *PLACE.findall(prose(text))} - MADE
    missing = [one for one in sorted(named) if not (ROOT / one).exists()]
    missing += [one for one in LINK.findall(prose(text)) if not (document.parent / one).exists()]

    assert missing == []
    assert sorted(set(TEST.findall(text)) - TEST_FILES) == []
