"""How far rows would have to be moved: Wasserstein-1 and energy distance. Pure.

References
----------
Vallender, Theory of Probability and its Applications 18, 1974; docs/distances.md, "Numbers"
(robust scale, winsorising).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distances.counts import Counts
from driftline.stats.distances.curves import Curves
from driftline.stats.distances.distance import Distance

# Between these shares of the reference values count as they are; beyond, as the nearest of the two:
# one outlier decides the distance otherwise (docs/distances.md).
WINSOR_SHARES = (0.001, 0.999)
# Of a normal distribution: quartiles, median absolute deviation, 5% and 95%, in sd.
QUARTILES_SD, DEVIATION_SD, VIGINTILES_SD = 1.349, 1 / 1.4826, 3.29
TOO_FAR = "the values lie too far apart to be added"
OWN_UNIT = "the reference has no spread: in the column's own unit"


def robust_scale(curves: Curves) -> float | None:
    """Return the reference's spread in the column's unit, as a normal distribution's sd.

    Returns
    -------
    float or None
        The distance of the quartiles over 1.349; where that is 0 the median absolute deviation,
        then 5% to 95% over 3.29, then the standard deviation; None for a constant.
    """
    points, share = curves.points, curves.reference
    mass = np.diff(share, prepend=0.0)
    low, middle, high = _quantiles(points, share, (0.25, 0.5, 0.75))
    with np.errstate(over="ignore", invalid="ignore"):  # What is not finite is no scale.
        away = np.abs(points - middle)
        mean = float((mass * points).sum())
        variance = float((mass * np.square(points - mean)).sum())
    order = np.argsort(away, kind="stable")
    deviation = _quantiles(away[order], np.cumsum(mass[order]), (0.5,))[0]
    first, last = _quantiles(points, share, (0.05, 0.95))
    tries = (
        (high - low) / QUARTILES_SD,
        deviation / DEVIATION_SD,
        (last - first) / VIGINTILES_SD,
        math.sqrt(variance),
    )
    return next((scale for scale in tries if scale > 0 and math.isfinite(scale)), None)


def winsorised(curves: Curves) -> Curves:
    """Draw what lies beyond the reference's 0.1% and 99.9% points in to them.

    All stays where these are one: every other value would be taken for it.
    """
    inside = _inside(curves)
    reference, window = curves.reference[inside].copy(), curves.window[inside].copy()
    reference[-1] = window[-1] = 1.0
    return replace(curves, points=curves.points[inside], reference=reference, window=window)


def drawn_in(curves: Curves) -> float:
    """Return how many of the window's values `winsorised` draws in.

    Returns
    -------
    float
        Their share, 0-1; 0 where the reference's 0.1% and 99.9% points are one.
    """
    return float(np.diff(curves.window, prepend=0.0)[~_inside(curves)].sum())


def _inside(curves: Curves) -> NDArray[np.bool_]:
    low, high = _quantiles(curves.points, curves.reference, WINSOR_SHARES)
    if low == high:
        return np.ones(curves.points.size, bool)
    return np.asarray((curves.points >= low) & (curves.points <= high))


def wasserstein(curves: Curves) -> Distance:
    """Measure how far the rows moved in the mean, in robust sd of the reference, winsorised; >= 0.

    For a pure shift it is the shift.

    References
    ----------
    Vallender, Theory of Probability and its Applications 18, 1974 (the area between the curves).
    """
    scale = robust_scale(curves)
    area = _area(winsorised(curves), "wasserstein", 1.0 if scale is None else scale)
    if area.value is None or scale is None:
        return replace(area, note=area.note if area.value is None else OWN_UNIT)
    return replace(area, unit="sd")


def wasserstein_raw(curves: Curves) -> Distance:
    """Measure how far the rows moved in the mean, outliers included.

    Returns
    -------
    Distance
        In the column's unit, >= 0; None where the values lie too far apart to be added.

    References
    ----------
    Vallender, Theory of Probability and its Applications 18, 1974 (the area between the curves).
    """
    return _area(curves, "wasserstein_raw", 1.0)


def energy(curves: Curves) -> Distance:
    """Measure the energy distance over the root of the robust scale, winsorised; >= 0.

    The square is ``2 E|X - Y| - E|X - X'| - E|Y - Y'| = 2 int (F - G)^2 dx``.

    References
    ----------
    Székely and Rizzo, InterStat 5, 2004.
    """
    scale = robust_scale(curves)
    inner = winsorised(curves)
    widths = _widths(inner, 1.0 if scale is None else scale)
    if widths is None:
        return Distance("energy", None, "of the column", TOO_FAR)
    gap = (inner.reference - inner.window)[:-1]
    value = math.sqrt(2.0 * float((np.square(gap) * widths).sum()))
    if scale is None:
        return Distance("energy", value, "root of the column's unit", OWN_UNIT)
    return Distance("energy", value, "root of sd")


def mean_shift(curves: Curves) -> float:
    """Return by how much the mean of the winsorised values rose.

    Returns
    -------
    float
        In the column's unit; below 0 where it fell.
    """
    inner = winsorised(curves)
    return float(((inner.reference - inner.window)[:-1] * np.diff(inner.points)).sum())


def _area(curves: Curves, name: str, scale: float) -> Distance:
    """Measure the area between two curves, over a scale."""
    widths = _widths(curves, scale)
    if widths is None:
        return Distance(name, None, "of the column", TOO_FAR)
    gap = np.abs(curves.window - curves.reference)[:-1]
    return Distance(name, float((gap * widths).sum()), "of the column")


def _widths(curves: Curves, scale: float) -> Counts | None:
    """Return the steps between points over a scale; None where they cannot be squared and added."""
    with np.errstate(over="ignore"):
        widths = np.diff(curves.points) / scale
        return widths if np.isfinite(np.square(widths.sum())) else None


def _quantiles(points: Counts, share: Counts, wanted: tuple[float, ...]) -> list[float]:
    """Return the smallest points at or below which these shares lie."""
    at = np.searchsorted(share, np.asarray(wanted) - 1e-12)
    return [float(points[min(place, points.size - 1)]) for place in at]
