"""Files of text as a job reads and writes them: cut where records end, filtered and joined.

A CSV record ends at a line end outside of quotes (RFC 4180): one with an even number of quotes
before it. That holds for escaped quotes as well, which come in pairs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.formats.media_types import TextFormat
from driftline.serving.transform.definition import TransformJobSpec

INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"
SHOWN = 80
_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"


class AnswerError(InputError):
    """The model's answer does not belong to the records that it was sent."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of a file in a row: of text, each with its line's end, or of a table."""

    records: Any  # list[bytes], or pa.Table.
    first: int  # The number of the first record, from 1.

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.records)

    @property
    def shown(self) -> str:
        """The beginning of the first record, for a sentence."""
        first = self.records[:1]
        if isinstance(first, list):
            text = first[0][: 4 * SHOWN].decode("utf-8", "replace")
        else:
            text = str(list(first.to_pylist()[0].values()))
        head = text.rstrip("\r\n").replace("\n", "\\n")
        return head if len(head) <= SHOWN else f"{head[:SHOWN]}…"

    @property
    def numbers(self) -> str:
        """The numbers of the records, for a sentence."""
        last = self.first + self.count - 1
        return f"record {last}" if self.count == 1 else f"records {self.first} to {last}"

    def part(self, start: int, end: int) -> Batch:
        """Return the records [start, end)."""
        return Batch(self.records[start:end], self.first + start)


def split_records(content: bytes, *, is_csv: bool) -> list[bytes]:
    """Cut whole text into records, of which the last one may lack its line's end."""
    return list(_records(io.BytesIO(content), is_csv=is_csv))


def read_batches(file: Location, spec: TransformJobSpec) -> Iterator[Batch]:
    """Read a file's mini-batches: as many records as the strategy and the payload allow."""
    packing = "gzip" if spec.transform_input.compression_type == "Gzip" else None
    header, most = int(spec.transform_input.skip_header), spec.max_payload_bytes
    with file.open(packing) as stream:
        # Arrow's stream is a raw one to Python.
        text = io.BufferedReader(stream, _CHUNK)
        if text.peek(len(_BOM)).startswith(_BOM):
            text.read(len(_BOM))
        records = _records(text, is_csv=spec.input_format == "csv", most=most)
        if spec.transform_input.split_type == "None":
            whole = (text.read(most + 1) for _ in range(1))
            records = chain(islice(records, header), whole)
        held: list[bytes] = []
        size = number = 0
        for number, record in _without_blank_end(enumerate(records, start=1)):
            if len(record) > most:
                raise InputError(
                    f"{file.shown}: record {number} ({Batch([record], number).shown}) is larger "
                    f"than max_payload_in_mb ({spec.max_payload_in_mb}); raise it, or set "
                    "split_type Line; in CSV, a quote may lack its end"
                )
            if number <= header:
                continue
            if held and (size + len(record) > most or spec.batch_strategy == "SingleRecord"):
                yield Batch(held, number - len(held))
                held, size = [], 0
            held.append(record)
            size += len(record)
        if held:
            yield Batch(held, number + 1 - len(held))


def _records(text: io.BufferedIOBase, *, is_csv: bool, most: int = -2) -> Iterator[bytes]:
    """Yield the records of text; of one that is too large only the beginning."""
    parts: list[bytes] = []
    quotes = size = 0
    while line := text.readline(most + 1 - size):
        size += len(line)
        quotes += line.count(b'"') if is_csv else 0
        parts.append(line)
        if (line.endswith(b"\n") and quotes % 2 == 0) or size == most + 1:
            yield line if len(parts) == 1 else b"".join(parts)
            parts = []
            quotes = size = 0
    if parts:
        yield b"".join(parts)


def _without_blank_end(records: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Leave out empty lines at the end."""
    blank: list[tuple[int, bytes]] = []
    for number, record in records:
        blank.append((number, record))
        if record and not record.isspace():
            yield from blank
            blank.clear()


class TextAssembly:
    """Filters, joins and assembles the records of a file as a job says."""

    def __init__(self, spec: TransformJobSpec, file: Location) -> None:
        self._spec, self._file = spec, file
        self._input, self._output = spec.input_path, spec.output_path
        self._is_joined = spec.data_processing.join_source == "Input"
        self.form = cast("TextFormat", spec.input_format)
        self.answer_form = cast("TextFormat", spec.output_format)

    def batches(self) -> Iterator[Batch]:
        """Read the file's mini-batches."""
        return read_batches(self._file, self._spec)

    @contextmanager
    def writing(self, path: Path) -> Iterator[Callable[[bytes], object]]:
        """Yield what writes outputs into a file."""
        with path.open("wb") as file:
            yield file.write

    def request(self, batch: Batch) -> bytes:
        """Return the body that the model is sent."""
        content = b"".join(batch.records)
        if self._input.is_whole:
            return content
        return _written(
            [self._input(record) for record in read_records(content, self.form)], self.form
        )

    def output(self, batch: Batch, answer: bytes) -> bytes:
        """Return what is written for a mini-batch."""
        texts = split_records(answer, is_csv=self.answer_form == "csv")
        if self.answer_form != "json" and len(texts) != batch.count:
            raise AnswerError(
                f"the model answered {len(texts)} records to {batch.count}; expected one for each"
            )
        if self._is_joined or not self._output.is_whole:
            answer = self._processed(batch, answer, texts)
        if self._spec.assemble_with == "Line" and not answer.endswith(b"\n"):
            answer += b"\n"
        return answer

    def _processed(self, batch: Batch, answer: bytes, texts: Sequence[bytes]) -> bytes:
        if self._is_joined and self._output.is_whole and self.form == "csv":
            # As it was written, to the letter.
            pairs = zip(batch.records, texts, strict=True)
            return b"".join(b"%b,%b" % (one.rstrip(b"\r\n"), other) for one, other in pairs)
        answers = read_records(answer, self.answer_form)
        if self._is_joined:
            inputs = read_records(b"".join(batch.records), self.form)
            answers = [_joined(one, other) for one, other in zip(inputs, answers, strict=True)]
        return _written([self._output(one) for one in answers], self.answer_form)


def read_records(content: bytes, form: TextFormat) -> list[object]:
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
