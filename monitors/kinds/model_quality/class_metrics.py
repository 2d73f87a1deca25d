"""Metrics of classes one by one, each against all others, and their means over the classes.

A mean is over the classes that the rows have, as labels or as answers; what a class has no rows for
counts as 0, as scikit-learn has it.

References
----------
Hand and Till, Machine Learning 45, 2001 (AUC of several classes); Zou, Huang and Zhang,
Computational Statistics and Data Analysis 53, 2009 (limits of a weighted sum).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.model_quality.influence import (
    Codes,
    Measure,
    Numbers,
    Rows,
    Tally,
    undefined,
)
from driftline.monitors.kinds.model_quality.roc import rank
from driftline.monitors.results.metric import UNBOUNDED
from driftline.stats.intervals import Z95, Limits, auc_limits, limits_over_shares

# Up to so many rows of the rarer class the variance of an AUC is no estimate worth the name.
FEW_OF_CLASS = 30
# Of fewer rows an area has a law so skew that a mean that counts it in full is bounded too low
# (93.2% at a class of two rows or so).
LEAST_RANKED = 4
# Rows times classes beyond which ranking each class takes longer than the number is worth.
MOST_RANKED = 1 << 27
POSITIVE, NEGATIVE = "no rows of the positive class", "no rows of the negative class"
AREAS = ("macro_auc", "weighted_auc")


def area(label: NDArray[np.bool_], score: Numbers, table: Rows) -> Measure:
    """Measure the area under the ROC curve of scores, shape (rows,)."""
    ranking = rank(label, score, table.weights)
    sizes = table.worth_of(~label), table.worth_of(label)
    smaller = min(sizes)
    if not smaller:
        return undefined(NEGATIVE if sizes[1] else POSITIVE)
    found = table.measure(ranking.area, ranking.influence(label), "score", smaller)
    if smaller >= FEW_OF_CLASS:
        return found
    return replace(found, limits=partial(auc_limits, ranking.area, sizes))


def f_limits(square: float, extra: float, missed: float, hits: float, z: float) -> Limits:
    """Return the limits of an F score from the share of hits, and of misses among the others."""

    def score(hit: Numbers, miss: Numbers) -> Numbers:
        top = (1.0 + square) * hit
        return np.asarray(top / (top + (1.0 - hit) * (square * miss + 1.0 - miss)))

    wrong = extra + missed
    return limits_over_shares(score, (hits, hits + wrong), (missed, wrong), z)


def macro_metrics(tally: Tally, classes: int) -> dict[str, Measure]:
    """Measure the plain means of the classes' precision, recall and F1, from counted cells."""
    matrix = tally.counts.reshape(classes, classes)
    support, said = matrix.sum(axis=1), matrix.sum(axis=0)
    held = support + said > 0
    if not held.any():
        why = undefined("no rows")
        return {"macro_precision": why, "macro_recall": why, "macro_f1": why}
    return {
        "macro_precision": _mean_share(tally, said, held, axis=1),
        "macro_recall": _mean_share(tally, support, held, axis=0),
        "macro_f1": _mean_f1(tally, support, said, held),
    }


def _mean_share(tally: Tally, rows: Numbers, held: NDArray[np.bool_], *, axis: int) -> Measure:
    """Measure the mean share of hits among each class's labels (axis 0) or predictions (1)."""
    classes = len(rows)
    right = np.diag(tally.counts.reshape(classes, classes))
    share = np.divide(right, rows, out=np.zeros(classes), where=rows > 0)
    pull = np.divide(tally.counts.sum() / held.sum(), rows, out=np.zeros(classes), where=rows > 0)
    influence = (np.eye(classes) - np.expand_dims(share, 1 - axis)) * np.expand_dims(pull, 1 - axis)
    # The cells of a class that is not held hold no rows.
    place = np.where(held, np.cumsum(held) - 1, -1)
    parts = np.broadcast_to(np.expand_dims(place, 1 - axis), influence.shape)
    found = tally.mean_of_shares(right[held], rows[held], influence.ravel(), parts)
    return _of_rare(found, rows[held])


def _mean_f1(tally: Tally, support: Numbers, said: Numbers, held: NDArray[np.bool_]) -> Measure:
    classes, count = len(support), float(held.sum())
    right, below = np.diag(tally.counts.reshape(classes, classes)), support + said
    score = np.divide(2.0 * right, below, out=np.zeros(classes), where=held)
    pull = np.divide(tally.counts.sum() / count, below, out=np.zeros(classes), where=held)
    influence = 2.0 * np.diag(pull) - (pull * score)[:, None] - (pull * score)[None, :]
    alone, worth = _f1_alone(right, below, score), below
    designs = np.ones(classes)
    if tally.is_weighted:
        once, squares = alone, tally.squares.reshape(classes, classes)
        twice = squares.sum(axis=1) + squares.sum(axis=0)
        alone = _f1_alone(np.diag(squares), twice, score)
        np.divide(twice, below, out=designs, where=held)
        np.divide(alone, once, out=designs, where=once > 0)
        worth = np.divide(below**2, twice, out=np.zeros(classes), where=held)
    alone = np.divide(alone, below**2, out=np.zeros(classes), where=held)
    joint = tally.measure(
        float(score.sum() / count), influence.ravel(), "score", float(worth[held].min() / 2.0)
    )

    def each(place: int) -> Limits:
        hits, answers, labels = (
            float(one[place] / designs[place]) for one in (right, said, support)
        )
        return f_limits(1.0, answers - hits, labels - hits, hits, Z95)

    places = np.flatnonzero(held)
    found = _mean_of(joint, score[held], np.full(len(places), 1.0 / count), alone[held], [
        partial(each, int(one)) for one in places
    ])  # fmt: skip
    return _of_rare(found, np.minimum(support, said)[held])


