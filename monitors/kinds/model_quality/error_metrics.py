"""Further metrics of a regression: relative errors, the usual and the largest one, and the bias.

References
----------
Hyndman and Koehler, International Journal of Forecasting 22, 2006 (relative errors and their
limits); Campbell and Gardner, BMJ 296, 1988 (interval of a median); Woodruff, JASA 47, 1952 (the
same with weights).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from driftline.baseline.answers import LARGEST
from driftline.monitors.kinds.model_quality.influence import (
    Measure,
    Numbers,
    Range,
    Rows,
    undefined,
)
from driftline.monitors.results.metric import UNBOUNDED
from driftline.stats.intervals import Z95, mean_limits
from driftline.stats.weighted_median import weighted_median, weighted_median_limits

ERRORS = ("mape", "smape", "median_absolute_error", "max_error", "mean_error")
# A difference: no end on either side.
DIFFERENCE = Range()


def error_metrics(label: Numbers, answer: Numbers, table: Rows) -> dict[str, Measure]:
    """Measure errors of finite values, shape (rows,); relative errors are shares: 0.1 is 10%.

    Returns
    -------
    dict
        ``mape`` is mean(|error| / |label|), not defined with a label of 0; ``smape`` is
        mean(2 |error| / (|label| + |answer|)), 0 where both are 0; ``mean_error`` is the mean of
        answer - label, above 0 where answers are too high.
    """
    if not len(label):
        why = undefined("no rows", "error")
        return {**dict.fromkeys(ERRORS, why), "mean_error": undefined("no rows", DIFFERENCE)}
    error = answer - label
    sizes, beside = np.abs(error), np.abs(label)
    largest = Measure(
        float(sizes.max()), support=table.worth, scale="error",
        unbounded=f"{UNBOUNDED}the largest error grows with the number of rows",
    )  # fmt: skip
    relative = undefined("a label is 0, and has no relative error", "error")
    if beside.min() > 0:
        with np.errstate(over="ignore"):
            shares = sizes / beside
        relative = undefined("a label is so near 0 that its relative error is absurd", "error")
        if shares.max() <= LARGEST:
            relative = _mean(shares, table)
    both = beside + np.abs(answer)
    half = np.divide(2.0 * sizes, both, out=np.zeros(len(sizes)), where=both > 0)
    return {
        "mape": relative,
        "smape": _mean(half, table),
        "median_absolute_error": _median(sizes, table),
        "max_error": largest,
        "mean_error": _bias(error, table),
    }


def _mean(losses: Numbers, table: Rows) -> Measure:
    mean = table.mean(losses)
    return table.measure(mean, losses - mean, "error")


def _bias(error: Numbers, table: Rows) -> Measure:
    mean = table.mean(error)
    moved = error - mean
    found = table.measure(mean, moved, DIFFERENCE)
    if table.weights is not None:
        moved = moved * table.weights
    squares = float(np.einsum("i,i->", moved, moved))
    pull = float(np.einsum("i,i,i->", moved, moved, moved)) / squares**1.5 if squares else 0.0
    return replace(found, limits=partial(mean_limits, mean, math.sqrt(found.independent), pull))


def _median(sizes: Numbers, table: Rows) -> Measure:
    """Measure the median with an interval by ranks, for any distribution of errors."""
    order = np.argsort(sizes)
    ordered = sizes[order]
    weights = np.ones(len(sizes)) if table.weights is None else table.weights[order]
    value = weighted_median(ordered, weights)
    limits = partial(weighted_median_limits, ordered, weights)
    low, high = limits(Z95)
    alone = ((high - low) / (2.0 * Z95)) ** 2
    # How rows of a cluster hang together is that of the share that lies below.
    is_below = (sizes <= value).astype(np.float64)
    moved = is_below - table.mean(is_below)
    below = table.measure(0.5, moved, "score")
    moved = moved if table.weights is None else moved * table.weights
    shares = float(np.einsum("i,i->", moved, moved)) / len(sizes) ** 2
    effect = below.variance / shares if shares else 1.0
    return Measure(
        value, alone * effect, alone, below.support, "error",
        clusters=below.clusters, limits=limits,
    )  # fmt: skip
