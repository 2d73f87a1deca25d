"""PSI, KL, Jensen-Shannon, Hellinger and chi-square with their chances and intervals.

To second order all five are one chi-square of K - 1 degrees in different units: the value times
N_e over its factor. So they share their p-value, which is Pearson's, and the way to their
correction and interval; each is believed only on bins that expect five rows on both sides.

References
----------
Cressie and Read, JRSS B 46, 1984 (power divergences); Johnson, Kotz and Balakrishnan, Continuous
Univariate Distributions 2, 1995, chapter 29 (non-central chi-square).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from driftline.stats.distances.bins import Bins
from driftline.stats.distances.chances import chi_square_chance
from driftline.stats.distances.counts import Counts, shares
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.divergences import (
    chi_square,
    hellinger_square,
    jensen_shannon,
    kullback_leibler,
    population_stability,
)
from driftline.stats.intervals import Z95

# Beyond this the non-central law is as good as normal, and its inverse slow.
CENTRAL_END = 1e4
SKETCHED = "no p-value and no interval: the rows of the bins are estimated from sketches"
TOO_FEW = "too few rows: no two bins expect five rows on both sides"

Slope = Callable[[Counts, Counts], tuple[Counts, Counts]]


@dataclass(frozen=True, slots=True)
class Divergence:
    """One of the five.

    Parameters
    ----------
    measure
        Of counts per bin, reference first.
    factor
        The value is ``factor * chi-square / N_e`` to second order.
    slope
        Derivatives of the value by the reference's and the window's shares, shapes (K,).
    unit
        Of the value.
    square_scale
        Of a distance whose square times this number is the value; None for the value itself.
    """

    measure: Callable[[Counts, Counts], float]
    factor: float
    slope: Slope
    unit: str
    square_scale: float | None = None

    def shown(self, value: float) -> float:
        """Return the number that people see."""
        if self.square_scale is None:
            return value
        return math.sqrt(max(0.0, value) / self.square_scale)


def _stability_slope(p: Counts, q: Counts) -> tuple[Counts, Counts]:
    return np.log(p / q) + 1 - q / p, np.log(q / p) + 1 - p / q


def _leibler_slope(p: Counts, q: Counts) -> tuple[Counts, Counts]:
    return -q / p, np.log(q / p) + 1


def _shannon_slope(p: Counts, q: Counts) -> tuple[Counts, Counts]:
    middle = (p + q) / 2
    return np.log(p / middle) / 2, np.log(q / middle) / 2


def _hellinger_slope(p: Counts, q: Counts) -> tuple[Counts, Counts]:
    return -np.sqrt(q / p) / 2, -np.sqrt(p / q) / 2


DIVERGENCES = {
    "psi": Divergence(population_stability, 1.0, _stability_slope, "nats"),
    "kl": Divergence(kullback_leibler, 0.5, _leibler_slope, "nats"),
    "js_divergence": Divergence(jensen_shannon, 1 / 8, _shannon_slope, "nats"),
    "js_distance": Divergence(jensen_shannon, 1 / 8, _shannon_slope, "root of bits", math.log(2)),
    "hellinger": Divergence(hellinger_square, 1 / 8, _hellinger_slope, "root of share", 1.0),
}


def measure_divergence(name: str, bins: Bins) -> Distance:
    """Measure one of `DIVERGENCES`, or "chi_squared", on common bins."""
    if name == "chi_squared":
        return _chi_squared(bins)
    divergence = DIVERGENCES[name]
    if bins.is_constant:
        return Distance(name, 0.0, divergence.unit, 0.0, 1.0, 0.0, None, "one value on both sides")
    value = divergence.shown(divergence.measure(bins.reference, bins.window))
    first, second = bins.pooled
    if first.size < 2:
        return Distance(name, value, divergence.unit, note=TOO_FEW)
    joined, freedom = divergence.measure(first, second), first.size - 1
    factor = divergence.factor / bins.effective_rows
    corrected = max(0.0, joined - factor * freedom)
    if not bins.is_exact:
        return Distance(name, value, divergence.unit, divergence.shown(corrected), note=SKETCHED)
    statistic = joined / factor
    low, high = (factor * end for end in _noncentral_interval(statistic, freedom))
    # Far from equal the chi-square law is too narrow or too wide; the first-order error is not.
    reach = Z95 * _error(divergence.slope, first, second)
    chance, note = chi_square_chance(first, second)
    return Distance(
        name,
        value,
        divergence.unit,
        corrected=divergence.shown(corrected),
        p_value=chance,
        lower=divergence.shown(max(0.0, min(low, corrected - reach))),
        upper=divergence.shown(max(high, corrected + reach)),
        note=note,
    )


def _chi_squared(bins: Bins) -> Distance:
    """Measure Pearson's chi-square over bins that expect enough rows; it grows with the rows."""
    unit = "chi-square"
    first, second = bins.pooled
    if bins.is_constant:
        return Distance("chi_squared", 0.0, unit, 0.0, 1.0, note="one value on both sides")
    if first.size < 2:
        return Distance("chi_squared", None, unit, note=TOO_FEW)
    value, freedom = chi_square(first, second), first.size - 1
    if not bins.is_exact:
        return Distance("chi_squared", value, unit, max(0.0, value - freedom), note=SKETCHED)
    low, high = _noncentral_interval(value, freedom)
    chance, drawn = chi_square_chance(first, second)
    return Distance(
        "chi_squared",
        value,
        unit,
        corrected=max(0.0, value - freedom),
        p_value=chance,
        lower=low,
        upper=high,
        note=f"{freedom} degrees of freedom" + (f"; {drawn}" if drawn else ""),
    )


def _noncentral_interval(statistic: float, freedom: int) -> tuple[float, float]:
    """Return the 95% interval of what a chi-square has beyond its degrees of freedom."""
    if statistic > CENTRAL_END:
        middle = statistic - freedom
        reach = Z95 * math.sqrt(2 * freedom + 4 * max(middle, 0.0))
        return max(0.0, middle - reach), max(0.0, middle + reach)
    low, high = 0.0, 0.0
    if special.chdtr(freedom, statistic) > 0.975:
        low = float(special.chndtrinc(statistic, freedom, 0.975))
    if special.chdtr(freedom, statistic) > 0.025:
        high = float(special.chndtrinc(statistic, freedom, 0.025))
    return low, high


def _error(slope: Slope, first: Counts, second: Counts) -> float:
    """Return the standard error of a function of shares by the delta method."""
    p, q = shares(first + 0.5), shares(second + 0.5)
    by_first, by_second = slope(p, q)
    parts = (
        (float((share * np.square(by)).sum()) - float((share * by).sum()) ** 2) / float(rows.sum())
        for share, by, rows in ((p, by_first, first), (q, by_second, second))
    )
    return math.sqrt(max(0.0, sum(parts)))
