"""The day test: what lasts for days is found, storms and seasons are not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.baseline.value_runs import TimeOrder
from driftline.monitors.day_test.day_counter import DayCounter
from driftline.monitors.day_test.day_test import DayFinding, DayTest
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.stats.day_scores import CLOCK_COS, CLOCK_SIN, ROUGH
from tests.monitors.day_test.weather import weather

HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
REFERENCE_DAYS = 371  # Weeks: the windows after it are aligned with those of 1970.
START = datetime(2025, 1, 2, tzinfo=UTC)
Fault = Callable[[pd.DataFrame], pd.DataFrame]


@cache
def rows() -> pd.DataFrame:
    return weather(REFERENCE_DAYS + 16 * 7, first="2023-12-28")


@cache
def day_test(days: int = REFERENCE_DAYS) -> DayTest:
    return learnt_from(rows()[rows()["at"] < START][-24 * days :])


def learnt_from(reference: pd.DataFrame) -> DayTest:
    baseline = Baseline.fit(reference, timestamp="at")
    return DayTest.of(baseline, WEEK, Budget(1.0, 52.0))


def counted(
    test: DayTest, part: pd.DataFrame, start: datetime, length: timedelta = WEEK
) -> WindowCounts:
    counter = DayCounter.start("at", test.cells)
    batch = pa.RecordBatch.from_pandas(part, preserve_index=False)
    counter.update(batch, TimeOrder.of(batch.column("at")))
    return WindowCounts(start, start + length, len(part), {}, {}, test.day_sums(counter))


def found(
    fault: Fault = lambda one: one, *, weeks: int = 4, test: DayTest | None = None
) -> list[dict[str, DayFinding]]:
    """Judge weeks after the reference, with a fault in them."""
    test = test or day_test()
    later = rows()[(rows()["at"] >= START) & (rows()["at"] < START + weeks * WEEK)]
    later = fault(later.reset_index(drop=True))
    windows = [
        counted(test, later[(later["at"] >= at) & (later["at"] < at + WEEK)], at)
        for at in (START + place * WEEK for place in range(weeks))
    ]
    return [dict(test.judge(one, windows[:place]).findings) for place, one in enumerate(windows)]


def test_quiet_weeks_have_no_finding() -> None:
    assert found(weeks=16) == [{}] * 16


def test_a_daily_cycle_that_lies_elsewhere_is_found_in_the_first_week() -> None:
    shifted = found(lambda one: one.assign(temp=one["temp"].shift(8).bfill()))

    assert shifted[0]["temp"].score in (CLOCK_COS, CLOCK_SIN)
    assert {name for one in shifted for name in one} == {"temp"}


def test_a_column_that_hardly_moves_is_found_by_its_steps() -> None:
    rounded = found(
        lambda one: one.assign(
            pressure=one.groupby(one["at"].dt.floor("D"))["pressure"].transform("first")
        )
    )

    first = next(one["pressure"] for one in rounded if one)
    assert first.score == ROUGH
    assert first.mean < 0
    low, high = first.interval
    assert low < first.mean < high < 0


def test_a_level_that_takes_the_place_of_another_is_found() -> None:
    merged = found(lambda one: one.assign(wind=one["wind"].replace("N", "E")), weeks=16)

    names = {finding.score for one in merged for finding in one.values()}
    assert names <= {"= N", "= E"}
    assert names


def test_a_mended_fault_is_told_no_more() -> None:
    mended = START + 9 * WEEK

    def broken(one: pd.DataFrame) -> pd.DataFrame:
        turned = one["temp"].shift(8).bfill()
        return one.assign(temp=one["temp"].where(one["at"] >= mended, turned))

    weeks = found(broken, weeks=16)

    assert any(weeks[:9])
    assert weeks[9:] == [{}] * 7


def test_a_storm_of_a_day_is_no_finding() -> None:
    def storm(one: pd.DataFrame) -> pd.DataFrame:
        is_storm = one["at"] < START + timedelta(days=1)
        return one.assign(pressure=one["pressure"].where(~is_storm, 900.0))

    assert found(storm, weeks=1) == [{}]


def sales(first: str, days: int, *, moved_h: int = 0, minutes: int = 10) -> pd.DataFrame:
    """Draw the amounts of a shop, which follow the hours of Berlin."""
    rng = np.random.default_rng(1)
    times = pd.date_range(first, periods=1440 * days // minutes, freq=f"{minutes}min", tz="UTC")
    hours = times.tz_convert("Europe/Berlin").hour.to_numpy() - moved_h
    amounts = 40 - 8 * np.cos(2 * np.pi * (hours - 1) / 24) + rng.normal(0, 8, len(times))
    return pd.DataFrame({"at": times, "amount": amounts})


@pytest.mark.parametrize(("moved_h", "is_found"), [(0, False), (4, True)])
def test_summer_time_is_no_finding_and_a_cycle_that_moved_is(moved_h: int, is_found: bool) -> None:
    test = learnt_from(sales("2025-01-02", 84))
    summer = sales("2025-03-27", 6 * 7, moved_h=moved_h)  # Clocks change on 30 March.
    weeks = [datetime(2025, 3, 27, tzinfo=UTC) + place * WEEK for place in range(6)]
    windows = [
        counted(test, summer[(summer["at"] >= at) & (summer["at"] < at + WEEK)], at) for at in weeks
    ]

    loud = [bool(test.judge(one, windows[:at]).findings) for at, one in enumerate(windows)]

    assert loud == [is_found] * 6


@pytest.mark.parametrize(("days", "is_known"), [(26, False), (28, True)])
def test_a_reference_of_less_than_27_days_tells_nothing(days: int, is_known: bool) -> None:
    assert bool(day_test(days).groups) is is_known


def test_parts_of_a_window_add_up() -> None:
    test = day_test()
    part = rows()[(rows()["at"] >= START) & (rows()["at"] < START + WEEK)]
    halves = []
    for half in (part[: 24 * 3], part[24 * 3 :]):
        counter = DayCounter.start("at", test.cells)
        batch = pa.RecordBatch.from_pandas(half, preserve_index=False)
        counter.update(batch, TimeOrder.of(batch.column("at")))
        halves.append(counter)

    merged, whole = test.day_sums(halves[0].merge(halves[1])), counted(test, part, START).days

    for name, one in whole.items():
        assert merged[name].sums == pytest.approx(one.sums)
        assert merged[name].rows.tolist() == one.rows.tolist()
