"""Faults that no single column shows: exchanged columns, hours of the day without rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

START = pd.Timestamp("2025-01-01", tz="UTC")


def weather(rng: np.random.Generator, days: int, first_day: int = 0) -> pd.DataFrame:
    """Hours of a temperature that moves slowly, and a dew point below it."""
    hours = 24 * first_day + np.arange(24 * days)
    season = 10 + 10 * np.sin(hours / 8760 * 2 * np.pi) + 4 * np.sin(hours / 24 * 2 * np.pi)
    temperature = np.round(season + rng.normal(0, 3, hours.size), 1)
    return pd.DataFrame(
        {
            "temp": temperature,
            "dew": temperature - np.round(rng.gamma(2, 2, hours.size), 1),
            "at": START + pd.to_timedelta(hours, unit="h"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(weather(np.random.default_rng(7), 370), timestamp="at")


def causes(report: Report) -> dict[str, str]:
    return {
        one.constraint_check_type: one.cause.partition(", cannot")[0]
        for one in report.violations
        if one.constraint_check_type in ("order_check", "lost_hour_check")
    }


def test_columns_in_reversed_order_are_told_as_exchanged_where_each_is_the_others(
    rng: np.random.Generator,
) -> None:
    """In a year temperatures come that are another season's dew points, and none is violated."""

    def dry(days: int, first_day: int = 0) -> pd.DataFrame:
        rows = weather(rng, days, first_day)
        return rows.assign(dew=rows["temp"] - np.round(rng.gamma(36, 0.25, len(rows)), 1))

    baseline = Baseline.fit(dry(370), timestamp="at")
    window = dry(7, 380)
    exchanged = window.rename(columns={"temp": "dew", "dew": "temp"})

    found = causes(check(exchanged, baseline))["order_check"]
    # Where one alone moved below the other, that one still lies where it did.
    shifted = causes(check(window.assign(temp=window["temp"] - 18), baseline))["order_check"]

    assert "dew and temp look exchanged: each has the values that the other had" in found
    assert "exchanged" not in shifted


def test_a_lost_hour_is_told_in_the_first_week(
    rng: np.random.Generator, baseline: Baseline
) -> None:
    window = weather(rng, 7, 380)

    report = check(window[~window["at"].dt.hour.isin([7, 8, 20])], baseline)

    assert causes(report) == {
        "lost_hour_check": "no rows from 07:00 to 09:00 and 20:00 to 21:00 UTC on any of 7 days "
        "(reference: rows on 370 of 370 days)"
    }
    assert (report.page_count, report.violation_count) == (0, 1)
    assert not causes(check(window, baseline))


def test_hours_that_lack_rows_by_nature_are_not_missed(rng: np.random.Generator) -> None:
    def shop(days: int, first: int = 0) -> pd.DataFrame:
        rows = weather(rng, days, first)
        is_night = rows["at"].dt.hour.between(1, 4)
        kept: pd.DataFrame = rows[~(is_night & (rng.random(len(rows)) < 0.2))]
        return kept

    baseline = Baseline.fit(shop(90), timestamp="at")
    week = weather(rng, 7, 95)

    nights = week["at"].dt.hour.between(1, 4) & (rng.random(len(week)) < 0.6)
    assert not causes(check(week[~nights], baseline))
