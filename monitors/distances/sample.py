"""One side of a comparison: what a column of rows, or its profile, is known to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.counted import counted_texts
from driftline.baseline.quantiles import rank_error
from driftline.baseline.schema import column_type
from driftline.baseline.texts import shortened
from driftline.errors import InputError
from driftline.formats.arrow_types import plain_type
from driftline.formats.coercion import coerce
from driftline.monitors.distances.counts import Counts

# Of the estimate from the 4,096 smallest hashes: 1 / sqrt(4,094) (Bar-Yossef et al., 2002).
DISTINCT_ERROR = 0.0157

SampleKind = Literal["numbers", "levels"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The finite numbers of one side.

    Parameters
    ----------
    values, weights
        Distinct values, ascending, and the rows that each stands for, shape (V,).
    rank_error
        By what share of the rows a rank may be off; 0 when every row is counted.
    """

    values: Counts
    weights: Counts
    rank_error: float = 0.0

    @property
    def count(self) -> float:
        """Rows that hold a finite number."""
        return float(self.weights.sum())


@dataclass(frozen=True, slots=True)
class Levels:
    """The texts or truth values of one side.

    Parameters
    ----------
    values, counts
        Distinct texts and the rows that hold each, shape (L,).
    count
        Rows that hold a value, with those of values that are not listed.
    error
        By how much a count may be too small; 0 when all values are listed with their counts.
    """

    values: pa.Array
    counts: Counts
    count: int
    error: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one side.

    Parameters
    ----------
    kind
        None for a column without a single value and without a type.
    row_count, missing_count
        All rows; those without a value (null, NaN, empty text).
    unfit_count, infinite_count
        Values of another type than the column's; infinite numbers. They are present, but among
        neither `numbers` nor `levels`.
    empty_text_count
        Empty texts among the missing; None where a profile no longer tells.
    numbers, levels
        The one that fits the kind.
    distinct_count, distinct_error
        Number of different values, and its relative standard error; None without values.
    cells, cell_counts
        The reference's cells and the rows in each, where they were counted.
    """

    kind: SampleKind | None
    row_count: int
    missing_count: int
    unfit_count: int = 0
    infinite_count: int = 0
    empty_text_count: int | None = None
    numbers: Numbers | None = None
    levels: Levels | None = None
    distinct_count: int | None = None
    distinct_error: float = 0.0
    cells: Cells | None = None
    cell_counts: Counts | None = None


def sample_of(data: object, shown: str, *, cells: Cells | None = None) -> Sample:
    """Take what is known of one column.

    Parameters
    ----------
    data
        A ``ColumnProfile``, or rows: a numpy array, a list, a column of pandas, polars or Arrow.
    shown
        What an error calls it: "reference" or "window".
    cells
        Cells to count rows on; a profile brings its own.

    Raises
    ------
    InputError
        When it is not one column of numbers, texts or truth values.
    """
    if isinstance(data, ColumnProfile):
        return _of_profile(data, shown)
    array = _as_array(data, shown)
    plain = plain_type(array.type)
    nested = pa.types.is_nested(array.type) or pa.types.is_nested(plain)
    if nested or pa.types.is_timestamp(plain):
        raise InputError(
            f"{shown}: values of type {array.type} have no distance here; expected numbers, texts "
            "or truth values"
        )
    if pa.types.is_null(array.type):
        return Sample(None, len(array), len(array), empty_text_count=0)
    counts = None if cells is None else cells.count(array).astype(np.float64)
    if column_type(array.type) in ("int64", "double"):
        return _of_numbers(array, cells, counts)
    return _of_texts(array, cells, counts)


def _as_array(data: object, shown: str) -> pa.Array | pa.ChunkedArray:
    if isinstance(data, pa.Array | pa.ChunkedArray):
        return data
    if isinstance(data, str | bytes) or getattr(data, "ndim", 1) != 1:
        raise InputError(
            f"{shown}: {_described(data)} is not one column; expected an array, a list, a column "
            "of a frame or a column's profile"
        )
    try:
        if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "__arrow_c_array__"):
            return pa.chunked_array(data)
        return pa.array(data, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{shown}: {_described(data)} is not one column ({str(error).splitlines()[0]}); "
            "expected numbers, texts or truth values"
        ) from error


def _described(data: object) -> str:
    shape = getattr(data, "shape", None)
    return type(data).__name__ + (f" of shape {shape}" if shape is not None else "")


def _of_numbers(array: pa.Array, cells: Cells | None, counts: Counts | None) -> Sample:
    plain, _ = coerce(array, "double")
    found = plain.drop_null().to_numpy(zero_copy_only=False)
    found = found[~np.isnan(found)]
    finite = found[np.isfinite(found)] + 0.0  # -0.0 is 0.0.
    values, weights = np.unique(finite, return_counts=True)
    return Sample(
        "numbers",
        row_count=len(array),
        missing_count=len(array) - len(found),
        infinite_count=len(found) - len(finite),
        empty_text_count=0,
        numbers=Numbers(values, weights.astype(np.float64)),
        distinct_count=_distinct_count(array, values),
        cells=cells,
        cell_counts=counts,
    )


def _distinct_count(array: pa.Array, values: Counts) -> int:
    """Count different numbers; floats do not tell whole numbers beyond 2^53 apart."""
    if pa.types.is_integer(array.type) and values.size and np.abs(values).max() >= 2**53:
        return int(pc.count_distinct(array).as_py())
    return len(values)


def _of_texts(array: pa.Array, cells: Cells | None, counts: Counts | None) -> Sample:
    kind = column_type(array.type)
    plain, _ = coerce(array, kind)
    texts, often = counted_texts(plain)
    present = int(often.sum())
    empty = pc.sum(pc.equal(plain, "")).as_py() if kind == "string" else 0
    kept = shortened(texts)
    return Sample(
        "levels",
        row_count=len(plain),
        missing_count=len(plain) - present,
        empty_text_count=int(empty or 0),
        levels=Levels(kept, often.astype(np.float64), present),
        distinct_count=len(kept),
        cells=cells,
        cell_counts=counts,
    )


def _of_profile(column: ColumnProfile, shown: str) -> Sample:
    if column.type == "timestamp":
        raise InputError(
            f'{shown}: column "{column.name}" holds times, which have no distance here; expected '
            "numbers, texts or truth values"
        )
    numbers = levels = None
    if column.is_number:
        numbers = _numbers_of(column)
    else:
        found = column.levels
        levels = Levels(
            found.values,
            found.counts.astype(np.float64),
            column.present_count - column.unfit_count,
            found.error,
        )
    counts = column.cell_counts
    is_counted = column.distinct.is_exact and (levels is None or column.levels.is_exact)
    return Sample(
        "numbers" if column.is_number else "levels",
        row_count=column.row_count,
        missing_count=column.missing_count,
        unfit_count=column.unfit_count,
        infinite_count=column.inf_count,
        empty_text_count=0 if column.type != "string" else None,
        numbers=numbers,
        levels=levels,
        distinct_count=column.distinct_count if column.present_count else None,
        distinct_error=0.0 if is_counted else DISTINCT_ERROR,
        cells=column.cells if counts is not None else None,
        cell_counts=None if counts is None else counts.astype(np.float64),
    )


def _numbers_of(column: ColumnProfile) -> Numbers:
    """Give the counted numbers, or the sketch's with the true ends, which weigh nothing there."""
    if column.numbers.is_complete:
        return Numbers(column.numbers.values, column.numbers.counts.astype(np.float64))
    values, weights = column.sketch.weighted()
    ends = np.array([column.moments.minimum, column.moments.maximum])
    points, place = np.unique(np.concatenate([values, ends]), return_inverse=True)
    rows = np.zeros(points.size)
    np.add.at(rows, place, np.concatenate([weights, [0.0, 0.0]]))
    return Numbers(points, rows, rank_error(column.sketch))
