"""The test against a threshold that somebody wrote: its own rows are all that is uncertain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driftline.monitors.engine.block_test import EXACT, FARTHEST, Tested
from driftline.monitors.engine.intervals import spread_of_rows
from driftline.monitors.engine.jackknife import jackknife
from driftline.monitors.engine.metric import TINY, Array, MetricSet
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.tails import less_half_row, pearson_tail, student_chance
from driftline.monitors.state import State
from driftline.stats.multiple_testing import holm_levels
from driftline.stats.roots import first_beyond


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold of one metric.

    Parameters
    ----------
    metric
        Its index in the set.
    value
        As displayed.
    worse
        Which side of it is a violation, 1 or -1.
    support
        Rows that the threshold itself was measured on; infinite for one that somebody chose.
    """

    metric: int
    value: float
    worse: int
    support: float = math.inf


def judge_thresholds(
    metrics: MetricSet,
    buckets: Array,
    thresholds: Sequence[Threshold],
    *,
    level: float,
    reference: Reference | None = None,
) -> list[Tested]:
    """Judge a window against thresholds, without tolerance.

    Parameters
    ----------
    metrics
        M functions of sums.
    buckets
        The window's sums by group, shape (G, K).
    thresholds
        T of them.
    level
        Chance of any violation where all thresholds are met exactly (Holm).
    reference
        Lends its rows' variance where a window has few events; None: there is none.

    Returns
    -------
    list of Tested
        In the order of the thresholds.
    """
    if not thresholds:
        return []
    total = buckets.sum(axis=0)
    at = np.array([one.metric for one in thresholds])
    forms = [metrics.metrics[one.metric].form for one in thresholds]
    both = list(zip(forms, thresholds, strict=True))
    wanted = np.array([form.read(np.array(one.value)) for form, one in both], np.float64)
    side = np.array([-one.worse if form.is_turned else one.worse for form, one in both], np.float64)
    values, supports = metrics.measure(total), np.maximum(metrics.support(total), 1.0)
    value, support = values[at], supports[at]
    size = metrics.variance_function(metrics.inside(values, supports))
    rows = jackknife(metrics, buckets)
    spread, third = (part[at] for part in spread_of_rows(metrics, rows, size, reference)[:2])
    everywhere = values.copy()
    everywhere[at] = wanted
    unit = metrics.variance_function(metrics.inside(everywhere, supports))[at]
    inverse = 1.0 / support + 1.0 / np.array([one.support for one in thresholds])
    error = np.sqrt(np.maximum(spread * unit * inverse, TINY))
    skewness = third / np.maximum(spread**1.5, TINY) / np.sqrt(support)
    half = np.where(metrics.is_lattice[at], 0.5 / support, 0.0) / error

    def p_value(distance: Array) -> Array:
        tail = pearson_tail(less_half_row(distance, half), side * skewness)
        return student_chance(tail, max(rows.groups - 1.0, 1.0))

    is_known = np.isfinite(value) & (spread > 0)
    distance = np.nan_to_num(side * (value - wanted) / error)
    p = np.where(is_known, p_value(distance), np.nan)
    levels = np.zeros(len(p))
    levels[is_known] = holm_levels(list(p[is_known]), level)
    start, each = np.zeros_like(p), level / len(thresholds)
    reach = first_beyond(lambda far: each - p_value(far), start, start + FARTHEST, error=EXACT)
    bound = wanted + side * reach * error
    none = np.full(len(p), np.nan)
    numbers = np.stack([value, none, none, wanted, bound, none], axis=-1)
    tested = []
    for order, metric in enumerate(at):
        state = State.JUDGED if np.isfinite(bound[order]) else State.TOO_VARIABLE
        state = state if is_known[order] else State.UNDEFINED
        one = metrics.metrics[metric], numbers[order], p[order], support[order], state
        tested.append(Tested.of(*one, p[order] < levels[order]))
    return tested
