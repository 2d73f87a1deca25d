"""Confidence intervals: of shares, their difference and ratio, and of an AUC."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.roots import first_beyond

Z95 = float(special.ndtri(0.975))
"""Normal quantile of a two-sided 95% interval."""

TINY = 1e-9
# Lacking something less often than this is no chance.
RARELY = 1e-3

Numbers = NDArray[np.float64]
Limits = tuple[float, float]


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


def may_lack(count: float, known: float, rows: int) -> bool:
    """Whether so many rows may all by chance lack what `count` of `known` others have.

    References
    ----------
    Wilson, JASA 22, 1927.
    """
    least = wilson(count, known, -float(special.ndtri(RARELY)))[0]
    return bool((1.0 - least) ** rows > RARELY)


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
    return np.array([wilson(count, rows) for count in counts.tolist()]).reshape(-1, 2)


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
