"""The table of a baseline's files in docs/baselines.md is true, and complete."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from driftline.baseline import store

HOUSE = Path(__file__).parents[2]
ROW = re.compile(r"\| `(\S+)` \| .+ \| (\d+) \| `(\S+)\.py`: `(\w+)` \|")
# In the form of others, or without a format of its own.
PLAIN = {store.STATISTICS, store.CONSTRAINTS, *store.OTHER_DOCUMENTS}


def test_the_documents_name_each_file_with_its_format_and_where_it_stands() -> None:
    rows = ROW.findall((HOUSE / "docs" / "baselines.md").read_text(encoding="utf-8"))

    assert {file for file, *_ in rows} == set(store.DOCUMENTS) - PLAIN
    for file, told, path, constant in rows:
        module = path.replace("/", ".").removeprefix("driftline.")
        found = getattr(import_module(f"driftline.{module}"), constant)
        assert int(found) == int(told), file
