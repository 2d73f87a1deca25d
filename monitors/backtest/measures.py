"""Distances and tests of many windows at once against one reference; W windows, M marks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.backtest.yardstick import Numbers, Yardstick


def _shares(counts: Numbers) -> Numbers:
    """Divide by the rows along the last axis; NaN where there are none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def largest_gap(known: Yardstick, counts: Numbers) -> Numbers:
    """Measure the largest difference of distributions (numbers) or of shares, shape (W,)."""
    gaps = _shares(counts[:, :-1]) - _shares(known.counts[:-1])
    if known.is_number:
        gaps = np.cumsum(gaps, axis=1)
    return np.asarray(np.abs(gaps).max(axis=1))


def wasserstein(known: Yardstick, counts: Numbers, sums: Numbers) -> Numbers:
    """Measure the area between the distributions, shape (W,), in the column's unit.

    Between two edges the area under a distribution follows exactly from its rows and their sum, so
    the distance is exact save where the two cross between edges.
    """
    edges, before, now = known.edges, known.counts[:-1], counts[:, :-1]
    n, m = before.sum(), now.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = _areas(edges, before[None, :] / n, known.sums[None, :-1] / n)
        second = _areas(edges, now / m, sums[:, :-1] / m)
        return np.asarray(np.abs(first - second).sum(axis=1))


def _areas(edges: Numbers, shares: Numbers, sums: Numbers) -> Numbers:
    """Give the area under the distribution in each cell; above the last edge, over it."""
    below = np.cumsum(shares, axis=1)
    inner = np.diff(edges) * below[:, :-2] + edges[1:] * shares[:, 1:-1] - sums[:, 1:-1]
    first = edges[0] * shares[:, :1] - sums[:, :1]
    last = edges[-1] * shares[:, -1:] - sums[:, -1:]
    return np.concatenate([first, inner, last], axis=1)


def jensen_shannon(before: Numbers, now: NDArray[np.generic], *, base: float) -> Numbers:
    """Measure the root of the divergence, shape (W,); NaN for a window without a value."""
    first, second = _shares(before), _shares(np.asarray(now, dtype=np.float64))
    middle = (first + second) / 2
    with np.errstate(invalid="ignore"):
        parts = special.rel_entr(first, middle) + special.rel_entr(second, middle)
        divergence = parts.sum(axis=1) / 2 / math.log(base)
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def kolmogorov_p(known: Yardstick, counts: Numbers) -> Numbers:
    """Test by Kolmogorov and Smirnov, with the one-sample law at the effective number of rows."""
    # Slow to import, and of no use to most commands.
    from scipy import stats

    n, m = known.counts[:-1].sum(), counts[:, :-1].sum(axis=1)
    effective = np.maximum(np.rint(n * m / (n + m)), 1.0)
    p_value = stats.kstwo.sf(np.nan_to_num(largest_gap(known, counts)), effective)
    return np.asarray(np.where(m > 0, p_value, np.nan))


def chi_squared_p(before: Numbers, now: Numbers) -> Numbers:
    """Test the window's levels against the reference's shares, taken as known (Pearson)."""
    expected = _shares(before) * now.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where((expected == 0) & (now == 0), 0.0, (now - expected) ** 2 / expected)
    # A level that neither side of a window has is none of its degrees of freedom.
    freedom = ((before > 0) | (now > 0)).sum(axis=1) - 1
    p_value = special.chdtrc(freedom, parts.sum(axis=1))
    return np.asarray(np.where(now.sum(axis=1) > 0, p_value, np.nan))


def two_shares_p(before: Numbers, now: Numbers) -> Numbers:
    """Test two proportions by the normal law, two-sided; one value on both sides is no drift."""
    n, m = before.sum(), now.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (before[0] + now[:, 0]) / (n + m)
        spread = np.sqrt(share * (1 - share) * (1 / n + 1 / m))
        score = (before[0] / n - now[:, 0] / m) / spread
        p_value = 2 * special.ndtr(-np.abs(score))
    return np.asarray(np.where(spread == 0, 1.0, p_value))
