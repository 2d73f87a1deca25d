"""Confidence intervals: of shares, their difference and ratio, and of an AUC."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.roots import first_beyond

Z95 = float(special.ndtri(0.975))
"""Normal quantile of a two-sided 95% interval."""

TINY = 1e-9
TINIEST = float(np.finfo(np.float64).tiny)
# Beyond this no double holds the exponential.
FARTHEST = 700.0
# Up to so many rows that count a share's limits are those of a rare event.
FEW = 3
# A count that is a share times its rows is off by less than this.
ROUNDING = 1e-9
# Lacking something less often than this is no chance.
RARELY = 1e-3

Numbers = NDArray[np.float64]
Limits = tuple[float, float]

# Directions from the middle of an ellipse to its border, a degree and a half apart.
_COSINES, _SINES = (turn(np.linspace(0.0, 2.0 * np.pi, 241)) for turn in (np.cos, np.sin))


def wilson(count: float, rows: float, z: float = Z95) -> Limits:
    """Return the limits of a share, 0-1.

    Parameters
    ----------
    count, rows
        Rows that count and all rows, at least 0; need not be whole (effective rows).
    z
        Normal quantile of the limits.

    Returns
    -------
    tuple of float
        Lower and upper limit; exactly 0 or 1 at the ends, (0, 1) for no rows.

    References
    ----------
    Wilson, JASA 22, 1927.
    """
    if rows <= 0:
        return 0.0, 1.0
    share = count / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    half /= 1 + z * z / rows
    # At either end the limit is the end itself; rounding would leave 1e-20 of it.
    low = 0.0 if count <= 0 else min(share, max(0.0, centre - half))
    return low, 1.0 if count >= rows else max(share, min(1.0, centre + half))


def may_lack(count: float, known: float, rows: int, found: int = 0) -> bool:
    """Whether so many rows may by chance lack what `count` of `known` others have.

    ``found``: so many of the rows have it, or fewer.

    References
    ----------
    Wilson, JASA 22, 1927.
    """
    least = wilson(count, known, -float(special.ndtri(RARELY)))[0]
    return bool(special.bdtr(found, rows, least) > RARELY)


def wilson_of_each(counts: NDArray[np.int64], rows: float) -> Numbers:
    """Return the 95% limits of several shares of the same rows.

    Parameters
    ----------
    counts
        Rows that count, shape (K,).
    rows
        All rows.

    Returns
    -------
    numpy.ndarray
        Lower and upper limits, 0-1, shape (K, 2); 0 and 1 for no rows.

    References
    ----------
    Wilson, JASA 22, 1927.
    """
    if rows <= 0:
        return np.tile([0.0, 1.0], (len(counts), 1))
    share, square = counts / rows, Z95 * Z95 / rows
    half = Z95 * np.sqrt(share * (1 - share) / rows + square / (4 * rows))
    limits = np.stack([share + square / 2 - half, share + square / 2 + half], axis=1)
    return np.clip(limits / (1 + square), 0.0, 1.0)


def limits_over_shares(
    function: Callable[[Numbers, Numbers], Numbers],
    first: tuple[float, float],
    second: tuple[float, float],
    z: float = Z95,
) -> Limits:
    """Return the limits of a function of two independent shares.

    Its least and largest value on the border of the ellipse that `few_share_limits` of both
    span: what MOVER is for a sum or a difference, for any function without an extreme inside.

    Parameters
    ----------
    function
        Of two arrays of shares; may be infinite at shares of 0 and 1.
    first, second
        Of each share the rows that count and all rows; of no rows nothing is known.
    z
        Normal quantile of the limits.

    References
    ----------
    Zou and Donner, Statistics in Medicine 27, 2008; Venzon and Moolgavkar, Applied Statistics 37,
    1988 (limits of a function as its extremes over a region).
    """
    shares = []
    for (count, rows), way in ((first, _COSINES), (second, _SINES)):
        share, (low, high) = count / rows if rows else 0.5, few_share_limits(count, rows, z)
        shares.append(share + np.where(way > 0, high - share, share - low) * way)
    values = function(*shares)
    return float(values.min()), float(values.max())


def few_share_limits(count: float, rows: float, z: float = Z95) -> Limits:
    """Return Wilson's limits of a share, wider where few rows count, or few do not.

    Of a share near 0 or 1 Wilson's miss the truth up to three times as often as they say: one row
    of one is taken for at least a fifth. There Poisson's law takes their place.

    Parameters
    ----------
    count, rows
        Rows that count and all rows, at least 0; need not be whole.
    z
        Normal quantile of the limits.

    References
    ----------
    Brown, Cai and DasGupta, Statistical Science 16, 2001, section 4.1.1 (modified Wilson).
    """
    if abs(count - round(count)) < ROUNDING:
        # A share times its rows is a count again, but for the last digit.
        count = float(round(count))
    low, high = wilson(count, rows, z)
    tail = 2.0 * float(special.ndtr(-z))
    if 0 < count <= FEW:
        low = min(low, float(special.gammaincinv(count, tail)) / rows)
    if 0 < rows - count <= FEW:
        high = max(high, 1.0 - float(special.gammaincinv(rows - count, tail)) / rows)
    return low, high


def weighted_share_limits(
    weights: Numbers, counts: Numbers, rows: Numbers, z: float = Z95, *, variance: float = 0.0
) -> Limits:
    """Return the limits of a weighted sum of independent shares (MOVER).

    Parameters
    ----------
    weights
        Of each share, any sign, shape (K,).
    counts, rows
        Rows that count, and all, of each share, shape (K,); a share of no rows is added as 0, and
        nothing is known of it.
    z
        Normal quantile of the limits.
    variance
        Of the sum beyond that of the shares, such as that of weights that are a sample's.

    References
    ----------
    Zou, Huang and Zhang, Computational Statistics and Data Analysis 53, 2009.
    """
    shares = np.divide(counts, rows, out=np.zeros(len(rows)), where=rows > 0)
    each = [few_share_limits(*one, z) for one in zip(counts.tolist(), rows.tolist(), strict=True)]
    reach = np.abs(weights * (np.array(each).T - shares)) ** 2
    up, down = np.where(weights > 0, reach[1], reach[0]), np.where(weights > 0, *reach)
    value, more = float(weights @ shares), z * z * variance
    return value - math.sqrt(float(down.sum()) + more), value + math.sqrt(float(up.sum()) + more)


def positive_mean_limits(mean: float, error: float, pull: float, z: float = Z95) -> Limits:
    """Return the limits of the mean of values of at least 0, which may be skew.

    The wider on either side of those on the logarithm and of Hall's, which hold the truth where
    few large values make most of the mean.

    Parameters
    ----------
    mean, error
        Of the values, above 0: their mean, and its standard error.
    pull
        Skewness of the values over the root of their number.
    z
        Normal quantile of the limits.

    References
    ----------
    Hall, Journal of the Royal Statistical Society B 54, 1992 (removing skewness by transformation).
    """
    factor = math.exp(min(z * error / mean, FARTHEST))
    low, high = _hall(mean, error, pull, z)
    return max(0.0, min(mean / factor, low)), max(mean * factor, high)


def seen_count_limit(count: float, least: float, z: float = Z95) -> float:
    """Return the lower limit of the mean of a count that is shown for being large enough.

    Of a mean below `least` only counts far above it are seen; none seen at `least` itself tells
    more than that the mean is above 0. Far above it is the usual limit of Poisson's law.

    Parameters
    ----------
    count, least
        The count, and from which one on it is shown; need not be whole.
    z
        Normal quantile of the limit.

    References
    ----------
    Fithian, Sun and Taylor, arXiv 1410.2597, 2014 (inference given that one looked at all).
    """
    if count <= least:
        return 0.0
    tail = float(special.ndtr(-z))

    def beyond(mean: Numbers) -> Numbers:
        seen = np.maximum(special.gammainc(least, mean), TINIEST)
        return np.asarray(special.gammainc(count, mean) / seen - tail)

    found = first_beyond(beyond, np.zeros(1), np.full(1, count), error=1e-9 * count)
    return float(found[0])


def mean_limits(mean: float, error: float, pull: float, z: float = Z95) -> Limits:
    """Return the limits of the mean of values of any sign, which may be skew.

    The wider on either side of the normal law's and of Hall's.

    Parameters
    ----------
    mean, error
        Of the values: their mean, and its standard error.
    pull
        Skewness of the values over the root of their number.
    z
        Normal quantile of the limits.

    References
    ----------
    Hall, Journal of the Royal Statistical Society B 54, 1992 (removing skewness by transformation).
    """
    low, high = _hall(mean, error, pull, z)
    return min(mean - z * error, low), max(mean + z * error, high)


def _hall(mean: float, error: float, pull: float, z: float) -> Limits:
    if abs(pull) < TINY:
        return mean, mean
    reach = [3 / pull * (np.cbrt(1 + pull * (one - pull / 6)) - 1) for one in (z, -z)]
    return float(mean - error * reach[0]), float(mean - error * reach[1])


def auc_limits(auc: float, sizes: tuple[float, float], z: float = Z95) -> Limits:
    """Return the AUCs whose own limits reach the one that was measured, as Wilson does for shares.

    By the error of the one measured, 100 rows that are all told apart would leave no doubt.

    Parameters
    ----------
    auc
        0-1.
    sizes
        Rows of the class that shall score lower, and of the other, each above 0.
    z
        Normal quantile of the limits.

    References
    ----------
    Newcombe, Statistics in Medicine 25, 2006 (method 5); Hanley and McNeil, Radiology 143, 1982.
    """
    n, m = sizes

    def error(true: Numbers) -> Numbers:
        first, second = true / (2 - true), 2 * true**2 / (1 + true)
        # The two classes' sizes by their mean: else rare rows that shall score lower look surer.
        square = true * (1 - true) + ((n + m) / 2 - 1) * (first + second - 2 * true**2)
        return np.sqrt(np.maximum(square, 0.0) / (n * m))

    # At 0 and 1 themselves nothing errs, and the search would end there at once.
    ends = np.array([0.0, max(auc, TINY)]), np.array([min(auc, 1.0 - TINY), 1.0])
    sides = np.array([z, -z])
    low, high = first_beyond(lambda true: true - auc + sides * error(true), *ends, error=1e-12)
    return float(low) if auc > 0 else 0.0, float(high) if auc < 1 else 1.0
