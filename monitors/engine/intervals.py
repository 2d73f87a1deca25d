"""Intervals of a number by the rows of its window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.engine.jackknife import RowLaw
from driftline.monitors.engine.metric import TINY, Array, MetricSet
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.tails import pearson_quantile, pearson_tail
from driftline.stats.roots import first_beyond

LEVEL = 0.95
# With fewer degrees of its variance an interval is left open: a few rows make most of it.
FEW_DEGREES = 30.0
MOST_SKEWNESS = 8.0
MOST_DEGREES = 1e6  # Of a variance that is known.


# Numbers that are undefined, or vary not at all, have no interval.
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def intervals(
    value: Array, rows: RowLaw, support: Array, reference: Reference
) -> tuple[Array, Array]:
    """Return the values that the law of a window's rows does not reject at 95%.

    An interval is about these rows, not about how days differ. Variance goes with p (1 - p) of a
    share, e^2 of an error, 1 of others. In this unit it is the window's or the reference's,
    whichever is larger, since few events, or none, show too little of it.

    Parameters
    ----------
    value, support
        Of the window, shape (M,).
    rows
        The window's own law of rows.
    reference
        What the window is compared with.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends, (M,); NaN where the value is, and where a few rows make most of its
        variance.

    References
    ----------
    Cox and Hinkley, Theoretical Statistics, 1974, ch. 7 (inverting a test); Johnson, JASA 73, 1978
    (skewness in t).
    """
    metrics, support = reference.metrics, np.maximum(support, 1.0)
    # An error of 0, such as a ratio without an event, has the reference's variance.
    of_zero = metrics.is_error & ~(value > 0)
    size = metrics.variance_function(metrics.inside(value, support))
    usual = metrics.variance_function(metrics.inside(reference.value, reference.support))
    size = np.where(of_zero, usual, size)
    spread, third, degrees = spread_of_rows(metrics, rows, size, reference)
    # Student's quantile as a normal probability: the variance is an estimate.
    quantile = special.stdtrit(np.maximum(degrees, 1.0), (1.0 - LEVEL) / 2.0)
    p = np.asarray(special.ndtr(quantile), np.float64)
    skewness = third / np.maximum(spread**1.5, TINY) / np.sqrt(support)
    skewness = np.clip(skewness, -MOST_SKEWNESS, MOST_SKEWNESS)
    far, near = pearson_quantile(1.0 - p, skewness), pearson_quantile(p, skewness)
    relative = np.sqrt(np.maximum(spread / support, TINY))
    error, beneath = relative * np.sqrt(size), np.maximum(1.0 + relative * near, 0.0)
    low = np.where(of_zero | ~metrics.is_error, value - error * far,
                   value / np.maximum(1.0 + relative * far, TINY))  # fmt: skip
    high = np.where(of_zero | ~metrics.is_error, value - error * near, value / beneath)
    low = np.where(of_zero, np.maximum(low, 0.0), low)
    if metrics.is_share.any():
        low = np.where(metrics.is_share, _share_end(value, relative**2, p, 1.0), low)
        high = np.where(metrics.is_share, _share_end(value, relative**2, p, -1.0), high)
    is_open = ((degrees < FEW_DEGREES) & ~metrics.is_lattice) | np.isnan(value)
    return np.where(is_open, np.nan, low), np.where(is_open, np.nan, high)


def spread_of_rows(
    metrics: MetricSet, rows: RowLaw, size: Array, reference: Reference | None
) -> tuple[Array, Array, Array]:
    """Return variance and third cumulant in units of the variance function, and the degrees.

    They are the window's or the reference's, whichever variance is larger. Where no row shows any,
    a share of one row each varies by p (1 - p). `size` is the variance function of the window's
    values.
    """
    spread, third, degrees = rows.variance / size, rows.third / size**1.5, rows.degrees
    is_lattice = metrics.is_share & metrics.is_lattice
    if reference is None:
        return _at_least_binomial(is_lattice, spread, third, degrees)
    usual = metrics.variance_function(metrics.inside(reference.value, reference.support))
    usual_spread = reference.rows.variance / usual
    is_larger = usual_spread > spread
    spread = np.where(is_larger, usual_spread, spread)
    third = np.where(is_larger, reference.rows.third / usual**1.5, third)
    degrees = np.maximum(degrees, reference.rows.degrees)
    return _at_least_binomial(is_lattice, spread, third, degrees)


def _at_least_binomial(
    is_lattice: NDArray[np.bool_], spread: Array, third: Array, degrees: Array
) -> tuple[Array, Array, Array]:
    is_unseen = is_lattice & (degrees == 0)
    return np.where(is_unseen, 1.0, spread), third, np.where(is_unseen, MOST_DEGREES, degrees)


def _share_end(value: Array, spread: Array, p: Array, side: float) -> Array:
    """Return the share below (side 1) or above `value` that gives one so far out the chance p.

    A share has the skewness of a binomial law.
    """
    near, far = np.clip(np.nan_to_num(value), 0.0, 1.0), 0.0 if side > 0 else 1.0

    def rejected_by(part: Array) -> Array:
        share = near + part * (far - near)
        product = np.maximum(share * (1.0 - share), TINY)
        z = side * (value - share) / np.sqrt(spread * product)
        skewness = (1.0 - 2.0 * share) * np.sqrt(spread / product)
        return p - pearson_tail(np.nan_to_num(z), side * skewness)

    part = first_beyond(rejected_by, np.zeros_like(near), np.ones_like(near), error=1e-10)
    return near + np.nan_to_num(part, nan=1.0) * (far - near)
