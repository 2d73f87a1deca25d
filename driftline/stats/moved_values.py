"""What a segment holds of the rows whose values may have come into a set of numbers.

If any rows are shifted, scaled or cut off, those that come into a set lay somewhere else before: as
far from each other as they are now, or in the same proportions, or all beyond one value. And those
that come beyond a cut were the largest of the rows before, or the smallest. A segment that held
such rows anyway is where the values lay, and no place of a fault.

Design: docs/why/root-cause.md, "Where values lie is no place of a fault".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.stats.decomposition import PRIOR, Floats

Ints = NDArray[np.int64]

# Distances are kept by a shift; between Celsius and Fahrenheit they become so many times larger.
STRETCHES = (1.0, 1.8, 1 / 1.8)
# Numbers are rounded once they are moved, and a window may have larger ones than the reference: so
# much of a span may lie beyond the reference's values, or be missing.
BEYOND = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class UsualRows:
    """The reference's rows that could have come: by value, and a segment's by cell."""

    values: Floats  # All different ones, or quantiles; ascending, shape (V,).
    rows: Floats  # Of each value, shape (V,).
    cells: Ints  # In which each value lies, ascending, shape (V,).
    inside: Floats  # The segment's rows of each cell, shape (cells,).


def most_held(usual: UsualRows, moved: Floats, count: int, least: float, most: float) -> float:
    """Return the largest share that a segment holds of rows which could have become those moved.

    Where a cell is cut, as many of the rows on either side as it has may be the segment's.

    Parameters
    ----------
    moved
        Values that the rows have now, of which so many as ``count`` came.
    least
        Rows of the reference that could have come, at least.
    most
        Rows that the segment has at most, where ``inside`` counts others, too.
    """
    moved = np.sort(moved[np.isfinite(moved)])
    if not usual.values.size or not moved.size:
        return 0.0
    spread = _Spread.of(moved, min(max(count, 1), moved.size))
    above = bool(moved[0] > usual.values[-1])
    if above or moved[-1] < usual.values[0]:
        low, high = _tails(usual.values, spread, above=above)
    else:
        low, high = _spans(usual.values, spread)
    first = np.searchsorted(usual.values, low)
    after = np.searchsorted(usual.values, high, side="right")
    ends = np.append(0.0, np.cumsum(usual.rows))
    held = ends[after] - ends[first]
    able = (after > first) & (held >= max(least, 1.0))
    first, after, held = first[able], after[able], held[able]
    if not held.size:
        return 0.0
    inside = np.minimum(_inside(usual, ends, first, after), np.minimum(held, most))
    share = min(float(usual.inside.sum()), most) / max(float(ends[-1]), 1.0)
    return float(((inside + PRIOR * share) / (held + PRIOR)).max())


def _inside(usual: UsualRows, ends: Floats, first: Ints, after: Ints) -> Floats:
    """Return how many rows of each span of values may be the segment's."""
    cells = np.arange(usual.inside.size)
    begins, stops = (np.searchsorted(usual.cells, cells, side=side) for side in ("left", "right"))
    whole = np.append(0.0, np.cumsum(usual.inside))
    start, end = usual.cells[first], usual.cells[after - 1]
    at_start = np.minimum(usual.inside[start], ends[stops[start]] - ends[first])
    at_end = np.minimum(usual.inside[end], ends[after] - ends[begins[end]])
    between = whole[np.maximum(end, start + 1)] - whole[start + 1]
    return np.asarray(np.where(start == end, usual.inside[start], at_start + between + at_end))


@dataclass(frozen=True, slots=True)
class _Spread:
    """How far moved values that came together lie apart, at least."""

    low: float
    high: float
    factor: float  # The largest by the smallest of as many on one side of 0.

    @classmethod
    def of(cls, moved: Floats, count: int) -> _Spread:
        """Look for the span of so many of them that is the narrowest."""
        at = int(np.argmin(moved[count - 1 :] - moved[: moved.size - count + 1]))
        sides = [one for one in (moved[moved > 0], -moved[moved < 0][::-1]) if one.size >= count]
        factors = [float((one[count - 1 :] / one[: one.size - count + 1]).min()) for one in sides]
        return cls(float(moved[at]), float(moved[at + count - 1]), min(factors, default=np.inf))

    @property
    def width(self) -> float:
        """The distance of both ends."""
        return self.high - self.low


def _spans(values: Floats, spread: _Spread) -> tuple[Floats, Floats]:
    """Return the ends of the spans of values that the moved ones may have been spread over."""
    lows, highs = [values] * len(STRETCHES), [values + spread.width * one for one in STRETCHES]
    if np.isfinite(spread.factor):
        far = values * spread.factor
        lows.append(np.minimum(values, far))
        highs.append(np.maximum(values, far))
    low, high = np.concatenate(lows), np.concatenate(highs)
    room = BEYOND * (high - low)
    able = (low >= values[0] - room) & (high <= values[-1] + room)
    # What is cut off lies beyond one value, on either side.
    low = np.append(low[able], [values[0], spread.low])
    return low, np.append(high[able], [spread.high, values[-1]])


def _tails(values: Floats, spread: _Spread, *, above: bool) -> tuple[Floats, Floats]:
    """Return the ends of all tails that are as wide as the moved values are spread, or wider.

    Of the other end of the values those beyond a cut come where all are turned round.
    """
    low = np.concatenate([values, np.full(values.size, values[0])])
    high = np.concatenate([np.full(values.size, values[-1]), values])
    is_turned = (np.arange(low.size) < values.size) != above
    sign = np.sign(spread.low) if spread.low * spread.high > 0 else 0.0
    sign = np.where(is_turned, -sign, sign)
    near = np.where(sign > 0, low, -high)  # The distance from 0, of values on one side of it.
    apart = (high - low) / (1 - BEYOND)
    able = (sign != 0) & (near >= 0) & (apart >= near * (spread.factor - 1))
    able |= apart >= spread.width * min(STRETCHES)
    return low[able], high[able]
