"""A mergeable, deterministic summary of a column's distribution: KLL in Deequ's layout.

The same sketch serves statistics.json and our own profile. An item of level h stands for 2^h
values, so the weights always add up to the number of values. There is no randomness: the same
values in the same order give the same sketch.

References
----------
Karnin, Lang, Liberty, "Optimal quantile approximation in streams", 2016; Deequ's
``QuantileNonSample`` (layout and order of compactions: model-monitor, section 3.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import numpy as np

# SageMaker's parameters, as every statistics.json carries them.
ITEMS = 2048
SHRINKING = 0.64
# Halvings take turns with the half they keep, so most of their errors cancel: the largest of 2,001
# ranks stayed within 1.0 of these standard errors (tests/baseline/test_quantiles.py and a year of
# 8,760 stored hours), in random, ascending and drifting order, at once or merged.
STANDARD_ERRORS = 1.5
# Level 63 would stand for more values than there can be.
MAX_HEIGHT = 64
_NOTHING = np.empty(0)


class QuantileSketch:
    """Levels of stored values; level 0 in the order of arrival, as Deequ keeps it.

    With up to 2,050 values the sketch is the column itself; beyond, ranks are off by about 0.2%.
    """

    __slots__ = ("_compactions", "_levels", "_offsets", "items", "shrinking")

    def __init__(self, items: int = ITEMS, shrinking: float = SHRINKING) -> None:
        self.items = items
        self.shrinking = shrinking
        self._levels: list[np.ndarray] = [np.empty(0)]
        self._compactions = [0]
        self._offsets = [0]

    @classmethod
    def from_levels(
        cls, levels: Sequence[Sequence[float]], items: int = ITEMS, shrinking: float = SHRINKING
    ) -> QuantileSketch:
        """Take over stored levels, level 0 first.

        The count decides which half the next compaction keeps: always the first half would make
        hours that are stored and merged one by one drift off (1% after a year).
        """
        sketch = cls(items, shrinking)
        sketch._levels = [np.asarray(level, dtype=np.float64) for level in levels] or [np.empty(0)]
        sketch._compactions = [0] * len(sketch._levels)
        drawn = (sketch.count * 0x9E3779B97F4A7C15) >> 20
        sketch._offsets = [(drawn >> height) & 1 for height in range(len(sketch._levels))]
        return sketch

    @property
    def levels(self) -> tuple[np.ndarray, ...]:
        """Stored values by level."""
        return tuple(self._levels)

    @property
    def count(self) -> int:
        """Number of values added."""
        return sum(len(level) << height for height, level in enumerate(self._levels))

    @property
    def is_exact(self) -> bool:
        """Whether every value is still stored."""
        return len(self._levels) == 1

    @property
    def rank_error(self) -> float:
        """Error of the ranks, as a share of all values: 0 (nothing dropped) to 1.

        A compaction of items of weight w moves a rank by at most w. A level that is full at c items
        was compacted W / (c w) times when the levels above it hold the weight W, so the variance of
        a rank is at most the sum of W w / c over the levels. The error is one and a half standard
        deviations (Karnin, Lang, Liberty, 2016, section 2).
        """
        sizes = [len(level) << height for height, level in enumerate(self._levels)]
        if len(sizes) == 1 or not self.count:
            return 0.0
        limits, _ = capacities(self.items, self.shrinking)
        parts = (
            sum(sizes[height + 1 :]) * 2.0**height / limits[height]
            for height in range(len(sizes) - 1)
        )
        return min(1.0, STANDARD_ERRORS * math.sqrt(sum(parts)) / self.count)

    def update(self, values: np.ndarray) -> None:
        """Add values, shape (values,), finite, in their order of arrival."""
        # Level 0 is a stretch of one array that moves on, the higher levels are lists of what was
        # handed up: so a compaction costs little more than its sort, and there are thousands.
        arrived = np.concatenate([self._levels[0], np.asarray(values, dtype=np.float64)])
        start, end = 0, len(self._levels[0])
        handed = [[level] for level in self._levels]
        sizes = [len(level) for level in self._levels]
        limits, totals = capacities(self.items, self.shrinking)
        while True:
            # Deequ compacts after the insert that exceeds the capacity: so many fit before.
            free = totals[len(sizes)] - sum(sizes) + 1
            if end + free > len(arrived):
                break
            end += free
            sizes[0] += free
            height = 0
            while sizes[height] < limits[height]:
                height += 1
            level = np.concatenate(handed[height]) if height else arrived[start:end]
            odd = sizes[height] % 2
            kept = self._halve(height, level[: sizes[height] - odd])
            if height + 1 == len(sizes):
                handed.append([])
                sizes.append(0)
            handed[height + 1].append(kept)
            sizes[height + 1] += len(kept)
            if height == 0:
                start = end - odd
            else:
                handed[height] = [level[-1:]] if odd else []
            sizes[height] = odd
        higher = (np.concatenate([_NOTHING, *one]) for one in handed[1:])
        self._levels = [arrived[start:].copy(), *higher]

    def merge(self, other: QuantileSketch) -> QuantileSketch:
        """Return the sketch of both sets of values; neither input changes."""
        merged = QuantileSketch(self.items, self.shrinking)
        height = max(len(self._levels), len(other._levels))
        merged._levels = [
            np.concatenate([_at(self._levels, level), _at(other._levels, level)])
            for level in range(height)
        ]
        merged._compactions = [
            self._compactions[h] if h < len(self._levels) else 0 for h in range(height)
        ]
        merged._offsets = [self._offsets[h] if h < len(self._levels) else 0 for h in range(height)]
        levels = merged._levels
        limits, totals = capacities(self.items, self.shrinking)
        while sum(map(len, levels)) >= totals[len(levels)]:
            height = next(h for h, level in enumerate(levels) if len(level) >= limits[h])
            if height + 1 == len(levels):
                levels.append(np.empty(0))
            even = len(levels[height]) - len(levels[height]) % 2
            kept = merged._halve(height, levels[height][:even])
            levels[height] = levels[height][even:].copy()
            levels[height + 1] = np.concatenate([levels[height + 1], kept])
        return merged

    def _halve(self, height: int, level: np.ndarray) -> np.ndarray:
        """Sort an even number of a level's items in place; return those that move up."""
        if height + 1 == len(self._compactions):
            self._compactions.append(0)
            self._offsets.append(0)
        if self._compactions[height] % 2 == 1:
            self._offsets[height] = 1 - self._offsets[height]
        self._compactions[height] += 1
        level.sort()
        return level[self._offsets[height] :: 2]

    def weighted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct stored values, ascending, and the weight of each."""
        values = np.concatenate(self._levels)
        weights = np.concatenate(
            [np.full(len(level), 1 << height) for height, level in enumerate(self._levels)]
        )
        distinct, inverse = np.unique(values, return_inverse=True)
        return distinct, np.bincount(inverse, weights=weights, minlength=len(distinct))

    def ranks(self, points: np.ndarray, *, inclusive: bool = True) -> np.ndarray:
        """Estimate how many values are <= (or <) each point, shape (points,)."""
        values, weights = self.weighted()
        total = np.concatenate([[0.0], np.cumsum(weights)])
        at = np.searchsorted(values, points, side="right" if inclusive else "left")
        return np.asarray(total[at])

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """Estimate the values below or at which these shares (0 to 1) lie; NaN when empty."""
        values, weights = self.weighted()
        if len(values) == 0:
            return np.full(np.shape(shares), np.nan)
        total = np.cumsum(weights)
        at = np.searchsorted(total, np.asarray(shares) * total[-1] - 1e-9)
        return np.asarray(values[np.minimum(at, len(values) - 1)])


@cache
def capacities(items: int, shrinking: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return each level's capacity, largest first, and that of the first 0, 1, 2, … together."""
    limits = [2 * (math.ceil(items * shrinking**height / 2) + 1) for height in range(MAX_HEIGHT)]
    return tuple(limits), (0, *accumulate(limits))


def _at(levels: Sequence[np.ndarray], height: int) -> np.ndarray:
    return levels[height] if height < len(levels) else np.empty(0)
