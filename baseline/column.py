"""The summary of one column."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.cells import Cells
from driftline.baseline.distinct import DistinctCount, LevelCounts, NumberCounts
from driftline.baseline.moments import Moments
from driftline.baseline.schema import InferredType, inferred_type
from driftline.baseline.sketch import QuantileSketch
from driftline.baseline.texts import counted_texts, shortened
from driftline.baseline.times import TimeSummary
from driftline.baseline.value_runs import TimeOrder, ValueRuns
from driftline.baseline.vectors import VectorSummary
from driftline.errors import InputError
from driftline.formats.arrow_types import plain_array, plain_type
from driftline.formats.coercion import coerce
from driftline.formats.hashing import hash_integers, hash_numbers, hash_texts
from driftline.signature import ColumnType
from driftline.stats.day_scores import StepScores

# Below this float64 tells every whole number from all others.
EXACT_WHOLE = 2.0**53
# Longer texts than 2^8 characters are counted in bins of at most 1/128 of their length, and beyond
# MOST_LENGTH in the last one: there are no more bins than numbers that are kept.
LENGTH_BITS, MOST_LENGTH = 8, 2.0**14 - 1
COUNTERS = (
    "row_count",
    "missing_count",
    "inf_count",
    "unfit_count",
    "integral_count",
)


@dataclass(slots=True)
class ColumnProfile:
    """Counts and sketches of one column; grows by `update`, adds up by `merge`.

    Parameters
    ----------
    name, type
        As in the signature.
    row_count
        Rows seen; `missing` of them hold no value (null, NaN, empty text).
    inf_count
        Infinite values are present, but in no moment and no sketch.
    unfit_count
        Values that did not fit the type; they are present.
    integral_count
        Whole numbers among the numbers.
    moments, sketch
        Of finite numbers.
    numbers
        Counts of finite numbers while few differ.
    levels
        Counts of text and boolean values; of a text beyond a kilobyte the start and a digest.
    distinct
        Number of distinct values.
    lengths
        Lengths of texts in characters, rounded down to eight binary digits: exact below 256, and
        together from 16,320 on.
    times
        Where the times lie.
    vectors
        Of lists of numbers, such as embeddings; as levels they are texts.
    runs
        How long numbers stand still, of rows whose times are known.
    cells, cell_counts
        The reference's cells and the rows in each, when cells are given.
    steps
        How far a reference's numbers move from row to row, once all of its rows are known.
    """

    name: str
    type: ColumnType
    row_count: int = 0
    missing_count: int = 0
    inf_count: int = 0
    unfit_count: int = 0
    integral_count: int = 0
    moments: Moments = field(default_factory=Moments)
    sketch: QuantileSketch = field(default_factory=QuantileSketch)
    numbers: NumberCounts = field(default_factory=NumberCounts)
    levels: LevelCounts = field(default_factory=LevelCounts)
    distinct: DistinctCount = field(default_factory=DistinctCount)
    lengths: NumberCounts = field(default_factory=NumberCounts)
    times: TimeSummary = field(default_factory=TimeSummary)
    vectors: VectorSummary = field(default_factory=VectorSummary)
    runs: ValueRuns = field(default_factory=ValueRuns)
    cells: Cells | None = None
    cell_counts: np.ndarray | None = None
    steps: StepScores | None = None

    @property
    def present_count(self) -> int:
        """Rows that hold a value, fitting or not."""
        return self.row_count - self.missing_count

    def value_counts(self) -> dict[str, float]:
        """Return counts of all or the frequent values; texts and whole numbers only."""
        if self.type == "string":
            return dict(zip(self.levels.values.to_pylist(), self.levels.counts, strict=True))
        if self.type == "int64":
            return {f"{value:.0f}": n for value, n in zip(*self.sketch.weighted(), strict=True)}
        return {}

    @property
    def completeness(self) -> float:
        """Share of rows that hold a value; 1.0 without rows."""
        return self.present_count / self.row_count if self.row_count else 1.0

    @property
    def inferred_type(self) -> InferredType:
        """SageMaker's name of the type; Unknown while no value was seen."""
        return inferred_type(self.type, self.present_count)

    @property
    def is_number(self) -> bool:
        """Whether the column's values are numbers."""
        return self.type in ("int64", "double")

    @property
    def distinct_count(self) -> int:
        """Number of distinct values, an estimate beyond some thousands."""
        if self.type in ("string", "bool") and self.levels.is_exact:
            return len(self.levels.values)
        return self.distinct.value

    def frequent(self, limit: int) -> list[str]:
        """List the most frequent values as text, equal counts in order; of times and decimals none.

        Of many whole numbers only those that are certain to occur more often than the sketch's
        error.
        """
        if self.type != "int64":
            return [value for value, _ in self.levels.ranked()[:limit]]
        values, counts, error = self.numbers.values, self.numbers.counts, 0.0
        if not self.numbers.is_complete:
            values, counts = self.sketch.weighted()
            # A weight is the difference of two ranks.
            error = 2.0 * self.sketch.rank_error * self.sketch.count
        order = np.argsort(-counts, kind="stable")[:limit]
        return [f"{value:.0f}" for value in values[order[counts[order] > error]]]

    def update(
        self,
        array: pa.Array | pa.ChunkedArray,
        unfit: int = 0,
        order: TimeOrder | None = None,
    ) -> None:
        """Add rows; values that do not fit the type are counted as unfit.

        `unfit` is the number of nulls that stand for values found unfit before, `order` the rows'
        order in time when it is known.
        """
        if self.type == "string" and pa.types.is_list(plain_type(array.type)):
            array = plain_array(array)
            self.vectors.update(array)
        values, lost = coerce(array, self.type)
        if self.is_number:
            self._update_numbers(values, unfit + lost)
            if order is not None:
                self.runs = self.runs.merge(order.runs(values))
        elif self.type == "timestamp":
            self._count_rows(len(values), len(values) - values.null_count, unfit + lost)
            if self.cells is not None:
                self._count_cells(self.cells.count(values, unfit + lost))
            self._update_times(values.drop_null())
        else:
            self._update_texts(values, unfit + lost)

    def _count_rows(self, rows: int, present: int, unfit: int) -> None:
        """Count rows, those with a value, and unfit values."""
        missing = rows - present
        if unfit > missing:
            raise InputError(f'column "{self.name}": {unfit} unfit of {missing} empty rows')
        self.row_count += rows
        self.missing_count += missing - unfit
        self.unfit_count += unfit

    def _count_cells(self, counts: np.ndarray) -> None:
        self.cell_counts = counts if self.cell_counts is None else self.cell_counts + counts

    def _update_numbers(self, values: pa.Array, unfit: int) -> None:
        """Sort once: cells, frequent values and infinities follow from the order."""
        found = values.drop_null().to_numpy(zero_copy_only=False)
        whole = found.dtype == np.int64
        numbers = found.astype(np.float64, copy=False)
        ordered = np.sort(numbers)
        low = int(np.searchsorted(ordered, -np.inf, side="right"))
        high, known = np.searchsorted(ordered, [np.inf, np.nan]).tolist()
        self._count_rows(len(values), known, unfit)
        if self.cells is not None:
            self._count_cells(self.cells.count_sorted(ordered, len(values), unfit))
        if high - low < len(numbers):
            self.inf_count += known - (high - low)
            numbers, ordered = numbers[np.isfinite(numbers)], ordered[low:high]
        self.integral_count += len(numbers) if whole else _whole_count(numbers)
        self.moments.update(numbers)
        self.sketch.update(numbers)
        if whole and max(-self.moments.minimum, self.moments.maximum) >= EXACT_WHOLE:
            self._add_large(found, numbers)
            return
        self.numbers.update(ordered)
        # Where few differ, all that has come is at hand.
        few = self.numbers.is_complete
        self.distinct.update(hash_numbers(self.numbers.values if few else numbers))

    def _add_large(self, whole: np.ndarray, numbers: np.ndarray) -> None:
        """Distinguish integers that collapse to the same float64, such as long ids."""
        self.numbers.drop()
        large = np.abs(numbers) >= EXACT_WHOLE
        self.distinct.update(np.where(large, hash_integers(whole), hash_numbers(numbers)))

    def _update_times(self, values: pa.Array) -> None:
        times = values.view(pa.int64()).to_numpy(zero_copy_only=False)
        self.times.update(times)
        self.distinct.update(hash_integers(times))

    def _update_texts(self, values: pa.Array, unfit: int) -> None:
        texts, counts = counted_texts(values)
        self._count_rows(len(values), int(counts.sum()), unfit)
        if self.cells is not None:
            self._count_cells(self.cells.count_texts(texts, counts, len(values), unfit))
        kept = shortened(texts)
        self.levels.update(kept, counts)
        self.lengths.add(_rounded_lengths(texts), counts)
        self.distinct.update(hash_texts(kept))

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """Return the summary of the rows of both; neither input changes."""
        if (self.name, self.type) != (other.name, other.type):
            raise InputError(
                f'column "{self.name}" ({self.type}) cannot be merged with '
                f'"{other.name}" ({other.type})'
            )
        if (self.cells.id if self.cells else None) != (other.cells.id if other.cells else None):
            raise InputError(f'column "{self.name}": the two profiles were counted on other cells')
        counts = [part for part in (self.cell_counts, other.cell_counts) if part is not None]
        return ColumnProfile(
            name=self.name,
            type=self.type,
            **{name: getattr(self, name) + getattr(other, name) for name in COUNTERS},
            moments=self.moments.merge(other.moments),
            sketch=self.sketch.merge(other.sketch),
            numbers=self.numbers.merge(other.numbers),
            levels=self.levels.merge(other.levels),
            distinct=self.distinct.merge(other.distinct),
            lengths=self.lengths.merge(other.lengths),
            times=self.times.merge(other.times),
            vectors=self.vectors.merge(other.vectors),
            runs=self.runs.merge(other.runs),
            cells=self.cells,
            cell_counts=np.sum(counts, axis=0) if counts else None,
        )


def _whole_count(numbers: np.ndarray) -> int:
    return int(np.count_nonzero(np.floor(numbers) == numbers))


def _rounded_lengths(texts: pa.Array) -> np.ndarray:
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.float64)
    lengths = np.minimum(lengths, MOST_LENGTH)
    fractions, exponents = np.frexp(lengths)
    return np.asarray(np.ldexp(np.floor(np.ldexp(fractions, LENGTH_BITS)), exponents - LENGTH_BITS))
