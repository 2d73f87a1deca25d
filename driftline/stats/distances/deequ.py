"""SageMaker's own comparison: ``Robust`` and ``ChiSquared`` as Deequ computes them.

A test checks both against the numbers of Deequ's regression tests. They read SageMaker's documents;
our own decision uses neither.

References
----------
awslabs/deequ, analyzers/Distance.scala.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from driftline.stats.distances.counts import Counts, EmptyDistributionError

# Deequ's default, the two-sample Kolmogorov-Smirnov constant for alpha of about 0.003
# (Knuth, The Art of Computer Programming, vol. 2, section 3.3.1, eq. 15).
ROBUST_CONSTANT = 1.8

# Deequ regroups levels until so many of the expected counts reach these
# (analyzers/Distance.scala; the rule of Cochran 1954).
EXPECTED_COUNT_OF_MANY = 5.0
EXPECTED_COUNT_OF_TWO = 10.0
SHARE_BELOW_OF_MANY = 0.2


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
    is_seen = expected > 0
    expected, observed = expected[is_seen], observed[is_seen]
    if expected.sum() == 0 or observed.sum() == 0:
        raise EmptyDistributionError("chi-square of no rows; expected rows on both sides")
    expected = expected / expected.sum() * observed.sum()
    expected, observed = _merge_rare(expected, observed)
    if expected.size < 2:
        return None
    statistic = float(((observed - expected) ** 2 / expected).sum())
    freedom = expected.size - 1
    return statistic, float(special.chdtrc(freedom, statistic)), freedom


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
