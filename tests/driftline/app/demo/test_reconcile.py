"""The tables here are written by deltalake alone, as the comparison reads them."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from rich.console import Console

from driftline.app.demo.bug import Planted
from driftline.app.demo.flights import Request
from driftline.app.demo.reconcile import Check, Run, requests, show
from driftline.app.demo.replay import Answer, Traffic

START = datetime(2026, 11, 1, tzinfo=UTC)

# Three requests of two rows each.
REQUESTS = [
    Request(START + timedelta(hours=hour), 2 * hour, 2 * hour + 2, b"1\n2\n") for hour in range(3)
]
STORED = [("a", 0, 200), ("a", 1, 200), ("b", 0, 200), ("b", 1, 200), ("c", 0, 200), ("c", 1, 200)]


PLANTED = Planted(pa.table({"x": np.arange(6)}), {}, timedelta())
TRAFFIC = Traffic(START, START + timedelta(days=1), REQUESTS, PLANTED, [])
ANSWERS = [Answer(index, "abc"[index], 200) for index in range(3)]


def _compared(
    root: Path,
    rows: Sequence[tuple[str, int, int]],
    answers: Sequence[Answer] = ANSWERS,
    lost: Sequence[int] = (),
) -> list[str]:
    """Return the stages that differ when the table holds these rows."""
    columns = [pa.array([row[at] for row in rows]) for at in range(3)]
    table = pa.table(columns, names=["event_id", "row_index", "status"])
    write_deltalake(str(root / "capture" / "flights"), table)
    replay: Any = SimpleNamespace(answers=answers, lost=lost)
    nothing: Any = None
    checks = requests(Run(root, TRAFFIC, [], replay, nothing, nothing))
    return [one.stage for one in checks if one.expected != one.found]


def test_what_was_answered_and_stored_once_agrees(tmp_path: Path) -> None:
    assert _compared(tmp_path, STORED) == []


def test_a_request_that_is_not_in_the_table_is_found(tmp_path: Path) -> None:
    found = _compared(tmp_path, STORED[:-2])

    assert found == ["requests stored", "rows stored", "rows stored once"]


def test_a_row_that_is_in_the_table_twice_is_found(tmp_path: Path) -> None:
    assert _compared(tmp_path, [*STORED, STORED[0]]) == ["rows stored"]


@pytest.mark.parametrize(("lost", "wrong"), [([], ["requests stored"]), ([0], [])])
def test_an_event_that_was_never_answered_is_right_only_if_an_answer_was_lost(
    tmp_path: Path, lost: list[int], wrong: list[str]
) -> None:
    rows = [*STORED, ("x", 0, 503)]

    assert _compared(tmp_path, rows, lost=lost) == wrong


def test_an_answer_that_never_came_is_found(tmp_path: Path) -> None:
    assert "requests answered" in _compared(tmp_path, STORED, ANSWERS[:-1])


def test_the_table_of_accounts_marks_what_differs() -> None:
    text = io.StringIO()

    show(
        [Check("rows stored", 54_417, 54_417, "here; there"), Check("windows", 60, 59, "a; b")],
        Console(file=text, width=100),
    )

    lines = text.getvalue().splitlines()
    assert "54,417" in lines[1]
    assert " ok " in lines[1]
    assert "DIFFERS" in lines[2]


def test_the_table_of_accounts_is_never_wider_than_80_columns() -> None:
    text = io.StringIO()
    longest = Check("violations published", 336_776, 336_776, "days replayed; completed executions")

    show([longest], Console(file=text, width=200))
    show([replace(longest, found=0)], Console(file=text, width=200))

    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].endswith(longest.about)
