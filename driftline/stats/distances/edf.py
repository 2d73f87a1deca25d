"""Kolmogorov-Smirnov, Cramér-von Mises, Anderson-Darling: what lies between two curves. Pure."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
from scipy import special, stats

from driftline.stats.distances.curves import Curves, largest_gap
from driftline.stats.distances.distance import Distance

# Up to so many rows of one side times those of the other the exact law is quick.
EXACT_WAYS = 1_000_000
# Laws of integrals over the distribution hold while no single value has more of the rows, and
# from so many rows a side.
TIED_SHARE = 0.02
LAWFUL_ROWS = 20
# From here on the tails are continued by their leading term, where 1 - CDF loses its digits.
CRAMER_END, ANDERSON_END = 2.0, 8.0
FEW = "no p-value: too few rows for the law of this statistic"
TIES = "no p-value: single values hold too many rows for the law of this statistic"
BOUND = "p-value is an upper bound: the sketches' ranks are off by up to {:.2g} together"


def kolmogorov_smirnov(curves: Curves) -> Distance:
    """Measure the largest difference of the two curves, L-infinity of the CDFs; 0-1.

    The p-value is exact for up to a million pairs of rows, else that of the one-sample law at N_e
    rows, of a distance one row less; ties make it too large, never too small. The interval is that
    of Dvoretzky, Kiefer and Wolfowitz and holds for every distribution.

    References
    ----------
    Massart, Annals of Probability 18, 1990; Hodges, Arkiv for Matematik 3, 1958.
    """
    distance = largest_gap(curves)
    certain = max(0.0, (distance.value or 0.0) - curves.error)
    return replace(distance, p_value=_kolmogorov_chance(curves, certain), note=_sketch_note(curves))


def cramer_von_mises(curves: Curves) -> Distance:
    """Measure the mean square between the two curves over the rows of both, 0 to 1/3.

    N_e times the value is the two-sample statistic T of Cramér and von Mises; the law of T is the
    limiting one, moved and scaled to the exact mean and variance.

    References
    ----------
    Anderson, Annals of Mathematical Statistics 33, 1962; Csörgő and Faraway, JRSS B 58, 1996.
    """
    mass = np.diff(curves.pooled, prepend=0.0)
    value = float((np.square(curves.reference - curves.window) * mass).sum())
    n, m, rows = curves.reference_rows, curves.window_rows, curves.effective_rows
    total = n + m
    mean = (1 + 1 / total) / 6
    spread = (total + 1) * (4 * n * m * total - 3 * (n * n + m * m) - 2 * n * m)
    spread /= 45 * total**2 * 4 * n * m
    certain = max(0.0, math.sqrt(value) - curves.error) ** 2 * rows
    why = _why_lawless(curves)
    chance = None if why else _cramer_chance(1 / 6 + (certain - mean) / math.sqrt(45 * spread))
    return Distance(
        "cramer_von_mises",
        value,
        "squared share",
        corrected=max(0.0, value - mean / rows),
        p_value=chance,
        note=why or _sketch_note(curves),
    )


def anderson_darling(curves: Curves) -> Distance:
    """Measure the mean square between the curves, each point over its variance; weighs the tails.

    N_e times the value is the two-sample statistic of Anderson and Darling; its law is the limiting
    one, which has mean 1.

    References
    ----------
    Scholz and Stephens, JASA 82, 1987; Marsaglia and Marsaglia, Journal of Statistical Software 9,
    2004 (the limiting law).
    """
    pooled = curves.pooled
    mass = np.diff(pooled, prepend=0.0)
    inner = (pooled > 0.0) & (pooled < 1.0 - 1e-12)
    weight = mass[inner] / (pooled[inner] * (1.0 - pooled[inner]))
    gap = np.abs(curves.reference - curves.window)[inner]
    value = float((np.square(gap) * weight).sum())
    certain = float((np.square(np.maximum(gap - curves.error, 0.0)) * weight).sum())
    rows, why = curves.effective_rows, _why_lawless(curves)
    return Distance(
        "anderson_darling",
        value,
        "squared share over its variance",
        corrected=max(0.0, value - 1.0 / rows),
        p_value=None if why else _anderson_chance(certain * rows),
        note=why or _sketch_note(curves),
    )


def _why_lawless(curves: Curves) -> str:
    """Return why limiting laws for continuous values do not hold; "" where they do."""
    rows = curves.reference_rows + curves.window_rows
    if min(curves.reference_rows, curves.window_rows) < LAWFUL_ROWS:
        return FEW
    largest = float(np.diff(curves.pooled, prepend=0.0).max())
    return TIES if largest * rows > max(1.5, TIED_SHARE * rows) else ""


def _sketch_note(curves: Curves) -> str:
    return BOUND.format(curves.error) if curves.error else ""


def _kolmogorov_chance(curves: Curves, distance: float) -> float:
    """Return the chance of so large a difference, at most 1."""
    n, m = curves.reference_rows, curves.window_rows
    if distance <= 0.0:
        return 1.0
    if curves.error == 0.0 and n * m <= EXACT_WAYS:
        at = np.arange(curves.points.size)
        first, second = (
            np.repeat(at, np.rint(np.diff(share, prepend=0.0) * rows).astype(np.int64))
            for share, rows in ((curves.reference, n), (curves.window, m))
        )
        with warnings.catch_warnings():
            # Where rounding takes the exact sum beyond 1 scipy warns and takes the limiting law.
            warnings.simplefilter("ignore", RuntimeWarning)
            return float(stats.ks_2samp(first, second, method="exact").pvalue)
    # The distance comes in steps of a row, which the one-sample law does not know: with few rows
    # on the other side it would give a chance far too small.
    return float(stats.kstwo.sf(distance - 1 / max(n, m), max(1, int(curves.effective_rows))))


def _cramer_chance(statistic: float) -> float:
    """Return the upper tail of the limiting law of Cramér and von Mises."""
    if statistic <= 0.003:
        return 1.0
    if statistic > CRAMER_END:  # The largest eigenvalue of the limit is 1 / pi^2.
        return _cramer_chance(CRAMER_END) * math.exp(-(math.pi**2) / 2 * (statistic - CRAMER_END))
    k = np.arange(20)
    y = np.square(4 * k + 1) / (16 * statistic)
    terms = special.gamma(k + 0.5) / (special.gamma(k + 1.0) * math.pi**1.5)
    terms *= np.sqrt((4 * k + 1) / statistic) * np.exp(-y) * special.kv(0.25, y)
    return float(np.clip(1.0 - terms.sum(), 0.0, 1.0))


def _anderson_chance(statistic: float) -> float:
    """Return the upper tail of the limiting law of Anderson and Darling, right to 2e-6."""
    z = statistic
    if z <= 0.0:
        return 1.0
    if z > ANDERSON_END:  # The largest eigenvalue of the limit is 1/2.
        return _anderson_chance(ANDERSON_END) * math.exp(ANDERSON_END - z)
    if z < 2.0:
        inner = np.polyval([0.00168691, -0.0116720, 0.0347962, -0.0649821, 0.247105, 2.00012], z)
        return float(np.clip(1.0 - math.exp(-1.2337141 / z) / math.sqrt(z) * inner, 0.0, 1.0))
    power = np.polyval([0.0003146, -0.008056, 0.082433, -0.43424, 2.30695, -1.0776], z)
    return float(-math.expm1(-math.exp(-power)))
