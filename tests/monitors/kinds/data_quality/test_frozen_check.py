"""A feature that is frozen where one source sends it, and lives on elsewhere."""

from __future__ import annotations

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


@pytest.mark.full
@pytest.mark.parametrize(("days", "count"), [(70, 0), (365, 1)])
def test_a_season_at_an_end_of_the_range_is_not_frozen(days: int, count: int) -> None:
    reference, window = readings(6, days), readings(7, 7)
    smallest = reference["wind"].min()
    window["wind"] = window["wind"].mask(window["station"] == "south", smallest)

    assert len(told(check(window, Baseline.fit(reference, timestamp="at")))) == count
