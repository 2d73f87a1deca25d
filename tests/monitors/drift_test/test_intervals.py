"""A value that becomes frequent moves the interval that it lies in, and hardly any cut."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from driftline.baseline.cells import number_cells
from driftline.baseline.predicate import Predicate
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts
from tests.monitors.drift_test.streams import HOUR, START, reference, window

REFERENCE_ROWS, ROWS, TRIALS, VALUE = 14_000, 500, 200, 0.37


def found_with(share: float) -> list[Predicate]:
    """Return what is told of windows in which one value has this share, of independent rows."""
    told = []
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        values = np.sort(rng.normal(size=REFERENCE_ROWS))
        cells = number_cells("x", "double", values, np.ones(values.size))
        reference = ReferenceColumn(cells, cells.count(pa.array(values)).astype(np.float64))
        rows = np.where(rng.random(ROWS) < share, VALUE, rng.normal(size=ROWS))
        window = WindowCounts(None, None, ROWS, {"x": cells.count(pa.array(rows))})
        drift = DriftTest({"x": reference}).judge(window).drifts["x"]
        told += [drift.predicate] if drift.drifted else []
    return told


def test_a_new_frequent_value_is_found_by_its_interval() -> None:
    told = found_with(0.09)

    # Binomial with 0.98: fewer than 190 of 200 have a chance under 1e-3; the seeds are fixed.
    assert len(told) >= 190
    inside = pa.record_batch({"x": [VALUE]})
    assert all(one.op == "between" and one.mask(inside)[0].as_py() for one in told)


def test_independent_rows_are_told_no_more_often_than_the_budget_says() -> None:
    # One a year at a window a day: 0.55 of 200 at most; 5 or more have a chance under 1e-3.
    assert len(found_with(0.0)) < 5


def test_an_hour_that_moved_is_told_as_seldom_by_intervals_as_by_cuts() -> None:
    """What moves the middle of a column fills an interval far from it by far more."""
    rng = np.random.default_rng(2)
    hours, rows = 24 * 14, 5_000
    drawn = 0.3 * rng.normal(size=hours)[:, None] + 0.95 * rng.normal(size=(hours, rows))
    cells = number_cells("x", "double", np.sort(drawn.ravel()), np.ones(drawn.size))
    tables = {"x": np.stack([cells.count(pa.array(one)) for one in drawn])}
    columns, blocks = reference({"x": cells}, tables)
    test = DriftTest(columns, blocks, length=HOUR, budget=Budget(windows_per_year=8766))
    usual = 0.95 * rng.normal(size=rows)

    def judged(values: np.ndarray) -> tuple[bool, str]:
        counts = {"x": cells.count(pa.array(values))}
        drift = test.judge(window(counts, START + timedelta(hours=hours))).drifts["x"]
        return drift.drifted, drift.predicate.op

    assert judged(usual + 4 * 0.3) == (False, "ge")
    # No shift brings one value 5% of the rows: it is found as ever.
    assert judged(np.where(np.arange(rows) < 0.05 * rows, VALUE, usual)) == (True, "between")
