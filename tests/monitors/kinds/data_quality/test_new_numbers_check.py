"""Numbers that a column of few values never had, between those that it had often."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.frequent import NumberCounts
from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.kinds.data_quality.new_numbers_check import (
    between_usual,
    in_another_unit,
)
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation

START = datetime(2025, 1, 1, tzinfo=UTC)


def wind(days: int, since: int = 0) -> pd.DataFrame:
    """Hourly wind speeds in steps of 0.0149 from calm on, with a memory of a day."""
    rng = np.random.default_rng([days, since])
    hours = 24 * since + np.arange(24 * days)
    noise = rng.normal(size=hours.size)
    for at in range(1, hours.size):
        noise[at] = 0.96 * noise[at - 1] + 0.28 * noise[at]
    steps = np.clip(np.round(12 + 6 * noise), 0, 24)
    return pd.DataFrame(
        {
            "wind": np.round(steps * 0.0149, 4),
            "sky": rng.choice(["clear", "mist", "rain"], hours.size, p=[0.6, 0.3, 0.1]),
            "at": START + pd.to_timedelta(hours, unit="h"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(wind(340), timestamp="at")


def told(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "new_numbers_check"]


def test_another_unit_in_some_rows_is_told_with_their_segment(baseline: Baseline) -> None:
    week = wind(7, 345)
    is_mist = week["sky"] == "mist"
    knots = np.round(week["wind"] * np.where(is_mist, 1.609344, 1.0), 4)

    (found,) = told(check(week.assign(wind=knots), baseline))

    assert (found.feature_name, found.severity) == ("wind", "ticket")
    assert "of numbers are new, " in found.cause
    assert found.segment is not None
    assert (found.segment.column, found.segment.level) == ("sky", "mist")
    assert told(check(week, baseline)) == []


def test_numbers_beyond_the_range_and_a_few_rows_of_a_new_one_are_not_told(
    baseline: Baseline,
) -> None:
    week = wind(7, 345)
    storm = week["wind"].where(week.index % 4 != 0, 1.0 + 0.0149 * (week.index % 30))
    odd = week["wind"].where(week.index % 30 != 0, 0.0211)

    assert told(check(week.assign(wind=storm), baseline)) == []
    assert told(check(week.assign(wind=odd), baseline)) == []


def test_one_value_that_never_came_is_told_where_it_floods_the_column(baseline: Baseline) -> None:
    """The drift test is patient where weather makes every week another one."""
    week = wind(7, 345)

    (found,) = told(
        check(week.assign(wind=week["wind"].where(week.index % 4 != 0, 0.0211)), baseline)
    )

    assert "25% of numbers are new, 1 value between the 25 of the reference" in found.cause


def test_one_value_in_a_twelfth_of_the_rows_is_told_too(baseline: Baseline) -> None:
    week = wind(7, 345)

    (found,) = told(
        check(week.assign(wind=week["wind"].where(week.index % 12 != 0, 0.0211)), baseline)
    )

    assert "8.3% of numbers are new, 1 value" in found.cause


def trips(days: int, since: int = 0, *, routes: int = 60) -> pd.DataFrame:
    """Trips of five carriers on routes of whole miles, each of one carrier."""
    miles = np.random.default_rng(7).permutation(np.arange(150, 2_500))[:80].astype(float)
    rng, count = np.random.default_rng([days, since]), 300 * days
    route = rng.integers(0, routes, count)
    return pd.DataFrame(
        {
            "miles": miles[route],
            "carrier": np.char.add("c", (route % 5).astype(str)),
            "at": START + pd.to_timedelta(since + days * np.sort(rng.random(count)), unit="D"),
        }
    )


def units(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "unit_change_check"]


@pytest.mark.parametrize("routes", [60, 63])
def test_whole_kilometres_from_one_carrier_are_told_with_it(routes: int) -> None:
    """With and without some routes that are new; a reference of 30 days."""
    baseline = Baseline.fit(trips(30), timestamp="at")
    week = trips(7, 31, routes=routes)
    is_guilty = week["carrier"] == "c4"

    metric = week.assign(miles=week.miles.mask(is_guilty, np.round(week.miles * 1.609344)))
    (found,) = units(check(metric, baseline))

    assert (found.feature_name, found.severity) == ("miles", "page")
    assert "looks like kilometres instead of miles" in found.cause
    assert found.fault is not None
    assert found.fault.kind == "unit_change"
    assert found.segment is not None
    assert (found.segment.column, found.segment.level) == ("carrier", "c4")
    assert units(check(week, baseline)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda miles: miles + 1,
        lambda miles: np.round(miles * 1.3),
        lambda miles: np.round(miles / 5) * 5,
        lambda miles: miles * 7,
        lambda miles: miles * 1e300,
    ],
)
def test_new_numbers_that_are_no_known_ones_in_another_unit(change) -> None:
    known, week = trips(30).miles, change(trips(7, 31).miles)

    found, unit = in_another_unit(counts(week.to_numpy(), 1), counts(known.to_numpy(), 1))

    assert (found.any(), unit) == (False, None)


def counts(values: np.ndarray, times: int) -> NumberCounts:
    found = NumberCounts()
    found.update(np.sort(np.repeat(np.asarray(values, np.float64), times)))
    return found


def test_what_may_be_new_by_chance_is_not_judged() -> None:
    grid = np.arange(30.0)
    window = counts(grid[:-1] + 0.5, 1)

    assert between_usual(window, counts(grid, 100)).all()
    assert not between_usual(window, counts(grid, 99)).any()
    assert not between_usual(window, counts(grid[:19], 100)).any()
    rare = counts(grid, 100).merge(counts(grid[:-1] + 0.7, 4))
    assert not between_usual(window, rare).any()
    assert not between_usual(counts(grid, 1), counts(grid, 100)).any()
    assert len(between_usual(NumberCounts(is_complete=False), counts(grid, 100))) == 0
