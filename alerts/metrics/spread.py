"""How the values of several points are spread together, from four numbers each and what is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.alerts.metrics.distribution import Distribution


def merged_spread(
    numbers: NDArray[np.float64], spreads: Sequence[bytes | None]
) -> Distribution | None:
    """Put the distributions of points together.

    Parameters
    ----------
    numbers
        float64, shape (n, 4): count, sum, minimum, maximum; n at least 1.
    spreads
        n distributions as bytes. Where there is none, the numbers tell it if all values are equal
        (CloudWatch's rule: minimum = maximum and sum = minimum * count).

    Returns
    -------
    Distribution or None
        None when one of the points does not tell its own.
    """
    if len(numbers) == 1 and spreads[0] is None:
        return _alone(*numbers[0].tolist())
    equal = numbers[:, 2] == numbers[:, 3]
    if not any(one is not None for one in spreads):
        products = numbers[:, 2] * numbers[:, 0]
        if not bool(equal.all()) or not np.allclose(products, numbers[:, 1], rtol=1e-9, atol=0):
            return None
        return Distribution.of(numbers[:, 2].tolist(), numbers[:, 0].tolist())
    parts = []
    for row, data in zip(numbers.tolist(), spreads, strict=True):
        part = _alone(*row) if data is None else Distribution.from_bytes(data)
        if part is None:
            return None
        parts.append(part)
    return Distribution.merge(parts)


def _alone(count: float, total: float, low: float, high: float) -> Distribution | None:
    """Tell from its numbers how the values of one point are spread; None when they hide it."""
    if low != high or not math.isclose(low * count, total, rel_tol=1e-9):
        return None
    return Distribution(np.array([low]), np.array([count]))


def merged_bytes(numbers: NDArray[np.float64], spreads: Sequence[bytes | None]) -> bytes | None:
    """Return what is to be kept of points that become one; None where the four numbers tell it."""
    if len(spreads) == 1:
        return spreads[0]
    found = merged_spread(numbers, spreads)
    return None if found is None or len(found.values) == 1 else found.to_bytes()
