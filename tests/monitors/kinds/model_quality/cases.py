"""Answers of models, good and worse, that the tests of model quality share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.answers import Answers
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.jackknife import jackknife
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.catalog import settle_roles
from driftline.monitors.kinds.model_quality.costs import Costs
from driftline.monitors.kinds.model_quality.evaluation import evaluate
from driftline.monitors.kinds.model_quality.measures import measure_answers
from driftline.monitors.kinds.model_quality.metrics import QualityMetrics
from driftline.monitors.kinds.model_quality.sums import QualitySums
from driftline.monitors.kinds.model_quality.values import Measure
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured
from driftline.monitors.rows import Rows, WindowFacts
from driftline.roles import Roles

FIXTURE = Path(__file__).parents[3] / "fixtures" / "monitors" / "model_quality"


START = datetime(2024, 1, 1, tzinfo=UTC)


DAY = timedelta(days=1)


DAY_ROWS = 300


REFERENCE_DAYS = 84


BINARY = {
    "label": "late",
    "prediction": "said",
    "probability": "chance",
    "timestamp": "time",
    "problem": "binary",
}


Change = Callable[[dict[str, np.ndarray], np.random.Generator], None]


def times(days: int, first: int) -> pa.Array:
    start = np.datetime64((START + first * DAY).replace(tzinfo=None), "us")
    step = np.timedelta64(86_400_000_000 // DAY_ROWS, "us")
    return pa.array(start + np.arange(days * DAY_ROWS) * step, pa.timestamp("us", "UTC"))


def flights(days: int, seed: int, *, first: int = 0, change: Change | None = None) -> pa.Table:
    """Two classes; each day has weather of its own that the model knows only in part."""
    rng = np.random.default_rng(seed)
    rows = days * DAY_ROWS
    weather = np.repeat(rng.normal(0, 0.4, days), DAY_ROWS)
    known = rng.normal(-1.2, 1.2, rows)
    columns = {"logit": known, "truth": known + weather}
    if change is not None:
        change(columns, rng)
    chance = 1 / (1 + np.exp(-columns["logit"]))
    late = rng.random(rows) < 1 / (1 + np.exp(-columns["truth"]))
    return pa.table(
        {
            "time": times(days, first),
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows),
            "late": late.astype(np.int64),
            "said": (chance > 0.5).astype(np.int64),
            "chance": chance,
        }
    )


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(flights(REFERENCE_DAYS, 1), **BINARY)


def context_of(
    baseline: Baseline, table: pa.Table, *, first: int = 100, days: int = 7, **roles
) -> CheckContext:
    """Return what a table is judged by as the window that it was captured in."""
    window = Window(START + first * DAY, START + (first + days) * DAY)
    facts = WindowFacts(window, labelled_count=table.num_rows)
    named = settle_roles(Roles.of(**roles), baseline)
    budget = Budget(1.0, 365 / days)
    rows = Rows(lambda: iter(table.to_batches()), facts=facts)
    return CheckContext(baseline, rows, named, budget)


def ask(baseline: Baseline, table: pa.Table, *, first: int = 100, days: int = 7, **roles) -> Report:
    """Judge a table as the window that it was captured in."""
    return evaluate(context_of(baseline, table, first=first, days=days, **roles))


def bounds(
    window: Answers, reference: Answers | None = None, costs: Costs | None = None
) -> dict[str, tuple[float, float]]:
    """The 95% interval of each metric, on its displayed scale, as the engine gives it."""
    known = window if reference is None else reference
    sums = QualitySums.of(known, costs)
    buckets = sums.by_group(known)
    metrics = QualityMetrics.of(sums, buckets.sum(axis=0), ())
    usual = Reference(metrics.metric_set({}), buckets)
    own = sums.by_group(window)
    total = own.sum(axis=0)
    ends = intervals(
        metrics.measure(total), jackknife(usual.metrics, own), metrics.support(total), usual
    )
    found = {}
    for metric, low, high in zip(usual.metrics.metrics, *ends, strict=True):
        shown = sorted(float(metric.form.show(end)) for end in (low, high))
        found[metric.name] = shown[0], shown[1]
    return found


def of(report: Report) -> dict[str, Measured]:
    return {one.name: one for one in report.metrics}


def severities(report: Report) -> dict[str, str]:
    return {one.feature_name: one.severity for one in report.violations}


def binary_metrics(
    label: np.ndarray,
    answer: np.ndarray,
    probability: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Measure]:
    label, answer = label.astype(np.intp), answer.astype(np.intp)
    places = np.arange(len(label))
    rows = Answers("binary", label, answer, ("0", "1"), probability, None, 0, places)
    return measure_answers(replace(rows, weight=weights))


def multiclass_metrics(
    label: np.ndarray,
    answer: np.ndarray,
    classes: int,
    probability: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Measure]:
    names, places = tuple("abcdefgh"[:classes]), np.arange(len(label))
    rows = Answers("multiclass", label, answer, names, probability, None, 0, places)
    return measure_answers(replace(rows, weight=weights))


def regression_metrics(
    label: np.ndarray, answer: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, Measure]:
    rows = Answers("regression", label, answer, (), None, None, 0, np.arange(len(label)))
    return measure_answers(replace(rows, weight=weights))
