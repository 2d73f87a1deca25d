"""How much days differ beyond what their rows explain, and how long a difference lasts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.engine.metric import TINY, Array
from driftline.monitors.engine.tails import student_scales

MIN_DAYS = 3  # Fewer days tell nothing of how days differ.
# Correlations of a day's own part with that of the day before.
MEMORIES = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.92])
# Days that seem alike may still remember: at least this share of the prior says so.
LEAST_MEMORY = 0.2
# Whole variances that are tried, in times the estimate: KNOTS from LEAST to MOST, and farther where
# the estimate may be too small by chance (RARE).
KNOTS, LEAST, MOST, RARE = 48, 0.15, 40.0, 1e-8
# Days' own part may be Student's t of this many degrees; HEAVY is its prior where days differ.
# Three degrees missed a doubled share where days differ (41 for 89% of windows).
TAILS, HEAVY = 5.0, 0.3
NODES = 48  # Of a mixture that is kept.


@dataclass(frozen=True, slots=True, eq=False)
class DayLaw:
    """What is known of days' own variance: a grid of N nodes for each of M numbers."""

    variance: Array  # (M, N), of one day.
    memory: Array  # (N,)
    weight: Array  # (M, N), adds up to 1 by number.
    heavy: Array  # (M,), how likely tails are heavy.
    days: NDArray[np.int_]  # (M,), days that have the number.

    def between(self, length: float, reference_days: float) -> tuple[Array, Array]:
        """Return what days add to the variance of a span's mean less the reference's.

        Parameters
        ----------
        length
            Of the span, in days, above 0.
        reference_days
            That the reference's mean rests on; infinite where the reference has no days.

        Returns
        -------
        tuple of numpy.ndarray
            Variances and their weights, each (M, NODES): a mixture over what is not known.
        """
        apart = np.arange(1.0, max(math.ceil(length), 1))
        kept = (1.0 - apart / length) * self.memory[:, None] ** apart
        span = (1.0 + 2.0 * kept.sum(axis=1)) / length
        days = np.maximum(np.minimum(self.days, reference_days), 1.0)[:, None]
        added = self.variance * (span + (1.0 + self.memory) / (1.0 - self.memory) / days)
        # A mean of several days has lighter tails than one of them.
        scales, chances = student_scales(TAILS + max(length, 1.0) - 1.0)
        heavy = self.heavy[:, None]
        nodes = np.concatenate([added, (added[..., None] * scales).reshape(len(added), -1)], axis=1)
        weights = (self.weight[..., None] * chances).reshape(len(added), -1)
        return _thin(nodes, np.concatenate([(1.0 - heavy) * self.weight, heavy * weights], axis=1))


