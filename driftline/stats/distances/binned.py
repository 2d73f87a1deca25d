"""Distances of two sides counted on common bins: divergences and differences of shares.

References
----------
docs/distances.md, "Binned".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from driftline.stats.distances.bins import Bins
from driftline.stats.distances.counts import Counts, shares
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.divergences import (
    chi_square,
    hellinger_square,
    jensen_shannon,
    jensen_shannon_distance,
    kullback_leibler,
    population_stability,
)

ONE_VALUE = "one value on both sides"


@dataclass(frozen=True, slots=True)
class Binned:
    """A measure of two rows of counts, reference first, with the unit of its value."""

    measure: Callable[[Counts, Counts], float]
    unit: str


def _hellinger(reference: Counts, window: Counts) -> float:
    return math.sqrt(hellinger_square(reference, window))


def _shannon_distance(reference: Counts, window: Counts) -> float:
    return jensen_shannon_distance(reference, window, corrected=False)


def _total_variation(reference: Counts, window: Counts) -> float:
    return min(1.0, float(np.abs(shares(reference) - shares(window)).sum()) / 2)


def _largest_difference(reference: Counts, window: Counts) -> float:
    return float(np.abs(shares(reference) - shares(window)).max())


BINNED: Mapping[str, Binned] = {
    "psi": Binned(population_stability, "nats"),
    "kl": Binned(kullback_leibler, "nats"),
    "js_divergence": Binned(jensen_shannon, "nats"),
    "js_distance": Binned(_shannon_distance, "root of bits"),
    "hellinger": Binned(_hellinger, "root of share"),
    "total_variation": Binned(_total_variation, "share"),
    "l_infinity": Binned(_largest_difference, "share"),
    "chi_squared": Binned(chi_square, "chi-square"),
}


def measure_binned(name: str, bins: Bins) -> Distance:
    """Measure one of `BINNED` on common bins.

    Returns
    -------
    Distance
        In the unit of `BINNED`, >= 0; 0 where all rows are in one bin.

    Raises
    ------
    EmptyDistributionError
        When a side holds no rows.
    """
    binned = BINNED[name]
    if np.count_nonzero(bins[0] + bins[1]) == 1:
        return Distance(name, 0.0, binned.unit, ONE_VALUE)
    return Distance(name, binned.measure(*bins), binned.unit)
