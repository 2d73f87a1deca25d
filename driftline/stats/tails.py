"""How heavy the tails of rows are, whose means are compared far out: Bernstein's scale."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# Of rows' values: of bounded ones the scale of tails that higher moments give is smaller.
MOMENTS = 20


def tail_scale(values: Numbers, *, upper: bool = False) -> Numbers:
    """Return the scale of the tails of rows: the least that Bernstein's condition on moments holds.

    With it E|x|^k is at most k! / 2 times the variance times scale^(k - 2) at each k from 3 on. It
    is no more than a third of the largest row, and, where tails fall off as fast as exponential
    ones, does not grow with the rows.

    Parameters
    ----------
    values
        Of the rows, of mean 0, shape (n, ...), NaN where there is none.
    upper
        Of max(x, 0) in place of |x|: what the chance of a sum far above 0 rests on.

    Returns
    -------
    numpy.ndarray
        Of each column, shape (...).

    References
    ----------
    Boucheron, Lugosi and Massart, Concentration Inequalities, 2013, theorem 2.10.
    """
    known = np.where(np.isnan(values), 0.0, values)
    sizes = np.maximum(known, 0.0) if upper else np.abs(known)
    largest = sizes.max(axis=0, initial=0.0)
    unit = np.where(largest > 0.0, largest, 1.0)
    sizes, scale = sizes / unit, np.zeros(sizes.shape[1:])
    power, variance = sizes * sizes, ((known / unit) ** 2).sum(axis=0)
    variance = np.where(variance > 0.0, variance, 1.0)
    for moment in range(3, MOMENTS + 1):
        power *= sizes
        ratio = 2.0 * power.sum(axis=0) / math.factorial(moment) / variance
        scale = np.maximum(scale, ratio ** (1.0 / (moment - 2)))
    return np.asarray(largest * scale)
