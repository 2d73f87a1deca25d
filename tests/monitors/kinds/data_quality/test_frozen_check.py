"""A feature that is frozen where one source sends it, and lives on elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

START = datetime(2026, 1, 5, tzinfo=UTC)


def readings(seed: int, days: int) -> pd.DataFrame:
    """Three stations, an hour apart each; the price depends on the station alone."""
    rng = np.random.default_rng(seed)
    hours = np.repeat(np.arange(24 * days), 3)
    station = np.tile(["north", "south", "west"], 24 * days)
    temp = 10 + 5 * np.sin(hours / 24 * 2 * np.pi) + rng.normal(0, 3, hours.size)
    return pd.DataFrame(
        {
            "station": station,
            "temp": np.round(temp, 1),
            "wind": np.round(rng.gamma(2, 3, hours.size), 1),
            "visits": rng.poisson(30, hours.size),
            "load": np.round(rng.normal(100, 20, hours.size)),
            "price": np.where(station == "north", 3.5, np.round(rng.normal(4, 1, hours.size), 2)),
            "at": START + pd.to_timedelta(hours, unit="h"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(readings(1, 70), timestamp="at")


def told(report: Report) -> list[tuple[str, str, str]]:
    return [
        (one.feature_name, one.severity, one.cause)
        for one in report.violations
        if one.constraint_check_type == "constant_check"
    ]


@pytest.mark.parametrize("days", [1, 7])
def test_a_feature_that_is_frozen_at_one_station_is_told_with_it(
    baseline: Baseline, days: int
) -> None:
    window = readings(2, days)
    is_there = window["station"] == "south"
    rows = pd.concat([window, window[is_there].iloc[:20]]) if days == 1 else window
    rows["temp"] = rows["temp"].mask(rows["station"] == "south", 11.5)
    rows["wind"] = rows["wind"].mask(rows.index % 7 == 0)  # Gaps are no values.

    report = check(rows, baseline)

    ((feature, severity, cause),) = told(report)
    count = int((rows["station"] == "south").sum())
    assert (feature, severity) == ("temp", "ticket")
    assert cause.startswith(f'always 11.5 in {count} rows where station = "south" (reference: at')
    found = next(one for one in report.violations if one.constraint_check_type == "constant_check")
    assert found.row_count == count


def test_nothing_is_told_of_rows_as_they_are(baseline: Baseline) -> None:
    """The price always stands still in the north."""
    assert told(check(readings(3, 7), baseline)) == []


def test_a_station_whose_rows_are_of_one_hour_is_not_frozen(baseline: Baseline) -> None:
    window = readings(4, 7)
    first = window[window["station"] == "south"].iloc[[0]]
    rows = pd.concat([window[window["station"] != "south"], *[first] * 40]).sort_values("at")

    assert told(check(rows, baseline)) == []


def test_a_feature_that_is_frozen_on_one_day_alone_is_not_told_of_a_week(
    baseline: Baseline,
) -> None:
    window = readings(5, 7)
    is_first = window["at"] < START + pd.Timedelta(days=2)
    rows = window[is_first | (window["station"] != "south")].copy()
    rows["temp"] = rows["temp"].mask(rows["station"] == "south", 11.5)

    assert told(check(rows, baseline)) == []


@pytest.mark.parametrize(("days", "count"), [(70, 0), (365, 1)])
def test_a_season_at_an_end_of_the_range_is_not_frozen(days: int, count: int) -> None:
    reference, window = readings(6, days), readings(7, 7)
    smallest = reference["wind"].min()
    window["wind"] = window["wind"].mask(window["station"] == "south", smallest)

    assert len(told(check(window, Baseline.fit(reference, timestamp="at")))) == count


def test_a_value_beyond_the_range_is_no_season() -> None:
    """Seasons go back to the same end; where a sensor froze is chance."""
    reference, window = readings(6, 70), readings(7, 7)
    largest = reference["wind"].max()
    window["wind"] = window["wind"].mask(window["station"] == "south", largest + 0.7)

    ((feature, _, cause),) = told(check(window, Baseline.fit(reference, timestamp="at")))
    assert (feature, cause.startswith(f"always {largest + 0.7:.1f} in")) == ("wind", True)


def test_a_column_that_is_not_to_be_judged_is_not_frozen(baseline: Baseline) -> None:
    window = readings(2, 7)
    window["temp"] = window["temp"].mask(window["station"] == "south", 11.5)
    assert told(check(window, baseline))

    features = tuple(
        replace(one, overrides=({"evaluate_constraints": "Disabled"},))
        if one.name == "temp"
        else one
        for one in baseline.constraints.features
    )
    constraints = replace(baseline.constraints, features=features)

    assert told(check(window, replace(baseline, constraints=constraints))) == []


@pytest.mark.parametrize(("columns", "count"), [(["temp"], 0), (["temp", "wind"], 1)])
def test_one_of_two_columns_is_frozen_where_the_other_lives_on(
    columns: list[str], count: int
) -> None:
    """Of one column alone nothing says that the station's rows are not of one time."""
    kept = ["station", *columns, "at"]
    baseline = Baseline.fit(readings(8, 70)[kept], timestamp="at")
    window = readings(9, 7)[kept]
    window["temp"] = window["temp"].mask(window["station"] == "south", 11.5)

    assert len(told(check(window, baseline))) == count
    assert told(check(readings(10, 7)[kept], baseline)) == []
