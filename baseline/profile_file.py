"""profile.arrow: finer summaries of columns, one row each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.block_columns import hour_counts, hour_notes, read_hours
from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.column import COUNTERS, ColumnProfile
from driftline.baseline.distinct import DistinctCount, LevelCounts
from driftline.baseline.frequent import NumberCounts
from driftline.baseline.lengths import LengthCounts
from driftline.baseline.moments import Moments
from driftline.baseline.sketch import QuantileSketch
from driftline.baseline.texts import SHAPE_CAP, TextSummary
from driftline.baseline.times import TimeSummary
from driftline.baseline.value_runs import ValueRuns
from driftline.baseline.vectors import Dimensions, VectorSummary
from driftline.errors import InputError
from driftline.stats.day_scores import DaySums, StepScores

PROFILE_FORMAT = 9
KEY = b"driftline.profile"

NUMBERS = ("total", "average", "squares", "minimum", "maximum")
INTEGERS = pa.list_(pa.int64())
FLOATS = pa.list_(pa.float64())
# In the order of `LengthCounts` and of `Dimensions`.
LENGTHS = [
    ("lengths", INTEGERS),
    ("length_counts", INTEGERS),
    ("length_total", pa.int64()),
    ("length_minimum", pa.int64()),
    ("length_maximum", pa.int64()),
]
DIMENSIONS = [
    ("dimension_counts", INTEGERS),
    ("averages", FLOATS),
    ("squares_by_dimension", FLOATS),
    ("minima", FLOATS),
    ("maxima", FLOATS),
]
VECTORS = pa.struct(
    [
        *LENGTHS,
        ("odd_count", pa.int64()),
        ("zero_count", pa.int64()),
        ("count", pa.int64()),
        *((number, pa.float64()) for number in NUMBERS),
        ("sketch", pa.list_(FLOATS)),
        *DIMENSIONS,
    ]
)
# In the order of `ValueRuns`.
RUNS = pa.struct(
    [
        ("values", FLOATS),
        ("lengths", INTEGERS),
        ("time_count", pa.int64()),
        ("hour_count", pa.int64()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("first_value", pa.float64()),
        ("first_length", pa.int64()),
        ("last_value", pa.float64()),
        ("last_length", pa.int64()),
        ("is_ordered", pa.bool_()),
    ]
)
# Of `StepScores`: sizes of steps with how many of each, and the sums of days.
STEPS = pa.struct(
    [
        ("codes", pa.list_(pa.int16())),
        ("totals", INTEGERS),
        ("days", INTEGERS),
        ("sums", pa.list_(pa.float32())),
        ("rows", INTEGERS),
    ]
)
TEXTS = [
    *LENGTHS,
    ("shapes", pa.list_(pa.string())),
    ("shape_counts", INTEGERS),
    ("shape_error", pa.int64()),
]
FIELDS = [
    ("name", pa.string()),
    ("type", pa.string()),
    *((counter, pa.int64()) for counter in COUNTERS),
    ("count", pa.int64()),
    *((number, pa.float64()) for number in NUMBERS),
    ("sketch", pa.list_(pa.list_(pa.float64()))),
    ("level_values", pa.list_(pa.string())),
    ("level_counts", INTEGERS),
    ("level_error", pa.int64()),
    ("hashes", pa.list_(pa.uint64())),
    ("cells", pa.string()),
    ("cell_counts", INTEGERS),
    ("blocks", pa.large_list(pa.int32())),  # By the hour, cell after cell.
    ("number_values", pa.list_(pa.float64())),
    ("number_counts", INTEGERS),
    ("numbers_complete", pa.bool_()),
    *TEXTS,
    ("time_width_us", pa.int64()),
    ("time_firsts", INTEGERS),
    ("time_lasts", INTEGERS),
    ("time_counts", INTEGERS),
    ("vectors", VECTORS),
    ("runs", RUNS),
    ("hashes_complete", pa.bool_()),
    ("steps", STEPS),
]
SCHEMA = pa.schema(FIELDS)
# What no column lacks, and the lists that are as long as each other.
WHOLE = (
    "name", "type", *COUNTERS, "count", *NUMBERS, "sketch", "level_values", "level_counts",
    "level_error", "hashes", "hashes_complete", "number_values", "number_counts",
    "numbers_complete", "time_width_us", "time_firsts", "time_lasts", "time_counts",
)  # fmt: skip
TOGETHER = (
    ("level_values", "level_counts"),
    ("number_values", "number_counts"),
    ("lengths", "length_counts"),
    ("shapes", "shape_counts"),
    ("time_firsts", "time_lasts"),
    ("time_firsts", "time_counts"),
)


def columns_to_table(
    columns: Mapping[str, ColumnProfile],
    blocks: BlockCounts | None,
    *,
    row_count: int,
    seen: Iterable[str],
    extra: Iterable[str],
) -> pa.Table:
    """Write column summaries and block counts as one table; deterministic."""
    notes = {
        "format": PROFILE_FORMAT,
        "row_count": row_count,
        "seen": sorted(seen),
        "extra": list(extra),
        **hour_notes(blocks),
    }
    rows = [_row(column) for column in columns.values()]
    hours = hour_counts(blocks)
    for row in rows:
        row["blocks"] = hours.get(row["name"])
    arrays = [pa.array([row[entry.name] for row in rows], entry.type) for entry in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata({KEY: json.dumps(notes)}))


def _row(column: ColumnProfile) -> dict[str, Any]:
    moments, cells, levels = column.moments, column.cells, column.levels
    order = pc.array_sort_indices(levels.values)
    times = column.times
    return {
        "name": column.name,
        "type": column.type,
        **{counter: getattr(column, counter) for counter in COUNTERS},
        "count": moments.count,
        **{number: getattr(moments, number) for number in NUMBERS},
        "sketch": column.sketch.levels,
        # Sorted: neighbours that begin alike take less room.
        "level_values": levels.values.take(order).to_pylist(),
        "level_counts": levels.counts[order.to_numpy()],
        "level_error": levels.error,
        "hashes": column.distinct.hashes,
        "hashes_complete": column.distinct.is_exact,
        "cells": None if cells is None else json.dumps(cells.to_dict(), ensure_ascii=False),
        "cell_counts": column.cell_counts,
        "number_values": column.numbers.values,
        "number_counts": column.numbers.counts,
        "numbers_complete": column.numbers.is_complete,
        **_text_row(column.texts),
        "time_width_us": times.width_us,
        "time_firsts": times.first,
        "time_lasts": times.last,
        "time_counts": times.counts,
        "vectors": _vector_row(column.vectors) if column.vectors.count else None,
        "runs": {name: getattr(column.runs, name) for name in RUNS.names}
        if column.runs.time_count
        else None,
        "steps": None if column.steps is None else _step_row(column.steps),
    }


def _step_row(steps: StepScores) -> dict[str, Any]:
    days = steps.days
    return {
        "codes": steps.codes,
        "totals": steps.totals,
        "days": days.days,
        "sums": days.sums.ravel().astype(np.float32),
        "rows": days.rows.ravel().astype(np.int64),
    }


def _text_row(texts: TextSummary | None) -> dict[str, Any]:
    if texts is None:
        return dict.fromkeys(name for name, _ in TEXTS)
    shapes = texts.shapes
    return {
        **_named(LENGTHS, texts.lengths),
        "shapes": shapes.values.to_pylist(),
        "shape_counts": shapes.counts,
        "shape_error": shapes.error,
    }


def _vector_row(vectors: VectorSummary) -> dict[str, Any]:
    return {
        **_named(LENGTHS, vectors.lengths),
        "odd_count": vectors.odd_count,
        "zero_count": vectors.zero_count,
        "count": vectors.norms.count,
        **{number: getattr(vectors.norms, number) for number in NUMBERS},
        "sketch": vectors.norm_sketch.levels,
        **_named(DIMENSIONS, vectors.dimensions),
    }


def _named(
    names: Sequence[tuple[str, pa.DataType]], found: LengthCounts | Dimensions
) -> dict[str, Any]:
    """Return a summary's fields under their names in the table."""
    own = (getattr(found, one.name) for one in fields(found))
    return {name: value for (name, _), value in zip(names, own, strict=True)}


