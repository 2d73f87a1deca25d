"""What the rule finds and how often it errs: tried on made changes and on the reference itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from driftline.baseline.replacement import Change, with_columns_anew
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.backtest.backtest import backtest, decider_of
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.page import backtest_page
from driftline.monitors.backtest.rate import Rate
from driftline.monitors.backtest.resampling import resampled_alarms, unchanged_windows
from driftline.monitors.backtest.sensitivity import Finding, smallest_shifts
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import Decider

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


def decider(baseline: Baseline, length: timedelta = DAY, tolerance: float | None = None) -> Decider:
    budget = Budget(1.0, timedelta(days=365.25) / length)
    return decider_of(baseline, COLUMNS, length=length, budget=budget, tolerance=tolerance)


def found_by(findings: tuple[Finding, ...], column: str, within: str) -> Finding:
    return next(one for one in findings if (one.column, one.within) == (column, within))


@pytest.fixture(scope="module")
def findings(baseline: Baseline) -> tuple[Finding, ...]:
    return smallest_shifts(decider(baseline), baseline.blocks, rows=2000)


def test_a_longer_time_finds_a_smaller_change(findings) -> None:
    for column in COLUMNS:
        one = found_by(findings, column, "one window")
        week = found_by(findings, column, "a week")
        assert one.share is not None
        assert week.share is not None
        assert week.share < one.share


def test_more_rows_find_a_smaller_change(baseline: Baseline, findings) -> None:
    few = smallest_shifts(decider(baseline), baseline.blocks, rows=200)

    for column in COLUMNS:
        more = found_by(findings, column, "one window").share
        less = found_by(few, column, "one window").share
        assert more is not None
        assert less is not None
        assert more < less


def test_the_share_is_what_a_normal_shift_moves(findings) -> None:
    found = found_by(findings, "amount", "one window")

    assert found.share is not None
    moved = 0.5 - stats.norm.cdf(-(found.deviations or 0.0))
    # The cut lies near the median, not on it.
    assert moved == pytest.approx(found.share, rel=0.05)


def test_texts_have_no_deviations(findings) -> None:
    assert found_by(findings, "shop", "one window").deviations is None


def test_a_change_of_twice_the_size_is_found_in_new_rows_and_a_third_of_it_is_not(
    baseline: Baseline, findings
) -> None:
    deviations = found_by(findings, "amount", "one window").deviations
    assert deviations is not None
    options = BacktestOptions(estimate=False)

    loud = backtest(stream(1, 2000, 5, 2 * deviations), baseline, timestamp="at", options=options)
    calm = backtest(stream(1, 2000, 5, deviations / 3), baseline, timestamp="at", options=options)

    assert loud.own.alarms == (("amount",),)
    assert calm.own.alarms == ((),)


def test_a_wider_tolerance_finds_larger_changes_only(baseline: Baseline) -> None:
    findings, wide = (
        smallest_shifts(decider(baseline, tolerance=one), baseline.blocks, rows=2000)
        for one in (0.01, 0.1)
    )

    for column in COLUMNS:
        narrow = found_by(findings, column, "a week").share
        wider = found_by(wide, column, "a week").share
        assert narrow is not None
        assert wider is not None
        assert wider > narrow
        assert wider > 0.09


def test_days_of_the_reference_drawn_anew_hardly_alarm(baseline: Baseline) -> None:
    rate = resampled_alarms(decider(baseline), baseline.blocks, windows=300)

    assert rate is not None
    assert rate.count == 0
    assert rate.years == pytest.approx(300 / 365.25)


@pytest.mark.parametrize("days", [2, 3])
def test_windows_of_some_days_are_drawn_to_the_weekdays_that_they_had(days: int) -> None:
    rows = stream(56, 1000, 1)
    weekend = (np.arange(rows.num_rows) // 1000) % 7 >= 5
    amount = rows["amount"].to_numpy() + 20 * weekend
    weekly = Baseline.fit(rows.set_column(1, "amount", pa.array(amount)), timestamp="at")

    rate = resampled_alarms(decider(weekly, days * DAY), weekly.blocks, windows=100)

    assert rate is not None
    assert rate.count <= 1


def test_weekends_of_few_rows_are_drawn_as_weekends() -> None:
    rows = stream(56, 1000, 1)
    weekend = (np.arange(rows.num_rows) // 1000) % 7 >= 5
    amount = rows["amount"].to_numpy() + 20 * weekend
    rows = rows.set_column(1, "amount", pa.array(amount))
    few = rows.filter(pa.array(~weekend | (np.arange(rows.num_rows) % 4 == 0)))
    weekly = Baseline.fit(few, timestamp="at")

    rate = resampled_alarms(decider(weekly), weekly.blocks, windows=100)

    assert rate is not None
    assert rate.count <= 1


def test_gaps_and_the_greater_side_count_in_the_deviations() -> None:
    rng = np.random.default_rng(3)
    rows = stream(56, 2000, 1)
    amount = np.where(rng.random(rows.num_rows) < 0.5, np.nan, rows["amount"].to_numpy())
    ones = (rng.random(rows.num_rows) < 0.9).astype(float)
    rows = rows.set_column(1, "amount", pa.array(amount, from_pandas=True))
    known = Baseline.fit(rows.append_column("ones", pa.array(ones)), timestamp="at")
    budget = Budget(1.0, 365.25)
    rule = decider_of(known, ("amount", "ones"), length=DAY, budget=budget)

    found = smallest_shifts(rule, known.blocks, rows=2000)

    gaps, high = (found_by(found, one, "one window") for one in ("amount", "ones"))
    # Half of the rows hold a number, and half of those lie on each side.
    assert gaps.deviations == pytest.approx(-stats.norm.ppf(0.5 - gaps.share / 0.5), rel=0.05)
    # Nine of ten are 1, and some of them become 0.
    lower = stats.norm.ppf(0.9) - stats.norm.ppf(0.9 - high.share)
    assert high.deviations == pytest.approx(lower, rel=0.02)


def test_a_reference_without_times_or_of_a_few_days_is_not_drawn_from(baseline: Baseline) -> None:
    short = Baseline.fit(stream(4, 500, 3), timestamp="at")

    assert resampled_alarms(decider(baseline), None) is None
    assert resampled_alarms(decider(short), short.blocks) is None
    assert resampled_alarms(replace(decider(baseline), length=None), baseline.blocks) is None


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


def test_a_column_that_is_a_new_normal_is_estimated_by_its_own_days(
    anew: Baseline, findings
) -> None:
    rule = decider(anew)

    found = smallest_shifts(rule, anew.blocks, rows=2000)
    rate = resampled_alarms(rule, anew.blocks, windows=100)

    assert {(one.column, one.within) for one in found} == {
        (one.column, one.within) for one in findings
    }
    assert all(one.share is not None and one.share < 0.3 for one in found)
    assert rate is not None
    assert rate.count == 0
    windows = unchanged_windows(rule, anew.blocks, 30, 800, np.random.default_rng(1))
    for column in COLUMNS:
        assert np.median([one.cells[column].sum() for one in windows]) == pytest.approx(800, 0.05)


def test_a_new_normal_of_too_few_days_is_tried_on_independent_rows(baseline: Baseline) -> None:
    short = made_anew(baseline, stream(3, 2000, 4))

    windows = unchanged_windows(decider(short), short.blocks, 10, 2000, np.random.default_rng(1))

    assert all(one.cells["shop"].sum() == 2000 for one in windows)
    assert windows[0].start == START + 56 * DAY


def test_a_day_that_the_new_normal_lacks_holds_no_rows_of_it(baseline: Baseline) -> None:
    rows = stream(28, 2000, 4)
    evenings = made_anew(baseline, rows.filter(pa.array(np.arange(rows.num_rows) % 2000 >= 1000)))
    rule = decider(evenings, timedelta(hours=12))

    windows = unchanged_windows(rule, evenings.blocks, 10, 1000, np.random.default_rng(1))

    by_half = [one.cells["shop"].sum() > 0 for one in windows]
    assert by_half == [False, True] * 5
    assert all(one.cells["amount"].sum() > 0 for one in windows)
    assert resampled_alarms(rule, evenings.blocks, windows=50) is not None


def test_the_windows_of_a_new_normal_tell_another_rule_how_they_vary(anew: Baseline) -> None:
    moved = stream(2, 2000, 6)
    moved = moved.set_column(2, "shop", pa.array(["west"] * moved.num_rows))
    options = BacktestOptions(estimate=False, against=("nannyml",))

    found = backtest(moved, anew, timestamp="at", options=options)

    assert found.rules[1].alarms == (("shop",), ("shop",))


def test_windows_that_fill_no_days_are_not_drawn(baseline: Baseline) -> None:
    for length in (timedelta(minutes=30), timedelta(hours=7), timedelta(hours=36)):
        assert resampled_alarms(decider(baseline, length), baseline.blocks) is None


def test_the_interval_of_a_rate_is_the_published_one() -> None:
    # Garwood's table, Biometrika 28, 1936: 0 -> 0 to 3.689, 1 -> 0.0253 to 5.572, 10 -> 4.795
    # to 18.39.
    assert Rate(0, 1.0).interval == pytest.approx((0.0, 3.689), abs=1e-3)
    assert Rate(1, 1.0).interval == pytest.approx((0.0253, 5.572), abs=1e-3)
    assert Rate(10, 2.0).interval == pytest.approx((4.795 / 2, 18.39 / 2), abs=3e-3)
    assert Rate(10, 2.0).per_year == 5.0


def test_advice_tells_lengths_and_tolerances_and_suggests_one_at_most(baseline: Baseline) -> None:
    options = BacktestOptions(estimate=False, advise=True)

    whole = backtest(stream(3, 2000, 9), baseline, timestamp="at", options=options)

    found = whole.advice
    assert "Other windows and tolerances" in backtest_page(whole.as_dict())
    assert [one.length_h for one in found][:4] == [1, 6, 24, 168]
    assert found[2].row_count == pytest.approx(2000)
    assert found[3].week_share == found[3].first_share
    assert found[3].week_share is not None
    assert sum(one.is_suggested for one in found) == 1
    assert all(one.row_count >= 60 for one in found if one.is_suggested)
