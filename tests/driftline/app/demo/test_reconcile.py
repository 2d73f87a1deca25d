"""The tables here are written by deltalake alone, as the comparison reads them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from driftline.app.demo.reconcile import requests

# Three requests of two rows each.
STORED = [("a", 0, 200), ("a", 1, 200), ("b", 0, 200), ("b", 1, 200), ("c", 0, 200), ("c", 1, 200)]


@pytest.mark.parametrize(
    ("rows", "answers", "differs"),
    [
        (STORED, "abc", None),
        (STORED[:-2], "abc", "rows stored once"),
        ([*STORED, STORED[0]], "abc", "rows stored"),
        ([*STORED, ("x", 0, 503)], "abc", "requests stored"),
        (STORED, "ab", "requests answered"),
    ],
)
def test_what_does_not_add_up_is_found(
    tmp_path: Path, rows: list[tuple[str, int, int]], answers: str, differs: str | None
) -> None:
    columns = [pa.array([row[at] for row in rows]) for at in range(3)]
    table = pa.table(columns, names=["event_id", "row_index", "status"])
    write_deltalake(str(tmp_path / "capture" / "flights"), table)
    replay: Any = SimpleNamespace(
        requests=[None] * 3, event_ids=dict(enumerate(answers)), table=pa.table({"x": range(6)})
    )

    found = [one.stage for one in requests(tmp_path, replay) if one.expected != one.found]

    assert differs in found if differs else not found