def columns_from_table(table: pa.Table) -> tuple[dict[str, ColumnProfile], dict[str, Any]]:
    """Read what columns_to_table wrote, and its metadata."""
    notes = _notes(table)
    try:
        table = table.select(SCHEMA.names).cast(SCHEMA)
        table.validate(full=True)
        _check_rows(table)
        found = {
            name: _values(table.column(name).combine_chunks())
            for name in SCHEMA.names
            if name != "blocks"
        }
        rows = (dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True))
        columns = {row["name"]: _column(row) for row in rows}
    except (
        pa.ArrowException, AttributeError, KeyError, TypeError, ValueError, IndexError
    ) as error:  # fmt: skip
        raise _damaged(error) from error
    return columns, notes


def _check_rows(table: pa.Table) -> None:
    """Refuse rows that lack required values, or have counts of other values."""
    for name in WHOLE:
        if table.column(name).null_count:
            raise ValueError(f"no {name}")
    for first, other in TOGETHER:
        lengths = pc.list_value_length(table.column(first))
        if pc.list_value_length(table.column(other)) != lengths:
            raise ValueError(f"{other} of another length than {first}")


def _values(array: pa.Array) -> list[Any]:
    """Return one Python or numpy value for each row; lists of numbers as arrays, uncopied."""
    return _slices(array) if isinstance(array, pa.ListArray) else list(array.to_pylist())


def _slices(array: pa.ListArray) -> list[Any]:
    inner = array.values
    if isinstance(inner, pa.ListArray):
        parts: Any = _slices(inner)
    elif pa.types.is_string(inner.type):
        parts = inner
    else:
        parts = inner.to_numpy(zero_copy_only=False)
    offsets = array.offsets.to_numpy().tolist()
    valid = array.is_valid().to_pylist()
    return [
        parts[start:end] if known else None
        for (start, end), known in zip(pairwise(offsets), valid, strict=True)
    ]


