"""Lengths of a column's texts or lists, counted exactly so that they merge exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np

# Lengths below 2^8 are counted one by one; of longer ones the first eight binary digits decide,
# so a bin is at most 1/128 of its length wide and all there can be are some thousands.
PRECISION_BITS = 8
no_counts = partial(np.empty, 0, np.int64)


@dataclass(slots=True, eq=False)
class LengthCounts:
    """Counts by length: exact below 256, beyond it to the bin's lower end (less than 0.8% off).

    The sum, the shortest and the longest are exact. The state depends on the lengths alone, so
    merging is exactly associative and commutative.

    Parameters
    ----------
    lengths, counts
        int64, shape (bins,): the bins' lower ends, ascending, and the count in each.
    """

    lengths: np.ndarray = field(default_factory=no_counts)
    counts: np.ndarray = field(default_factory=no_counts)
    total: int = 0
    minimum: int = 0
    maximum: int = 0

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean length, exact; NaN without values."""
        return self.total / self.count if len(self.counts) else math.nan

    def update(self, lengths: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Add values by their lengths, shape (values,), each `counts` times."""
        if not len(lengths):
            return
        lengths = lengths.astype(np.int64, copy=False)
        often = np.ones(len(lengths), np.int64) if counts is None else counts
        low, high = int(lengths.min()), int(lengths.max())
        self.minimum = min(self.minimum, low) if len(self.counts) else low
        self.maximum = max(self.maximum, high)
        self.total += int(lengths @ often)
        self._add(_bins(lengths), often)

    def merge(self, other: LengthCounts) -> LengthCounts:
        """Return the counts over both; neither input changes."""
        found = [part for part in (self, other) if len(part.counts)]
        merged = LengthCounts(
            self.lengths,
            self.counts,
            self.total + other.total,
            min((part.minimum for part in found), default=0),
            max((part.maximum for part in found), default=0),
        )
        merged._add(other.lengths, other.counts)
        return merged

    def quantile(self, share: float) -> int:
        """Return the length at a share (0 to 1) of the values; 0 without values."""
        if not len(self.counts):
            return 0
        if share >= 1.0:
            return self.maximum
        total = np.cumsum(self.counts)
        at = int(np.searchsorted(total, share * total[-1] - 1e-9))
        return max(self.minimum, int(self.lengths[at]))

    def _add(self, bins: np.ndarray, counts: np.ndarray) -> None:
        self.lengths, self.counts = sum_by_key(
            np.concatenate([self.lengths, bins]), np.concatenate([self.counts, counts])
        )


def sum_by_key(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum counts of equal keys; return the keys, ascending, and int64 sums."""
    found, inverse = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, inverse, counts)
    return found, sums


def _bins(lengths: np.ndarray) -> np.ndarray:
    """Round down to a number of binary digits."""
    _, exponents = np.frexp(lengths.astype(np.float64))
    spare = np.maximum(exponents.astype(np.int64) - PRECISION_BITS, 0)
    return np.asarray((lengths >> spare) << spare)
