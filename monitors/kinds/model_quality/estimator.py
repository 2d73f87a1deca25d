"""Estimates quality of rows without labels, with an interval for the labelled value.

Models of the reference's outcomes give each row a chance, or a loss. The error is measured: blocks
of the reference are estimated by models of its other blocks and compared with their labels. A
window may be off by as much as they are beyond the chance of their rows
(docs/why/model-quality.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import NO_PROBABILITIES, Answers
from driftline.baseline.times import EPOCH
from driftline.monitors.kinds.model_quality.expected_metrics import (
    SCALES,
    drawn_variances,
    expected_metrics,
    realised_outcome,
)
from driftline.monitors.kinds.model_quality.influence import Numbers
from driftline.monitors.kinds.model_quality.loss_models import losses_of
from driftline.monitors.kinds.model_quality.outcome_models import Learnt, learn_outcomes
from driftline.monitors.kinds.model_quality.skill import (
    backward,
    forward,
)
from driftline.stats.blocks import (
    NO_TIME,
    BlockVariation,
    block_length,
    time_blocks,
    time_span,
    variation_of_estimates,
)

# Fewer rows of the reference tell neither chances nor how they miss.
LEAST_ROWS = 300
# Of the rarer class, so many.
LEAST_OF_CLASS = 30
# A block of fewer rows has no estimate worth the name.
LEAST_OF_BLOCK = 30
# Of a reference without times: stretches of its rows.
STRETCHES = 10
# Blocks that estimates are tried on: evenly spaced ones of more.
MAX_BLOCKS = 120
LEVEL = 0.025


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimated metric of rows, without their labels."""

    value: float
    low: float  # 95% interval for what the rows' own labels will say.
    high: float


@dataclass(frozen=True, eq=False)
class Estimator:
    """Estimates metrics of rows from models of a reference's outcomes."""

    learnt: Learnt
    variations: Mapping[str, BlockVariation]  # By metric.
    # Of a regression: variance of a row's losses beside the square of what is said, shape (2,).
    noise: Numbers
    rows: int  # Of the reference.
    lacking: str = ""  # Why nobody knows how far estimates miss; then there are none.

    def estimate(self, answers: Answers, features: Numbers) -> dict[str, Estimate]:
        """Estimate every metric that rows define, without their labels."""
        if not len(answers):
            return {}
        doubts: Mapping[str, float] = {}
        if self.learnt.losses is None:
            outcome = self.learnt.outcome(answers, features)
        else:
            outcome, doubt = self.learnt.losses.tell(answers, features)
            doubts = _of_losses(outcome, doubt)
        variances = _variances(answers, outcome, self.noise)
        scales, found = SCALES[answers.problem], {}
        for name, values in expected_metrics(answers, outcome[None]).items():
            variation = self.variations.get(name)
            if variation is None or not math.isfinite(values[0]) or name not in variances:
                continue
            # The reference's labels came by chance, too.
            known = variances[name] * (1.0 + len(answers) / self.rows) + doubts.get(name, 0.0)
            known = max(known, 1e-12)
            centre = forward(float(values[0]), len(answers), scales[name])
            reach = variation.reach(LEVEL, known)
            low, high = sorted(backward(centre + side * reach, scales[name]) for side in (-1, 1))
            value = float(values[0])
            found[name] = Estimate(value, min(low, value), max(high, value))
        return found


def realised_metrics(answers: Answers) -> dict[str, float]:
    """Return the metrics of labelled rows, computed like estimates."""
    found = expected_metrics(answers, realised_outcome(answers))
    return {name: float(one[0]) for name, one in found.items() if math.isfinite(one[0])}


def why_not(reference: Answers) -> str:
    """Return why nothing can be learnt from a reference's outcomes; "" where it can."""
    if reference.problem != "regression" and reference.probability is None:
        return "the model gives no probabilities"
    if len(reference) < LEAST_ROWS:
        return f"the reference has {len(reference):,} labelled rows; {LEAST_ROWS} are needed"
    if reference.problem != "regression":
        said = reference.probability
        assert said is not None  # As above.
        if said.min() < 0.0 or said.max() > 1.0:
            return NO_PROBABILITIES
        counts = np.sort(np.bincount(reference.label.astype(np.intp), minlength=2))
        rare = int(counts[-2])
        if rare < LEAST_OF_CLASS:
            return f"the reference has {rare} rows of the rarer class; {LEAST_OF_CLASS} are needed"
    return ""


