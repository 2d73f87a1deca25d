"""Recognises a change of unit by digits, such as miles that come as kilometres, in any rows.

By size alone a factor of 1.6 may be a busy season, and 25 degrees Celsius after a winter as likely
as 50 Fahrenheit. But numbers of the reference have few decimals, converted ones more, and converted
back few again. Or, rounded, they avoid what no number of the reference becomes: of Fahrenheit's
tenths Celsius's reach five in nine. Where the reference was converted itself, as Fahrenheit
measured in tenths of Celsius, its numbers are few among those with as many decimals, and what is
converted back is one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.formats.arrow_types import EXACT_WHOLE
from driftline.monitors.results.violation import Fault, percent
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.stats.decomposition import divergence

KIND = "unit_change"
# How many of the second are one of the first.
UNITS: tuple[tuple[str, str, float], ...] = (
    ("miles", "kilometres", 1.609344),
    ("inches", "centimetres", 2.54),
    ("feet", "metres", 0.3048),
    ("pounds", "kilograms", 0.45359237),
    ("gallons", "litres", 3.785411784),
    ("metres a second", "kilometres an hour", 3.6),
    ("miles an hour", "metres a second", 0.44704),
    ("knots", "kilometres an hour", 1.852),
    ("knots", "miles an hour", 1.852 / 1.609344),
)
# Expected value = factor x value + offset.
CONVERSIONS: tuple[tuple[str, float, float], ...] = (
    *((f"{small} instead of {great}", 1.0 / ratio, 0.0) for great, small, ratio in UNITS),
    *((f"{great} instead of {small}", ratio, 0.0) for great, small, ratio in UNITS),
    ("Celsius instead of Fahrenheit", 1.8, 32.0),
    ("Fahrenheit instead of Celsius", 1 / 1.8, -32.0 / 1.8),
    ("Kelvin instead of Celsius", 1.0, -273.15),
    ("Kelvin instead of Fahrenheit", 1.8, -459.67),
    *((f"{10**power:,} times the expected unit", 10.0**-power, 0.0) for power in range(1, 10)),
    ("minutes instead of hours (or seconds instead of minutes)", 1 / 60, 0.0),
    ("seconds instead of hours", 1 / 3600, 0.0),
)
# Which digits alone do not tell.
OF_LISTED = (*CONVERSIONS, ("the opposite sign", -1.0, 0.0))
# Where it makes numbers so many times larger, half of them lie beyond the reference's: rounded to
# tens they are as even, and where they were.
FAR, BEYOND = 10.0, 0.5
# Decimals that the reference may have; so many of its values have no more.
DECIMALS, NEARLY_ALL = (0, 1, 2), 0.999
# And those that a window's may have, where they were rounded once converted.
GRAINS = (0, 1, 2, 3)
# Converted back they may lie beyond the reference's by so much of its range, as of another season.
ROOM = 0.5
# Values are as good as on the lattice within so much of their own size: factors are written with
# six digits or more.
RELATIVE = 2e-6
# So many of the values must be what a number of the reference becomes, so many there must be.
BACK, LEAST_VALUES, LEAST_DISTINCT = 0.95, 20, 6
# What so many different values hit by chance must be beyond, in nats: 1e-7 for each conversion.
EVIDENCE = 16.0
# Numbers of the reference are few where no more of those with as many decimals are among them; and
# the window's own must not be, as they are.
FEW, UNCHANGED = 0.25, 0.5
# Of rows with numbers that the reference never had, more than this are of the other unit.
MOST = 0.5
# So many multiples further on, either way, they are held beside the other unit, too.
BESIDE = 20

Floats = NDArray[np.float64]


def converted(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Try known conversions on the violated columns of numbers."""
    for name in context.broken(is_number=True):
        if name not in context.profiles:
            continue
        known, weights = context.profiles[name].sketch.weighted()
        step = _lattice(known, weights)
        numbers, listed = context.numbers(name), context.profiles[name].numbers
        if numbers.size < LEAST_VALUES:
            continue
        found = [(0.0, "", numbers.size)]
        if step is not None:
            strange = numbers[~_is_on(numbers, step)]
            # Of rounded ones none need be strange; then all of them are another unit's, or none.
            chosen = strange if strange.size >= LEAST_VALUES else numbers
            found += [
                (image_evidence(chosen, known, step, factor, offset), what, chosen.size)
                for what, factor, offset in CONVERSIONS
            ]
        if listed.is_complete and listed.values.size >= LEAST_DISTINCT:
            found += [
                (listed_evidence(numbers, listed.values, step, factor, offset), what, numbers.size)
                for what, factor, offset in OF_LISTED
            ]
        evidence, what, size = max(found)
        if evidence >= EVIDENCE:
            share = percent(float(size / numbers.size))
            yield name, Fault(KIND, f"{share} of values look like {what}")


