"""Quality of rows without labels, with an interval for what their labels will say.

What was learnt of the reference's outcomes gives each row a chance, or a loss; metrics of these are
the estimate. By how much estimates miss is not guessed: blocks of the reference are estimated by
what was learnt from other stretches of it and compared with their labels. What they differ by
beyond the chance of their rows, a window may differ by, too (docs/why/model-quality.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    ERROR_TOLERANCE,
    TOLERANCE,
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
# All metrics together: by chance a reference denies estimates of itself no more often.
DENIED_BY_CHANCE = 0.001


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of rows whose labels are not looked at."""

    value: float
    low: float  # 95% interval for what the rows' own labels will say.
    high: float
    centre: float  # The value on the scale of the test.
    known: float  # Variance on it by what may come of the rows, and by the reference's own rows.
    variation: BlockVariation  # What estimates of the reference's blocks differ by beyond it.

    @property
    def of_blocks(self) -> Estimate:
        """The estimate with the variation of the mean of all blocks, not of one more."""
        one = self.variation
        mean = replace(one, variance=one.variance / one.blocks, chance=one.chance / one.blocks)
        return replace(self, variation=mean)

    def p_value(self, realised: float) -> float:
        """Return the chance that labels lie so far from the estimate, to either side."""
        distance = abs(realised - self.centre)
        return min(1.0, 2.0 * self.variation.tail(distance, self.known))


@dataclass(frozen=True, eq=False)
class Estimator:
    """Estimates metrics of rows by what a reference's outcomes taught."""

    learnt: Learnt
    variations: Mapping[str, BlockVariation]  # By metric.
    # Of a regression: variance of a row's losses beside the square of what is said, shape (2,).
    noise: Numbers
    rows: int  # Of the reference.
    # By metric that the reference's own labels deny: its estimate, and what they say.
    denied: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lacking: str = ""  # Why nobody knows how far estimates miss; then there are none.

    def estimate(self, answers: Answers, features: Numbers) -> dict[str, Estimate]:
        """Estimate every metric that rows define; their labels are not looked at."""
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
            found[name] = Estimate(
                value, min(low, value), max(high, value), centre, known, variation
            )
        return found

    def p_values(self, answers: Answers, scored: Answers, features: Numbers) -> dict[str, float]:
        """Return the chance that labels lie so far from estimates, whatever those to come say.

        Parameters
        ----------
        answers, scored
            The rows that have a label, and all that the model answered.
        features
            Of the whole table that both were read from.

        References
        ----------
        Manski, Partial Identification of Probability Distributions, 2003 (bounds by what lacks).
        """
        own = features[scored.places]
        estimates = self.estimate(scored, own)
        has_label = np.isin(scored.places, answers.places)
        known = realised_outcome(answers)
        if answers.classes != scored.classes or has_label.sum() != len(answers):
            return {}  # Classes that the reference never had.
        chance = self.learnt.outcome(scored, own)
        outcomes = known if has_label.all() else _fills(scored, chance, known)
        outcomes[:, has_label] = known
        scales, found = SCALES[answers.problem], {}
        for name, values in expected_metrics(scored, outcomes).items():
            if name not in estimates or not np.isfinite(values).any():
                continue
            one, values = estimates[name], values[np.isfinite(values)]
            away = [
                forward(float(value), len(scored), scales[name]) - one.centre for value in values
            ]
            # Between labels that say more and labels that say less some agree.
            is_open = min(away) < 0.0 < max(away)
            found[name] = 1.0 if is_open else max(one.p_value(one.centre + each) for each in away)
        return found


def realised_on_scale(answers: Answers) -> dict[str, tuple[float, float]]:
    """Return the metrics of labelled rows as estimates are made, each also on its scale."""
    scales = SCALES[answers.problem]
    return {
        name: (float(values[0]), forward(float(values[0]), len(answers), scales[name]))
        for name, values in expected_metrics(answers, realised_outcome(answers)).items()
        if math.isfinite(values[0])
    }