def learn_estimator(
    reference: Answers,
    features: Numbers,
    categories: NDArray[np.bool_],
    *,
    length: timedelta | None,
    rows: int,
) -> Estimator:
    """Learn from a reference's labelled rows, for windows of a length and row count."""
    if reference.time_us is not None:
        order = np.argsort(reference.time_us, kind="stable")
        reference, features = reference.take(order), features[order]
    learnt = learn_outcomes(reference, features, categories)
    noise = np.zeros(2)
    if reference.problem == "regression":
        size = np.maximum((learnt.unseen**2).mean(axis=0), 1e-300)
        noise = ((losses_of(reference) - learnt.unseen) ** 2).mean(axis=0) / size
    blocks = _blocks(reference, length, rows)
    gaps: dict[str, list[tuple[float, float]]] = {}
    scales = SCALES[reference.problem]
    for place in _chosen(blocks):
        inside = blocks == place
        some, outcome = reference.take(inside), learnt.unseen[inside]
        variances = _variances(some, outcome, noise)
        estimates = expected_metrics(some, outcome[None])
        for name, realised in realised_metrics(some).items():
            if name in variances and math.isfinite(estimates[name][0]):
                said, value = (
                    forward(one, len(some), scales[name])
                    for one in (realised, float(estimates[name][0]))
                )
                gaps.setdefault(name, []).append((said - value, max(variances[name], 1e-12)))
    variations = {
        name: variation_of_estimates(*map(np.array, zip(*found, strict=True)))
        for name, found in gaps.items()
        if len(found) > 1
    }
    # It may be kept for long, and the reference be large.
    return Estimator(
        replace(learnt, unseen=np.empty(0)), variations, noise, len(reference),
        lacking="" if variations else _why_unknown(reference.time_us),
    )  # fmt: skip


def _why_unknown(time_us: NDArray[np.int64] | None) -> str:
    """Return why the estimates' error is unknown: there are fewer than two blocks."""
    known = np.empty(0) if time_us is None else time_us[time_us != NO_TIME]
    what = "too few stretches of the reference have a metric to estimate"
    if len(known):
        first, last = (f"{EPOCH + timedelta(microseconds=int(one)):%Y-%m-%d}"
                       for one in (known.min(), known.max()))  # fmt: skip
        span = f"of {first}" if first == last else f"of {first} to {last}"
        what = f"all rows of the reference with a time are {span}"
    return (
        f"{what}, and two stretches as long as a window are needed to know how far estimates miss; "
        "make the baseline again of a longer time"
    )


def _blocks(reference: Answers, length: timedelta | None, rows: int) -> NDArray[np.int64]:
    """Return each row's block, -1 for none: of a window's length where it fits."""
    count = len(reference)
    if reference.time_us is None:
        return np.arange(count, dtype=np.int64) * STRETCHES // count
    span = time_span(reference.time_us) + 1
    each = block_length(span, length, rows / count)
    blocks = time_blocks(reference.time_us, each, fewest_rows=LEAST_OF_BLOCK)
    # Of few rows over a long time, a window's length may hold too few, and a longer one enough.
    while len(_chosen(blocks)) < 2 and 2 * each < span:
        each *= 2
        blocks = time_blocks(reference.time_us, each, fewest_rows=LEAST_OF_BLOCK)
    return blocks


def _chosen(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    known = np.unique(blocks[blocks >= 0])
    if len(known) <= MAX_BLOCKS:
        return known
    return known[np.linspace(0, len(known) - 1, MAX_BLOCKS).astype(np.intp)]


def _variances(answers: Answers, outcome: Numbers, noise: Numbers) -> dict[str, float]:
    """Return each metric's variance by the rows' chance, on its scale."""
    if answers.problem != "regression":
        return drawn_variances(answers, outcome)
    return _of_losses(outcome, noise * (outcome**2).mean(axis=0) / len(answers))


def _of_losses(outcome: Numbers, variance: Numbers) -> dict[str, float]:
    """Return variances of mean losses on the metrics' logarithmic scale."""
    mae, mse = variance / np.maximum(outcome.mean(axis=0), 1e-150) ** 2
    found = {"mae": mae, "mse": mse, "rmse": mse / 4.0}
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}
