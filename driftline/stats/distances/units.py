"""Suspects a change of unit: the values fit what is expected once they are converted.

A season moves values a little and all sources together; a change of unit moves them far, often at
one source, and a well-known conversion brings them back. Pure functions of values.

References
----------
docs/distances.md (`unit_change`): what counts as restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distances.counts import Counts
from driftline.stats.distances.curves import Curves, cdf_distance
from driftline.stats.distances.distance import Distance

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
# Of what chance leaves of n values once in twenty, times the root of n (Kolmogorov 1933).
BY_CHANCE = 1.36
# A conversion is named where its factor is so near the ratio of the medians: 12 is not 10.
NEAR = 1.1
# Prices and winds go up and down by mere factors below this, and among the known ones one is always
# near. So these are named only where all of what is converted was multiplied by just that factor:
# each of these quantiles as much as the others, to a twentieth. Of what is chosen by lying beyond
# the reference some small factor always brings all back.
SMALL_FACTOR = 4.0
QUANTILES, SAME_FACTOR = (0.1, 0.25, 0.5, 0.75, 0.9), 1.05
# What lies on both sides of zero, so many of it on the rarer one, may go over by a mere season.
BOTH_SIGNS = 0.005

# Values that stand for a side of a distance: enough for curves that are apart or together.
POINTS = 400

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
        Expected value = factor x value + offset.
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


def unit_change(curves: Curves) -> Distance:
    """Measure what part of the largest difference of the curves a known conversion undoes, 0-1.

    Powers of ten, the opposite sign, temperatures, times, lengths and weights are tried; the note
    names the one that fits best. 0 when none brings the window back to the reference: to 0.15, or
    to 0.45 by a factor of 50 or an offset of 200, which no season has.
    """
    if min(curves.reference_rows, curves.window_rows) < MIN_VALUES:
        return Distance("unit_change", None, "share", note=f"fewer than {MIN_VALUES} values")
    change = _unit_of(curves)
    if change is None:
        return Distance("unit_change", 0.0, "share", note="no known conversion fits")
    undone = max(0.0, change.distance_before - change.distance_after)
    return Distance("unit_change", undone, "share", note=f"looks like {change.name}")


def _unit_of(curves: Curves) -> UnitChange | None:
    """Return the conversion that would bring the window back to the reference; None when none fits.

    One that a season can imitate must leave hardly any difference.
    """
    first = _points(curves, curves.reference, curves.reference_rows)
    second = _points(curves, curves.window, curves.window_rows)
    far = suspect_unit(second, first, far_only=True)
    near = restoring_units(second, np.ones(second.size, bool), first, np.ones(first.size))
    changes = [change for change in (one_of(near), far) if change is not None]
    return min(changes, key=lambda change: change.distance_after, default=None)


def _points(curves: Curves, share: Counts, rows: float) -> Counts:
    """Return values that lie as the side's do, as many as its rows and at most 400."""
    count = int(min(POINTS, rows))
    at = np.searchsorted(share, (np.arange(count) + 0.5) / count - 1e-12)
    return np.asarray(curves.points[np.minimum(at, curves.points.size - 1)])


def suspect_unit(
    values: Numbers,
    expected: Numbers,
    *,
    expected_weights: Numbers | None = None,
    far_only: bool = False,
) -> UnitChange | None:
    """Return the conversion that would bring values back to what is expected, if one would.

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
        The conversion that fits best, where `far_only` with those that fit as well named beside it;
        None with too few values or when none fits.
    """
    if _are_few(values, expected):
        return None
    before = cdf_distance(expected, values, reference_weights=expected_weights)
    if before < APART:
        return None
    wide = _spread_ratio(values, expected, expected_weights)
    fitting = [
        UnitChange(name, factor, offset, before, after)
        for name, factor, offset in CONVERSIONS
        if (not far_only or _is_far(factor, offset))
        and 1 / SPREAD_RATIO <= wide * abs(factor) <= SPREAD_RATIO
        and (
            not _is_small(factor, offset)
            or _is_multiplied(values * factor, expected, expected_weights)
        )
        and (
            after := cdf_distance(
                expected, values * factor + offset, reference_weights=expected_weights
            )
        )
        <= TOGETHER
    ]
    best = min(fitting, key=lambda change: change.distance_after, default=None)
    if best is None:
        return None
    if not far_only:
        return _measured(best, values, expected, expected_weights)
    # By how far they lie another season may look like another factor: none is measured.
    return one_of(_alike(fitting, best, BY_CHANCE / np.sqrt(values.size)))


def one_of(changes: Sequence[UnitChange]) -> UnitChange | None:
    """Return the first of conversions that fit alike, its name that of all; None without any."""
    if len(changes) < 2:
        return changes[0] if changes else None
    return replace(changes[0], name=f"one of: {'; '.join(one.name for one in changes)}")


