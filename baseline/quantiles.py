"""Quantiles from a sketch, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driftline.baseline.moments import Moments
from driftline.baseline.sketch import QuantileSketch, capacities

# Halvings take turns with the half they keep, so most of their errors cancel: the largest of 2,001
# ranks stayed within 1.0 of these standard errors (tests/baseline/test_quantiles.py and a year of
# 8,760 stored hours), in random, ascending and drifting order, at once or merged.
STANDARD_ERRORS = 1.5


@dataclass(frozen=True, slots=True)
class Quantile:
    """The value at or below which a share of the rows lies.

    Parameters
    ----------
    share
        From 0 to 1.
    value
        The estimate; exact when `lower` and `upper` are equal to it.
    lower, upper
        The estimates at the share less and plus the sketch's error of rank.
    """

    share: float
    value: float
    lower: float
    upper: float


def rank_error(sketch: QuantileSketch) -> float:
    """Return the error of a sketch's ranks, as a share of all values: 0 (nothing dropped) to 1.

    A compaction of items of weight w moves a rank by at most w. A level that is full at c items was
    compacted W / (c w) times when the levels above it hold the weight W, so the variance of a rank
    is at most the sum of W w / c over the levels. The error is one and a half standard deviations.

    References
    ----------
    Karnin, Lang, Liberty, 2016, section 2.
    """
    sizes = [len(level) << height for height, level in enumerate(sketch.levels)]
    if len(sizes) == 1 or not sketch.count:
        return 0.0
    limits, _ = capacities(sketch.items, sketch.shrinking)
    parts = (
        sum(sizes[height + 1 :]) * 2.0**height / limits[height] for height in range(len(sizes) - 1)
    )
    return min(1.0, STANDARD_ERRORS * math.sqrt(sum(parts)) / sketch.count)


def quantiles(
    sketch: QuantileSketch, moments: Moments, shares: Sequence[float]
) -> tuple[Quantile, ...]:
    """Return the values at shares; the ends are the true minimum and maximum."""
    error = rank_error(sketch)
    wanted = np.asarray(shares, dtype=np.float64)
    around = np.clip(np.concatenate([wanted, wanted - error, wanted + error]), 0.0, 1.0)
    found = sketch.quantiles(around)
    if moments.count:
        found = np.where(around <= 0.0, moments.minimum, found)
        found = np.where(around >= 1.0, moments.maximum, found)
    value, lower, upper = found.reshape(3, len(wanted))
    return tuple(
        Quantile(*row)
        for row in zip(wanted.tolist(), value.tolist(), lower.tolist(), upper.tolist(), strict=True)
    )
