"""A small bias in each window: what no window alone proves is found over several, and told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.kinds.bias.evaluation import suggest
from driftline.monitors.kinds.bias.plan import plan_of
from driftline.monitors.kinds.bias.spans import later_windows, scale_budget, window_counts
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


def test_metrics_that_clarifys_configuration_leaves_out_are_judged_over_windows(
    fair: Baseline,
) -> None:
    assert fair.outcomes is not None
    asked = replace(fair.outcomes.roles, bias_metrics=("DI",))
    baseline = replace(fair, outcomes=replace(fair.outcomes, roles=asked))
    few = replace(baseline, documents={ANALYSIS: suggest(baseline)[ANALYSIS]})

    found, usual = (watched(one, 10, {}, usual=0.04) for one in (few, fair))

    told = [[one.feature_name for one in report.violations] for report in found]
    assert told == [[one.feature_name for one in report.violations] for report in usual]
    assert any(told)


def test_windows_without_a_change_and_one_bad_day_tell_nothing_more(fair: Baseline) -> None:
    reports = watched(fair, 18, {6: 0.25}, usual=0.0)

    broken = [day for day, report in enumerate(reports) if report.violations]
    assert broken == [6]
    assert not any("over the last" in one.cause for one in reports[6].violations)


def test_a_year_of_all_spans_takes_the_budget_of_a_year() -> None:
    budget = Budget(1.0, 365.0)

    spent = sum(
        365 / scale * scale_budget(budget, scale, remembers=True).per_window for scale in SCALES
    )

    assert spent == pytest.approx(1.0)
    assert scale_budget(budget, 1, remembers=False) == budget


def test_a_monitors_own_windows_tell_how_little_days_differ() -> None:
    # Days of 500 rows leave open that days differ by a point and a half, so five are no proof.
    past = pa.concat_tables(
        [
            rows(day, 500).append_column("time", pa.array([START + (day - 60) * DAY] * 500))
            for day in range(60)
        ]
    )
    baseline = Baseline.fit(past, prediction="said", positive=1, facet="sex=F", timestamp="time")
    monitor = dl.Monitor(baseline, kind="bias")

    reports = [
        monitor.check(rows(100 + day, 40_000, 0.05 * (day >= 12)), time=START + day * DAY)
        for day in range(14)
    ]

    assert dl.check(rows(112, 40_000, 0.05), baseline, kind="bias").passed
    assert all(one.passed for one in reports[:12])
    # A change is none of the windows that the next one is held beside.
    for one in reports[12:]:
        assert {found.fields["metric_name"] for found in one.violations} == {"DPPL", "DI"}
        assert not any("over the last" in found.cause for found in one.violations)


def test_windows_of_the_references_own_days_and_of_other_lengths_are_none_since(
    fair: Baseline,
) -> None:
    dated = rows(1, 500).append_column("time", pa.array([START] * 500))
    timed = Baseline.fit(dated, prediction="said", positive=1, facet="sex=F", timestamp="time")

    def counted(baseline: Baseline, days: list[tuple[int, int]]) -> list[tuple[int, ...] | None]:
        assert baseline.outcomes is not None
        plan = plan_of(baseline, baseline.outcomes.roles)
        windows = [
            window_counts(plan, plan.reference, 500, Window(START + a * DAY, START + b * DAY))
            for a, b in days
        ]
        found = later_windows(plan, windows[-1], windows[:-1])
        return [None if one is None else one.shape for one in found]

    assert counted(timed, [(-1, 0), (0, 1), (2, 4), (4, 5), (8, 9), (6, 7)]) == [(2, 2, 3, 3)]
    assert counted(fair, [(4, 5), (6, 7)]) == [None]
