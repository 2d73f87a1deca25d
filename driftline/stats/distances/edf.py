"""Kolmogorov-Smirnov and Anderson-Darling: what lies between two curves. Pure."""

from __future__ import annotations

import numpy as np

from driftline.stats.distances.curves import Curves
from driftline.stats.distances.distance import Distance

SKETCHED = "the sketches' ranks are off by up to {:.2g} together"


def kolmogorov_smirnov(curves: Curves) -> Distance:
    """Measure the largest difference of the two curves, L-infinity of the CDFs; 0-1.

    References
    ----------
    Kolmogorov, Giornale dell'Istituto Italiano degli Attuari 4, 1933.
    """
    value = float(np.abs(curves.reference - curves.window).max())
    note = SKETCHED.format(curves.error) if curves.error else ""
    return Distance("kolmogorov_smirnov", value, "share", note)


def anderson_darling(curves: Curves) -> Distance:
    """Measure the mean square between the curves, each point over its variance; weighs the tails.

    nm / (n + m) times the value is the two-sample statistic of Anderson and Darling.

    References
    ----------
    Scholz and Stephens, JASA 82, 1987.
    """
    pooled = curves.pooled
    mass = np.diff(pooled, prepend=0.0)
    inner = (pooled > 0.0) & (pooled < 1.0 - 1e-12)
    weight = mass[inner] / (pooled[inner] * (1.0 - pooled[inner]))
    gap = np.abs(curves.reference - curves.window)[inner]
    value = float((np.square(gap) * weight).sum())
    return Distance("anderson_darling", value, "squared share over its variance")
