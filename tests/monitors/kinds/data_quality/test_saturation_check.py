"""Sensors that saturate, and values that lie at an edge by nature."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEKS = 16


def weather(seed: int, weeks: int) -> pd.DataFrame:
    """Hourly values with a memory of 33 hours; humidity often is 100, rain mostly 0."""
    rng = np.random.default_rng(seed)
    hours = np.arange(weeks * 168)
    noise = rng.normal(size=(hours.size, 2))
    for at in range(1, hours.size):
        noise[at] = 0.97 * noise[at - 1] + 0.243 * noise[at]
    daily = 4 * np.sin(hours / 24 * 2 * np.pi)
    return pd.DataFrame(
        {
            "temp": np.round(15 + daily + 5 * noise[:, 0], 1),
            "humidity": np.round(70 - 3 * daily + 20 * noise[:, 1]).clip(0, 100),
            "rain": np.where(noise[:, 1] > 1, np.round(noise[:, 1], 2), 0.0),
            "at": START + pd.to_timedelta(hours, unit="h"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(weather(1, WEEKS), timestamp="at")


def weeks_of(rows: pd.DataFrame) -> list[pd.DataFrame]:
    return [week for _, week in rows.groupby((rows["at"] - START) // pd.Timedelta(weeks=1))]


def told(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "saturation_check"]


@pytest.mark.full
def test_nothing_is_told_of_values_that_lie_at_an_edge_by_nature(baseline: Baseline) -> None:
    assert [told(check(week, baseline)) for week in weeks_of(weather(2, 12))] == [[]] * 12


@pytest.mark.parametrize(("edge", "sign"), [("largest", 1), ("smallest", -1)])
def test_a_sensor_that_saturates_is_told_with_its_rows(
    baseline: Baseline, edge: str, sign: int
) -> None:
    week = weather(3, 1)
    order = np.sort(sign * week["temp"])
    limit = order[int(0.75 * len(order))]
    week["temp"] = sign * np.minimum(sign * week["temp"], limit)

    (found,) = told(check(week, baseline))

    count = int((week["temp"] == sign * limit).sum())
    assert (found.feature_name, found.severity, found.row_count) == ("temp", "ticket", count)
    assert f"of numbers at {sign * limit:g} exactly, the {edge} (reference: at most" in found.cause
    assert found.segment is None


@pytest.mark.parametrize(("weeks", "count"), [(16, 0), (52, 1)])
def test_a_season_that_the_reference_has_not_seen_saturates_nothing(weeks: int, count: int) -> None:
    """Heating is 0 where it is warm: hardly ever in the reference, on most hours of a summer."""
    reference = weather(6, weeks)
    reference = reference.assign(heat=(30 - reference["temp"]).clip(lower=0))
    assert 0 < (reference["heat"] == 0).mean() < 0.1
    summer = weather(7, 1)
    summer = summer.assign(heat=(12 - summer["temp"]).clip(lower=0))

    report = check(summer, Baseline.fit(reference, timestamp="at"))

    assert [one.feature_name for one in told(report)] == ["heat"] * count
