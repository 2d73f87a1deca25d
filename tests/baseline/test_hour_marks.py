"""Marks of hours: parts that add up, sources of one time, days that repeat the day before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.hour_marks import NO_MARK, HourMarker
from driftline.baseline.value_runs import TimeOrder

Row = tuple[int, float | None]  # Minute, value.
ROWS = st.lists(
    st.tuples(st.integers(0, 300), st.one_of(st.integers(-3, 3), st.none(), st.just(np.inf))),
    max_size=30,
)


def counted(*parts: Sequence[Row]) -> HourMarker:
    marker = HourMarker(("x",))
    for part in parts:
        times = [pd.Timestamp("1970-01-01", tz="UTC") + pd.Timedelta(minutes=at) for at, _ in part]
        values = pa.array([None if x is None else float(x) for _, x in part], pa.float64())
        batch = pa.record_batch({"x": values, "at": pa.array(times, pa.timestamp("us", "UTC"))})
        marker.update(batch, TimeOrder.of(batch.column("at")))
    return marker


def marks(*parts: Sequence[Row]) -> list[int]:
    return [*counted(*parts).marks((0, 6)).get("x", [NO_MARK] * 6)]


@given(ROWS, ROWS)
def test_parts_in_any_order_add_up_to_the_whole(one: list[Row], other: list[Row]) -> None:
    merged = counted(other).merge(counted(one)).marks((0, 6)).get("x", [NO_MARK] * 6)

    assert marks(one, other) == marks(one + other) == [*merged]
