"""Rows by bin as shares, and the error of those that hold none.

References
----------
docs/distances.md, "Binned": shares p and q.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from driftline.errors import UndecidedError

Counts = NDArray[np.float64]


class EmptyDistributionError(UndecidedError):
    """One side holds no rows: no distance exists, and 0 would read as "no drift"."""


def as_counts(rows: ArrayLike) -> Counts:
    """Return rows per bin as float64, shape (bins,).

    Raises
    ------
    EmptyDistributionError
        When there are none.
    """
    counts = np.asarray(rows, dtype=np.float64)
    if counts.size == 0 or counts.sum() <= 0:
        raise EmptyDistributionError("distance of no rows; expected rows on both sides")
    return counts


def shares(rows: ArrayLike) -> Counts:
    """Return the share of the rows in each bin, shape (bins,); they sum to 1.

    Raises
    ------
    EmptyDistributionError
        When there are none.
    """
    counts = as_counts(rows)
    return counts / float(counts.sum())
