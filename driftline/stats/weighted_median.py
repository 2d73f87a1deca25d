"""The median of values that have weights, and its limits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from driftline.stats.intervals import Z95, Limits

Numbers = NDArray[np.float64]

# Half of the weights, but for rounding of their sum.
ROUNDING = 1e-12


def weighted_median(ordered: Numbers, weights: Numbers) -> float:
    """Return the value with half of the weights on either side.

    Where two values share that place, their mean, as that of repeated values.

    Parameters
    ----------
    ordered, weights
        From the least value to the largest, at least one, and the weight of each, at least 0 and
        not all 0, shape (rows,).

    References
    ----------
    Edgeworth, The Observatory 11, 1888 (weighted median).
    """
    held = np.flatnonzero(weights > 0)
    share = np.cumsum(weights[held])
    share /= share[-1]
    low = int(np.searchsorted(share, 0.5 - ROUNDING, "left"))
    high = int(np.searchsorted(share, 0.5 + ROUNDING, "right"))
    return float(ordered[held[low]] + ordered[held[min(high, len(held) - 1)]]) / 2.0


def weighted_median_limits(ordered: Numbers, weights: Numbers, z: float = Z95) -> Limits:
    """Return two of the values that the median lies between, whatever their law.

    Those at the limits of the share of half, of as many rows as the weighted ones are worth. Up to
    five values of equal weights do not reach the limits, and their ends are given.

    Parameters
    ----------
    ordered, weights
        As `weighted_median` takes them.
    z
        Normal quantile of the limits.

    References
    ----------
    Woodruff, JASA 47, 1952; Kish, Survey Sampling, 1965 (effective rows); with equal weights
    Campbell and Gardner, British Medical Journal 296, 1988.
    """
    share = np.cumsum(weights)
    total = float(share[-1])
    rows = total**2 / float(np.einsum("i,i->", weights, weights))
    reach = z / (2.0 * math.sqrt(rows))
    low = int(np.searchsorted(share, (0.5 - reach + ROUNDING) * total, "right")) - 1
    high = int(np.searchsorted(share, (0.5 + reach - ROUNDING) * total, "left")) + 1
    return float(ordered[max(low, 0)]), float(ordered[min(high, len(ordered) - 1)])
