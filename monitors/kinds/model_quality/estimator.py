"""Estimates quality of rows without labels, with an interval for what their labels will say.

Calibrated scores, or models of losses, give the sums that labels are expected to make; metrics of
these sums are the estimates. How far estimates miss is tested as any number is: the reference's
rows have both sums, and the engine learns how the difference varies by rows and by days.

References
----------
NannyML, "Confidence-based Performance Estimation (CBPE)" and "Direct Loss Estimation (DLE)";
Bialek and others, "Estimating Model Performance Under Covariate Shift Without Labels",
arXiv 2401.08348.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import NO_PROBABILITIES, Answers
from driftline.monitors.engine.block_test import ChangeLaw
from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.pooling import block_length
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import GROUPS
from driftline.monitors.kinds.model_quality.calibration import Calibration, calibrate
from driftline.monitors.kinds.model_quality.loss_models import LossModels
from driftline.monitors.kinds.model_quality.metrics import ALIASES, QualityMetrics
from driftline.monitors.kinds.model_quality.sums import (
    ERROR_COLUMNS,
    REST,
    QualitySums,
    block_index,
    group_index,
    time_length,
)
from driftline.monitors.kinds.model_quality.values import Numbers
from driftline.roles import Problem

# Fewer rows of the reference tell neither chances nor how they miss.
LEAST_ROWS = 300
# Of the rarer class, so many.
LEAST_OF_CLASS = 30
LEVEL = 0.05
ESTIMATED: Mapping[Problem, tuple[str, ...]] = {
    "binary": ("accuracy", "precision", "recall", "true_negative_rate", "f1", "auc", "brier",
               "brier_skill"),
    "multiclass": ("accuracy", "balanced_accuracy", "weighted_precision", "weighted_f1", "brier"),
    "regression": ("mae", "mse", "rmse"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimated metric of rows, without their labels."""

    value: float
    low: float  # 95% interval for what the rows' own labels will say.
    high: float


@dataclass(frozen=True, eq=False)
class Estimator:
    """Estimates metrics of rows from models of a reference's outcomes."""

    metrics: QualityMetrics
    gaps: Reference  # Of metrics by labels less estimated ones.
    length: float  # Of windows, in blocks.
    rows: int  # Of the reference.
    calibration: Calibration | None = None  # Of classes.
    losses: LossModels | None = None  # Of a regression.

    def estimate(self, answers: Answers, features: Numbers) -> dict[str, Estimate]:
        """Estimate every metric that rows define, without their labels."""
        if not len(answers):
            return {}
        if self.losses is not None:
            outcome = self.losses.predict(answers, features)
        else:
            assert self.calibration is not None  # One of the two is learnt.
            outcome = self.calibration.chances(answers)
        nowhere = np.zeros(len(answers), np.intp)
        sums = expected_sums(self.metrics.sums, answers, outcome, nowhere, 1)[0]
        values, support = self.metrics.measure(sums), self.metrics.support(sums)
        law = ChangeLaw(self.gaps, self.gaps.rows, support, self.length)
        reach = [law.reach(LEVEL, np.full(len(values), side)) for side in (-1.0, 1.0)]
        found = {}
        for name in ESTIMATED[answers.problem]:
            base = ALIASES[name].base if name in ALIASES else name
            if base not in self.metrics.names:
                continue
            at = self.metrics.names.index(base)
            metric = self.gaps.metrics.metrics[at]
            ends = np.array([values[at], values[at] - reach[0][at], values[at] + reach[1][at]])
            if not np.isfinite(ends).all():
                continue
            is_share = self.metrics.metric_set({}).is_share[at]
            shown = metric.show(np.clip(ends, 0.0, 1.0 if is_share else math.inf))
            numbers = [ALIASES[name].of(float(one)) if name in ALIASES else float(one)
                       for one in shown]  # fmt: skip
            found[name] = Estimate(numbers[0], min(numbers[1:]), max(numbers[1:]))
        return found


def why_not(reference: Answers) -> str:
    """Return why nothing can be learnt from a reference's outcomes; "" where it can."""
    if reference.problem != "regression" and reference.probability is None:
        return "the model gives no probabilities"
    if len(reference) < LEAST_ROWS:
        return f"the reference has {len(reference):,} labelled rows; {LEAST_ROWS} are needed"
    if reference.problem != "regression":
        scores = reference.probability
        assert scores is not None  # As above.
        if scores.min() < 0.0 or scores.max() > 1.0:
            return NO_PROBABILITIES
        counts = np.sort(np.bincount(reference.label.astype(np.intp), minlength=2))
        rare = int(counts[-2])
        if rare < LEAST_OF_CLASS:
            return f"the reference has {rare} rows of the rarer class; {LEAST_OF_CLASS} are needed"
    return ""


def learn_estimator(
    reference: Answers, features: Numbers, categories: NDArray[np.bool_], *, length: timedelta
) -> Estimator:
    """Learn from a reference's labelled rows, for windows of a length."""
    if reference.time_us is not None:
        order = np.argsort(reference.time_us, kind="stable")
        reference, features = reference.take(order), features[order]
    calibration = losses = None
    if reference.problem == "regression":
        losses = LossModels.learn(reference, features, categories)
        unseen, losses = losses.unseen, replace(losses, unseen=np.zeros((0, 2)))
    else:
        calibration = calibrate(reference)
        unseen, calibration = calibration.unseen, replace(calibration, unseen=np.zeros(0))
    sums = QualitySums.of(reference)
    metrics = QualityMetrics.of(sums, sums.by_group(reference).sum(axis=0), ())

    def both(rows: NDArray[np.intp], index: NDArray[np.integer], size: int) -> Array:
        some = reference.take(rows)
        expected = expected_sums(sums, some, unseen[rows], index, size)
        return np.concatenate([sums.count(some, index, size), expected], axis=1)

    block = block_length(length, time_length(reference))
    blocks = block_index(reference, block // timedelta(microseconds=1))
    gaps = Reference(
        _gap_set(metrics),
        both(np.arange(len(reference)), group_index(reference), GROUPS),
        None if blocks is None else both(*blocks),
    )
    windows = 1.0 if gaps.days is None else max(length / block, 1.0)
    return Estimator(metrics, gaps, windows, len(reference), calibration, losses)


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
        [Metric(one.name, "plain", 0, show=one.show) for one in metrics.metric_set({}).metrics],
        lambda sums: metrics.measure(sums[..., :size]) - metrics.measure(sums[..., size:]),
        lambda sums: metrics.support(sums[..., size:]),
    )
