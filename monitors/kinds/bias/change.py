"""Tests whether a group is treated otherwise than before, by one bias metric. Pure.

The window's value is compared with the reference's, both with their uncertainty and the
between-block variance of the reference (rows of one hour are not independent). A violation is a
change of more than a tolerance away from "no difference".

References
----------
MOVER: Zou and Donner, Statistics in Medicine 27, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.kinds.bias.intervals import interval
from driftline.monitors.kinds.bias.metrics import RATES, Measured, Numbers, Pair, Rate, Side
from driftline.monitors.results.metric import RATIOS, on_scale
from driftline.stats.block_series import series_of_estimates
from driftline.stats.blocks import MINIMUM_BLOCKS, NO_BLOCKS, BlockVariation
from driftline.stats.intervals import Z95, Limits, difference_limits, exact_share_limits

Counts = NDArray[np.int64]
# Nine windows in ten lie less far out on one side.
Z90 = 1.2816
# Beyond so many standard errors nothing is left to find out.
LARGEST_Z = 60.0
BISECTIONS = 50
# What days do to the odds makes differences of shares, of which some are near 0, heavier in the
# tails than normal: their excess kurtosis is about 0.9, Student's 6 / (degrees - 4).
TAILS = 11.0
# How likely it is at least that blocks remember of which a window lasts for many: few blocks, or
# small ones, may look as if they did not, and all hangs on it (docs/measured.md).
REMEMBERED = 0.25


@dataclass(frozen=True, slots=True)
class Blocks:
    """The reference's rows of the others and of a group, by block of time."""

    counts: Counts  # In order of time, shape (B, 2, 3, 3).
    days: int = 1  # That a block lasts, at least 1.
    longer: float = 1.0  # How many blocks with rows a window usually has.


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value on the scale of the test, and its limits at any normal quantile."""

    value: float
    limits: Callable[[float], Limits]

    def reach(self, z: float, side: int) -> float:
        """Distance from its value to its upper (1) or lower (-1) limit."""
        low, high = self.limits(z)
        return high - self.value if side > 0 else self.value - low


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one group against its reference."""

    # Both on the scale of the test; a reference that is a limit is exact.
    window: Estimate
    reference: Estimate
    tolerance: float  # The smallest change that matters, on that scale.
    spread: BlockVariation = NO_BLOCKS  # Between the reference's blocks.
    # What it could come to, on the same scale; beyond that, a bound is none.
    extremes: Limits = (-math.inf, math.inf)

    @property
    def side(self) -> int:
        """Where a violation would lie: above (1) or below (-1) the reference.

        A move towards "no difference" is no violation until it is past it, so its bound is the one
        on the reference's side.
        """
        moved = 1 if self.window.value >= self.reference.value else -1
        if moved * self.window.value > 0:
            return moved
        return -moved

    def is_bounded(self, alpha: float, more: float = 1.0) -> bool:
        """Whether a window of `more` times the rows could exceed its bound at all."""
        bound, (low, high) = self.bound(alpha, more), self.extremes
        return bound < high if self.side > 0 else bound > low

    def found(self, alpha: float) -> float:
        """Return the value, on the test's scale, that a window finds nine times in ten.

        `window` is one without a change.
        """
        error = self.window.reach(Z90, -self.side)
        return self.bound(alpha) + self.side * error

    def bound(self, alpha: float, more: float = 1.0) -> float:
        """Return where, on the test's scale, a violation begins with `more` times the rows."""
        z = float(-special.ndtri(alpha / 2))
        found = [
            start + self.side * self.spread.reach(alpha / 2, known)
            for start, known in zip(self._starts, self._known(z, more), strict=True)
        ]
        return max(found) if self.side > 0 else min(found)

    @property
    def p_value(self) -> float:
        """Two-sided p-value without any change."""
        if not self._beyond(0.0):
            return 1.0
        low, high = 0.0, LARGEST_Z
        if self._beyond(high):
            low = high
        for _ in range(BISECTIONS * (low < high)):
            middle = (low + high) / 2
            low, high = (middle, high) if self._beyond(middle) else (low, middle)
        return min(1.0, 2.0 * float(special.ndtr(-low)))

    @property
    def _starts(self) -> tuple[float, float]:
        """The values from which violations start: beyond the reference and "no difference"."""
        return self.reference.value + self.side * self.tolerance, 0.0

    def _known(self, z: float, more: float = 1.0) -> tuple[float, float]:
        """Return the variances of rows on both sides, from the limits at `z`."""
        own = (self.window.reach(z, -self.side) / z) ** 2 / more
        return own + (self.reference.reach(z, self.side) / z) ** 2, own

    def _beyond(self, z: float) -> bool:
        far = [self.side * (self.window.value - start) for start in self._starts]
        if z == 0.0 or min(far) <= 0.0:
            return min(far) > 0.0
        chance = float(special.ndtr(-z))
        return all(self.spread.tail(*one) < chance for one in zip(far, self._known(z), strict=True))


