"""Marks of hours: parts that add up, sources of one time, days that repeat the day before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.hour_marks import MOST_ROWS, NO_MARK, HourMarker, Trailing
from driftline.baseline.row_profile import RowProfile
from driftline.baseline.store import Baseline
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


def test_an_hour_has_the_mark_of_the_values_of_its_first_time() -> None:
    found = marks([(0, 5.0), (1, 7.0), (60, 5.0), (120, 7.0), (180, 7.0), (180, 5.0), (240, None)])

    assert found[0] == found[1] != found[2]
    assert found[3] == marks([(180, 5.0), (180, 7.0), (180, 7.0)])[3]
    assert found[4:] == [NO_MARK, NO_MARK]


def test_of_a_time_with_many_rows_there_is_no_mark() -> None:
    half: list[Row] = [(0, 5.0)] * (MOST_ROWS // 2 + 1)

    assert marks(half)[0] != NO_MARK
    assert marks(half, half)[0] == NO_MARK


def test_a_day_that_moves_as_the_day_before_is_told_from_one_that_stands_still() -> None:
    day = np.arange(1, 25, dtype=np.uint8)

    assert Trailing.of(np.concatenate([day, day])).shares[-1] == 1.0
    assert Trailing.of(np.concatenate([day, day[::-1]])).shares.max() == 0.0
    assert Trailing.of(np.full(48, 7, np.uint8)).shares.max() == 0.0


def test_columns_that_repeat_the_day_before_by_nature_are_not_kept() -> None:
    rng = np.random.default_rng(1)
    hours = np.arange(24 * 40)
    rows = pd.DataFrame(
        {
            "temp": np.round(rng.normal(size=hours.size).cumsum(), 1),
            "tariff": hours % 24 * 1.5,
            "rain": np.where(rng.random(hours.size) < 0.1, 1.0, 0.0),
            "at": pd.Timestamp("2026-01-05", tz="UTC") + pd.to_timedelta(hours, unit="h"),
        }
    )

    found = Baseline.fit(rows, timestamp="at").rows

    assert found is not None
    assert [one.column for one in found.copies] == ["temp"]
    assert 0 < found.copies[0].share < 0.1
    assert RowProfile.from_json(found.to_json()) == found
