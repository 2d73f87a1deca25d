"""Suspects a change of unit: the values fit what is expected once they are converted.

A season moves values a little and all sources together; a change of unit moves them far, often at
one source, and a well-known conversion brings them back. Pure functions of values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.distances.curves import cdf_distance

# Fewer values than this, or fewer distinct ones, fit anything.
MIN_VALUES = 30
MIN_DISTINCT = 5

# Values are compared beside others of the same window, or with the reference of another season:
# nearly apart before the conversion, largely together after it, with a spread of the same size.
APART = 0.85
TOGETHER = 0.45
SPREAD_RATIO = 4.0

# All of a column that drifted, or a good part of it, is the reference's again once converted: of
# the largest difference hardly anything is left.
RESTORED, LEFT_SHARE, LEAST_PART = 0.15, 0.5, 0.2
# A conversion is named where its factor is so near the ratio of the medians: 12 is not 10.
NEAR = 1.1
# What lies on both sides of zero, so many of it on the rarer one, may go over by a mere season.
BOTH_SIGNS = 0.005

FAR_FACTOR = 50.0
FAR_OFFSET = 200.0

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UnitChange:
    """A conversion that would explain the values.

    Parameters
    ----------
    name
        In words, as the end of "looks like".
    factor, offset
        Expected value = factor x found value + offset.
    distance_before, distance_after
        Largest difference of the cumulative distributions without and with the conversion.
    """

    name: str
    factor: float
    offset: float
    distance_before: float
    distance_after: float


# Only conversions that move values far: those by less than two are what weather and prices do.
CONVERSIONS: tuple[tuple[str, float, float], ...] = (
    ("Celsius instead of Fahrenheit", 1.8, 32.0),
    ("Fahrenheit instead of Celsius", 1 / 1.8, -32.0 / 1.8),
    ("Kelvin instead of Celsius", 1.0, -273.15),
    ("Celsius instead of Kelvin", 1.0, 273.15),
    ("Kelvin instead of Fahrenheit", 1.8, -459.67),
    *((f"{10**k:,} times the expected unit", 10.0**-k, 0.0) for k in range(1, 10)),
    *((f"1/{10**k:,} of the expected unit", 10.0**k, 0.0) for k in range(1, 10)),
    ("the opposite sign", -1.0, 0.0),
    ("hours instead of minutes (or minutes instead of seconds)", 60.0, 0.0),
    ("minutes instead of hours (or seconds instead of minutes)", 1 / 60, 0.0),
    ("hours instead of seconds", 3600.0, 0.0),
    ("seconds instead of hours", 1 / 3600, 0.0),
    ("metres instead of feet", 3.28084, 0.0),
    ("feet instead of metres", 1 / 3.28084, 0.0),
    ("inches instead of centimetres", 2.54, 0.0),
    ("centimetres instead of inches", 1 / 2.54, 0.0),
    ("inches instead of millimetres", 25.4, 0.0),
    ("millimetres instead of inches", 1 / 25.4, 0.0),
    ("kilograms instead of pounds", 2.20462, 0.0),
    ("pounds instead of kilograms", 1 / 2.20462, 0.0),
)


def suspect_unit(
    values: Numbers,
    expected: Numbers,
    *,
    expected_weights: Numbers | None = None,
    far_only: bool = False,
) -> UnitChange | None:
    """Say which conversion would bring values back to what is expected, if one would.

    Parameters
    ----------
    values
        The values under suspicion, shape (n,), finite.
    expected
        Values that are right: other sources of the same window, or the reference's quantiles.
    expected_weights
        Rows that each expected value stands for; 1 each when missing.
    far_only
        Try only conversions that no season can imitate: by a factor of 50 or an offset of 200.

    Returns
    -------
    UnitChange or None
        The conversion that fits best; None with too few values or when none fits.
    """
    if min(values.size, expected.size) < MIN_VALUES:
        return None
    if min(np.unique(values).size, np.unique(expected).size) < MIN_DISTINCT:
        return None
    before = cdf_distance(expected, values, reference_weights=expected_weights)
    if before < APART:
        return None
    found = [
        UnitChange(name, factor, offset, before, after)
        for name, factor, offset in CONVERSIONS
        if (not far_only or _is_far(factor, offset))
        and _spreads_agree(values * factor, expected, expected_weights)
        and (
            after := cdf_distance(
                expected, values * factor + offset, reference_weights=expected_weights
            )
        )
        <= TOGETHER
    ]
    best = min(found, key=lambda one: one.distance_after, default=None)
    return best and _measured(best, values, expected, expected_weights)


def restoring_unit(
    values: Numbers, changed: NDArray[np.bool_], expected: Numbers, expected_weights: Numbers
) -> UnitChange | None:
    """Say which conversion of some values makes all of them what the reference holds.

    For columns that are known to have drifted: by distance alone a season may look like it.

    Parameters
    ----------
    values
        The window's, shape (n,), finite.
    changed
        Which of them are converted, shape (n,).
    expected, expected_weights
        The reference's quantiles, and the rows that each stands for.

    Returns
    -------
    UnitChange or None
        The conversion that fits best; None with too few values or when none fits.
    """
    chosen = values[changed]
    if chosen.size < MIN_VALUES or expected.size < MIN_VALUES:
        return None
    if min(np.unique(chosen).size, np.unique(expected).size) < MIN_DISTINCT:
        return None
    before = cdf_distance(expected, values, reference_weights=expected_weights)
    if before < (APART if changed.all() else LEAST_PART):
        return None
    found = []
    negative = float(np.average(expected < 0, weights=expected_weights))
    for name, factor, offset in CONVERSIONS:
        if factor < 0 and changed.all() and BOTH_SIGNS < negative < 1.0 - BOTH_SIGNS:
            continue
        converted = np.where(changed, values * factor + offset, values)
        after = cdf_distance(expected, converted, reference_weights=expected_weights)
        if after <= min(RESTORED, LEFT_SHARE * before):
            found.append(UnitChange(name, factor, offset, before, after))
    best = min(found, key=lambda one: one.distance_after, default=None)
    # Of a part nobody knows where it lay before.
    if best is None or not changed.all():
        return best
    return _measured(best, values, expected, expected_weights)


def _measured(
    best: UnitChange, values: Numbers, expected: Numbers, weights: Numbers | None
) -> UnitChange:
    """Return the measured ratio instead of a conversion that is not near it and fits far worse."""
    if best.offset or best.factor < 0:
        return best
    typical = float(np.quantile(expected, 0.5, weights=weights, method="inverted_cdf"))
    ratio = float(np.median(values)) / typical if typical else 0.0
    if ratio <= 0 or max(ratio * best.factor, 1 / (ratio * best.factor)) <= NEAR:
        return best
    after = cdf_distance(expected, values / ratio, reference_weights=weights)
    if after > LEFT_SHARE * best.distance_after:
        return best
    times = float(f"{max(ratio, 1 / ratio):.2g}")
    number = f"{times:,.0f}" if times >= 1_000 else f"{times:g}"
    shown = f"{number} times" if ratio > 1 else f"1/{number} of"
    return UnitChange(
        f"about {shown} the expected unit", 1 / ratio, 0.0, best.distance_before, after
    )


def _is_far(factor: float, offset: float) -> bool:
    return max(factor, 1 / factor) >= FAR_FACTOR or abs(offset) >= FAR_OFFSET


def _spreads_agree(values: Numbers, expected: Numbers, weights: Numbers | None) -> bool:
    """Whether the middle halves of both are of a like width."""
    if weights is not None:
        share = np.cumsum(weights[np.argsort(expected)]) / weights.sum()
        low, high = np.interp([0.25, 0.75], share, np.sort(expected))
    else:
        low, high = np.quantile(expected, [0.25, 0.75])
    first, last = np.quantile(values, [0.25, 0.75])
    width, wanted = abs(last - first), high - low
    return bool(wanted > 0 and wanted / SPREAD_RATIO <= width <= wanted * SPREAD_RATIO)
