"""Two-sample distances: pure functions of counts and of weighted values, no rows, no profiles.

The decision whether a window drifts is significance.py's. What stands here is shown beside it
(PSI, Jensen-Shannon) or belongs to SageMaker's own comparison (``Robust``, ``ChiSquared``), which a
test checks against the numbers of Deequ, the library that it is built on.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from driftline.errors import UndecidedError

__all__ = [
    "EmptyDistributionError",
    "cdf_distance",
    "chi_squared",
    "jensen_shannon_distance",
    "population_stability",
    "robust",
]

# Deequ's default, the two-sample Kolmogorov-Smirnov constant for alpha of about 0.003
# (Knuth, The Art of Computer Programming, vol. 2, section 3.3.1, eq. 15).
ROBUST_CONSTANT = 1.8

# Deequ regroups levels until so many of the expected counts reach these
# (analyzers/Distance.scala; the rule of Cochran 1954).
EXPECTED_COUNT_OF_MANY = 5.0
EXPECTED_COUNT_OF_TWO = 10.0
SHARE_BELOW_OF_MANY = 0.2

Counts = NDArray[np.float64]


class EmptyDistributionError(UndecidedError):
    """One side holds no rows: no distance exists, and 0 would read as "no drift"."""


def cdf_distance(
    reference: ArrayLike,
    window: ArrayLike,
    *,
    reference_weights: ArrayLike | None = None,
    window_weights: ArrayLike | None = None,
) -> float:
    """Measure the largest difference of two cumulative distributions (Kolmogorov-Smirnov).

    Parameters
    ----------
    reference, window
        Values, shape (n,) and (m,), any order, ties allowed, not NaN.
    reference_weights, window_weights
        Rows that each value stands for (a sketch's items); 1 each when missing.

    Returns
    -------
    float
        In [0, 1]; SageMaker's ``Simple`` distance of a numeric column.

    Raises
    ------
    EmptyDistributionError
        When a side holds no values.
    """
    first, second = _on_common_values(reference, window, reference_weights, window_weights)
    return float(np.abs(np.cumsum(first - second)).max().clip(0.0, 1.0))


def robust(distance: float, reference_rows: float, window_rows: float) -> float:
    """Take off what chance alone may add to a distance (SageMaker's ``Robust``).

    Parameters
    ----------
    distance
        A ``Simple`` distance in [0, 1].
    reference_rows, window_rows
        Rows behind each side, both above 0.

    Returns
    -------
    float
        ``distance - 1.8 sqrt((n + m) / (n m))``, never below 0.
    """
    n, m = reference_rows, window_rows
    if n <= 0 or m <= 0:
        raise EmptyDistributionError("robust distance of no rows; expected rows on both sides")
    return max(0.0, distance - ROBUST_CONSTANT * math.sqrt((n + m) / (n * m)))


def chi_squared(reference: ArrayLike, window: ArrayLike) -> tuple[float, float, int] | None:
    """Test by Pearson's chi-square whether the window's levels follow the reference's shares.

    Parameters
    ----------
    reference, window
        Counts per level, shape (levels,), same levels in the same order. Levels that the
        reference never saw are left out; rare ones are merged by Deequ's rule.

    Returns
    -------
    tuple of float, float and int, or None
        Statistic, p-value and degrees of freedom; None when fewer than two levels are left (no
        verdict).

    References
    ----------
    awslabs/deequ, analyzers/Distance.scala, ``categoricalChiSquareTest``.
    """
    expected = np.asarray(reference, dtype=np.float64)
    observed = np.asarray(window, dtype=np.float64)
    known = expected > 0
    expected, observed = expected[known], observed[known]
    if expected.sum() == 0 or observed.sum() == 0:
        raise EmptyDistributionError("chi-square of no rows; expected rows on both sides")
    expected = expected / expected.sum() * observed.sum()
    expected, observed = _merge_rare(expected, observed)
    if expected.size < 2:
        return None
    statistic = float(((observed - expected) ** 2 / expected).sum())
    freedom = expected.size - 1
    return statistic, float(special.chdtrc(freedom, statistic)), freedom


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
    first, second = _counts(reference), _counts(window)
    n, m = first.sum(), second.sum()
    p, q = _shares(first + 0.5), _shares(second + 0.5)
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
    first, second = _counts(reference), _counts(window)
    p, q = _shares(first), _shares(second)
    middle = (p + q) / 2
    nats = float((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum() / 2)
    if corrected:
        nats -= (first.size - 1) / 8 * float(1 / first.sum() + 1 / second.sum())
    return math.sqrt(max(0.0, nats) / math.log(2))


def _counts(found: ArrayLike) -> Counts:
    counts = np.asarray(found, dtype=np.float64)
    if counts.size == 0 or counts.sum() <= 0:
        raise EmptyDistributionError("distance of no rows; expected rows on both sides")
    return counts


def _shares(found: ArrayLike) -> Counts:
    counts = _counts(found)
    return counts / float(counts.sum())


def _on_common_values(
    reference: ArrayLike,
    window: ArrayLike,
    reference_weights: ArrayLike | None,
    window_weights: ArrayLike | None,
) -> tuple[Counts, Counts]:
    """Give each side's share of rows at the distinct values of both sides, sorted."""
    first = np.asarray(reference, dtype=np.float64)
    second = np.asarray(window, dtype=np.float64)
    values, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    first_weights = np.ones(first.size) if reference_weights is None else reference_weights
    second_weights = np.ones(second.size) if window_weights is None else window_weights
    return (
        _shares(np.bincount(place[: first.size], weights=first_weights, minlength=values.size)),
        _shares(np.bincount(place[first.size :], weights=second_weights, minlength=values.size)),
    )


def _merge_rare(expected: Counts, observed: Counts) -> tuple[Counts, Counts]:
    """Move the rarest level into the next rarest until Deequ's rule allows the test."""
    order = np.argsort(expected, kind="stable")
    expected, observed = expected[order], observed[order]
    while expected.size > 1 and not _enough_expected(expected):
        expected = np.concatenate([[expected[0] + expected[1]], expected[2:]])
        observed = np.concatenate([[observed[0] + observed[1]], observed[2:]])
        order = np.argsort(expected, kind="stable")
        expected, observed = expected[order], observed[order]
    return expected, observed


def _enough_expected(expected: Counts) -> bool:
    if expected.size == 2:
        return bool((expected >= EXPECTED_COUNT_OF_TWO).all())
    below = int((expected < EXPECTED_COUNT_OF_MANY).sum())
    return below <= math.floor(SHARE_BELOW_OF_MANY * expected.size)