def blocks_from_table(table: pa.Table) -> BlockCounts | None:
    """Read the block counts that columns_to_table wrote; None without any."""
    notes = _notes(table)
    if notes["hours"] is None:
        return None
    try:
        apart = notes.get("apart", [])
        place = {name: at for at, one in enumerate(apart, 1) for name in one["columns"]}
        parts: list[dict[str, np.ndarray]] = [{} for _ in (notes, *apart)]
        for name, counts in zip(
            table.column("name").to_pylist(), table.column("blocks"), strict=True
        ):
            if counts.is_valid:
                parts[place.get(name, 0)][name] = counts.values.to_numpy()
        first, *rest = (
            read_hours(own, counts) for own, counts in zip((notes, *apart), parts, strict=True)
        )
        return replace(first, apart=tuple(rest))
    except (
        pa.ArrowException, AttributeError, IndexError, KeyError, TypeError, ValueError
    ) as error:  # fmt: skip
        raise _damaged(error) from error


def _notes(table: pa.Table) -> dict[str, Any]:
    found = (table.schema.metadata or {}).get(KEY)
    if found is None:
        raise InputError("the Arrow file is no driftline profile; make the baseline again")
    try:
        notes: dict[str, Any] = json.loads(found)
        version = notes["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(error) from error
    if type(version) is not int:
        raise _damaged("format that is no number")
    if version != PROFILE_FORMAT:
        raise InputError(
            f"profile format {version}; this driftline reads {PROFILE_FORMAT}: "
            "make the baseline again"
        )
    if missing := {"row_count", "seen", "extra", "hours"} - notes.keys():
        raise _damaged(f"no {sorted(missing)[0]}")
    if type(notes["row_count"]) is not int:
        raise _damaged("row_count that is no number")
    for name in ("seen", "extra"):
        if not isinstance(notes[name], list) or {*map(type, notes[name])} - {str}:
            raise _damaged(f"{name} that is no list of names")
    return notes


def _damaged(error: object) -> InputError:
    told = str(error).partition("\n")[0]
    return InputError(f"the profile is damaged ({told}); make the baseline again")


def _column(row: Mapping[str, Any]) -> ColumnProfile:
    return ColumnProfile(
        name=row["name"],
        type=row["type"],
        **{counter: row[counter] for counter in COUNTERS},
        moments=Moments(row["count"], **{number: row[number] for number in NUMBERS}),
        sketch=QuantileSketch.from_levels(row["sketch"]),
        numbers=NumberCounts(
            row["number_values"], row["number_counts"], is_complete=row["numbers_complete"]
        ),
        levels=LevelCounts(row["level_values"], row["level_counts"], row["level_error"]),
        distinct=DistinctCount(row["hashes"], is_exact=row["hashes_complete"]),
        texts=_texts(row),
        times=TimeSummary(
            row["time_width_us"], row["time_firsts"], row["time_lasts"], row["time_counts"]
        ),
        vectors=_vectors(row["vectors"]),
        runs=_runs(row["runs"]),
        steps=_steps(row["steps"]),
        cells=None if row["cells"] is None else Cells.from_dict(json.loads(row["cells"])),
        cell_counts=row["cell_counts"],
    )


def _texts(row: Mapping[str, Any]) -> TextSummary | None:
    if row["lengths"] is None:
        return None
    shapes = LevelCounts(row["shapes"], row["shape_counts"], row["shape_error"], cap=SHAPE_CAP)
    return TextSummary(_lengths(row), shapes)


def _lengths(row: Mapping[str, Any]) -> LengthCounts:
    lengths, counts, *rest = (row[name] for name, _ in LENGTHS)
    return LengthCounts(np.asarray(lengths, np.int64), np.asarray(counts, np.int64), *rest)


def _vectors(row: Mapping[str, Any] | None) -> VectorSummary:
    if row is None:
        return VectorSummary()
    counts, *numbers = (row[name] for name, _ in DIMENSIONS)
    return VectorSummary(
        _lengths(row),
        row["odd_count"],
        row["zero_count"],
        Moments(row["count"], **{number: row[number] for number in NUMBERS}),
        QuantileSketch.from_levels(row["sketch"]),
        Dimensions(
            np.asarray(counts, np.int64), *(np.asarray(each, np.float64) for each in numbers)
        ),
    )


def _runs(row: Mapping[str, Any] | None) -> ValueRuns:
    if row is None:
        return ValueRuns()
    values, lengths = np.asarray(row["values"], np.float64), np.asarray(row["lengths"], np.int64)
    return ValueRuns(**{**row, "values": values, "lengths": lengths})


def _steps(row: Mapping[str, Any] | None) -> StepScores | None:
    if row is None:
        return None
    codes, totals = (np.asarray(row[name], np.int64) for name in ("codes", "totals"))
    days = DaySums(
        np.asarray(row["days"], np.int64),
        *(np.asarray(row[name], np.float64)[:, None] for name in ("sums", "rows")),
    )
    return StepScores(codes, totals, days)