def learn_days(values: Array, row_variance: Array) -> DayLaw:
    """Learn what days share beyond their rows, from the days at hand.

    Beforehand a whole variance of s times what rows explain is equally likely at each log s (up to
    s = 1 days share nothing), and so is each memory. Both are weighed by the restricted likelihood
    of y ~ N(mean, C + variance R), R_ij = memory^|i - j|.

    Parameters
    ----------
    values
        Of B days in order of time, shape (B, M), NaN where a day has none.
    row_variance
        Of each value by its rows alone, shape (B, M).

    Returns
    -------
    DayLaw
        Of numbers with fewer than MIN_DAYS days: days differ by nothing.

    References
    ----------
    Patterson and Thompson, Biometrika 58, 1971 (restricted likelihood); Harvey, Forecasting,
    Structural Time Series Models and the Kalman Filter, 1989, ch. 3; Tsui and Weerahandi, JASA 84,
    1989 (p-value as a mean over the nuisance).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        held = np.isfinite(values) & np.isfinite(row_variance) & (row_variance > 0)
        held &= held.sum(axis=0) >= MIN_DAYS
        precision = np.where(held, 1.0 / row_variance, 0.0)
    values = np.where(held, values, 0.0)
    count, whole = held.sum(axis=0), np.maximum(precision.sum(axis=0), TINY)
    half = np.maximum(count - 1, 1) / 2.0
    # What rows explain of an average day.
    is_known = count >= MIN_DAYS
    apart = np.where(is_known, whole - (precision**2).sum(axis=0) / whole, np.inf)
    mean_variance = 2.0 * half / np.maximum(apart, TINY)
    centred = np.where(held, values - (precision * values).sum(axis=0) / whole, 0.0)
    excess = (precision * centred**2).sum(axis=0)
    top = np.maximum(MOST, half / special.gammaincinv(half, RARE))
    steps = np.linspace(0.0, 1.0, KNOTS)
    times = LEAST * (top / LEAST)[:, None] ** steps
    times *= np.maximum(excess / half / 2.0, 1e-6)[:, None]  # (M, KNOTS)
    shared = np.maximum(times - 1.0, 0.0) * mean_variance[:, None]
    differ = _restricted_likelihood(centred, row_variance, held, shared, whole)
    alike = -half[:, None] * np.log(times) - (excess / 2.0)[:, None] / times
    likelihood = np.where((times > 1.0)[:, None], differ, alike[:, None])  # (M, R, KNOTS)
    own = np.maximum(LEAST_MEMORY, 1.0 - 2.0 * half / np.maximum(excess, TINY))
    prior = own[:, None] / len(MEMORIES) + (1.0 - own)[:, None] * (MEMORIES == 0)
    likelihood = likelihood + np.log(prior)[..., None]
    weight = np.exp(likelihood - likelihood.max(axis=(1, 2), keepdims=True))
    weight = (weight / weight.sum(axis=(1, 2), keepdims=True)).reshape(len(count), -1)
    heavy = [
        _heavy_chance(centred[:, at], precision[:, at], times[at], shared[at], HEAVY * own[at])
        for at in range(len(count))
    ]
    variance = np.repeat(shared[:, None], len(MEMORIES), axis=1).reshape(len(count), -1)
    return DayLaw(
        np.where(is_known[:, None], variance, 0.0),
        np.repeat(MEMORIES, KNOTS),
        weight,
        np.where(is_known, heavy, 0.0),
        count,
    )


def _restricted_likelihood(
    centred: Array, row_variance: Array, held: NDArray[np.bool_], shared: Array, whole: Array
) -> Array:
    """Return the log-likelihood (M, R, KNOTS) of days' own variances `shared` (M, KNOTS).

    It is relative to rows alone. A Kalman filter runs over the days: over their values, and over a
    column of ones, since the mean is not known (its restricted likelihood).
    """
    memory = MEMORIES[:, None]
    shape = (len(whole), len(MEMORIES), shared.shape[1])
    stationary = np.broadcast_to(shared[:, None], shape)
    state, ones, spread = np.zeros(shape), np.zeros(shape), stationary
    logs, total, cross, squares = (np.zeros(shape) for _ in range(4))
    for day, is_held in enumerate(held):
        state, ones = state * memory, ones * memory
        spread = memory**2 * spread + (1.0 - memory**2) * stationary
        at = is_held[:, None, None]
        if not is_held.any():
            continue
        by_rows = np.where(is_held, row_variance[day], 1.0)[:, None, None]
        seen = spread + by_rows
        off, one = centred[day][:, None, None] - state, 1.0 - ones
        gain = np.where(at, spread / seen, 0.0)
        inverse = np.where(at, 1.0 / seen, 0.0)
        logs += np.where(at, np.log(seen / by_rows), 0.0)
        total += one**2 * inverse
        cross += one * off * inverse
        squares += off**2 * inverse
        state, ones, spread = state + gain * off, ones + gain * one, spread * (1.0 - gain)
    total = np.maximum(total, TINY)
    squares -= cross**2 / total
    return -0.5 * (logs + np.log(total / whole[:, None, None]) + squares)


def _heavy_chance(
    centred: Array, precision: Array, times: Array, shared: Array, prior: float
) -> float:
    """Return how likely days' own part has Student's tails: each day by itself, (B,)."""
    held = precision > 0
    of_rows, of_day = np.minimum(times, 1.0)[:, None], shared[:, None] * precision[held]
    squares = centred[held] ** 2 * precision[held]
    scales, chances = student_scales(TAILS)
    variance = of_rows[..., None] + of_day[..., None] * scales
    density = (np.exp(-squares[:, None] / variance / 2.0) / np.sqrt(variance)) @ chances
    student = special.logsumexp(np.log(np.maximum(density, TINY)).sum(axis=1))
    both = of_rows + of_day
    normal = special.logsumexp((-squares / both - np.log(both)).sum(axis=1) / 2.0)
    return float(special.expit(student - normal + math.log(prior / (1.0 - prior))))


def _thin(variance: Array, weight: Array) -> tuple[Array, Array]:
    """Merge nodes (M, N) of about the same variance into NODES, each with their mean."""
    low = np.log(np.maximum(1e-3 * np.median(variance, axis=1, keepdims=True), TINY))
    logs = np.maximum(np.log(np.maximum(variance, TINY)), low)
    width = np.maximum(logs.max(axis=1, keepdims=True) - low, 1e-9)
    index = np.minimum((logs - low) / width * NODES, NODES - 1).astype(np.intp)
    index += np.arange(len(variance))[:, None] * NODES
    size = variance.shape[0] * NODES
    weights = np.bincount(index.ravel(), weight.ravel(), size).astype(np.float64)
    sums = np.bincount(index.ravel(), (weight * variance).ravel(), size)
    means = sums / np.maximum(weights, TINY)
    return means.reshape(-1, NODES), weights.reshape(-1, NODES)
