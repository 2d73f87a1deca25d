"""Differences of shares on common bins: total variation and the largest one. Pure.

References
----------
McDiarmid, Surveys in Combinatorics, 1989; docs/distances.md, "Binned".
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import special

from driftline.stats.distances.bins import Bins
from driftline.stats.distances.chances import (
    DRAWN,
    ROWS_MAX,
    has_law,
    parted,
    share_of_draws,
)
from driftline.stats.distances.chi_squared_family import SKETCHED, TOO_FEW
from driftline.stats.distances.counts import Counts, shares
from driftline.stats.distances.distance import Distance
from driftline.stats.intervals import Z95

# Steps of the integral over the largest of many normal differences, and how far it reaches in sd.
STEPS, REACH = 400, 8.0
BOUND = "p-value is an upper bound, which holds for every distribution"


def total_variation(bins: Bins) -> Distance:
    """Measure the share of rows that would have to change their bin, 0-1.

    The p-value is drawn; below what draws can tell, McDiarmid's bound: one row moves the value by
    1/n or 1/m at most.

    References
    ----------
    McDiarmid, Surveys in Combinatorics, 1989.
    """
    distance = variation_size(bins)
    if distance.lower is None or distance.p_value is not None:
        return distance
    chance, note = _variation_chance(*bins.pooled)
    return replace(distance, p_value=chance, note=note)


def variation_size(bins: Bins) -> Distance:
    """Measure total variation without its chance, which takes far longer."""
    name = "total_variation"
    value = _variation(bins.reference, bins.window)
    if bins.is_constant:
        return Distance(name, 0.0, "share", 0.0, 1.0, 0.0, None, "one value on both sides")
    first, second = bins.pooled
    if first.size < 2:
        return Distance(name, value, "share", note=TOO_FEW)
    joined, spread = _variation(first, second), _spread(first, second)
    mean = float(spread.sum()) / math.sqrt(2 * math.pi)
    # A normal difference's size has the variance (1 - 2 / pi) of the difference.
    square = mean**2 + (1 - 2 / math.pi) * float(np.square(spread).sum()) / 4
    corrected = math.sqrt(max(0.0, joined**2 - square))
    if not bins.is_exact:
        return Distance(name, value, "share", corrected, note=SKETCHED)
    n, m = bins.rows
    p, q = shares(first), shares(second)
    side = np.sign(q - p) / 2
    error = math.sqrt(max(0.0, _variance(side, p) / n + _variance(side, q) / m))
    return Distance(
        name,
        value,
        "share",
        corrected=corrected,
        lower=max(0.0, min(corrected, joined - mean) - Z95 * error),
        upper=min(1.0, joined + Z95 * error),
    )


def largest_difference(bins: Bins) -> Distance:
    """Measure the largest difference of a bin's shares (L-infinity), 0-1.

    The p-value adds up the chances of all bins, each normal, and is so an upper bound; with few
    rows it is drawn.
    """
    name = "l_infinity"
    value = _largest(bins.reference, bins.window)
    if bins.is_constant:
        return Distance(name, 0.0, "share", 0.0, 1.0, 0.0, None, "one value on both sides")
    first, second = bins.pooled
    if first.size < 2:
        return Distance(name, value, "share", note=TOO_FEW)
    joined, spread = _largest(first, second), _spread(first, second)
    corrected = math.sqrt(max(0.0, joined**2 - _square_of_largest(spread)))
    if not bins.is_exact:
        return Distance(name, value, "share", corrected, note=SKETCHED)
    n, m = bins.rows
    p, q = shares(first), shares(second)
    errors = np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    wide = -float(special.ndtri(0.025 / first.size)) * float(errors.max())
    chance, note = _largest_chance(first, second, joined, spread)
    return Distance(
        name,
        value,
        "share",
        corrected=corrected,
        p_value=chance,
        lower=max(0.0, joined - wide),
        upper=min(1.0, joined + wide),
        note=note,
    )


def _variation_chance(first: Counts, second: Counts) -> tuple[float, str]:
    n, m = float(first.sum()), float(second.sum())
    variation = _variation(first, second)
    # Over all ways to part the rows no mean is larger than this.
    mean = float(_spread(first, second).sum()) / 2 * math.sqrt((n + m) / (n + m - 1))
    bound = math.exp(-2 * n * m / (n + m) * max(0.0, variation - mean) ** 2)
    if n + m >= ROWS_MAX:
        return bound, BOUND
    drawn = parted(first, second)
    sizes = np.abs(drawn - (first + second) * (m / (n + m))).sum(axis=1) * (n + m) / (n * m) / 2
    chance = share_of_draws(sizes, variation)
    return (bound, BOUND) if bound < 1 / len(drawn) else (chance, DRAWN.format(len(drawn)))


def _largest_chance(
    first: Counts, second: Counts, largest: float, spread: Counts
) -> tuple[float, str]:
    n, m = float(first.sum()), float(second.sum())
    if has_law(first, second):
        chance = float((2.0 * special.ndtr(-largest / spread)).sum())
        # Two bins have the same difference: it is counted once.
        chance /= 2.0 if first.size == 2 else 1.0
        return min(1.0, chance), "p-value is an upper bound: the sum over all bins"
    drawn = parted(first, second)
    sizes = np.abs(drawn - (first + second) * (m / (n + m))).max(axis=1) * (n + m) / (n * m)
    return share_of_draws(sizes, largest), DRAWN.format(len(drawn))


def _variation(first: Counts, second: Counts) -> float:
    return min(1.0, float(np.abs(shares(first) - shares(second)).sum()) / 2)


def _largest(first: Counts, second: Counts) -> float:
    return float(np.abs(shares(first) - shares(second)).max())


def _spread(first: Counts, second: Counts) -> Counts:
    """Return the standard deviation of each difference of shares without a change."""
    n, m = float(first.sum()), float(second.sum())
    share = (first + second) / (n + m)
    return np.sqrt(np.clip(share * (1 - share), 0.0, None) * (1 / n + 1 / m))


def _square_of_largest(spread: Counts) -> float:
    """Return the mean square of the largest of normal differences, as if each were on its own."""
    spread = spread[spread > 0]
    if spread.size == 2:  # Both are one and the same.
        spread = spread[:1]
    ends = np.linspace(0.0, REACH * float(spread.max()), STEPS + 1)
    below = np.zeros(STEPS + 1)
    for part in np.array_split(spread, max(1, spread.size // 1_000)):
        with np.errstate(divide="ignore"):
            below += np.log(special.erf(ends[None, :] / (part[:, None] * math.sqrt(2)))).sum(axis=0)
    return float(np.trapezoid(2.0 * ends * (1.0 - np.exp(below)), ends))


def _variance(values: Counts, share: Counts) -> float:
    return float((share * np.square(values)).sum()) - float((share * values).sum()) ** 2
