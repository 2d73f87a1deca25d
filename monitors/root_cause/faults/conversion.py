"""A conversion that digits give away: miles that come as kilometres, from whichever rows.

By how far its values lie, a factor of 1.6 is a busy season. But numbers of the reference have few
decimals; converted ones have many, and converted back they have few again, each of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.results.violation import Fault, percent
from driftline.monitors.root_cause.faults.context import MIN_VALUES, FaultContext

KIND = "unit_change"
# Expected value = factor x value + offset. Powers of ten and factors of 60 are left out: a number
# of one decimal becomes a whole one by them.
CONVERSIONS: tuple[tuple[str, float, float], ...] = (
    ("kilometres instead of miles", 1 / 1.609344, 0.0),
    ("miles instead of kilometres", 1.609344, 0.0),
    ("inches instead of centimetres", 2.54, 0.0),
    ("centimetres instead of inches", 1 / 2.54, 0.0),
    ("metres instead of feet", 1 / 0.3048, 0.0),
    ("feet instead of metres", 0.3048, 0.0),
    ("kilograms instead of pounds", 1 / 0.45359237, 0.0),
    ("pounds instead of kilograms", 0.45359237, 0.0),
    ("Celsius instead of Fahrenheit", 1.8, 32.0),
    ("Fahrenheit instead of Celsius", 1 / 1.8, -32.0 / 1.8),
)
# Decimals that the reference may have; so many of its values have no more.
DECIMALS, NEARLY_ALL = (0, 1, 2), 0.999
# Values are as good as on the lattice within so much of it, and of their own size: factors are
# written with six digits or more.
OFF, RELATIVE = 0.02, 2e-6
# So many of the values off the lattice must be back on it, so many there must be.
BACK, LEAST_VALUES, LEAST_DISTINCT = 0.95, 20, 8

Floats = NDArray[np.float64]


def converted(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Try known conversions on the violated columns of numbers."""
    for name in context.broken(is_number=True):
        if name not in context.profiles:
            continue
        known, weights = context.profiles[name].sketch.weighted()
        step = _lattice(known, weights)
        numbers = context.numbers(name)
        if step is None or numbers.size < MIN_VALUES:
            continue
        strange = numbers[~_is_on(numbers, step)]
        if strange.size < LEAST_VALUES or np.unique(strange).size < LEAST_DISTINCT:
            continue
        for what, factor, offset in CONVERSIONS:
            back = factor * strange + offset
            # Of values so large that the factor's digits do not tell, nothing is known.
            sure = np.abs(back) * RELATIVE < OFF * step
            inside = (back >= known.min() - step) & (back <= known.max() + step)
            fits = sure & inside & _is_on(back, step)
            if sure.sum() >= LEAST_VALUES and fits.sum() >= BACK * sure.sum():
                share = percent(float(strange.size / numbers.size))
                yield name, Fault(KIND, f"{share} of values look like {what}")
                break


def _lattice(values: Floats, weights: Floats) -> float | None:
    """Return the step that the reference's values are multiples of; None: they are not."""
    if not values.size:
        return None
    for decimals in DECIMALS:
        step = 10.0**-decimals
        if weights[_is_on(values, step)].sum() >= NEARLY_ALL * weights.sum():
            return step
    return None


def _is_on(values: Floats, step: float) -> NDArray[np.bool_]:
    """Return which values are multiples of a step, but for what float64 and rounding lose."""
    with np.errstate(over="ignore", invalid="ignore"):
        parts = values / step
        off = np.abs(parts - np.rint(parts))
        return np.asarray(off <= np.maximum(1e-6, RELATIVE * np.abs(parts)))
