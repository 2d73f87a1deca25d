"""Columns that others are judged given: what they lead to expect is no news, the rest still is."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

HOLIDAY, DAY = 3.0, 0.8
DRIFT = {"baseline_drift_check", "day_drift_check"}
START = datetime(2024, 1, 1, tzinfo=UTC)


def rides(first: int, days: int, *, holidays: set[int], more: float = 0.0) -> pd.DataFrame:
    """Hourly riders, many more of them on holidays and, in the north, fewer."""
    rng = np.random.default_rng([first, days])
    hours = np.repeat(24 * first + np.arange(24 * days), 4)
    is_holiday = np.isin(hours // 24, [*holidays])
    north = rng.random(hours.size) < 0.4
    level = 2 * np.sin(2 * np.pi * (hours % 24) / 24) + HOLIDAY * is_holiday - 2.0 * north + more
    day = rng.normal(0, DAY, days)[hours // 24 - first]
    return pd.DataFrame(
        {
            "riders": (20 + level + day + rng.normal(0, 1, hours.size)).round(3),
            "holiday": is_holiday.astype(int),
            "region": np.where(north, "north", "south"),
            "at": START + pd.to_timedelta(hours, unit="h"),
        }
    )


HOLIDAYS = {40, 90, 200, 300}


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return rides(0, 364, holidays=HOLIDAYS)


@pytest.fixture(scope="module")
def given(reference: pd.DataFrame) -> Baseline:
    return Baseline.fit(reference, timestamp="at", context=["holiday", "region"])


def told(report: Report) -> list[str]:
    return [
        one.cause for one in report.violations
        if one.constraint_check_type in DRIFT and one.feature_name == "riders"
    ]  # fmt: skip


def test_a_week_of_holidays_is_no_news_given_that_they_are(
    reference: pd.DataFrame, given: Baseline
) -> None:
    week = rides(371, 7, holidays={371, 372, 373, 374, 375})

    (cause,) = told(check(week, Baseline.fit(reference, timestamp="at")))
    assert "or above (reference" in cause
    assert told(check(week, given)) == []


def test_what_they_do_not_lead_to_expect_is_told_with_them(given: Baseline) -> None:
    week = rides(371, 7, holidays={371, 372, 373, 374, 375}, more=1.5)

    (cause,) = told(check(week, given))

    assert cause.startswith(
        "values lie higher than hour, weekday, season, holiday and region lead to expect"
    )


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"context": ["holday"]}, 'context "holday": the data has no such column; did you mean'),
        ({"context": ["at"]}, 'column "at" is given as timestamp and as context; choose one'),
    ],
)
def test_what_cannot_be_context_is_refused(
    reference: pd.DataFrame, roles: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Baseline.fit(reference[:100], timestamp="at", **roles)
