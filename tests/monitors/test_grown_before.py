"""A level that had moved before a monitor's first window is told soon, and once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.signal import lfilter

import driftline as dl

START, WEEK = datetime(2025, 1, 6, tzinfo=UTC), timedelta(days=7)
REFERENCE_WEEKS = 52


def riders(weeks: int) -> pd.DataFrame:
    """Draw hourly riders of a growing season and of weather that lasts for days."""
    rng = np.random.default_rng(5)
    hours = np.arange(24 * 7 * weeks)
    weather = lfilter([np.sqrt(1 - 0.98**2)], [1, -0.98], rng.normal(size=hours.size + 500))[500:]
    daily = np.cos(2 * np.pi * (hours - 16) / 24)
    yearly = np.cos(2 * np.pi * (hours / 24 - 190) / 365.25)
    rate = np.exp(5 + 1.2 * daily + 0.4 * yearly + 0.25 * weather)
    at = START + pd.to_timedelta(hours, unit="h")
    return pd.DataFrame({"at": at, "riders": rng.poisson(rate), "wind": weather.round(2)})


def test_two_thirds_more_riders_from_the_first_window_on_are_told_by_the_fifth_and_once() -> None:
    rows, last = riders(REFERENCE_WEEKS + 16), START + REFERENCE_WEEKS * WEEK
    monitor = dl.Monitor(dl.Baseline.fit(rows[rows["at"] < last], timestamp="at"), period=WEEK)
    grown = rows.assign(riders=(rows["riders"] * 1.67).round().astype(int))

    reports = []
    for week in range(16):
        start = last + week * WEEK
        window = grown[(grown["at"] >= start) & (grown["at"] < start + WEEK)]
        reports.append(monitor.check(window, time=start))

    found = [one for report in reports for one in report.violations if one.feature_name == "riders"]
    told = [any(one.feature_name == "riders" for one in report.violations) for report in reports]
    assert any(told[:5])
    assert [one.first_window for one in found].count(None) == 1
