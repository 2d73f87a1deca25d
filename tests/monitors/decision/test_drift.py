"""Design effects across the columns of one stream."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.baseline.cells import Cells, text_cells
from driftline.monitors.decision.drift import ReferenceColumn, design_effects

DAYS, SESSIONS, ROWS = 60, 10, 20


def column(name: str, shares_per_day: np.ndarray, gaps: int = 0) -> tuple[ReferenceColumn, list]:
    """A column of two levels with a given share of the first per day, and gaps on the first day."""
    cells: Cells = text_cells(name, "string", {"a": 1, "b": 1}, complete=True, row_count=2)
    counts = np.zeros((DAYS, cells.size), dtype=np.int64)
    rows = SESSIONS * ROWS
    counts[:, 0] = np.round(shares_per_day * rows)
    counts[:, 1] = rows - counts[:, 0]
    counts[0, 1] -= gaps
    counts[0, -2] = gaps
    return ReferenceColumn(cells, counts.sum(axis=0).astype(float)), [counts]


def null_effect(rng: np.random.Generator, session_rows: int, gaps: int = 0) -> float:
    """Give the effect of the gaps of a column of independent rows, among clustered columns."""
    made = {
        f"s{i}": column(f"s{i}", rng.binomial(SESSIONS * ROWS // session_rows, 0.5, DAYS)
                        * session_rows / (SESSIONS * ROWS))
        for i in range(3)
    }  # fmt: skip
    made["x"] = column("x", rng.binomial(SESSIONS * ROWS, 0.5, DAYS) / (SESSIONS * ROWS), gaps)
    effects = design_effects(
        {name: one for name, (one, _) in made.items()},
        {name: table for name, (_, table) in made.items()},
        window_rows=SESSIONS * ROWS,
    )
    cells = made["x"][0].cells
    kinds = [cells.set_kind(index) for index in range(cells.scan_size)]
    return float(effects["x"][kinds.index("null")])


def test_gaps_never_seen_are_taken_to_cluster_as_the_other_columns_do(
    rng: np.random.Generator,
) -> None:
    assert null_effect(rng, session_rows=20) == pytest.approx(25, abs=7)


def test_gaps_that_were_seen_speak_for_themselves(rng: np.random.Generator) -> None:
    assert null_effect(rng, session_rows=20, gaps=1) < 5


def test_independent_columns_lend_nothing(rng: np.random.Generator) -> None:
    assert null_effect(rng, session_rows=1) < 3


def test_no_more_is_borrowed_than_leaves_an_empty_column_found(rng: np.random.Generator) -> None:
    assert null_effect(rng, session_rows=200) == 30
