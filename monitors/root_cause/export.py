"""Exports all rows behind violations, and no others, as a stream of CSV or Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import UNFIT, Predicate
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import InputError
from driftline.formats.csv.formulas import without_formulas
from driftline.monitors.root_cause.rows import with_texts
from driftline.monitors.root_cause.selection import selected

Form = Literal["csv", "parquet"]
MEDIA_TYPES: dict[Form, str] = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
# Where rows have no event id: their number in the data, from 0.
ROW = "row"
PIECE_BYTES = 1 << 20


def form_of(path: str) -> Form:
    """Choose a file's format by its extension."""
    ending = path.rpartition(".")[2].lower()
    for form in get_args(Form):
        if ending == form:
            return form  # type: ignore[no-any-return] # One of the two.
    raise InputError(f"{path}: expected a file that ends in .csv or .parquet")


def contributing_batches(
    batches: Iterable[pa.RecordBatch], conditions: Sequence[Condition]
) -> Iterator[pa.RecordBatch]:
    """Return the rows that meet any of the conditions of violations, each once."""

    def tables() -> Iterator[pa.Table]:
        first = 0
        for batch in batches:
            yield _chosen(batch, conditions, first)
            first += batch.num_rows

    yield from _of_one_schema(tables())


def selected_batches(
    batches: Iterable[pa.RecordBatch], conditions: Sequence[Predicate]
) -> Iterator[pa.RecordBatch]:
    """Return the rows that meet all conditions."""
    return _of_one_schema(_without_texts(selected(batch, conditions)) for batch in batches)


def _of_one_schema(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    schema: pa.Schema | None = None
    for table in tables:
        if schema is None:
            schema = table.schema
        elif not table.num_rows:
            continue
        yield from table.cast(schema).combine_chunks().to_batches() or _empty(schema)
    if schema is None:
        yield from _empty(pa.schema([(ROW, pa.int64())]))


def _empty(schema: pa.Schema) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pylist([], schema=schema)]


def _chosen(batch: pa.RecordBatch, conditions: Sequence[Condition], first: int) -> pa.Table:
    """Return the contributing rows of a batch, columns in their order."""
    found = np.zeros(batch.num_rows, np.bool_)
    for condition in conditions:
        found |= condition.mask(batch).to_numpy(zero_copy_only=False)
    table = pa.Table.from_batches([batch]).filter(pa.array(found))
    for condition in conditions:
        table = with_texts(table, condition, keep=True)
    table = _without_texts(table)
    names = table.column_names
    ids = [name for name in ROW_IDS if name in names]
    if "event_id" not in names:
        ids = [_free(ROW, names)]
        table = table.append_column(ids[0], pa.array(first + np.flatnonzero(found), pa.int64()))
    looked = dict.fromkeys(name for condition in conditions for name in condition.columns)
    front = [*ids, *(name for name in looked if name in names and name not in ids)]
    return table.select([*front, *(name for name in names if name not in front)])


def _without_texts(table: pa.Table) -> pa.Table:
    """Drop the map of unfit values."""
    is_map = UNFIT in table.column_names and pa.types.is_map(table.schema.field(UNFIT).type)
    return table.drop_columns([UNFIT]) if is_map else table


def _free(name: str, taken: Sequence[str]) -> str:
    """Return a name that no column of the data has."""
    while name in taken:
        name = f"driftline_{name}"
    return name


def written(batches: Iterator[pa.RecordBatch], form: Form) -> Iterator[bytes]:
    """Write batches of one schema, at least one of them, as a file, piece by piece.

    Parquet, which has its index at the end, goes over a temporary file.
    """
    if form == "csv":
        for at, batch in enumerate(batches):
            sink = pa.BufferOutputStream()
            options = pacsv.WriteOptions(include_header=at == 0)
            pacsv.write_csv(without_formulas(_flat(batch)), sink, options)
            yield sink.getvalue().to_pybytes()
        return
    first = next(batches)
    with TemporaryFile() as file:
        with pq.ParquetWriter(file, first.schema) as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)
        file.seek(0)
        yield from iter(lambda: file.read(PIECE_BYTES), b"")


def write_rows(batches: Iterator[pa.RecordBatch], form: Form, path: Path) -> int:
    """Write batches to a file atomically; return the row count."""
    count = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += batch.num_rows
            yield batch

    replace_file(path, written(counted(), form))
    return count


def replace_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Replace a file once the whole content is written."""
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with half.open("wb") as file:
            file.writelines(pieces)
        half.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        half.unlink(missing_ok=True)


def _flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Write lists and the like as JSON texts, bytes in hex, and codes as what they stand for."""
    columns = []
    for column in batch.columns:
        if pa.types.is_nested(column.type):
            texts = [
                None if one is None else json.dumps(one, default=_text)
                for one in column.to_pylist()
            ]
            columns.append(pa.array(texts, pa.string()))
        elif _is_bytes(column.type):
            texts = [None if one is None else _text(one) for one in column.to_pylist()]
            columns.append(pa.array(texts, pa.string()))
        elif pa.types.is_dictionary(column.type):
            columns.append(pc.cast(column, column.type.value_type))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _text(value: object) -> str:
    """Write what neither JSON nor CSV knows."""
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, date | time) else str(value)
