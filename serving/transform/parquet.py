"""Parquet as a job reads and writes it: rows by name in, predictions as columns out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from driftline.baseline.schema import infer_signature
from driftline.errors import InputError
from driftline.formats.arrow_types import with_missing
from driftline.formats.location import Location
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.records import AnswerError, Batch, TextAssembly, split_records
from driftline.signature import Signature, column_names, names_among

_ROWS = 1 << 14  # Of one piece that is written as text.
_NO_HEADER = pacsv.WriteOptions(include_header=False)


def read_signature(file: Location, names: Sequence[str] | None) -> Signature:
    """Return what the model is sent of a file: its columns by name, or all of them."""
    with _reading(file) as table:
        schema = with_missing(table.schema_arrow)
    chosen = schema.names if names is None else names_among(names, schema.names)
    _require(chosen, schema)
    return infer_signature(pa.schema([schema.field(name) for name in chosen]))


def _require(names: Iterable[str], schema: pa.Schema) -> None:
    if lacking := [name for name in names if name not in schema.names]:
        raise InputError(f"the model takes {', '.join(lacking[:5])}, which the files lack")


@contextmanager
def _reading(file: Location) -> Iterator[pq.ParquetFile]:
    with file.open_seekable() as stream:
        try:
            yield pq.ParquetFile(stream)
        except pa.ArrowInvalid as error:
            raise InputError(f"{file.shown}: not Parquet ({error})") from None


class TableAssembly(TextAssembly):
    """Sends rows as CSV; the first mini-batch's answer sets the columns of the output."""

    def __init__(
        self,
        spec: TransformJobSpec,
        file: Location,
        signature: Signature,
        classes: Sequence[object],
    ) -> None:
        super().__init__(spec, file)
        self.form, self.answer_form = "csv", "jsonlines"
        self._inputs = [column.name for column in signature.inputs]
        self._classes = column_names(list(map(str, classes)), prefix="probability")
        self._answers: pa.Schema | None = None

    def batches(self) -> Iterator[Batch]:
        """Read the file's mini-batches."""
        first = 1
        with _reading(self._file) as table:
            _require(self._inputs, table.schema_arrow)
            for piece in table.iter_batches(_ROWS):
                rows, text = pa.Table.from_batches([piece]).replace_schema_metadata(), io.BytesIO()
                pacsv.write_csv(rows.select(self._inputs), text, _NO_HEADER)
                for batch in self._packed(split_records(text.getvalue(), is_csv=True), first):
                    yield replace(batch, rows=rows.slice(batch.first - first, len(batch)))
                first += len(rows)

    @contextmanager
    def writing(self, path: Path) -> Iterator[Callable[[Any], object]]:
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

    def output(self, batch: Batch, answer: bytes) -> pa.Table:
        """Return what is written for some rows."""
        try:
            rows = [self._row(json.loads(line)) for line in answer.splitlines()]
            answers = pa.Table.from_pylist(rows, schema=self._answers)
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise AnswerError(f"the model's answers are of no one type: {error}") from None
        if len(answers) != len(batch):
            raise AnswerError(
                f"the model answered {len(answers)} rows to {len(batch)}; expected one each"
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
        if taken := set(answers.column_names).intersection(batch.rows.column_names):
            raise InputError(f"the files have a column {min(taken)} already, which the job writes")
        joined = batch.rows
        for name in answers.column_names:
            joined = joined.append_column(name, answers[name])
        return joined

    def _row(self, answer: object) -> dict[str, Any]:
        """Return an answer by column: of several classes each has a probability."""
        row = answer if isinstance(answer, dict) else {"prediction": answer}
        chances = row.get("probability")
        if not isinstance(chances, list) or len(chances) != len(self._classes):
            return row
        rest = {name: value for name, value in row.items() if name != "probability"}
        return rest | dict(zip(self._classes, chances, strict=True))
