"""How often the rule alarms on the reference itself, its days drawn anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.renewal import Change, with_columns_anew
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.backtest.backtest import drift_test_of
from driftline.monitors.backtest.rate import Rate
from driftline.monitors.backtest.resampling import resampled_alarms
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import DriftTest

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = ("amount", "shop")


def stream(days: int, rows: int, seed: int, shift: float = 0.0) -> pa.Table:
    """Independent rows, so many a day, spread over its hours."""
    rng = np.random.default_rng(seed)
    count = days * rows
    times = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(
        86_400_000_000 // rows, "us"
    )
    return pa.table(
        {
            "at": times,
            "amount": rng.normal(100 + 10 * shift, 10, count),
            "shop": rng.choice(["north", "south", "west"], count, p=[0.5, 0.3, 0.2]),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(stream(56, 2000, 1), timestamp="at")


def drift_test(
    baseline: Baseline, length: timedelta = DAY, tolerance: float | None = None
) -> DriftTest:
    budget = Budget(1.0, timedelta(days=365.25) / length)
    return drift_test_of(baseline, COLUMNS, length=length, budget=budget, tolerance=tolerance)


def test_days_of_the_reference_drawn_anew_hardly_alarm(baseline: Baseline) -> None:
    rate = resampled_alarms(drift_test(baseline), baseline.blocks, windows=300)

    assert rate is not None
    assert rate.count == 0
    assert rate.years == pytest.approx(300 / 365.25)


@pytest.mark.parametrize("days", [2, 3])
def test_windows_of_some_days_are_drawn_to_the_weekdays_that_they_had(days: int) -> None:
    rows = stream(56, 1000, 1)
    weekend = (np.arange(rows.num_rows) // 1000) % 7 >= 5
    amount = rows["amount"].to_numpy() + 20 * weekend
    weekly = Baseline.fit(rows.set_column(1, "amount", pa.array(amount)), timestamp="at")

    rate = resampled_alarms(drift_test(weekly, days * DAY), weekly.blocks, windows=100)

    assert rate is not None
    assert rate.count <= 1


def test_weekends_of_few_rows_are_drawn_as_weekends() -> None:
    rows = stream(56, 1000, 1)
    weekend = (np.arange(rows.num_rows) // 1000) % 7 >= 5
    amount = rows["amount"].to_numpy() + 20 * weekend
    rows = rows.set_column(1, "amount", pa.array(amount))
    few = rows.filter(pa.array(~weekend | (np.arange(rows.num_rows) % 4 == 0)))
    weekly = Baseline.fit(few, timestamp="at")

    rate = resampled_alarms(drift_test(weekly), weekly.blocks, windows=100)

    assert rate is not None
    assert rate.count <= 1


def test_a_reference_without_times_or_of_a_few_days_is_not_drawn_from(baseline: Baseline) -> None:
    short = Baseline.fit(stream(4, 500, 3), timestamp="at")

    assert resampled_alarms(drift_test(baseline), None) is None
    assert resampled_alarms(drift_test(short), short.blocks) is None
    assert resampled_alarms(replace(drift_test(baseline), length=None), baseline.blocks) is None


@pytest.fixture(scope="module")
def anew(baseline: Baseline) -> Baseline:
    """The baseline with its texts made anew, of 21 later days at a quarter of the traffic."""
    return made_anew(baseline, stream(21, 500, 4))


def made_anew(baseline: Baseline, rows: pa.Table) -> Baseline:
    """Make the texts anew, of days from March on."""
    later = pa.array(rows["at"].to_numpy() + np.timedelta64(70, "D"))
    table = rows.set_column(0, "at", later).select(["at", "shop"])
    end = START + 91 * DAY
    change = Change(("shop",), START + 70 * DAY, end, "lee", "a new shop", end)
    return with_columns_anew(baseline, open_source(table), change, event_time="at")


def test_a_column_that_is_a_new_normal_is_drawn_from_its_own_days(anew: Baseline) -> None:
    rate = resampled_alarms(drift_test(anew), anew.blocks, windows=100)

    assert rate is not None
    assert rate.count == 0


def test_a_day_that_the_new_normal_lacks_holds_no_rows_of_it(baseline: Baseline) -> None:
    rows = stream(28, 2000, 4)
    evenings = made_anew(baseline, rows.filter(pa.array(np.arange(rows.num_rows) % 2000 >= 1000)))
    rule = drift_test(evenings, timedelta(hours=12))

    assert resampled_alarms(rule, evenings.blocks, windows=50) is not None


def test_windows_that_fill_no_days_are_not_drawn(baseline: Baseline) -> None:
    for length in (timedelta(minutes=30), timedelta(hours=7), timedelta(hours=36)):
        assert resampled_alarms(drift_test(baseline, length), baseline.blocks) is None


def test_the_interval_of_a_rate_is_the_published_one() -> None:
    # Garwood's table, Biometrika 28, 1936: 0 -> 0 to 3.689, 1 -> 0.0253 to 5.572, 10 -> 4.795
    # to 18.39.
    assert Rate(0, 1.0).interval == pytest.approx((0.0, 3.689), abs=1e-3)
    assert Rate(1, 1.0).interval == pytest.approx((0.0253, 5.572), abs=1e-3)
    assert Rate(10, 2.0).interval == pytest.approx((4.795 / 2, 18.39 / 2), abs=3e-3)
    assert Rate(10, 2.0).per_year == 5.0
