"""Rows that come in sessions: no alarm without a change, and a change found soon.

One seeded stream; campaigns over many are in bench/together.py, their rates in docs/measured.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

import driftline as dl

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
DAY_ROWS = 1_000


def sessions(days: int, first: datetime, seed: int) -> pd.DataFrame:
    """Rows of which each session shares its values: a number, a level, and a gap now and then."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(days * DAY_ROWS), rng.integers(1, 11, days * DAY_ROWS))
    who = who[: days * DAY_ROWS]
    count = int(who[-1]) + 1
    return pd.DataFrame(
        {
            "at": pd.date_range(first, periods=len(who), freq=DAY / DAY_ROWS),
            "amount": rng.lognormal(2.0, 1.0, count)[who] * rng.uniform(0.9, 1.1, len(who)),
            "level": rng.choice(["a", "b", "c", "d"], count, p=[0.6, 0.25, 0.1, 0.05])[who],
            "gaps": np.where(rng.random(count) < 0.04, np.nan, rng.normal(size=count))[who],
        }
    )


def test_sessions_that_do_not_change_raise_no_alarm_and_a_change_is_found() -> None:
    baseline = dl.Baseline.fit(sessions(28, START - 28 * DAY, 501), timestamp="at")
    monitor = dl.Monitor(baseline)
    alarms = 0
    for day in range(60):
        window = sessions(1, START + day * DAY, 502 + day)
        report = monitor.check(window, time=START + day * DAY)
        alarms += sum(one.first_window is None for one in report.violations)
    # At one alarm a year 0.2 are expected, and two have a chance of 1%.
    assert alarms < 2

    for day in range(60, 64):
        window = sessions(1, START + day * DAY, 502 + day)
        report = monitor.check(window.assign(amount=window["amount"] * 3), time=START + day * DAY)
        if report.violations:
            break
    assert [one.feature_name for one in report.violations] == ["amount"]
