"""The difference of two means, taken within blocks such as days."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Of the largest value: means of equal values differ by so little.
ROUNDING = 1e-12


class Difference(NamedTuple):
    """A difference of two means, and how well it is known."""

    value: float  # Second mean less first; NaN where no block has two units of both.
    error: float  # Its standard error; 0 where all values are the same, but for rounding.
    units: int  # Independent units that it rests on.
    fewest: int  # Units of one side that have one of the other beside them, in blocks of both.


def blocked_difference(
    values: NDArray[np.float64],
    is_second: NDArray[np.bool_],
    blocks: NDArray[np.intp],
    units: NDArray[np.intp],
) -> Difference:
    """Measure the difference of two means within blocks, with rows that are correlated in units.

    The difference of each block is weighted by ``n1 n2 / (n1 + n2)``, so neither a change of the
    traffic's shares nor a change of level from block to block counts as a difference.

    Parameters
    ----------
    values
        Finite, shape (rows,).
    is_second
        Which rows belong to the second side, shape (rows,).
    blocks, units
        Codes from 0 on, shape (rows,): of the day, and of the request or whatever is independent.

    Returns
    -------
    Difference
        The standard error is the larger of two: robust to units of several rows, and with one
        variance for both sides, as a side of few rows may lack its rare values.

    References
    ----------
    Cochran, Biometrics 10, 1954 (weights); Liang & Zeger, Biometrika 73, 1986 (clusters).
    """
    cell = 2 * blocks + is_second
    size = 2 * (int(blocks.max(initial=-1)) + 1)
    rows = np.bincount(cell, minlength=size).astype(np.float64)
    # A unit may have rows on both sides, and on several days.
    span = int(units.max(initial=0)) + 1
    parts, part = np.unique(cell * span + units, return_inverse=True)
    counts = np.bincount(parts // span, minlength=size).astype(np.float64)
    is_known = np.repeat((counts.reshape(-1, 2) >= 2).all(axis=1), 2)
    if not is_known.any():
        return Difference(math.nan, math.nan, 0, 0)
    rows_of = np.maximum(rows, 1.0)
    means = np.bincount(cell, values, size) / rows_of
    known = parts[is_known[parts // span]]
    of_side = [len(np.unique(known[known // span % 2 == side] % span)) for side in (0, 1)]
    matched = (counts * is_known).reshape(-1, 2).min(axis=1).sum()
    pairs = (rows * is_known).reshape(-1, 2)
    weights = pairs.prod(axis=1) / np.maximum(pairs.sum(axis=1), 1.0)
    weights /= weights.sum()
    # A mean of few units lies nearer to them than the true one does.
    freed = np.sqrt(counts / np.maximum(counts - 1.0, 1.0))
    left = np.where(is_known, freed, 0.0)[cell] * (values - means[cell])
    influence = np.repeat(weights, 2) / rows_of
    influence[::2] *= -1.0
    by_unit = np.bincount(units, influence[cell] * left)
    common = float(np.square(np.bincount(part, left)).sum() / pairs.sum())
    pooled = common * float((np.repeat(weights, 2) ** 2 / rows_of) @ is_known)
    error = math.sqrt(max(float(by_unit @ by_unit), pooled))
    return Difference(
        value=float(weights @ (means[1::2] - means[::2])),
        error=error if error > ROUNDING * float(np.abs(values).max()) else 0.0,
        units=len(np.unique(units[is_known[cell]])),
        # A unit of several days counts once.
        fewest=min(*of_side, int(matched)),
    )
