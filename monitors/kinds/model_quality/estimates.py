"""Estimates a window's quality before its labels come, with an interval; never judged.

Calibrated scores, or models of errors, give the sums that labels are expected to make; metrics of
these sums are the estimates. How far estimates miss is tested as any number is: the reference's
rows have both sums, and the engine learns how the difference varies by rows and by days.

References
----------
Bialek and others, "Estimating Model Performance Under Covariate Shift Without Labels",
arXiv 2401.08348.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.baseline.estimation import EstimationRows
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.engine.block_test import ChangeLaw
from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.pooling import block_length
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import GROUPS, time_blocks
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.kind import NAMESPACE
from driftline.monitors.kinds.model_quality.metrics import QualityMetrics
from driftline.monitors.kinds.model_quality.outcome_models import Model, learn_outcomes
from driftline.monitors.kinds.model_quality.sums import (
    ERROR_COLUMNS,
    REST,
    QualitySums,
    group_index,
    time_length,
)
from driftline.monitors.kinds.model_quality.values import Numbers
from driftline.monitors.kinds.model_quality.violations import SHOWN, shown_number
from driftline.monitors.kinds.model_quality.window import Window
from driftline.monitors.results.label_sample import LabelSample
from driftline.monitors.results.measured import (
    CANNOT_ESTIMATE,
    ESTIMATED_ROWS,
    Measured,
    MetricPoint,
)
from driftline.monitors.results.violation import JsonValue, percent
from driftline.monitors.state import State
from driftline.roles import Problem

PREFIX = "estimated_"
# From so many labelled rows on nobody misses an estimate.
ENOUGH_LABELS = 0.5
# So many rows with a value that the reference never had: nothing is known of their outcomes.
MOST_OUTSIDE = 0.1
# Fewer rows of the reference, or of its rarer class, tell neither chances nor how they miss.
LEAST_ROWS, LEAST_OF_CLASS = 300, 30
# Evenly spaced rows of a regression: enough for models of its errors.
MOST_ROWS = 20_000
MOST_CODES = 250  # Categories that scikit-learn's trees take.
LEVEL = 0.05
# The first is what a sentence names.
ESTIMATED: Mapping[Problem, tuple[str, ...]] = {
    "binary": ("auc", "accuracy", "precision", "recall", "true_negative_rate", "f1", "brier",
               "brier_skill"),
    "multiclass": ("accuracy", "balanced_accuracy", "weighted_precision", "weighted_f1", "brier"),
    "regression": ("mae", "rmse"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimated metric of rows, without their labels."""

    value: float
    low: float  # 95% interval for what the rows' own labels will say.
    high: float


@dataclass(frozen=True, eq=False)
class Estimator:
    """Estimates metrics of rows from a model of a reference's outcomes."""

    metrics: QualityMetrics
    gaps: Reference  # Metrics by labels less estimated ones.
    length: float  # Of windows, in blocks.
    model: Model

    def estimate(self, answers: Answers, features: Numbers) -> dict[str, Estimate]:
        """Estimate every metric that rows define, without their labels."""
        if not len(answers):
            return {}
        outcome, nowhere = self.model(answers, features), np.zeros(len(answers), np.intp)
        sums = expected_sums(self.metrics.sums, answers, outcome, nowhere, 1)[0]
        values, support = self.metrics.measure(sums), self.metrics.support(sums)
        law = ChangeLaw(self.gaps, self.gaps.rows, support, self.length)
        down, up = (law.reach(LEVEL, np.full(len(values), side)) for side in (-1.0, 1.0))
        is_share, found = self.metrics.metric_set({}).is_share, {}
        for at, metric in enumerate(self.gaps.metrics.metrics):
            ends = np.array([values[at], values[at] - down[at], values[at] + up[at]])
            if metric.name in ESTIMATED[answers.problem] and np.isfinite(ends).all():
                shown = metric.form.show(np.clip(ends, 0.0, 1.0 if is_share[at] else math.inf))
                value, *limits = np.asarray(shown).tolist()
                found[metric.name] = Estimate(value, min(limits), max(limits))
        return found


@dataclass(frozen=True, slots=True)
class WindowEstimates:
    """Estimates of a window."""

    results: tuple[Measured, ...] = ()
    details: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def points(self) -> tuple[MetricPoint, ...]:
        """The estimates for the metric store."""
        return tuple(
            MetricPoint(NAMESPACE, one.name, one.value)
            for one in self.results
            if one.value is not None
        )


