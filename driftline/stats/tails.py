"""Means of rows with heavy tails, far out: Bernstein's scale of tails, and his inequality."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers = NDArray[np.float64]

# Of rows' values: of bounded ones the scale of tails that higher moments give is smaller.
MOMENTS = 20


def tail_scale(values: Numbers) -> float:
    """Return the scale of the tails of rows: the least that Bernstein's condition on moments holds.

    With it E|x|^k is at most k! / 2 times the variance times scale^(k - 2) at each k from 3 on. It
    is no more than a third of the largest row, and, where tails fall off as fast as exponential
    ones, does not grow with the rows.

    Parameters
    ----------
    values
        Of the rows, of mean 0, shape (n,), NaN where there is none.

    Returns
    -------
    float
        In the unit of the values; 0 where all are 0.

    References
    ----------
    Boucheron, Lugosi and Massart, Concentration Inequalities, 2013, theorem 2.10.
    """
    known = values[~np.isnan(values)]
    sizes = np.abs(known)
    largest = float(sizes.max(initial=0.0))
    if largest <= 0.0:
        return 0.0
    known, sizes = known / largest, sizes / largest
    power, variance, scale = sizes * sizes, float((known * known).sum()), 0.0
    for moment in range(3, MOMENTS + 1):
        power *= sizes
        ratio = 2.0 * float(power.sum()) / math.factorial(moment) / variance
        scale = max(scale, ratio ** (1.0 / (moment - 2)))
    return largest * scale


def bernstein_nats(distance: float, variance: float, scale: float) -> float:
    """Return -ln of the chance that a mean lies so far to one side, however small.

    The variance counts as ``variance + scale * distance``, the exponent of Bernstein's inequality.

    Parameters
    ----------
    distance
        From what is expected; below 0 as 0.
    variance
        Of the mean.
    scale
        Of the rows' tails over the number of rows, 0 for normal ones.

    References
    ----------
    Boucheron, Lugosi and Massart, Concentration Inequalities, 2013, theorem 2.10.
    """
    distance = max(distance, 0.0)
    error = math.sqrt(variance + scale * distance)
    return -float(special.log_ndtr(-distance / error if distance else 0.0))


def bernstein_reach(chance: float, variance: float, scale: float) -> float:
    """Return the distance that has this chance, below a half; arguments as of `bernstein_nats`.

    References
    ----------
    As of `bernstein_nats`.
    """
    z = float(-special.ndtri(chance))
    lead = z * z * scale / 2.0
    return lead + math.sqrt(lead**2 + z * z * variance)
