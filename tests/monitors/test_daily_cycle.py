"""Columns that follow the hour, in daily windows: a day holds the whole cycle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import driftline as dl

START, DAY = datetime(2026, 1, 5, tzinfo=UTC), timedelta(days=1)
CURVE = np.exp(1.2 * np.cos(2 * np.pi * (np.arange(24) - 16) / 24))
SHARE_TEST = "baseline_drift_check"


def requests(first: int, days: int, rows: int, *, later_h: int = 0) -> pd.DataFrame:
    """Draw so many requests a day, most of them in the afternoon, and the hour they say."""
    rng = np.random.default_rng([first, days, rows])
    hour = rng.choice(24, (days, rows), p=CURVE / CURVE.sum())
    at_s = 86_400 * (first + np.arange(days)[:, None]) + 3600 * (hour + rng.random(hour.shape))
    frame = pd.DataFrame(
        {
            "at": START + pd.to_timedelta(at_s.ravel(), unit="s"),
            "hour": ((hour + later_h) % 24).ravel(),
            "amount": rng.lognormal(3, 1, hour.size).round(2),
        }
    )
    return frame.sort_values("at", ignore_index=True)


@pytest.mark.parametrize(
    ("days", "rows"),
    [
        (28, 500),
        (28, 5000),
        pytest.param(60, 500, marks=pytest.mark.full),
        pytest.param(60, 5000, marks=pytest.mark.full),
        pytest.param(120, 500, marks=pytest.mark.full),
        pytest.param(120, 5000, marks=pytest.mark.full),
    ],
)
def test_hours_that_are_two_later_are_found_in_two_days(days: int, rows: int) -> None:
    monitor = dl.Monitor(dl.Baseline.fit(requests(0, days, rows), timestamp="at"), period=DAY)

    quiet = [monitor.check(requests(days + at, 1, rows), time=START + (days + at) * DAY)
             for at in range(4)]  # fmt: skip
    moved = [monitor.check(requests(at, 1, rows, later_h=2), time=START + at * DAY)
             for at in range(days + 4, days + 6)]  # fmt: skip

    assert not any(one.violations for one in quiet)
    found = [one for report in moved for one in report.violations]
    assert ("hour", SHARE_TEST) in {(one.feature_name, one.constraint_check_type) for one in found}


def test_a_day_of_rows_without_a_window_is_judged_as_a_day() -> None:
    baseline = dl.Baseline.fit(requests(0, 28, 5000), timestamp="at")

    report = dl.check(requests(30, 1, 5000, later_h=2), baseline)

    assert "hour" in {one.feature_name for one in report.violations}


def test_a_cycle_that_moved_is_told_in_standard_deviations_of_a_sensible_size() -> None:
    """What the hour alone decides leaves hardly any deviation to count in."""
    days = 28
    monitor = dl.Monitor(dl.Baseline.fit(requests(0, days, 100), timestamp="at"), period=7 * DAY)

    report = monitor.check(requests(days, 7, 100, later_h=2), time=START + days * DAY)

    causes = [one.cause for one in report.violations if one.feature_name == "hour"]
    assert causes
    assert "e+" not in " ".join(causes)