def estimate_window(
    context: CheckContext,
    expected: Expectation,
    window: Window,
    sample: LabelSample,
    realised: Mapping[str, Measured],
    length: timedelta,
) -> WindowEstimates:
    """Estimate a window's metrics; none where the baseline cannot.

    `realised` holds the metrics by labels. An unfair `sample` of labels contradicts nothing.
    """
    known, reference = context.baseline.estimation, expected.answers
    if known is None or reference is None or context.compat or not window.table.num_rows:
        return WindowEstimates()
    scored = window.read(_with_any_label(window.table, expected, reference))
    if len(scored) < MIN_ROWS:
        return WindowEstimates()
    answers, is_fair = window.answers, not sample.is_unfair(violated=False)
    is_labelled = is_fair and len(answers) >= ENOUGH_LABELS * len(scored)
    is_number = reference.problem == "regression"
    if is_labelled and is_number:
        return WindowEstimates()  # Models of losses take seconds, and labels say more.
    codes = known.codes_of(window.table)
    lack = f'; the data has no column "{expected.roles.label}"' * (not window.has_label)
    if reason := _why_not(reference, scored, answers, _outside(known, codes[scored.places])):
        if is_labelled:  # Whoever has labels misses nothing.
            return WindowEstimates()
        why = f"{CANNOT_ESTIMATE}{reason}"
        name = PREFIX + ESTIMATED[expected.problem][0]
        headline = Measured(name, state=State.UNDEFINED, why=why)
        return WindowEstimates((headline,), {"estimate_note": why + lack})
    outcomes = context.baseline.outcomes
    assert outcomes is not None  # Or there would be no reference.
    estimator = context.kept(
        ("estimator", context.roles, length),
        lambda: learn_estimator(known, outcomes.table, reference, length),
    )
    features = _features(known, codes) if is_number else np.zeros((len(codes), 0))
    estimates = estimator.estimate(scored, features[scored.places])
    beside: dict[str, dict[str, JsonValue]] = {}
    if is_fair and len(answers) >= MIN_ROWS:
        beside = _beside_labels(estimator.estimate(answers, features[answers.places]), realised)
    measures = {name: expected.measures[name].value for name in estimates}
    results = tuple(
        Measured(
            PREFIX + name, one.value, one.low, one.high,
            reference=measures[name] if math.isfinite(measures[name]) else None,
            count=len(scored),
        )
        for name, one in estimates.items()
    )  # fmt: skip
    note = _note(expected.problem, estimates, beside, f"{len(answers):,} of {len(scored):,}")
    details: dict[str, JsonValue] = {
        ESTIMATED_ROWS: len(scored), "estimates": {**beside}, "estimate_note": note + lack,
    }  # fmt: skip
    return WindowEstimates(results, details)


def _beside_labels(
    estimates: Mapping[str, Estimate], realised: Mapping[str, Measured]
) -> dict[str, dict[str, JsonValue]]:
    """Compare labels with the estimates of the same rows; intervals apart contradict them."""
    found: dict[str, dict[str, JsonValue]] = {}
    for name, one in estimates.items():
        real = realised.get(name)
        if real is None or real.value is None:
            continue
        is_apart = real.low is not None and real.low > one.high
        is_apart |= real.high is not None and real.high < one.low
        found[name] = {
            "estimated": one.value, "low": one.low, "high": one.high, "realised": real.value,
            "contradicted": is_apart,
        }  # fmt: skip
    return found


def _note(
    problem: Problem,
    estimates: Mapping[str, Estimate],
    beside: Mapping[str, Mapping[str, JsonValue]],
    labels: str,
) -> str:
    """Describe the headline metric's estimate, and how it compares with labels."""
    name = ESTIMATED[problem][0]
    if (one := estimates.get(name)) is None:
        return ""
    low, high = shown_number(one.low), shown_number(one.high)
    text = f"estimated without labels: {SHOWN.get(name, name)} {shown_number(one.value)} "
    text += f"(95% {low} to {high})"
    if (known := beside.get(name)) is None:
        return text
    real = known["realised"]
    assert isinstance(real, float)
    text += f"; labels of {labels} rows say {shown_number(real)}"
    return text + ", which contradicts the estimate" * bool(known["contradicted"])


def _why_not(reference: Answers, scored: Answers, answers: Answers, outside: str) -> str:
    """Return why nothing can be estimated; "" where it can."""
    if reference.weight is not None:
        return "rows have weights, which estimates without labels do not take"
    if len(reference) < LEAST_ROWS:
        return f"the reference has {len(reference):,} labelled rows; {LEAST_ROWS} are needed"
    if reference.problem == "regression":
        return outside
    if reference.probability is None:
        return "the model gives no probabilities"
    counts = np.sort(np.bincount(reference.label.astype(np.intp), minlength=2))
    if counts[-2] < LEAST_OF_CLASS:
        return f"the reference has {counts[-2]} rows of the rarer class; {LEAST_OF_CLASS} needed"
    if {*scored.classes, *answers.classes} > {*reference.classes} or answers.unknown:
        return "some rows are of a class that the reference never has"
    return outside


