"""Parquet as a job reads and writes it: rows by name in, predictions as columns out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, missing_of, unit_of, with_missing
from driftline.formats.location import Location
from driftline.formats.media_types import TextFormat
from driftline.serving.transform.assembly import AnswerError
from driftline.serving.transform.definition import TransformJobSpec
from driftline.signature import Column, ColumnType, Signature, column_names, names_among

_MAX_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class TableBatch:
    """Some rows of a file in a row."""

    rows: pa.Table
    first: int  # The number of the first row, from 1.

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.rows.num_rows)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return self.count

    def records(self) -> list[bytes]:
        """Return each row as text, for a sentence."""
        return [str(list(row.values())).encode() for row in self.rows.to_pylist()]

    def part(self, start: int, end: int) -> TableBatch:
        """Return the rows [start, end)."""
        return TableBatch(self.rows.slice(start, end - start), self.first + start)


def read_tables(file: Location, spec: TransformJobSpec) -> Iterator[TableBatch]:
    """Read a file's rows, as many together as the payload allows."""
    with file.open_seekable() as stream, _opened(file, stream) as table:
        found = table.metadata
        groups = [found.row_group(at) for at in range(found.num_row_groups)]
        width = max(1, sum(one.total_byte_size for one in groups) // max(1, found.num_rows))
        most = max(1, min(_MAX_ROWS, spec.max_payload_bytes // width))
        if spec.batch_strategy == "SingleRecord":
            most = 1
        first = 1
        for number, group in enumerate(groups):
            rows = table.read_row_group(number)
            for start in range(0, group.num_rows, most):
                yield TableBatch(rows.slice(start, most), first + start)
            first += group.num_rows


def count_rows(file: Location) -> int:
    """Return how many rows a file has."""
    with file.open_seekable() as stream, _opened(file, stream) as table:
        return int(table.metadata.num_rows)


def read_schema(file: Location) -> pa.Schema:
    """Return the columns of a file."""
    with file.open_seekable() as stream, _opened(file, stream) as table:
        return table.schema_arrow


def _opened(file: Location, stream: pa.NativeFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise InputError(f"{file.shown}: not Parquet ({error})") from None


def signature_of_schema(schema: pa.Schema, names: Sequence[str] | None) -> Signature:
    """Return what the model is sent of a table: its columns by name, or all of them."""
    chosen = schema.names if names is None else list(names_among(names, schema.names))
    if lacking := [name for name in chosen if name not in schema.names]:
        raise InputError(f"the model takes {', '.join(lacking[:5])}, which the files lack")
    slugs = column_names(chosen, prefix="feature")
    known = with_missing(schema)
    fields = [known.field(name) for name in chosen]
    return Signature(
        tuple(
            Column(one.name, slug, _type(one.type), unit=unit_of(one), missing=missing_of(one))
            for one, slug in zip(fields, slugs, strict=True)
        )
    )


def _type(kind: pa.DataType) -> ColumnType:
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int64"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "double"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "timestamp"
    return "string"


# A model may answer several values a row.
ANSWER_TYPES: Mapping[str, pa.DataType] = {
    **{str(name): kind for name, kind in ARROW_TYPES.items()},
    "list<double>": pa.list_(pa.float64()),
    "list<string>": pa.list_(pa.string()),
}


class TableAssembly:
    """Writes rows as the model is sent them, and what it answers as columns."""

    form: TextFormat = "csv"
    answer_form: TextFormat = "csv"

    def __init__(
        self, spec: TransformJobSpec, signature: Signature, description: Mapping[str, Any],
        schema: pa.Schema,
    ) -> None:  # fmt: skip
        self._inputs = [column.name for column in signature.inputs]
        self._is_joined = spec.data_processing.join_source == "Input"
        fields = [("prediction", ANSWER_TYPES[description["class_type"]])]
        if description["has_probability"]:
            classes = description["classes"]
            several = column_names(classes, prefix="probability")
            names = ["probability"] if len(classes) == 2 else several
            fields += [(name, pa.float64()) for name in names]
        self._answers = pa.schema(fields)
        taken = [name for name in self._answers.names if name in schema.names]
        if self._is_joined and taken:
            raise InputError(f"the files have a column {taken[0]} already, which the job writes")
        kept = [pa.field(one.name, _plain(one.type)) for one in schema] if self._is_joined else []
        self._schema = pa.schema([*kept, *self._answers])

    def writer(self, path: Path) -> pq.ParquetWriter:
        """Return what writes outputs into a file."""
        return pq.ParquetWriter(path, self._schema)

    def request(self, batch: TableBatch) -> bytes:
        """Return the body that the model is sent."""
        sink = io.BytesIO()
        columns = [_written(batch.rows[name]) for name in self._inputs]
        options = pacsv.WriteOptions(include_header=False)
        pacsv.write_csv(pa.table(columns, names=self._inputs), sink, options)
        return sink.getvalue()

    def output(self, batch: TableBatch, answer: bytes) -> pa.Table:
        """Return what is written for some rows."""
        try:
            answers = self._read(answer)
        except (ValueError, pa.ArrowTypeError) as error:  # That of Arrow is a ValueError, too.
            expected = ", ".join(f"{one.name} ({one.type})" for one in self._answers)
            raise AnswerError(f"the model's answer is not {expected}: {error}") from None
        if answers.num_rows != batch.count:
            raise AnswerError(
                f"the model answered {answers.num_rows} rows to {batch.count}; expected one each"
            )
        columns = [*(batch.rows.columns if self._is_joined else ()), *answers.columns]
        return pa.table(
            [column.cast(field.type) for column, field in zip(columns, self._schema, strict=True)],
            schema=self._schema,
        )

    def _read(self, answer: bytes) -> pa.Table:
        """Read an answer; lists are JSON in CSV."""
        lists = {one.name: pa.string() for one in self._answers if pa.types.is_list(one.type)}
        found = pacsv.read_csv(
            io.BytesIO(answer),
            pacsv.ReadOptions(column_names=self._answers.names, use_threads=False),
            pacsv.ParseOptions(newlines_in_values=True),
            pacsv.ConvertOptions(
                column_types={one.name: one.type for one in self._answers} | lists,
                strings_can_be_null=True,
            ),
        )
        for at, name in enumerate(self._answers.names):
            if name in lists:
                texts = [text or "null" for text in found[name].to_pylist()]
                values = pa.array(
                    json.loads(f"[{','.join(texts)}]"), self._answers.field(name).type
                )
                found = found.set_column(at, name, values)
        return found


def list_type(answer: bytes) -> str | None:
    """Return the type of an answer's first value if that is a list, which is JSON in CSV."""
    cell = next(iter(next(csv.reader(io.StringIO(answer.decode())), ())), "")
    try:
        values = json.loads(cell)
    except ValueError:
        return None
    if not isinstance(values, list):
        return None
    return "list<string>" if any(isinstance(one, str) for one in values) else "list<double>"


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text of CSV tells its values."""
    kind = _plain(column.type)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        utc = column.cast(pa.timestamp("us", "UTC"), safe=False)  # Finer digits nobody reads.
        return pc.strftime(utc, "%Y-%m-%dT%H:%M:%SZ")
    return column.cast(pa.string()) if not _is_value(kind) else column.cast(kind)


def _is_value(kind: pa.DataType) -> bool:
    kinds = pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating
    return any(is_of(kind) for is_of in kinds)