def restoring_units(
    values: Numbers,
    changed: NDArray[np.bool_],
    expected: Numbers,
    expected_weights: Numbers,
    *,
    least_factor: float = 1.0,
    effect: float = 1.0,
) -> list[UnitChange]:
    """Return the conversions of some values that make all of them what the reference holds.

    For columns that are known to have drifted: by distance alone a season may look like it.

    Parameters
    ----------
    values
        The window's, shape (n,), finite.
    changed
        Which of them are converted, shape (n,).
    expected, expected_weights
        The reference's quantiles, and the rows that each stands for.
    least_factor
        Mere factors nearer to 1 than this, either way, are not tried: prices double by themselves.
    effect
        How many times more than independent rows the column varies.

    Returns
    -------
    list of UnitChange
        The one that fits best, and those that fit as well; none with too few values.

    References
    ----------
    Kolmogorov, Giornale dell'Istituto Italiano degli Attuari 4, 1933.
    """
    order = np.argsort(values)
    values, changed = values[order], changed[order]  # Each conversion leaves them sorted.
    if _are_few(values[changed], expected):
        return []
    distance = partial(cdf_distance, expected, reference_weights=expected_weights)
    before = distance(values)
    tried, is_all = list[UnitChange](), bool(changed.all())
    if before < (APART if is_all else LEAST_PART):
        return []
    fits = partial(_is_multiplied, weights=expected_weights)
    negative = float(np.average(expected < 0, weights=expected_weights))
    for name, factor, offset in CONVERSIONS:
        if not offset and factor > 0 and max(factor, 1 / factor) < least_factor:
            continue
        if _is_small(factor, offset) and not (is_all and fits(values * factor, expected)):
            continue
        if factor < 0 and is_all and BOTH_SIGNS < negative < 1.0 - BOTH_SIGNS:
            continue
        after = distance(np.where(changed, values * factor + offset, values))
        if factor < 0 and not is_all:
            # All that lies on the other side of zero was turned over, not what scatters across.
            after = max(after, distance(factor * values[changed]))
        tried.append(UnitChange(name, factor, offset, before, after))
    best = min(tried, key=lambda change: change.distance_after)
    if best.distance_after > min(RESTORED, LEFT_SHARE * before):
        return []
    # Where all values moved, those beyond a cut are no part that was converted.
    if not is_all and _moved(values, expected, expected_weights) < best.distance_after:
        return []
    chance = BY_CHANCE * np.sqrt(effect / values.size)
    if is_all and best.distance_after > chance:
        measured = _measured(best, values, expected, expected_weights)
        if measured is not best:
            return [measured]
    return _alike(tried, best, chance)


def _alike(tried: list[UnitChange], best: UnitChange, chance: float) -> list[UnitChange]:
    """Return what leaves no more than chance may, or less than twice what the best leaves."""
    room = min(TOGETHER, max(chance, best.distance_after / LEFT_SHARE))
    alike = [change for change in tried if change.distance_after <= room]
    return sorted(alike, key=lambda change: change.distance_after)


def _moved(values: Numbers, expected: Numbers, weights: Numbers) -> float:
    """Return what is left of the difference when all values are scaled, or shifted, by one number.

    By the ratio, or the difference, of the medians.
    """
    typical = float(np.quantile(expected, 0.5, weights=weights, method="inverted_cdf"))
    middle = float(np.median(values))
    moved = [values - (middle - typical)]
    if middle * typical > 0:
        moved.append(values * (typical / middle))
    return min(cdf_distance(expected, one, reference_weights=weights) for one in moved)


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


def _are_few(values: Numbers, expected: Numbers) -> bool:
    if min(values.size, expected.size) < MIN_VALUES:
        return True
    return min(np.unique(values).size, np.unique(expected).size) < MIN_DISTINCT


def _is_small(factor: float, offset: float) -> bool:
    return not offset and factor > 0 and max(factor, 1 / factor) < SMALL_FACTOR


def _is_multiplied(converted: Numbers, expected: Numbers, weights: Numbers | None) -> bool:
    """Whether converted values are the expected ones at every quantile, not in the middle alone."""
    usual = np.quantile(expected, QUANTILES, weights=weights, method="inverted_cdf")
    found = np.quantile(converted, QUANTILES, method="inverted_cdf")
    return bool((np.abs(found - usual) <= (SAME_FACTOR - 1) * np.abs(usual)).all())


def _spread_ratio(values: Numbers, expected: Numbers, weights: Numbers | None) -> float:
    """Return how many times wider the values' middle half is; 0: the expected have no width."""
    if weights is not None:
        share = np.cumsum(weights[np.argsort(expected)]) / weights.sum()
        low, high = np.interp([0.25, 0.75], share, np.sort(expected))
    else:
        low, high = np.quantile(expected, [0.25, 0.75])
    first, last = np.quantile(values, [0.25, 0.75])
    return float((last - first) / (high - low)) if high > low else 0.0
