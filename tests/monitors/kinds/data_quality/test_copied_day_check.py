"""Days that repeat the day before, in files and over the edges of windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)


def weather(days: int, seed: int = 1) -> pd.DataFrame:
    """Hourly values with a memory of 33 hours."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    noise = rng.normal(size=hours.size)
    for at in range(1, hours.size):
        noise[at] = 0.97 * noise[at - 1] + 0.243 * noise[at]
    temp = np.round(15 + 4 * np.sin(hours / 24 * 2 * np.pi) + 5 * noise, 1)
    return pd.DataFrame({"temp": temp, "at": START + pd.to_timedelta(hours, unit="h")})


def late(rows: pd.DataFrame, since: datetime) -> pd.DataFrame:
    """From a moment on, values come a day late."""
    return rows.assign(temp=rows["temp"].mask(rows["at"] >= since, rows["temp"].shift(24)))


def told(report: Report) -> list[str]:
    return [
        one.cause for one in report.violations if one.constraint_check_type == "copied_day_check"
    ]


@pytest.mark.parametrize("length", [1, pytest.param(7, marks=pytest.mark.full)])
def test_values_that_come_a_day_late_are_told_once_over_the_edges_of_windows(
    length: int, tmp_path: Path
) -> None:
    rows = late(weather(70), START + 56 * DAY + timedelta(hours=6))
    monitor = dl.Monitor(dl.Baseline.fit(rows[: 42 * 24], timestamp="at"), period=length * DAY)

    found = {}
    for begin in range(49, 63, length):
        start = START + begin * DAY
        window = rows[begin * 24 : (begin + length) * 24]
        if causes := told(monitor.check(window, time=start)):
            found[begin] = causes
        # What a window leaves is kept in the folder, too.
        monitor.save(tmp_path)
        monitor = dl.Monitor.load(tmp_path)

    assert [*found] == ([57] if length == 1 else [56])
    (cause,) = next(iter(found.values()))
    assert cause.startswith(
        "24 of 24 hours until 2026-03-03 06:00 UTC have the value of the day before "
        "(reference: at most "
    )


def test_a_day_served_again_is_told_of_a_file_and_a_usual_one_is_not() -> None:
    rows = weather(70)
    baseline = dl.Baseline.fit(rows[: 60 * 24], timestamp="at")
    week = rows[60 * 24 : 67 * 24].reset_index(drop=True)
    again = week.copy()
    again.loc[72:95, "temp"] = again.loc[48:71, "temp"].to_numpy()

    (cause,) = told(check(again, baseline))

    assert "24 of 24 hours until 2026-03-10 00:00 UTC" in cause
    assert told(check(week, baseline)) == []
