"""Counts of numbers at a column's edges, by day and week."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.row_profile import RowProfile
from driftline.baseline.store import Baseline
from driftline.baseline.value_edges import EdgeCounter, EdgeShares

ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.one_of(st.integers(-3, 3), st.none(), st.just(np.inf))),
    max_size=40,
)


def batch(rows: list[tuple[int, float | None]]) -> pa.RecordBatch:
    times = [pd.Timestamp("2026-01-05", tz="UTC") + pd.Timedelta(days=day) for day, _ in rows]
    values = pa.array([None if x is None else float(x) for _, x in rows], pa.float64())
    return pa.record_batch({"x": values, "at": pa.array(times, pa.timestamp("us", "UTC"))})


def counted(*parts: list[tuple[int, float | None]]) -> EdgeCounter:
    counter = EdgeCounter(("x",), "at")
    for part in parts:
        counter.update(batch(part))
    return counter


@given(ROWS, ROWS)
def test_parts_in_any_order_add_up_to_the_whole(
    one: list[tuple[int, float | None]], other: list[tuple[int, float | None]]
) -> None:
    whole = counted(one + other)

    for found in (counted(one, other), counted(other).merge(counted(one))):
        assert found.days.tolist() == whole.days.tolist()
        assert found.numbers.tolist() == whole.numbers.tolist()
        assert found.edges.tolist() == whole.edges.tolist()
        assert found.at_edge.tolist() == whole.at_edge.tolist()


def hourly(weeks: int) -> pd.DataFrame:
    """Values that reach 100 in every other week, for six hours of one day and one of another."""
    hour = np.arange(24 * 7 * weeks)
    value = 50.0 + hour * 1e-6
    is_even = hour // 168 % 2 == 0
    value[is_even & (hour % 168 < 6)] = 100.0
    value[is_even & (hour % 168 == 30)] = 100.0
    return pd.DataFrame(
        {"x": value, "at": pd.Timestamp("2026-01-05", tz="UTC") + pd.to_timedelta(hour, unit="h")}
    )


def test_a_baseline_keeps_the_largest_shares_of_weeks_that_reach_the_edge_and_others() -> None:
    baseline = Baseline.fit(hourly(14), timestamp="at")

    assert baseline.rows is not None
    smallest, largest = baseline.rows.edges
    assert largest == EdgeShares("x", True, 100.0, 14, (7 / 168, 1 / 168), (1 / 168, 0.0))
    assert (smallest.is_largest, smallest.value) == (False, 50.000006)
    assert RowProfile.from_json(baseline.rows.to_json()) == baseline.rows
