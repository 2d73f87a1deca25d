"""The summary of one column: what of it is kept when its rows are gone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.cells import Cells
from driftline.baseline.coercion import coerce, is_missing
from driftline.baseline.distinct import DistinctCount, LevelCounts, hash_numbers, hash_texts
from driftline.baseline.moments import Moments
from driftline.baseline.schema import InferredType, inferred_type
from driftline.baseline.sketch import QuantileSketch
from driftline.errors import InputError
from driftline.signature import ColumnType

__all__ = ["ColumnProfile"]


@dataclass(slots=True)
class ColumnProfile:
    """Counts and sketches of one column; grows by `update`, adds up by `merge`.

    Parameters
    ----------
    name, type
        As in the signature.
    row_count
        Rows seen; `missing` of them hold no value (null, NaN, empty text).
    nan_count, inf_count
        NaN are among the missing; infinite values are present, but in no moment and no sketch.
    unfit_count
        Values that did not fit the type; they are present.
    integral_count
        Whole numbers among the numbers.
    moments, sketch
        Of finite numbers; for text, moments of the lengths in characters and no sketch.
    levels
        Counts of text and boolean values.
    distinct
        Number of distinct values.
    cells, cell_counts
        The reference's cells and the rows in each, when cells are given.
    """

    name: str
    type: ColumnType
    row_count: int = 0
    missing_count: int = 0
    nan_count: int = 0
    inf_count: int = 0
    unfit_count: int = 0
    integral_count: int = 0
    moments: Moments = field(default_factory=Moments)
    sketch: QuantileSketch = field(default_factory=QuantileSketch)
    levels: LevelCounts = field(default_factory=LevelCounts)
    distinct: DistinctCount = field(default_factory=DistinctCount)
    cells: Cells | None = None
    cell_counts: np.ndarray | None = None

    @property
    def present_count(self) -> int:
        """Rows that hold a value, fitting or not."""
        return self.row_count - self.missing_count

    @property
    def completeness(self) -> float:
        """Share of rows that hold a value; 1.0 without rows, as nothing is missing then."""
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
        if not self.is_number and self.levels.is_exact:
            return len(self.levels.values)
        return self.distinct.value

    def update(self, array: pa.Array | pa.ChunkedArray, unfit: int = 0) -> None:
        """Add rows.

        Parameters
        ----------
        array
            The column's values; those that do not fit the type are counted as unfit.
        unfit
            How many nulls of the array stand for values that had been found unfit before.
        """
        values, lost = coerce(array, self.type)
        unfit += lost
        missing = is_missing(values)
        missing_count = pc.sum(missing).as_py() or 0
        if unfit > missing_count:
            raise InputError(f'column "{self.name}": {unfit} unfit of {missing_count} empty rows')
        self.row_count += len(values)
        self.missing_count += missing_count - unfit
        self.unfit_count += unfit
        if self.cells is not None:
            counts = self.cells.count(values, unfit)
            self.cell_counts = counts if self.cell_counts is None else self.cell_counts + counts
        if self.is_number:
            self._update_numbers(values)
        elif self.type != "timestamp":
            self._update_texts(values.filter(pc.invert(missing)) if missing_count else values)

    def _update_numbers(self, values: pa.Array) -> None:
        numbers = values.drop_null().to_numpy(zero_copy_only=False)
        whole = numbers.dtype == np.int64
        numbers = numbers.astype(np.float64, copy=False)
        if not whole:
            finite = np.isfinite(numbers)
            if not finite.all():
                nan = int(np.isnan(numbers).sum())
                self.nan_count += nan
                self.inf_count += len(numbers) - int(finite.sum()) - nan
                numbers = numbers[finite]
        self.integral_count += len(numbers) if whole else int((numbers == np.floor(numbers)).sum())
        self.moments.update(numbers)
        self.sketch.update(numbers)
        self.distinct.update(hash_numbers(numbers))

    def _update_texts(self, values: pa.Array) -> None:
        if self.type == "string":
            lengths = pc.utf8_length(values).to_numpy(zero_copy_only=False)
            self.moments.update(lengths.astype(np.float64))
        counted = values.value_counts()
        texts = counted.field("values").cast(pa.string())
        self.levels.update(texts, counted.field("counts").to_numpy())
        if not self.levels.is_exact or len(self.distinct.hashes):
            self.distinct.update(hash_texts(texts))
        if not self.levels.is_exact:
            # The level table has just let values go: what it still holds must be counted, too.
            self.distinct.update(hash_texts(self.levels.values))

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """Give the summary of the rows of both; neither input changes.

        Raises
        ------
        InputError
            When names, types or cells differ.
        """
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
            row_count=self.row_count + other.row_count,
            missing_count=self.missing_count + other.missing_count,
            nan_count=self.nan_count + other.nan_count,
            inf_count=self.inf_count + other.inf_count,
            unfit_count=self.unfit_count + other.unfit_count,
            integral_count=self.integral_count + other.integral_count,
            moments=self.moments.merge(other.moments),
            sketch=self.sketch.merge(other.sketch),
            levels=self.levels.merge(other.levels),
            distinct=self.distinct.merge(other.distinct),
            cells=self.cells,
            cell_counts=np.sum(counts, axis=0) if counts else None,
        )
