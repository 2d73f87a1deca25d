"""Lists of numbers, such as embeddings: how many, how long, and how much each position varies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.distinct import no_counts

# The first positions that are summed up one by one; embeddings in use have up to 4,096.
POSITION_CAP = 4096
# Numbers looked at in one go: what is computed beside them stays within some megabytes.
SLICE_NUMBERS = 1 << 20
_no_numbers = partial(np.empty, 0)


@dataclass(slots=True, eq=False)
class VectorSummary:
    """Lengths of a column's lists, and the spread of each position.

    Parameters
    ----------
    count, shortest, longest
        Lists, and the least and most numbers of one.
    counts
        int64, shape (positions,): finite numbers at each position; no list has more than 4,096.
    averages, squares
        float64, shape (positions,): mean, and sum of squared deviations.

    References
    ----------
    Chan, Golub, LeVeque, 1979 (merge).
    """

    count: int = 0
    shortest: int = 0
    longest: int = 0
    counts: np.ndarray = field(default_factory=no_counts)
    averages: np.ndarray = field(default_factory=_no_numbers)
    squares: np.ndarray = field(default_factory=_no_numbers)

    @property
    def deviations(self) -> np.ndarray:
        """Standard deviation (divided by n) of each position, NaN without numbers."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(self.squares / self.counts))

    @property
    def usual_length(self) -> int:
        """The most frequent length, among the counted positions where lengths differ."""
        if self.shortest == self.longest:
            return self.longest
        # So many lists end at each position.
        ends = -np.diff(self.counts, append=0)
        return int(np.argmax(ends)) + 1 if len(ends) else 0

    def update(self, lists: pa.ListArray) -> None:
        """Add lists of numbers; null lists are left out, as are the odd numbers inside."""
        lists = lists.drop_null()
        if not len(lists):
            return
        widest = max(1, pc.max(pc.list_value_length(lists)).as_py())
        step = max(1, SLICE_NUMBERS // widest)
        for at in range(0, len(lists), step):
            self._take(self.merge(_summary(lists.slice(at, step))))

    @np.errstate(over="ignore", invalid="ignore")
    def merge(self, other: VectorSummary) -> VectorSummary:
        """Return the summary of both; neither input changes."""
        if not self.count or not other.count:
            return self if self.count else other
        size = max(len(self.counts), len(other.counts))
        (counts, averages, squares), (more, others, other_squares) = (
            [np.append(part, np.zeros(size - len(part), part.dtype)) for part in one]
            for one in (
                (self.counts, self.averages, self.squares),
                (other.counts, other.averages, other.squares),
            )
        )
        total = counts + more
        share, delta = more / np.maximum(total, 1), others - averages
        return VectorSummary(
            self.count + other.count,
            min(self.shortest, other.shortest),
            max(self.longest, other.longest),
            total,
            averages + delta * share,
            squares + other_squares + delta * delta * counts * share,
        )

    def _take(self, other: VectorSummary) -> None:
        self.count, self.shortest, self.longest = other.count, other.shortest, other.longest
        self.counts, self.averages, self.squares = other.counts, other.averages, other.squares


@np.errstate(over="ignore", invalid="ignore")  # Squares of 1e200.
def _summary(lists: pa.ListArray) -> VectorSummary:
    numbers = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    positions = np.arange(len(numbers)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = np.isfinite(numbers) & (positions < POSITION_CAP)
    numbers, positions = numbers[kept], positions[kept]
    counts = np.bincount(positions)
    averages = np.bincount(positions, numbers) / np.maximum(counts, 1)
    squares = np.bincount(positions, np.square(numbers - averages[positions]))
    shortest, longest = int(lengths.min()), int(lengths.max())
    return VectorSummary(len(lists), shortest, longest, counts, averages, squares)
