"""A baseline that never fitted: told in the first windows, once, with or without times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from driftline.baseline import versions as baselines
from driftline.baseline.store import Baseline
from driftline.monitors.definitions import MonitorDefinition
from tests.monitors.conftest import DAY, START, append_day, report_of, run_day, weather

DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")
ROWS = 300
Rows = dict[str, np.ndarray]
Judge = Callable[[Baseline, Iterable[Rows]], list[dict]]


def clock() -> datetime:
    return datetime(2024, 4, 1, tzinfo=UTC)


@pytest.fixture
def judge(engine: Engine, root: str) -> Judge:
    """Return the reports of a monitor that judges day after day."""

    def all_days(baseline: Baseline, days: Iterable[Rows]) -> list[dict]:
        baselines.put(root, "flights", baseline, clock)
        reports = []
        for day, rows in enumerate(days):
            append_day(root, baseline.signature, day, rows)
            found = run_day(engine, root, baseline, DEFINITION, day, now=clock)
            reports.append(report_of(root, found))
        return reports

    return all_days


def wandering(rng: np.random.Generator) -> Rows:
    """One day, whose level differs from that of other days."""
    found = weather(rng, ROWS)
    return {
        **found,
        "temp": found["temp"] + rng.normal(0, 9),
        "wind": np.round(found["wind"] * np.exp(rng.normal(0, 0.35)), 1),
    }


@cache
def reference(*, timed: bool) -> Baseline:
    """Return sixty days of the same stream, before the first window."""
    rng, parts, times = np.random.default_rng(5), [], []
    for day in range(-60, 0):
        parts.append(wandering(rng))
        times += [START + day * DAY + timedelta(minutes=row % 1440) for row in range(ROWS)]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not timed:
        return Baseline.fit(pa.table(rows))
    stamps = pa.array(times, pa.timestamp("us", tz="UTC"))
    return Baseline.fit(pa.table({**rows, "at": stamps}), timestamp="at")


def checks(reports: Iterable[dict]) -> list[list[str]]:
    return [
        sorted(one["constraint_check_type"] for one in report["violations"]) for report in reports
    ]


def test_what_has_moved_before_the_first_window_is_told_in_it_and_is_news_once(
    judge: Judge, rng: np.random.Generator
) -> None:
    moved = ({**wandering(rng), "origin": np.repeat(["EWR", "JFK"], 150)} for _ in range(3))

    reports = judge(reference(timed=True), moved)

    assert checks(reports) == [["baseline_drift_check"]] * 3
    assert [one["violations"][0]["first_window"] is None for one in reports] == [True, False, False]
    assert "baseline_note" not in reports[0]["details"]


def test_where_most_columns_differ_the_report_offers_a_baseline_of_production(
    judge: Judge, rng: np.random.Generator
) -> None:
    far = ({name: values[:1].repeat(ROWS) for name, values in wandering(rng).items()},)

    (report,) = judge(reference(timed=True), far)

    assert "driftline monitor baseline NAME" in report["details"]["baseline_note"]


@pytest.mark.full
def test_a_reference_without_times_gives_one_ticket_until_windows_show_how_they_vary(
    judge: Judge, rng: np.random.Generator
) -> None:
    days = [wandering(rng) for _ in range(16)]
    days.append({**wandering(rng), "origin": np.repeat(["EWR", "JFK"], 150)})

    reports = judge(reference(timed=False), days)

    found = checks(reports)
    assert {check for one in found[:14] for check in one} == {"baseline_fit_check"}
    told = [one for report in reports[:14] for one in report["violations"]]
    assert [one["first_window"] is None for one in told].count(True) == 1
    assert {one["severity"] for one in told} == {"ticket"}
    assert found[14:16] == [[]] * 2
    assert found[16] == ["baseline_drift_check"]
    noted = next(report for report in reports if report["violations"])
    assert "no_times" in {one["state"] for one in noted["features"]}