def image_evidence(
    values: Floats, known: Floats, step: float, factor: float, offset: float
) -> float:
    """Return in nats how surely values are the converted lattice of the reference; 0 if they fail.

    A value is near a converted number by chance as often as these cover the range, and as often as
    the reference's own values are near them: tenths of Celsius, written as Fahrenheit, are near
    multiples of 0.036, as m/s in km/h are.
    """
    grain = _lattice(values, np.ones(values.size), GRAINS) or 0.0
    different = np.unique(values)
    back = _converted(different, factor, offset)
    low, high = float(known.min()), float(known.max())
    room = max(ROOM * (high - low), step)
    inside = (back >= low - room) & (back <= high + room)
    near, hit = _image_hits(different, grain, step, factor, offset)
    is_far = factor * FAR <= 1.0 + 1e-9
    beyond = (different < low) | (different > high)
    if min(hit.mean(), inside.mean()) < BACK or different.size < LEAST_DISTINCT:
        return 0.0
    if is_far and beyond.mean() < BEYOND:
        return 0.0
    chance = np.minimum(2.0 * near * factor / step, 1.0)
    _, own = _image_hits(np.unique(known), grain, step, factor, offset)
    # Beside the reference's own it must be as sure; which of two conversions, the lattice says.
    beside = max(own.mean(), chance.mean())
    if hit.mean() <= beside or different.size * divergence(hit.mean(), beside) < EVIDENCE:
        return 0.0
    return float(different.size * divergence(hit.mean(), chance.mean()))


def _converted(values: Floats, factor: float, offset: float) -> Floats:
    """Convert values; one beyond all numbers is infinite, and none of the reference's."""
    with np.errstate(over="ignore"):
        found: Floats = factor * values + offset
    return found


def _image_hits(
    values: Floats, grain: float, step: float, factor: float, offset: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return how near to a converted multiple of a step values need be, and which are."""
    lattice = np.rint(_converted(values, factor, offset) / step) * step
    near = 0.5 * grain * (1 + 1e-9) + RELATIVE * np.abs(values)
    return near, np.abs(values - (lattice - offset) / factor) <= near


def listed_evidence(
    values: Floats, listed: Floats, step: float | None, factor: float, offset: float
) -> float:
    """Return in nats how surely values, converted back, are the reference's own few numbers.

    ``listed`` are the reference's distinct numbers, ascending, multiples of ``step``. 0 where
    values fail, where they match the reference unconverted, or where many would match by chance:
    converted values may hit every second multiple only.
    """
    different = np.unique(values)
    back = _converted(different, factor, offset)
    low, high = float(listed[0]), float(listed[-1])
    room = ROOM * (high - low)
    inside = (back >= low) & (back <= high)
    near = (back >= low - room) & (back <= high + room)
    if high <= low or near.mean() < BACK or inside.sum() < LEAST_DISTINCT:
        return 0.0
    width = 2.0 * RELATIVE * float(np.abs(listed).max()) if step is None else step
    chance = 2.0 * listed.size / ((high - low) / width + 1.0)
    own, places = _places(back[inside], listed), _places(different, listed)
    # As many different ones: millions divide to nothing else but 0.
    hit = np.unique(own[own >= 0]).size / own.size
    if chance > FEW or hit < BACK or (places >= 0).mean() > UNCHANGED:
        return 0.0
    return float(own.size * divergence(np.array(hit), np.array(chance)))


def unit_of_new(
    values: Floats, counts: Floats, listed: Floats
) -> tuple[str, NDArray[np.bool_]] | None:
    """Return the conversion that makes new numbers the reference's own, and marks of these.

    ``listed`` are the reference's distinct numbers; converted ones may be rounded. The chance of a
    match is the largest of three: that of any multiple of the common step between them, of the
    reference's own numbers, and of these shifted by a few multiples.
    """
    grain = _lattice(values, np.ones(values.size), GRAINS)
    if grain is None or values.size < LEAST_DISTINCT:
        return None
    if max(np.abs(values).max(), np.abs(listed).max()) / grain > EXACT_WHOLE:
        return None
    wanted = np.rint(values / grain).astype(np.int64)
    known = np.rint(listed[_is_on(listed, grain)] / grain)
    step = max(int(np.gcd.reduce(wanted)), 1)
    low, high = int(wanted.min()), int(wanted.max())
    beside = step * np.concatenate([np.arange(-BESIDE, 0), np.arange(1, BESIDE + 1)])
    best = EVIDENCE
    found: tuple[str, NDArray[np.bool_]] | None = None
    for what, factor, offset in CONVERSIONS:
        image = np.unique(np.rint((listed - offset) / factor / grain))
        inside = (image >= low) & (image <= high) & (image % step == 0)
        hits = np.isin(wanted, image)
        chance = max(
            np.count_nonzero(inside) / ((high - low) // step + 1),
            np.count_nonzero(np.isin(known, image)) / listed.size,
        )
        if not chance < min(FEW, hits.mean()) or np.average(hits, weights=counts) < MOST:
            continue
        chance = max(chance, *np.isin(wanted[:, None] + beside, image).mean(axis=0).tolist())
        if not chance < min(FEW, hits.mean()) or hits.sum() < LEAST_DISTINCT:
            continue
        evidence = values.size * float(divergence(np.array(hits.mean()), np.array(chance)))
        if evidence >= best:
            best, found = evidence, (what, hits)
    return found


def _places(values: Floats, listed: Floats) -> NDArray[np.int64]:
    """Return which of some ascending numbers values are, but for what factors round; -1: none."""
    at = np.clip(np.searchsorted(listed, values), 1, listed.size - 1)
    at -= np.abs(values - listed[at - 1]) < np.abs(values - listed[at])
    near = RELATIVE * np.abs(values) + 1e-9 * float(np.ptp(listed))
    return np.where(np.abs(values - listed[at]) <= near, at, -1)


def _lattice(values: Floats, weights: Floats, places: Sequence[int] = DECIMALS) -> float | None:
    """Return the step that values are multiples of; None: they are not."""
    if not values.size:
        return None
    for decimals in places:
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
