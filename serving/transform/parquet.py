"""Parquet as a job reads and writes it: rows by name in, predictions as columns out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from driftline.baseline.schema import column_type
from driftline.errors import InputError
from driftline.formats.arrow_types import missing_of, unit_of, with_missing
from driftline.formats.location import Location
from driftline.formats.media_types import TextFormat
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.text import AnswerError, Batch
from driftline.signature import Column, Signature, column_names, names_among

_MAX_ROWS = 1 << 16


@contextmanager
def reading(file: Location) -> Iterator[pq.ParquetFile]:
    """Open a file of Parquet."""
    with file.open_seekable() as stream:
        try:
            yield pq.ParquetFile(stream)
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
            Column(
                one.name, slug, column_type(one.type), unit=unit_of(one), missing=missing_of(one)
            )
            for one, slug in zip(fields, slugs, strict=True)
        )
    )


class TableAssembly:
    """Writes rows as the model is sent them, and what it answers as columns.

    The first mini-batch's answer sets the columns of the file.
    """

    form: TextFormat = "csv"
    answer_form: TextFormat = "jsonlines"

    def __init__(
        self, spec: TransformJobSpec, place: Location, signature: Signature,
        classes: Sequence[object],
    ) -> None:  # fmt: skip
        self._spec, self._place = spec, place
        self._inputs = [column.name for column in signature.inputs]
        self._classes = column_names(list(map(str, classes)), prefix="probability")
        self._is_joined = spec.data_processing.join_source == "Input"
        self._answers: pa.Schema | None = None

    def batches(self) -> Iterator[Batch]:
        """Read the file's rows, as many together as the payload allows."""
        with reading(self._place) as table:
            found = table.metadata
            groups = [found.row_group(at) for at in range(found.num_row_groups)]
            width = max(1, sum(one.total_byte_size for one in groups) // max(1, found.num_rows))
            most = max(1, min(_MAX_ROWS, self._spec.max_payload_bytes // width))
            if self._spec.batch_strategy == "SingleRecord":
                most = 1
            first = 1
            for rows in table.iter_batches(most):
                yield Batch(pa.Table.from_batches([rows]), first)
                first += rows.num_rows

    @contextmanager
    def writing(self, path: Path) -> Iterator[Callable[[pa.Table], object]]:
        """Yield what writes outputs into a file; of none it is one without columns."""
        with ExitStack() as closing:
            writer: pq.ParquetWriter | None = None

            def write(table: pa.Table) -> None:
                nonlocal writer
                if writer is None:
                    writer = closing.enter_context(pq.ParquetWriter(path, table.schema))
                writer.write(table)

            yield write
            if writer is None:
                pq.write_table(pa.table({}), path)

    def request(self, batch: Batch) -> bytes:
        """Return the body that the model is sent."""
        sink = io.BytesIO()
        columns = [_written(batch.records[name]) for name in self._inputs]
        options = pacsv.WriteOptions(include_header=False)
        pacsv.write_csv(pa.table(columns, names=self._inputs), sink, options)
        return sink.getvalue()

    def output(self, batch: Batch, answer: bytes) -> pa.Table:
        """Return what is written for some rows."""
        try:
            rows = [self._row(json.loads(line)) for line in answer.splitlines()]
            answers = pa.Table.from_pylist(rows, schema=self._answers)
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise AnswerError(f"the model's answers are of no one type: {error}") from None
        if answers.num_rows != batch.count:
            raise AnswerError(
                f"the model answered {answers.num_rows} rows to {batch.count}; expected one each"
            )
        if self._answers is None:
            # What no row of the first answer has is a number, which JSON lacks a word for.
            self._answers = pa.schema(
                one.with_type(pa.float64()) if pa.types.is_null(one.type) else one
                for one in answers.schema
            )
        answers = answers.cast(self._answers)
        if not self._is_joined:
            return answers
        if taken := [name for name in answers.column_names if name in batch.records.column_names]:
            raise InputError(f"the files have a column {taken[0]} already, which the job writes")
        kept = [one.with_type(_plain(one.type)) for one in batch.records.schema]
        found = batch.records.cast(pa.schema(kept))
        for field, column in zip(answers.schema, answers.columns, strict=True):
            found = found.append_column(field, column)
        return found

    def _row(self, answer: object) -> dict[str, Any]:
        """Return an answer by column: of several classes each has a probability."""
        row = answer if isinstance(answer, dict) else {"prediction": answer}
        chances = row.get("probability")
        if not isinstance(chances, list) or len(chances) != len(self._classes):
            return row
        rest = {name: value for name, value in row.items() if name != "probability"}
        return rest | dict(zip(self._classes, chances, strict=True))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text of CSV tells its values."""
    kind = _plain(column.type)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        utc = column.cast(pa.timestamp("us", "UTC"), safe=False)  # Finer digits nobody reads.
        return pc.strftime(utc, "%Y-%m-%dT%H:%M:%SZ")
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return column.cast(kind if is_number or pa.types.is_boolean(kind) else pa.string())