def from_scale(name: str, value: float) -> float:
    """Convert a value on the test's scale back."""
    return math.exp(value) if name in RATIOS else value


def exactly(value: float) -> Estimate:
    """Return a value without uncertainty, such as a user's limit."""
    return Estimate(value, lambda _: (value, value))


def estimate(name: str, pair: Pair, measured: Measured) -> Estimate | None:
    """Estimate a metric on the test's scale; None where it has no limits."""
    if name in RATIOS:
        return _log_ratio(pair)
    value, usual = measured.value, interval(name, pair, measured)
    if value is None or usual is None or not math.isfinite(value):
        return None
    if name in RATES:
        rate = RATES[name]
        first, second = (pair.a, pair.d) if rate.sign > 0 else (pair.d, pair.a)
        hits1, rows1 = float(rate.hits(first)), float(rate.rows(first))
        hits2, rows2 = float(rate.hits(second)), float(rate.rows(second))
        share1, share2 = hits1 / rows1, hits2 / rows2

        def limits(z: float) -> Limits:
            one, other = (exact_share_limits(*side, z) for side in ((hits1, rows1), (hits2, rows2)))
            return difference_limits(share1, one, share2, other)

        return Estimate(value, limits)
    low, high = value - usual[0], usual[1] - value
    return Estimate(value, lambda z: (value - low * z / Z95, value + high * z / Z95))


def extremes(name: str, pair: Pair, tolerance: float = math.inf) -> Limits:
    """Return a metric's limits, on the test's scale, where one side has none of its shares.

    Where that is within the tolerance, the other side has all as well: else the bound of a rare
    answer would let a group get none. A ratio counts as a tenth of its value.
    """
    rate = RATES.get("DPPL" if name in RATIOS else name)
    if rate is None:
        return -math.inf, math.inf
    share_a, share_d = (
        float(rate.hits(side)) / max(float(rate.rows(side)), 1.0) for side in (pair.a, pair.d)
    )
    if name in RATIOS:
        tenth = on_scale(name, share_d / share_a / 10.0) if share_a else -math.inf
        return tenth, -on_scale(name, share_a)
    first, second = (share_a, share_d) if rate.sign > 0 else (share_d, share_a)
    low = -second if first > tolerance else min(first - 1.0, -second)
    return low, first if second > tolerance else max(1.0 - second, first)


def spread(
    name: str, blocks: Blocks, later: Counts | None = None, tolerance: float = 0.0
) -> BlockVariation:
    """Estimate a metric's variation between blocks of time, and windows since the reference.

    Of those windows only what lies within the tolerance, or is no change yet, counts.
    """
    rate = RATES["DPPL" if name in RATIOS else name] if name in RATES or name in RATIOS else None
    if rate is None or len(blocks.counts) < MINIMUM_BLOCKS:
        return NO_BLOCKS
    hits, rows = _held(rate, blocks.counts)
    whole = rows.sum(axis=0)
    share = hits.sum(axis=0) / np.maximum(whole, 1.0)
    if len(hits) < MINIMUM_BLOCKS or not (share > 0).all() or not (share < 1).all():
        return NO_BLOCKS
    # The metric as a linear function of both shares, near the reference's.
    weights = 1 / share if name in RATIOS else np.ones(2)
    row = weights**2 * share * (1 - share)

    def moved(hits: Numbers, rows: Numbers) -> tuple[Numbers, Numbers]:
        away = (weights * np.array([1.0, -1.0]) * (hits / rows - share)).sum(axis=1)
        return away, (row / rows).sum(axis=1)

    found = series_of_estimates(
        *moved(hits, rows), days=blocks.days, longer=blocks.longer,
        remembered=REMEMBERED * (1.0 - 1.0 / blocks.longer), tails=TAILS,
    )  # fmt: skip
    if later is None:
        return found
    return found.with_later(*moved(*_held(rate, later)), float((row / whole).sum()), tolerance)


def _held(rate: Rate, counts: Counts) -> tuple[Numbers, Numbers]:
    """Return hits and rows of both groups, shape (B, 2), of blocks that have rows of both."""
    side = Side.of(counts)
    hits, rows = np.asarray(rate.hits(side)), np.asarray(rate.rows(side))
    held = (rows > 0).all(axis=1)
    return hits[held], rows[held]


def _log_ratio(pair: Pair) -> Estimate | None:
    """Estimate ln DI, with half a row in place of an empty count."""
    sides = [(float(side.p1), float(side.p1 + side.p0)) for side in (pair.d, pair.a)]
    if not all(rows for _, rows in sides):
        return None
    d, a = (math.log(max(0.5, hits) / rows) for hits, rows in sides)

    def limits(z: float) -> Limits:
        of_d, of_a = (_log_limits(*side, z) for side in sides)
        return difference_limits(d, of_d, a, of_a)

    return Estimate(d - a, limits)


def _log_limits(hits: float, rows: float, z: float) -> Limits:
    """Return the limits of ln of a share."""
    low, high = exact_share_limits(hits, rows, z)
    return math.log(low) if low > 0 else -math.inf, math.log(high)
