"""Converts a number of any scale into nats of rarity: minus the logarithm of its tail share.

The share is counted within the sample. Beyond the last fiftieth the tail is exponential, with the
mean excess of those rows at the upper end of its 95% interval: a small sample underestimates
rarity, never the reverse. No tail falls faster than one nat per unit, the rate of a single column's
odds, which sums do not exceed.

References
----------
Pickands, Annals of Statistics 3, 1975 (peaks over a threshold); the mean of k exponential excesses
times 2k is chi-squared with 2k degrees of freedom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

# Shares of the sample at which it is counted.
SHARES = (0.5, 0.25, 0.1, 0.05, 0.02)
# Fewer rows than this do not tell how a tail goes on.
FEWEST_EXCESSES = 20
CONFIDENCE = 0.95
# With none of n rows, at most 3/n are above, with 95% confidence (the rule of three).
RULE_OF_THREE = 3.0

Numbers = NDArray[np.float64]
Codes = NDArray[np.integer]
# Room for the two cells beside the stretches, of rows without a number.
SMALL = np.iinfo(np.uint8).max - 2


@dataclass(frozen=True, eq=False)
class Rarity:
    """A rising map from a number to nats; shapes: K knots."""

    knots: Numbers  # Ascending, shape (K,); linear between them.
    nats: Numbers
    beyond: float  # Nats of what is just above the last knot: many rows may share its value.
    scale: float  # How much further each further nat is.

    @cached_property
    def _lines(self) -> tuple[Numbers, Numbers, Numbers]:
        """Edges of the intervals, their slopes and heights at 0."""
        last = self.knots[-1]
        between = np.diff(self.nats) / np.diff(self.knots)
        slopes = np.concatenate([[0.0], between, [0.0, 1.0 / self.scale]])
        heights = self.nats[:-1] - between * self.knots[:-1]
        above = self.beyond - last / self.scale
        edges = np.append(self.knots, np.nextafter(last, np.inf))
        return edges, slopes, np.concatenate([self.nats[:1], heights, self.nats[-1:], [above]])

    def of(self, values: NDArray[np.floating]) -> Numbers:
        """Return minus the logarithm of the share at or above a value, at least 0."""
        edges, slopes, heights = self._lines
        stretch = counted_below(values, edges)
        found: Numbers = slopes.take(stretch)
        found *= values
        found += heights.take(stretch)
        return found


def fit_rarity(values: NDArray[np.floating]) -> Rarity:
    """Fit the map to a sample of the reference, shape (rows,), at least one."""
    ordered = np.sort(np.asarray(values, np.float64))
    rows = len(ordered)
    knots = [ordered[0]]
    tail = ordered[:0]
    for share in SHARES:
        knot = ordered[min(rows - 1, math.ceil((1 - share) * rows))]
        excesses = ordered[np.searchsorted(ordered, knot, side="right") :] - knot
        if len(excesses) < FEWEST_EXCESSES:
            break
        tail = excesses
        if knot > knots[-1]:
            knots.append(knot)
    nats = -np.log(_held(ordered, knots))
    if not len(tail):  # Nearly all rows share few numbers: of what is above, only that is known.
        above = min(1.0, RULE_OF_THREE / rows)
        if ordered[-1] > knots[-1]:
            knots.append(ordered[-1])
            nats = np.append(nats, -np.log(_held(ordered, knots[-1:])))
        return Rarity(np.array(knots), nats, max(-math.log(above), float(nats[-1])), 1.0)
    # No tail is taken to fall faster than by one nat for each unit.
    scale = max(2.0 * float(tail.sum() / special.chdtri(2.0 * len(tail), CONFIDENCE)), 1.0)
    begin = -math.log(len(tail) / rows)
    # Nothing is rarer than the sample has it: rows that lie far out together are a group of it.
    far = np.unique(ordered[[-count for count in _halved(len(tail))]])
    line = begin + (far - knots[-1]) / scale
    nats = np.append(nats, np.minimum(line, -np.log(_held(ordered, far))))
    return Rarity(np.append(knots, far), nats, float(nats[-1]), scale)


def _held(ordered: Numbers, values: ArrayLike) -> Numbers:
    """Return the share of the sample at or above a value."""
    return np.asarray(1.0 - np.searchsorted(ordered, values, side="left") / len(ordered))


def _halved(count: int) -> list[int]:
    """Return half of a count, a quarter, and so on down to one."""
    return [max(count >> by, 1) for by in range(1, count.bit_length() + 1)]


def counted_below(values: NDArray[np.floating], edges: NDArray[np.float64]) -> Codes:
    """Count for each value the ascending edges that are not above it; 0 for NaN.

    Same as ``searchsorted(edges, values, side="right")`` in a fifth of the time for some forty
    edges, without branch misses (docs/measured.md).
    """
    kind = np.uint8 if len(edges) <= SMALL else np.uint16
    codes: Codes = np.zeros(len(values), kind)
    is_above = np.empty(len(values), bool)
    for edge in edges:
        np.greater_equal(values, edge, out=is_above)
        np.add(codes, is_above.view(np.uint8), out=codes)
    return codes
