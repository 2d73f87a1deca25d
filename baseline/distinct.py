"""Counts distinct values and frequent ones: mergeable, deterministic."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DISTINCT_CAP = 4096
LEVEL_CAP = 5000
NUMBER_CAP = 1024
no_counts = partial(np.empty, 0, np.int64)


@dataclass(slots=True, eq=False)
class DistinctCount:
    """Number of distinct values: exact below 4,096, from there on an estimate (about 1.6% off).

    Keeps the smallest hashes that occurred; their density tells how many there are. What is kept
    follows from the values alone, not from how they were split.

    Parameters
    ----------
    hashes
        uint64, ascending.
    is_exact
        Whether the value is a count, not an estimate.

    References
    ----------
    Bar-Yossef et al., "Counting distinct elements in a data stream", 2002 (k minimum values).
    """

    hashes: np.ndarray = field(default_factory=partial(np.empty, 0, np.uint64))
    is_exact: bool = True

    @classmethod
    def of(cls, hashes: np.ndarray, *, is_exact: bool = True) -> DistinctCount:
        """Take over hashes, in any order."""
        found = _distinct(hashes)
        is_exact = is_exact and len(found) < DISTINCT_CAP
        return cls(found[:DISTINCT_CAP], is_exact=is_exact)

    def update(self, hashes: np.ndarray) -> None:
        """Add values by their 64-bit hashes, shape (values,)."""
        if len(self.hashes) == DISTINCT_CAP:
            hashes = hashes[hashes < self.hashes[-1]]
        if len(hashes):
            both = np.concatenate([self.hashes, hashes])
            found = DistinctCount.of(both, is_exact=self.is_exact)
            self.hashes, self.is_exact = found.hashes, found.is_exact

    def merge(self, other: DistinctCount) -> DistinctCount:
        """Return the count over both sets of values; neither input changes."""
        both = np.concatenate([self.hashes, other.hashes])
        return DistinctCount.of(both, is_exact=self.is_exact and other.is_exact)

    @property
    def value(self) -> int:
        """The number of distinct values."""
        if self.is_exact:
            return len(self.hashes)
        # The k-th smallest of N uniform numbers lies near k / N.
        return round((len(self.hashes) - 1) / (float(self.hashes[-1]) / 2.0**64))


def _distinct(hashes: np.ndarray) -> np.ndarray:
    """Return the distinct hashes, ascending; sorting is faster than np.unique."""
    ordered = np.sort(hashes)
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.asarray(ordered[first])


@dataclass(slots=True, eq=False)
class LevelCounts:
    """Counts of text values: exact while at most 5,000 differ, else of the frequent ones only.

    Beyond the cap every count may be too small by up to `error` (Misra-Gries counters, merged as in
    Agarwal et al., "Mergeable summaries", 2012).

    Parameters
    ----------
    values, counts
        Distinct texts and how often each occurred, shape (values,).
    error
        By how much a count may be too small; 0 when all values are here.
    """

    values: pa.Array = field(default_factory=partial(pa.array, (), pa.string()))
    counts: np.ndarray = field(default_factory=no_counts)
    error: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether all values are here with their true counts."""
        return self.error == 0

    def update(self, values: pa.Array, counts: np.ndarray) -> None:
        """Add distinct texts, none of them null, and their counts."""
        # To look values up among those that are kept costs less than to put them beside these.
        at = pc.index_in(values, value_set=self.values)
        is_new = at.is_null().to_numpy(zero_copy_only=False)
        known = self.counts.copy()
        known[at.drop_null().to_numpy()] += counts[~is_new]
        fresh, others = values.filter(pa.array(is_new)), counts[is_new]
        if len(known) + len(others) > LEVEL_CAP:
            at_cap = -(LEVEL_CAP + 1)
            cut = int(np.partition(np.concatenate([known, others]), at_cap)[at_cap])
            self.error += cut
            known, others = known - cut, others - cut
            self.values, fresh = (
                self.values.filter(pa.array(known > 0)),
                fresh.filter(pa.array(others > 0)),
            )
            known, others = known[known > 0], others[others > 0]
        if len(fresh):
            self.values = pa.concat_arrays([self.values, fresh])
        self.counts = np.concatenate([known, others]).astype(np.int64, copy=False)

    def merge(self, other: LevelCounts) -> LevelCounts:
        """Return the counts over both; neither input changes."""
        merged = LevelCounts(self.values, self.counts, self.error + other.error)
        merged.update(other.values, other.counts)
        return merged

    def ranked(self) -> list[tuple[str, int]]:
        """Return values with counts, most frequent first, equal counts by name."""
        pairs = zip(self.values.to_pylist(), self.counts.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


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
        self.add(numbers[starts] + 0.0, np.diff(np.append(starts, len(numbers))))

    def merge(self, other: NumberCounts) -> NumberCounts:
        """Return the counts over both; neither input changes."""
        if not (self.is_complete and other.is_complete):
            return NumberCounts(is_complete=False)
        merged = NumberCounts(self.values, self.counts)
        merged.add(other.values, other.counts)
        return merged

    def add(self, values: np.ndarray, counts: np.ndarray) -> None:
        """Add finite float64 numbers and their counts, unless too many differ."""
        if not self.is_complete:
            return
        if np.array_equal(values, self.values):
            self.counts = self.counts + counts
            return
        both = np.concatenate([self.values, values])
        self.values, inverse = np.unique(both, return_inverse=True)
        often = np.concatenate([self.counts, counts])
        self.counts = np.bincount(inverse, often).astype(np.int64)
        if len(self.values) > NUMBER_CAP:
            self.drop()

    def drop(self) -> None:
        """Stop counting, because too many differ."""
        self.values, self.counts = np.empty(0), no_counts()
        self.is_complete = False
