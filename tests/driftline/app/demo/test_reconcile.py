"""The tables here are written by deltalake alone, as the comparison reads them."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from driftline.app.demo.reconcile import Check, requests, table_of

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


def test_what_was_answered_and_stored_once_agrees(tmp_path: Path) -> None:
    assert _compared(tmp_path, STORED) == []


def test_a_request_that_is_not_in_the_table_is_found(tmp_path: Path) -> None:
    found = _compared(tmp_path, STORED[:-2])

    assert found[0] == "requests stored"
    assert found[-2:] == ["rows stored", "rows stored once"]


def test_a_row_that_is_in_the_table_twice_is_found(tmp_path: Path) -> None:
    assert _compared(tmp_path, [*STORED, STORED[0]]) == ["rows stored"]


def test_an_event_that_was_never_answered_is_found(tmp_path: Path) -> None:
    assert "requests stored" in _compared(tmp_path, [*STORED, ("x", 0, 503)])


def test_an_answer_that_never_came_is_found(tmp_path: Path) -> None:
    assert "requests answered" in _compared(tmp_path, STORED, "ab")


def test_the_table_marks_what_differs_and_fits_into_80_columns() -> None:
    right = Check("rows stored once", 336_776, 336_776, "sent; distinct (id, row)")

    lines = table_of([right, right._replace(found=0)]).splitlines()

    assert " ok " in lines[1]
    assert "DIFFERS" in lines[2]
    assert max(map(len, lines)) <= 80
