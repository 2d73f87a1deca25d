"""``driftline.distance`` and ``driftline.distances`` between two columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.schema import column_type
from driftline.baseline.texts import counted_texts, shortened
from driftline.errors import InputError, UndecidedError
from driftline.formats.arrow_types import plain_type
from driftline.formats.coercion import coerce
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.pair import Pair
from driftline.stats.distances.sample import CellCounts, Levels, Numbers, Sample


class UnmeasuredError(InputError):
    """The distance is for columns of another type."""


def distance(name: str, reference: object, window: object) -> Distance:
    """Measure how far a window lies from its reference by one distance.

    Parameters
    ----------
    name
        One of docs/distances.md, such as ``wasserstein``, or of an installed package.
    reference, window
        One column each: a numpy array, a list, a column of pandas, polars or Arrow, or a
        ``ColumnProfile``, such as ``dl.profile(data).columns["age"]``.

    Raises
    ------
    InputError
        When there is no such distance, or it does not measure what the columns hold.
    UndecidedError
        When no distance exists, as of an empty column.
    """
    # Loads scipy.stats, which a check without a named distance does not need.
    from driftline.stats.distances.catalog import DISTANCES, OF_COUNTS, find

    entry, pair = find(name), pair_of(reference, window)
    if entry.kind is not None and pair.kind not in (entry.kind, None):
        able = [one for one, other in DISTANCES.items() if other.kind in (None, pair.kind)]
        raise UnmeasuredError(
            f'distance "{name}" measures {entry.kind}, and the columns hold {pair.kind}; expected '
            f"one of {', '.join(able)}"
        )
    if name not in OF_COUNTS and (_is_counts_only(reference) or _is_counts_only(window)):
        raise UndecidedError(f'distance "{name}" needs values, and there are only rows by cell')
    found = entry.measure(pair)
    if found.value is None:
        raise UndecidedError(f'distance "{name}" does not exist here: {found.note}')
    return found


def distances(reference: object, window: object) -> dict[str, Distance]:
    """Measure by all our own distances that fit two columns, by name.

    Where one does not exist its value is None, and its note says why.

    Parameters
    ----------
    reference, window
        As for `distance`.

    Raises
    ------
    InputError
        When a side is no column, or they hold different things.
    """
    # As for `distance`.
    from driftline.stats.distances.catalog import DISTANCES

    pair, measured = pair_of(reference, window), {}
    for name, entry in DISTANCES.items():
        if entry.kind not in (None, pair.kind):
            continue
        try:
            measured[name] = entry.measure(pair)
        except UndecidedError as error:
            measured[name] = Distance(name, None, "", note=str(error))
    return measured


def pair_of(reference: object, window: object) -> Pair:
    """Pair two columns, given as rows or profiles; InputError when they do not fit each other.

    Rows are counted on the cells of the other side's profile.
    """
    first = _sample_of(reference, "reference", _cells_of(window))
    second = _sample_of(window, "window", _cells_of(reference))
    if None not in (first.kind, second.kind) and first.kind != second.kind:
        raise InputError(
            f"reference holds {_words(first)} and the window {_words(second)}; expected "
            "columns of the same type"
        )
    if first.levels is None or second.levels is None:
        return Pair(first, second)
    texts = [first.levels.values, second.levels.values]
    both = pa.concat_arrays(texts).unique()
    codes = [pc.index_in(one, value_set=both).to_numpy().astype(np.intp) for one in texts]
    return Pair(
        replace(first, levels=replace(first.levels, codes=codes[0])),
        replace(second, levels=replace(second.levels, codes=codes[1])),
    )


def _cells_of(other: object) -> Cells | None:
    return other.cells if isinstance(other, ColumnProfile) else None


def _is_counts_only(data: object) -> bool:
    """Whether a profile knows its values only by cell, as of a segment."""
    return (
        isinstance(data, ColumnProfile)
        and data.present_count > data.unfit_count + data.inf_count + data.sketch.count
        and data.levels.is_exact
        and not len(data.levels.counts)
    )


def _words(side: Sample) -> str:
    return "numbers" if side.kind == "numbers" else "texts or truth values"


def _sample_of(data: object, shown: str, cells: Cells | None) -> Sample:
    """Return the summary of one column; `cells` count rows, a profile has its own."""
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
        return Sample(None, len(array), len(array))
    counts = None if cells is None else _on_cells(cells, cells.count(array))
    if column_type(array.type) in ("int64", "double"):
        return _of_numbers(array, counts)
    return _of_texts(array, counts)


def _on_cells(cells: Cells, counts: NDArray[np.integer]) -> CellCounts:
    """Return rows by cell without the empty and unfit cells."""
    return CellCounts(cells.id, counts[:-2].astype(np.float64))


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


def _of_numbers(array: pa.Array, counts: CellCounts | None) -> Sample:
    plain, _ = coerce(array, "double")
    found = plain.drop_null().to_numpy(zero_copy_only=False)
    found = found[~np.isnan(found)]
    finite = found[np.isfinite(found)] + 0.0  # -0.0 is 0.0.
    values, weights = np.unique(finite, return_counts=True)
    return Sample(
        "numbers",
        row_count=len(array),
        missing_count=len(array) - len(found),
        numbers=Numbers(values, weights.astype(np.float64)),
        cells=counts,
    )


def _of_texts(array: pa.Array, counts: CellCounts | None) -> Sample:
    kind = column_type(array.type)
    plain, _ = coerce(array, kind)
    texts, often = counted_texts(plain)
    present = int(often.sum())
    return Sample(
        "levels",
        row_count=len(plain),
        missing_count=len(plain) - present,
        levels=Levels(shortened(texts), often.astype(np.float64), present),
        cells=counts,
    )


def _of_profile(column: ColumnProfile, shown: str) -> Sample:
    if column.type == "timestamp":
        raise UnmeasuredError(
            f'{shown}: column "{column.name}" holds times, which have no distance here; expected '
            "numbers, texts or truth values"
        )
    numbers = levels = None
    if column.is_number:
        numbers = numbers_of(column)
    else:
        found = column.levels
        levels = Levels(
            found.values,
            found.counts.astype(np.float64),
            column.present_count - column.unfit_count,
            found.error,
        )
    cells, counts = column.cells, column.cell_counts
    return Sample(
        "numbers" if column.is_number else "levels",
        row_count=column.row_count,
        missing_count=column.missing_count,
        numbers=numbers,
        levels=levels,
        cells=None if cells is None or counts is None else _on_cells(cells, counts),
    )


def numbers_of(column: ColumnProfile) -> Numbers:
    """Return the counted numbers, or the sketch's with the true ends at weight 0."""
    if column.numbers.is_complete:
        return Numbers(column.numbers.values, column.numbers.counts.astype(np.float64))
    values, weights = column.sketch.weighted()
    ends = np.array([column.moments.minimum, column.moments.maximum])
    points, place = np.unique(np.concatenate([values, ends]), return_inverse=True)
    rows = np.zeros(points.size)
    np.add.at(rows, place, np.concatenate([weights, [0.0, 0.0]]))
    return Numbers(points, rows, column.sketch.rank_error)
