"""Frequent numbers: counted while few differ, else estimated from the sketch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from driftline.baseline.distinct import LevelCounts
from driftline.baseline.lengths import no_counts, sum_by_key
from driftline.baseline.quantiles import rank_error
from driftline.baseline.sketch import QuantileSketch

NUMBER_CAP = 1024


@dataclass(frozen=True, slots=True)
class FrequentValue:
    """A frequent value; whole numbers are float64, too.

    Parameters
    ----------
    count
        How often it occurs, or the best estimate.
    lower, upper
        Bounds of the true count; both equal `count` when it is exact.
    """

    value: str | float
    count: int
    lower: int
    upper: int

    @property
    def is_exact(self) -> bool:
        """Whether the count is exact."""
        return self.lower == self.upper


@dataclass(slots=True, eq=False)
class NumberCounts:
    """Counts of numbers (ascending float64, int64) while at most 1,024 differ; beyond that, none.

    Whether they are kept depends on the numbers alone, so merging is exactly associative and
    commutative.
    """

    values: np.ndarray = field(default_factory=partial(np.empty, 0))
    counts: np.ndarray = field(default_factory=no_counts)
    is_complete: bool = field(default=True, kw_only=True)

    def update(self, numbers: np.ndarray) -> None:
        """Add ascending finite float64 numbers, until too many differ."""
        if not self.is_complete or not len(numbers):
            return
        starts = np.concatenate([[0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1])
        if len(starts) > NUMBER_CAP:
            self.drop()
            return
        self._add(numbers[starts] + 0.0, np.diff(np.append(starts, len(numbers))))

    def merge(self, other: NumberCounts) -> NumberCounts:
        """Return the counts over both; neither input changes."""
        if not (self.is_complete and other.is_complete):
            return NumberCounts(is_complete=False)
        merged = NumberCounts(self.values, self.counts)
        merged._add(other.values, other.counts)
        return merged

    def _add(self, values: np.ndarray, counts: np.ndarray) -> None:
        if np.array_equal(values, self.values):
            self.counts = self.counts + counts
            return
        self.values, self.counts = sum_by_key(
            np.concatenate([self.values, values]), np.concatenate([self.counts, counts])
        )
        if len(self.values) > NUMBER_CAP:
            self.drop()

    def drop(self) -> None:
        """Stop counting, because too many differ."""
        self.values, self.counts = np.empty(0), no_counts()
        self.is_complete = False


def frequent_numbers(
    numbers: NumberCounts, sketch: QuantileSketch, limit: int
) -> tuple[FrequentValue, ...]:
    """List the most frequent numbers, equal counts in ascending order.

    Beyond 1,024 distinct numbers they come from the sketch: only those that are certain to occur
    more often than its error, with bounds by `rank_error`.
    """
    if numbers.is_complete and len(numbers.values):
        order = np.argsort(-numbers.counts, kind="stable")[:limit]
        return tuple(
            FrequentValue(value, count, count, count)
            for value, count in zip(
                numbers.values[order].tolist(), numbers.counts[order].tolist(), strict=True
            )
        )
    values, weights = sketch.weighted()
    # A weight is the difference of two ranks.
    error = 2.0 * rank_error(sketch) * sketch.count
    order = np.argsort(-weights, kind="stable")[:limit]
    order = order[weights[order] > error]
    return tuple(
        FrequentValue(value, round(weight), max(1, round(weight - error)), round(weight + error))
        for value, weight in zip(values[order].tolist(), weights[order].tolist(), strict=True)
    )


def frequent_texts(levels: LevelCounts, limit: int) -> tuple[FrequentValue, ...]:
    """List the most frequent texts, equal counts by name."""
    return tuple(
        FrequentValue(value, count, count, count + levels.error)
        for value, count in levels.ranked()[:limit]
    )
