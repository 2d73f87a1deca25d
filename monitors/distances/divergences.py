"""Divergences of two binned distributions: pure functions of counts, no rows, no profiles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from driftline.monitors.distances.counts import as_counts, shares

__all__ = ["jensen_shannon_distance", "population_stability"]


def population_stability(reference: ArrayLike, window: ArrayLike, *, corrected: bool) -> float:
    """Measure how far two binned distributions lie apart (PSI).

    Parameters
    ----------
    reference, window
        Counts per bin, shape (bins,), same bins in the same order. Half a row is added to each
        bin (Jeffreys), so that an empty bin gives a finite answer.
    corrected
        Take off what equal distributions of these sizes give on average,
        ``(bins - 1)(1/n + 1/m)``, and clip at 0.

    Returns
    -------
    float
        Sum of (w - r) ln(w / r) over the bins' shares, in nats; 0 when equal, no upper bound.

    References
    ----------
    Siddiqi, Credit Risk Scorecards, 2006, ch. 9; bias: Yurdakul and Naranjo, 2020.
    """
    first, second = as_counts(reference), as_counts(window)
    n, m = first.sum(), second.sum()
    p, q = shares(first + 0.5), shares(second + 0.5)
    found = float(((q - p) * np.log(q / p)).sum())
    return max(0.0, found - (first.size - 1) * float(1 / n + 1 / m)) if corrected else found


def jensen_shannon_distance(reference: ArrayLike, window: ArrayLike, *, corrected: bool) -> float:
    """Measure the root of the Jensen-Shannon divergence, base 2.

    Parameters
    ----------
    reference, window
        Counts per bin, shape (bins,), same bins in the same order.
    corrected
        Take off the divergence that equal distributions of these sizes give on average,
        ``(bins - 1)/8 (1/n + 1/m)`` nats, before the root, and clip at 0.

    Returns
    -------
    float
        In [0, 1]; 0 when equal, 1 when disjoint. Base and root as scipy's ``jensenshannon``.
    """
    first, second = as_counts(reference), as_counts(window)
    p, q = shares(first), shares(second)
    middle = (p + q) / 2
    nats = float((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum() / 2)
    if corrected:
        nats -= (first.size - 1) / 8 * float(1 / first.sum() + 1 / second.sum())
    return math.sqrt(max(0.0, nats) / math.log(2))
