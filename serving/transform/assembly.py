"""A mini-batch's request to the model, and the output written of its answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from driftline.errors import InputError
from driftline.formats.media_types import TEXT_MEDIA_TYPES, TextFormat
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.records import Batch, split_records

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
    def size(self) -> int:
        """Their bytes of text, or rows of a table."""

    def records(self) -> Sequence[bytes]:
        """Return each record as text."""

    def part(self, start: int, end: int) -> Any:  # noqa: ANN401 - of the same type
        """Return the records [start, end)."""


class Assembly(Protocol):
    """The request and the output of a mini-batch, of text or of tables (parquet.py)."""

    form: TextFormat
    answer_form: TextFormat

    def writer(self, path: Path) -> AbstractContextManager[Any]:
        """Return what writes outputs into a file."""

    def request(self, batch: Any) -> bytes:  # noqa: ANN401 - each takes its own batches
        """Return the body that the model is sent."""

    def output(self, batch: Any, answer: bytes) -> Any:  # noqa: ANN401 - as the writer takes it
        """Return what is written for some records."""


class AnswerError(InputError):
    """The model's answer does not belong to the records that it was sent."""


class TextAssembly:
    """Filters, joins and assembles records as a job says."""

    def __init__(self, spec: TransformJobSpec) -> None:
        self._input, self._output = spec.input_path, spec.output_path
        self._is_joined = spec.data_processing.join_source == "Input"
        self._ends_lines = spec.transform_output.assemble_with == "Line"
        self.form: TextFormat = _text(spec.input_format)
        self.answer_form: TextFormat = _text(spec.output_format)

    def writer(self, path: Path) -> BinaryIO:
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
        if self._ends_lines and not answer.endswith(b"\n"):
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
    for known in TEXT_MEDIA_TYPES:
        if form == known:
            return known
    raise AssertionError(form)


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
        told = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise AnswerError(f"a record is not {form} ({told})") from None


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
        csv.writer(out, lineterminator="\n").writerows(map(_row, records))
        return out.getvalue().encode()
    texts: Iterable[str] = (json.dumps(one, ensure_ascii=False) for one in records)
    return ("".join(texts) if form == "json" else "".join(f"{one}\n" for one in texts)).encode()


def _row(record: object) -> Sequence[object]:
    return record if isinstance(record, list) else [record]
