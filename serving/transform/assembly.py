"""A mini-batch's request to the model, and the output written of its answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.formats.media_types import TEXT_MEDIA_TYPES, TextFormat
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.records import Batch, read_batches, split_records

INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"


class Records(Protocol):
    """Some records of a file in a row: text (records.py) or a table (parquet.py)."""

    @property
    def count(self) -> int:
        """How many records there are."""

    @property
    def first(self) -> int:
        """The number of the first record in its file, from 1."""

    @property
    def shown(self) -> bytes:
        """The first record as text."""

    def part(self, start: int, end: int) -> Any:  # noqa: ANN401 - of the same type
        """Return the records [start, end)."""


class Assembly(Protocol):
    """The requests and the output of one file, of text or of a table (parquet.py)."""

    form: TextFormat
    answer_form: TextFormat

    def batches(self) -> Iterator[Any]:
        """Read the file's mini-batches."""

    def writer(self, path: Path) -> AbstractContextManager[Any]:
        """Return what writes outputs into a file, in order."""

    def request(self, batch: Any) -> bytes:  # noqa: ANN401 - each takes its own batches
        """Return the body that the model is sent."""

    def output(self, batch: Any, answer: bytes) -> Any:  # noqa: ANN401 - as the writer takes it
        """Return what is written for some records."""


class AnswerError(InputError):
    """The model's answer does not belong to the records that it was sent."""


class TextAssembly:
    """Filters, joins and assembles records as a job says."""

    def __init__(self, spec: TransformJobSpec, place: Location) -> None:
        self._spec, self._place = spec, place
        self._input, self._output = spec.input_path, spec.output_path
        self._is_joined = spec.data_processing.join_source == "Input"
        self.form: TextFormat = _text(spec.input_format)
        self.answer_form: TextFormat = _text(spec.output_format)

    def batches(self) -> Iterator[Batch]:
        """Read the file's mini-batches."""
        return read_batches(self._place, self._spec)

    def writer(self, path: Path) -> AbstractContextManager[Any]:
        """Return what writes outputs into a file."""
        return path.open("wb")

    def request(self, batch: Batch) -> bytes:
        """Return the body that the model is sent."""
        if self._input.is_whole:
            return batch.content
        chosen = [self._input(record) for record in _read(batch.content, self.form)]
        return _written(chosen, self.form)

    def output(self, batch: Batch, answer: bytes) -> bytes:
        """Return what is written for a mini-batch."""
        texts = split_records(answer, is_csv=self.answer_form == "csv")
        if self.answer_form != "json" and len(texts) != batch.count:
            raise AnswerError(
                f"the model answered {len(texts)} records to {batch.count}; expected one for each"
            )
        if self._is_joined or not self._output.is_whole:
            answer = self._processed(batch, answer, texts)
        if self._spec.transform_output.assemble_with == "Line" and not answer.endswith(b"\n"):
            answer += b"\n"
        return answer

    def _processed(self, batch: Batch, answer: bytes, texts: Sequence[bytes]) -> bytes:
        if self._is_joined and self._output.is_whole and self.form == "csv":
            # As it was written, to the letter.
            pairs = zip(batch.texts, texts, strict=True)
            return b"".join(b"%b,%b" % (one.rstrip(b"\r\n"), other) for one, other in pairs)
        answers = _read(answer, self.answer_form)
        if self._is_joined:
            inputs = _read(batch.content, self.form)
            answers = [_joined(one, other) for one, other in zip(inputs, answers, strict=True)]
        return _written([self._output(one) for one in answers], self.answer_form)


def _text(form: str | None) -> TextFormat:
    return next(known for known in TEXT_MEDIA_TYPES if known == form)


def cells_of(record: bytes) -> list[str]:
    """Return the cells of a record of CSV."""
    (cells,) = _read(record, "csv") or [[]]
    return [str(cell) for cell in cells] if isinstance(cells, list) else []


def _read(content: bytes, form: TextFormat) -> list[object]:
    """Return the records of text."""
    try:
        text = content.decode()
        if form == "csv":
            return list[object](csv.reader(io.StringIO(text, newline=""), strict=True))
        if form == "json":
            return [json.loads(text)]
        return [json.loads(line) for line in text.rstrip("\n").split("\n")]
    except (ValueError, RecursionError, csv.Error) as error:
        # Not the error's own sentence where it may quote the record.
        said = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise AnswerError(f"a record is not {form} ({said})") from None


def _joined(record: object, answer: object) -> object:
    """Join as SageMaker does: columns behind columns, or under the name of the output."""
    if isinstance(record, list) and isinstance(answer, list):
        return [*record, *answer]
    if isinstance(record, dict):
        return {**record, OUTPUT: answer}
    return {INPUT: record, OUTPUT: answer}


def _written(records: Sequence[object], form: TextFormat) -> bytes:
    if form == "csv":
        out = io.StringIO(newline="")
        rows = (record if isinstance(record, list) else [record] for record in records)
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode()
    end = "" if form == "json" else "\n"
    return "".join(json.dumps(one, ensure_ascii=False) + end for one in records).encode()
