"""The reference pages are made, and the index has every document."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADER = SourceFileLoader("reference_pages", str(ROOT / "scripts" / "reference"))
SPEC = spec_from_loader(LOADER.name, LOADER)
assert SPEC is not None
PAGES = module_from_spec(SPEC)
LOADER.exec_module(PAGES)


@pytest.mark.parametrize("name", sorted(PAGES.PAGES))
def test_a_page_is_made(name: str) -> None:
    first, *rest = PAGES.PAGES[name]().splitlines()

    assert first.startswith("# ")
    assert len(rest) > 20


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    documents = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "reference").glob("*.md")]

    missing = [
        str(file.relative_to(ROOT / "docs"))
        for file in documents
        if file.name != "README.md" and f"]({file.relative_to(ROOT / 'docs')})" not in index
    ]

    assert missing == []