def _f1_alone(right: Numbers, below: Numbers, score: Numbers) -> Numbers:
    """Return each class's squared influences: a hit adds 2 (1 - F), a row of one side takes F."""
    return right * (2.0 * (1.0 - score)) ** 2 + (below - 2.0 * right) * score**2


def class_areas(label: Codes, probability: Numbers, table: Rows) -> dict[str, Measure]:
    """Return the mean AUC of each class against the others, plain and weighted by label shares.

    Probabilities have shape (rows, classes); a class without labels is left out.
    """
    rows, classes = probability.shape
    counts = np.bincount(label, table.weights, classes).astype(np.float64)
    held = np.flatnonzero(counts)
    why = ""
    if not rows or len(held) < 2:
        why = "all labels are equal" if rows else "no rows"
    elif rows * len(held) > MOST_RANKED:
        why = f"{rows:,} rows of {len(held):,} classes take too long to rank"
    if why:
        return dict.fromkeys(AREAS, undefined(why))
    shares = counts[held] / counts.sum()
    weights = {AREAS[0]: np.full(len(held), 1.0 / len(held)), AREAS[1]: shares}
    moved = {name: np.zeros(rows) for name in AREAS}
    each: list[Measure] = []
    limits: list[Callable[[], Limits]] = []
    for place, one in enumerate(held):
        is_one = label == one
        ranking = rank(is_one, probability[:, one], table.weights)
        influence = ranking.influence(is_one)
        sizes = table.worth_of(~is_one), table.worth_of(is_one)
        each.append(_independent(ranking.area, influence, sizes[1], table))
        limits.append(partial(_area_limits, each[-1], sizes))
        for name, weight in weights.items():
            moved[name] += weight[place] * influence
    areas = np.array([one.value for one in each])
    # Which classes the rows have is chance, too.
    by_class = np.zeros(classes)
    by_class[held] = areas - weights[AREAS[1]] @ areas
    moved[AREAS[1]] += by_class[label]
    found = {}
    for name, weight in weights.items():
        joint = table.measure(
            float(weight @ areas), moved[name], "score", min(one.support for one in each)
        )
        alone = np.array([one.independent for one in each])
        found[name] = _mean_of(joint, areas, weight, alone, limits)
    rarest = min(table.worth_of(label == one) for one in held)
    if rarest < LEAST_RANKED:
        why = f"{UNBOUNDED}{rarest:.0f} of the rarest class, {LEAST_RANKED} are needed"
        found[AREAS[0]] = replace(found[AREAS[0]], unbounded=why)
    return found


def _independent(value: float, influence: Numbers, support: float, table: Rows) -> Measure:
    influence = influence if table.weights is None else influence * table.weights
    variance = float(np.einsum("i,i->", influence, influence)) / len(influence) ** 2
    return Measure(value, variance, variance, support)


def _area_limits(measure: Measure, sizes: tuple[float, float]) -> Limits:
    if min(sizes) < FEW_OF_CLASS:
        return auc_limits(measure.value, sizes)
    return measure.interval


def _mean_of(
    joint: Measure,
    values: Numbers,
    weights: Numbers,
    alone: Numbers,
    limits: Sequence[Callable[[], Limits]],
) -> Measure:
    """Bound a weighted sum by the limits of its parts, whose errors may go together.

    `alone` is the variance that each part has by itself, of independent rows: where that of the sum
    is larger than theirs together, the limits are as much wider.
    """

    def bounds(z: float) -> Limits:
        reach = np.abs(np.array([one() for one in limits]) - values[:, None]) * weights[:, None]
        together = float(weights**2 @ alone)
        alike = math.sqrt(max(1.0, joint.independent / together)) if together else 1.0
        down, up = np.sqrt((reach**2).sum(axis=0)) * alike * z / Z95
        return max(0.0, joint.value - float(down)), min(1.0, joint.value + float(up))

    return replace(joint, limits=bounds)


def _of_rare(measure: Measure, rows: Numbers) -> Measure:
    """Mark a mean as unbounded where one of its classes has no rows."""
    if rows.all():
        return measure
    lacking = int(np.count_nonzero(rows == 0))
    what = "1 class has" if lacking == 1 else f"{lacking:,} classes have"
    why = f"{UNBOUNDED}{what} no label or no answer, and counts as 0"
    return replace(measure, support=0.0, unbounded=why)
