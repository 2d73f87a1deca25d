"""Steps of one segment alone, as of a sensor that is replaced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

import driftline as dl
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 380


def devices(days: int) -> pd.DataFrame:
    """Four devices in one weather, each with an offset, a season and a memory of its own."""
    rng = np.random.default_rng(3)
    hours = np.arange(24 * days)
    year, day = hours / 8766 * 2 * np.pi, hours / 24 * 2 * np.pi

    def slow(memory: float) -> np.ndarray:
        drawn = rng.normal(size=hours.size + 500)
        return lfilter([np.sqrt(1 - memory**2)], [1, -memory], drawn)[500:]

    weather = 10 + 8 * np.sin(year) + 4 * np.sin(day) + 4 * slow(0.98)
    parts = []
    for name in ("north", "south", "east", "west"):
        own = rng.normal() + 0.5 * np.sin(year + rng.uniform(0, 6)) + 0.5 * slow(0.97)
        noise = 0.5 * rng.normal(size=hours.size)
        parts.append(
            pd.DataFrame(
                {
                    "temp": np.round(weather + own + noise, 1),
                    "load": np.round(np.exp(0.5 * slow(0.9)), 2),
                    "device": name,
                    "at": START + pd.to_timedelta(hours, unit="h"),
                }
            )
        )
    return pd.concat(parts).sort_values("at", ignore_index=True)


ROWS = devices(DAYS + 28)
SINCE = START + timedelta(days=DAYS)


@pytest.fixture(scope="module")
def baseline() -> dl.Baseline:
    return dl.Baseline.fit(ROWS[ROWS["at"] < SINCE], timestamp="at", segments=["device"])


def week(place: int, days: int = 7) -> pd.DataFrame:
    first = SINCE + timedelta(days=7 * place)
    rows: pd.DataFrame = ROWS[(ROWS["at"] >= first) & (ROWS["at"] < first + timedelta(days=days))]
    return rows


def stepped(rows: pd.DataFrame, by: float) -> pd.DataFrame:
    return rows.assign(temp=rows["temp"] + by * (rows["device"] == "east"))


def steps(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "segment_step_check"]


def test_a_device_that_steps_is_told_and_named(baseline: dl.Baseline) -> None:
    (found,) = steps(check(stepped(week(0), -4.0), baseline))

    assert (found.feature_name, found.within) == ("temp", 'device = "east"')
    assert found.severity == "ticket"
    assert found.cause.startswith(
        'where device = "east": values lie lower than those of the others of the same hours '
        "lead to expect, by 0."
    )


def test_a_monitor_tells_it_of_a_baseline_from_its_folder(
    baseline: dl.Baseline, tmp_path: object
) -> None:
    baseline.save(f"{tmp_path}/baseline")
    monitor = dl.Monitor(dl.Baseline.load(f"{tmp_path}/baseline"), period=timedelta(days=7))

    found = [
        [one.within for one in steps(monitor.check(rows, time=rows["at"].iloc[0]))]
        for rows in (week(0), stepped(week(1), 4.0))
    ]

    assert found == [[], ['device = "east"']]


def test_nothing_is_told_of_weeks_as_they_are_or_of_a_heat_wave_of_all(
    baseline: dl.Baseline,
) -> None:
    weeks = [week(place) for place in range(4)]

    told = [steps(check(rows, baseline)) for rows in weeks]
    warm = [steps(check(rows.assign(temp=rows["temp"] + 8), baseline)) for rows in weeks]

    assert (told, warm) == ([[]] * 4, [[]] * 4)


def test_short_windows_and_short_references_are_not_judged(baseline: dl.Baseline) -> None:
    short = dl.Baseline.fit(
        ROWS[(ROWS["at"] >= SINCE - timedelta(days=300)) & (ROWS["at"] < SINCE)],
        timestamp="at",
        segments=["device"],
    )

    assert steps(check(stepped(week(0, days=3), 4.0), baseline)) == []
    assert steps(check(stepped(week(0), 4.0), short)) == []


def test_rows_of_one_segment_an_hour_have_no_gap(baseline: dl.Baseline) -> None:
    rows = week(0)
    alone = rows[rows["at"].dt.hour % 4 == rows.groupby("at").cumcount()]

    assert alone["at"].is_unique
    assert steps(check(stepped(alone, 4.0), baseline)) == []
