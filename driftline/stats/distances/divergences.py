"""Divergences of two binned distributions: pure functions of counts, no rows, no profiles.

References
----------
Lin, IEEE Transactions on Information Theory 37, 1991; the others at their functions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from driftline.stats.distances.counts import Counts, as_counts, shares


def population_stability(
    reference: ArrayLike, window: ArrayLike, *, corrected: bool = False
) -> float:
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
    p, q = _smoothed(first), _smoothed(second)
    index = float(((q - p) * np.log(q / p)).sum())
    return max(0.0, index - (first.size - 1) * float(1 / n + 1 / m)) if corrected else index


def kullback_leibler(reference: ArrayLike, window: ArrayLike) -> float:
    """Measure what coding the window by the reference's shares costs (KL), in nats; >= 0.

    Half a row is added to each bin of both sides, as for PSI; not symmetric.

    References
    ----------
    Kullback and Leibler, Annals of Mathematical Statistics 22, 1951.
    """
    p, q = _smoothed(as_counts(reference)), _smoothed(as_counts(window))
    return max(0.0, float(special.rel_entr(q, p).sum()))


def jensen_shannon(reference: ArrayLike, window: ArrayLike) -> float:
    """Measure the Jensen-Shannon divergence in nats, 0 to ln 2; symmetric.

    References
    ----------
    Lin, IEEE Transactions on Information Theory 37, 1991.
    """
    p, q = shares(reference), shares(window)
    middle = (p + q) / 2
    divergence = (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum() / 2
    return min(math.log(2), max(0.0, float(divergence)))


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
    nats = jensen_shannon(first, second)
    if corrected:
        nats -= (first.size - 1) / 8 * float(1 / first.sum() + 1 / second.sum())
    return math.sqrt(max(0.0, nats) / math.log(2))


def hellinger_square(reference: ArrayLike, window: ArrayLike) -> float:
    """Measure the square of the Hellinger distance, 1 - sum of sqrt(r w), 0 to 1; symmetric.

    References
    ----------
    Hellinger, Journal für die reine und angewandte Mathematik 136, 1909.
    """
    p, q = shares(reference), shares(window)
    return float(np.square(np.sqrt(p) - np.sqrt(q)).sum()) / 2


def chi_square(reference: ArrayLike, window: ArrayLike) -> float:
    """Measure Pearson's chi-square of two rows of counts, both of them random; >= 0.

    References
    ----------
    Pearson, Biometrika 8, 1911 (two samples of different size).
    """
    first, second = as_counts(reference), as_counts(window)
    n, m = float(first.sum()), float(second.sum())
    both = first + second
    terms = np.square(math.sqrt(m / n) * first - math.sqrt(n / m) * second)
    return float((terms[both > 0] / both[both > 0]).sum())


def _smoothed(counts: Counts) -> Counts:
    return shares(counts + 0.5)
