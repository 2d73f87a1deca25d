"""A small bias in each window: what no window alone proves is found over several, and told once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.monitors.report.report import Report

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(seed: int, count: int, less: float = 0.0) -> pa.Table:
    """Answers of two groups, three in ten of them positive; `less` so many of the group's."""
    rng = np.random.default_rng([seed, count])
    sex = rng.choice(["F", "M"], count)
    share = np.where(sex == "F", 0.3 - less, 0.3)
    return pa.table({"sex": sex, "said": (rng.random(count) < share).astype(np.int64)})


@pytest.fixture(scope="module")
def fair() -> Baseline:
    return Baseline.fit(rows(0, 100_000), prediction="said", positive=1, facet="sex=F")


def values_of(report: Report) -> dict[str, float | None]:
    points = report.datapoints(monitor="fair", endpoint="loans", execution_id="1")
    return {one.name: one.value for one in points}


def watched(fair: Baseline, days: int, lesses: dict[int, float], usual: float) -> list[Report]:
    monitor = dl.Monitor(fair, kind="bias")
    return [
        monitor.check(rows(day + 1, 2_500, lesses.get(day, usual)), time=START + day * DAY)
        for day in range(days)
    ]


def test_a_bias_that_no_window_proves_is_found_over_windows(fair: Baseline) -> None:
    # Counted from 1970 on, a span of 16 days ends on the 10th day of 2026.
    alone = [dl.check(rows(day + 1, 2_500, 0.04), fair, kind="bias") for day in range(10)]

    reports = watched(fair, 10, {}, usual=0.04)

    assert all(one.passed for one in alone)
    found = [one for report in reports for one in report.violations]
    assert found
    assert all("over the last " in one.cause for one in found)
    assert {one.fields["metric_name"] for one in found} <= {"DPPL", "DI"}
    # What is shown of the window itself stays the window's.
    last = next(report for report in reports if report.violations)
    assert not any(metric.violated for metric in last.metrics)
    assert not last.passed


@pytest.mark.full
def test_windows_without_a_change_and_one_bad_day_tell_nothing_more(fair: Baseline) -> None:
    reports = watched(fair, 18, {6: 0.25}, usual=0.0)

    broken = [day for day, report in enumerate(reports) if report.violations]
    assert broken == [6]
    assert not any("over the last" in one.cause for one in reports[6].violations)


def test_a_window_that_is_judged_over_a_span_alone_is_judged(fair: Baseline) -> None:
    monitor = dl.Monitor(fair, kind="bias")
    reports = [monitor.check(rows(day + 1, 12), time=START + day * DAY) for day in range(10)]

    # Counted from 1970 on, spans of 4 days end on the 6th and 10th day of 2026, one of 16 days on
    # the 10th.
    assert [one.spans for one in reports] == [*[()] * 5, (4,), *[()] * 3, (4, 16)]
    assert reports[5].passed
    assert not reports[4].decided
    assert reports[5].summary.startswith(
        "12 rows, no violations over the last 4 windows; of this window alone, 2 of 2 metrics "
    )
    assert "violations" not in values_of(reports[4])
    assert values_of(reports[5])["violations"] == 0.0
