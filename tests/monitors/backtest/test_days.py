"""A backtest replays the day test, too: the same windows, the same words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import pandas as pd

import driftline as dl
from tests.monitors.day_test.weather import weather

UNTIL = datetime(2025, 1, 2, tzinfo=UTC)
BREAK = UNTIL + timedelta(days=28)


@cache
def rows() -> pd.DataFrame:
    return weather(371 + 56, first="2023-12-28")


def broken() -> pd.DataFrame:
    """Shift the temperature by 8 hours from a moment on."""
    shifted = rows()["temp"].shift(8).bfill()
    return rows().assign(temp=rows()["temp"].where(rows()["at"] < BREAK, shifted))


def replayed(data: pd.DataFrame, window: str) -> dl.Backtest:
    return dl.backtest(data, timestamp="at", reference_until=UNTIL, window=window)


def test_quiet_weather_stays_quiet() -> None:
    assert replayed(rows(), "1w").alarms == ()


def test_a_daily_cycle_that_moved_alarms_from_the_week_on_in_which_it_did() -> None:
    found = replayed(broken(), "1w")

    first = found.alarms[0]
    assert first.window.start == BREAK
    (alarm,) = first.alarms
    assert alarm.feature_name == "temp"
    assert alarm.cause.startswith("the daily cycle lies elsewhere than hour, weekday and")
    assert found.alarms_by_column == {"temp": len(found.alarms)}
