"""Columns that are gone or stand still, as the reference never was over as many rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts

HOURLY = 20
Made = Callable[[int], pd.DataFrame]


@pytest.fixture
def made(rng: np.random.Generator) -> Made:
    """Rows of so many hours: a reading that all rows of an hour share, and moves slowly."""

    def draw(hours: int) -> pd.DataFrame:
        steps = rng.normal(scale=0.3, size=hours)
        for at in range(1, hours):
            steps[at] += 0.97 * steps[at - 1]
        hour = np.repeat(np.arange(hours), HOURLY)
        return pd.DataFrame(
            {
                "temp": np.round(50 + 10 * steps[hour], 1),
                "wind": np.round(rng.gamma(4, 3, hour.size), 1),
                "at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(hour, unit="h"),
            }
        )

    return draw


@pytest.fixture
def baseline(made: Made) -> Baseline:
    """Forty days; of one of them most readings of the wind are lost."""
    rows = made(40 * 24)
    rows.loc[rows["at"].dt.floor("D") == pd.Timestamp("2026-01-20", tz="UTC"), "wind"] = np.nan
    return Baseline.fit(rows, timestamp="at")


def told(report: Report) -> set[tuple[str, str, str]]:
    return {
        (one.feature_name, one.constraint_check_type, one.severity) for one in report.violations
    }


def test_a_column_that_is_gone_for_longer_than_ever_pages_though_it_once_was_for_a_day(
    made: Made, baseline: Baseline
) -> None:
    report = check(made(96).assign(wind=np.nan), baseline)

    assert ("wind", "completeness_check", "page") in told(report)


def test_a_second_bad_day_like_the_one_of_the_reference_does_not(
    made: Made, baseline: Baseline
) -> None:
    assert ("wind", "completeness_check", "page") not in told(
        check(made(24).assign(wind=np.nan), baseline)
    )


def test_a_column_that_stands_still_pages_and_says_at_what(made: Made, baseline: Baseline) -> None:
    report = check(made(96).assign(temp=50.0), baseline)

    found = next(one for one in report.violations if one.feature_name == "temp")
    assert (found.constraint_check_type, found.severity) == ("constant_check", "page")
    assert found.cause == "96 times in a row 50 (reference at most 2)"
    assert found.row_count == 96 * HOURLY


def hourly(rng: np.random.Generator, days: int) -> pd.DataFrame:
    """One reading an hour: a slow one, one that is mostly 0, a flag, and the month."""
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(24 * days), unit="h")
    slow = np.cumsum(rng.normal(scale=3, size=at.size))
    return pd.DataFrame(
        {
            "slow": np.round(slow),
            "rain": np.where(rng.random(at.size) < 0.7, 0.0, rng.gamma(2, size=at.size)),
            "mode": (np.arange(at.size) // 5) % 4,
            "month": at.month,
            "at": at,
        }
    )


def stands_still(report: Report) -> dict[str, str]:
    return {
        one.feature_name: one.cause.partition(",")[0]
        for one in report.violations
        if one.constraint_check_type == "constant_check"
    }


@pytest.mark.parametrize("rows", [19, 20])
def test_a_dead_sensor_is_found_from_twenty_readings_on_where_drift_cannot_be_judged(
    rng: np.random.Generator, rows: int
) -> None:
    baseline = Baseline.fit(hourly(rng, 60), timestamp="at")
    window = hourly(rng, 1)
    window.loc[:rows, "slow"] = [-200.0] * rows + [3.0]

    report = check(window, baseline)

    expected = {"slow": "20 times in a row -200 (reference at most 4)"} if rows == 20 else {}
    assert stands_still(report) == expected
    assert report.page_count == len(expected)


def test_a_run_is_followed_over_the_edges_of_windows(rng: np.random.Generator) -> None:
    baseline = Baseline.fit(hourly(rng, 60), timestamp="at")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = hourly(rng, 2).assign(slow=[3.0] * 10 + [-200.0] * 38)
    rows.loc[24:27, "slow"] = np.nan
    past: list[WindowCounts] = []
    found = []
    for first in range(0, 48, 6):
        window = Window(start + timedelta(hours=first), start + timedelta(hours=first + 6))
        part = pa.RecordBatch.from_pandas(
            rows[first : first + 6].rename(columns={"at": "event_time"})
        )
        judged = Rows(lambda part=part: iter([part]), facts=WindowFacts(window))
        report = evaluate(CheckContext(baseline, judged, past=PastWindows(tuple(past))))
        assert report.counts is not None
        past.append(report.counts)
        found.append(stands_still(report).get("slow", "").partition(" ")[0])

    # Two readings of the second window, and all that follow but the four that are missing.
    assert found == ["", "", "", "", "", "22", "28", "34"]