def _fills(scored: Answers, chance: Numbers, known: Numbers) -> Numbers:
    """Return what rows without a label may turn out to be: as estimated, and at the extremes."""
    if scored.problem == "regression":
        return np.stack(
            [chance, np.zeros_like(chance), np.broadcast_to(known[0].max(axis=0), chance.shape)]
        )
    said = scored.answer.astype(np.intp)
    if scored.problem == "multiclass":
        classes = chance.shape[1]
        return np.stack([chance, *(np.eye(classes)[(said + step) % classes] for step in (0, 1))])
    assert scored.probability is not None  # Or no chance would be known.
    upper = scored.probability > np.median(scored.probability)
    every = [np.zeros(len(said)), said == 1, upper]
    return np.stack([chance, *every, *(1.0 - one for one in every)]).astype(np.float64)


def why_not(reference: Answers) -> str:
    """Return why nothing can be learnt of a reference's outcomes; "" where it can."""
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
    """Learn from a reference's labelled rows, for windows of a length and so many rows."""
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
        for name, (_, realised) in realised_on_scale(some).items():
            if name in variances and math.isfinite(estimates[name][0]):
                value = forward(float(estimates[name][0]), len(some), scales[name])
                gaps.setdefault(name, []).append((realised - value, max(variances[name], 1e-12)))
    variations = {
        name: variation_of_estimates(*map(np.array, zip(*found, strict=True)))
        for name, found in gaps.items()
        if len(found) > 1
    }
    found = Estimator(learnt, variations, noise, len(reference))
    denied = {} if reference.problem == "regression" else _denied(found, reference)
    # It may be kept for long, and the reference be large.
    return replace(
        found, learnt=replace(learnt, unseen=np.empty(0)), denied=denied,
        lacking="" if variations else _why_unknown(reference.time_us),
    )  # fmt: skip


def _why_unknown(time_us: NDArray[np.int64] | None) -> str:
    """Return why estimates of a reference's own blocks say nothing: there are not two of them."""
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


def _denied(estimator: Estimator, reference: Answers) -> dict[str, tuple[float, float]]:
    """Return the metrics whose estimates the reference's own labels deny.

    Each row is estimated by what was learnt from other stretches. How the gaps of blocks differ
    tells nothing of a gap that all of them share, such as that of scores that rank the other way
    round. Denied is what lies outside of the interval of a window like the whole, and farther from
    the estimate than the mean of so many blocks does by chance.
    """
    unseen = estimator.learnt.unseen
    whole = replace(estimator, learnt=replace(estimator.learnt, outcome=lambda *_: unseen))
    estimates, denied = whole.estimate(reference, np.empty(0)), {}
    for name, (value, realised) in realised_on_scale(reference).items():
        if (one := estimates.get(name)) is None or one.low <= value <= one.high:
            continue
        is_error = SCALES[reference.problem][name] == "error"
        tolerance = one.value * ERROR_TOLERANCE if is_error else TOLERANCE
        is_chance = one.of_blocks.p_value(realised) >= DENIED_BY_CHANCE / len(estimates)
        if not is_chance and abs(value - one.value) > tolerance:
            denied[name] = one.value, value
    return denied


def _blocks(reference: Answers, length: timedelta | None, rows: int) -> NDArray[np.int64]:
    """Return the block that each row lies in, -1 for none: of a window's length where it fits."""
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
    """Return each metric's variance by what may come of the rows, on its scale."""
    if answers.problem != "regression":
        return drawn_variances(answers, outcome)
    return _of_losses(outcome, noise * (outcome**2).mean(axis=0) / len(answers))


def _of_losses(outcome: Numbers, variance: Numbers) -> dict[str, float]:
    """Return variances of mean losses as those of their metrics, on the logarithmic scale."""
    mae, mse = variance / np.maximum(outcome.mean(axis=0), 1e-150) ** 2
    found = {"mae": mae, "mse": mse, "rmse": mse / 4.0}
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}
