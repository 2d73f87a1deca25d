"""The tables here are written by deltalake alone, as the comparison reads them."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from driftline.app.demo.reconcile import requests

# Three requests of two rows each.
STORED = [("a", 0, 200), ("a", 1, 200), ("b", 0, 200), ("b", 1, 200), ("c", 0, 200), ("c", 1, 200)]


def _compared(root: Path, rows: Sequence[tuple[str, int, int]], answers: str = "abc") -> list[str]:
    """Return the stages that differ when the table holds these rows."""
    columns = [pa.array([row[at] for row in rows]) for at in range(3)]
    table = pa.table(columns, names=["event_id", "row_index", "status"])
    write_deltalake(str(root / "capture" / "flights"), table)
    replay: Any = SimpleNamespace(
        requests=[None] * 3, event_ids=dict(enumerate(answers)), table=pa.table({"x": range(6)})
    )
    checks = requests(root, replay)
    return [one.stage for one in checks if one.expected != one.found]


@pytest.mark.parametrize(
    ("rows", "answers", "differs"),
    [
        (STORED, "abc", []),
        (STORED[:-2], "abc", ["requests stored", "rows stored", "rows stored once"]),
        ([*STORED, STORED[0]], "abc", ["rows stored"]),
        ([*STORED, ("x", 0, 503)], "abc", ["requests stored"]),
        (STORED, "ab", ["requests answered"]),
    ],
)
def test_what_does_not_add_up_is_found(
    tmp_path: Path, rows: list[tuple[str, int, int]], answers: str, differs: list[str]
) -> None:
    found = _compared(tmp_path, rows, answers)

    assert set(differs) <= set(found)
    assert bool(found) == bool(differs)