def _outside(known: EstimationRows, codes: NDArray[np.uint16]) -> str:
    """Return why the inputs lie outside the reference's; "" where they do not."""
    strange = known.outside(codes) | known.newly_lacking(codes)
    share = float(strange.any(axis=1).mean()) if len(codes) else 0.0
    if share <= MOST_OUTSIDE:
        return ""
    worst = [*known.cells][int(strange.mean(axis=0).argmax())]
    return (
        f"{percent(share)} of the rows have values that the reference never had, or lack some, "
        f"most of them of {worst}"
    )


def _with_any_label(table: pa.Table, expected: Expectation, reference: Answers) -> pa.Table:
    """Set the same label in each row, so that all are read; labels are not used."""
    name = expected.roles.label
    value = 0.0 if reference.problem == "regression" else reference.classes[-1]
    labels = pa.array([value] * len(table))
    return table.set_column(table.column_names.index(name), name, labels)


def _features(known: EstimationRows, codes: NDArray[np.uint16]) -> Numbers:
    """Return cells as numbers, NaN where a value is missing or unfit."""
    sizes = np.array([cell.size for cell in known.cells.values()], dtype=np.int64)
    return np.where(codes >= sizes - 2, np.nan, codes)


def learn_estimator(
    known: EstimationRows, table: pa.Table, taught: Answers, length: timedelta
) -> Estimator:
    """Learn from a reference's labelled rows of a table, for windows of a length."""
    if taught.time_us is not None:
        taught = taught.take(np.argsort(taught.time_us, kind="stable"))
    features, categories = np.zeros((len(taught), 0)), np.zeros(0, np.bool_)
    if taught.problem == "regression":
        taught = taught.take(np.arange(0, len(taught), -(-len(taught) // MOST_ROWS)))
        features = _features(known, known.codes_of(table.take(pa.array(taught.places))))
        categories = np.array([not one.is_number and one.size <= MOST_CODES
                               for one in known.cells.values()], np.bool_)  # fmt: skip
    model, unseen = learn_outcomes(taught, features, categories)
    sums = QualitySums.of(taught)
    metrics = QualityMetrics.of(sums, sums.by_group(taught).sum(axis=0), ())

    def both(rows: NDArray[np.intp], index: NDArray[np.integer], size: int) -> Array:
        some = taught.take(rows)
        expected = expected_sums(sums, some, unseen[rows], index, size)
        return np.concatenate([sums.count(some, index, size), expected], axis=1)

    block = block_length(length, time_length(taught))
    blocks = time_blocks(taught.time_us, block)
    gaps = Reference(
        _gap_set(metrics),
        both(np.arange(len(taught)), group_index(taught), GROUPS),
        None if blocks is None else both(*blocks),
    )
    windows = 1.0 if gaps.days is None else max(length / block, 1.0)
    return Estimator(metrics, gaps, windows, model)


def expected_sums(
    sums: QualitySums, answers: Answers, outcome: Numbers, index: NDArray[np.integer], size: int
) -> Array:
    """Return what labels are expected to add up to, as `QualitySums.count` counts them.

    `outcome` are chances of classes, (N,) or (N, C), or the two losses of numbers, (N, 2).
    """
    if sums.problem == "regression":
        total = np.zeros((size, len(ERROR_COLUMNS)))
        for name, loss in zip(("absolute", "squared"), outcome.T, strict=True):
            total[:, ERROR_COLUMNS.index(name)] = np.bincount(index, loss, size)
        for name in ("rows", "weight"):
            total[:, ERROR_COLUMNS.index(name)] = np.bincount(index, minlength=size)
        return total
    chances = np.stack([1.0 - outcome, outcome], axis=1) if outcome.ndim == 1 else outcome
    parts = [
        sums.count(replace(answers, label=np.full(len(answers), label), weight=chance), index, size)
        for label, chance in enumerate(chances.T)
    ]
    total = np.sum(parts, axis=0)
    # Each row counts once, though each of its classes has a part of it.
    total[:, 4 * sums.class_count + REST - 1] = np.bincount(index, minlength=size)
    return np.asarray(total)


def _gap_set(metrics: QualityMetrics) -> MetricSet:
    """Return the metrics by labels less the expected ones, of both sums side by side."""
    size = metrics.size
    return MetricSet(
        [Metric(one.name, "plain", 0, form=one.form) for one in metrics.metric_set({}).metrics],
        lambda sums: metrics.measure(sums[..., :size]) - metrics.measure(sums[..., size:]),
        lambda sums: metrics.support(sums[..., size:]),
    )
