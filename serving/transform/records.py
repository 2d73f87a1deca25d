"""Files as a job reads and writes them; a CSV record has an even number of quotes (RFC 4180)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.formats.media_types import TextFormat
from driftline.serving.bodies.predictions import csv_text
from driftline.serving.transform.definition import TransformJobSpec

INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"
SHOWN = 80
_CHUNK = 1 << 20


class AnswerError(InputError):
    """The model's answer does not belong to the records that it was sent."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of a file in a row as the file has them, each with its line's end."""

    records: list[bytes]
    first: int  # The number of the first record, from 1.
    rows: Any = None  # Of Parquet (pa.Table), whose records are what the model is sent.

    def __len__(self) -> int:
        return len(self.records)

    @property
    def shown(self) -> str:
        """The beginning of the first record, for a sentence."""
        text = self.records[0][: 4 * SHOWN].decode("utf-8", "replace")
        head = text.rstrip("\r\n").replace("\n", "\\n")
        return head if len(head) <= SHOWN else f"{head[:SHOWN]}…"

    @property
    def numbers(self) -> str:
        """The numbers of the records, for a sentence."""
        last = self.first + len(self) - 1
        return f"record {last}" if len(self) == 1 else f"records {self.first} to {last}"

    def part(self, start: int, end: int) -> Batch:
        """Return the records [start, end), without their rows."""
        return Batch(self.records[start:end], self.first + start)


def split_records(content: bytes, *, is_csv: bool) -> list[bytes]:
    """Cut whole text into records, of which the last one may lack its line's end."""
    return list(_records(io.BytesIO(content), is_csv=is_csv))


def _records(text: io.BufferedIOBase, *, is_csv: bool, most: int = -2) -> Iterator[bytes]:
    """Yield the records of text; of one that is too large only the beginning."""
    parts: list[bytes] = []
    quotes = size = 0
    while line := text.readline(most + 1 - size):
        size += len(line)
        quotes += line.count(b'"') if is_csv else 0
        parts.append(line)
        if (line.endswith(b"\n") and quotes % 2 == 0) or size == most + 1:
            yield b"".join(parts)
            parts, quotes, size = [], 0, 0
    if parts:
        yield b"".join(parts)


def _without_blank_end(records: Iterable[bytes]) -> Iterator[bytes]:
    blank: list[bytes] = []
    for record in records:
        blank.append(record)
        if not record.isspace():
            yield from blank
            blank.clear()


class TextAssembly:
    """Reads a file of text in mini-batches, and filters, joins and writes what is answered."""

    def __init__(self, spec: TransformJobSpec, file: Location) -> None:
        self.form = cast("TextFormat", spec.input_format)
        self.answer_form = cast("TextFormat", spec.output_format)
        self._spec, self._file = spec, file
        self._input, self._output = spec.input_path, spec.output_path
        self._is_joined = spec.data_processing.join_source == "Input"

    def batches(self) -> Iterator[Batch]:
        """Read the file's mini-batches."""
        packing = "gzip" if self._spec.transform_input.compression_type == "Gzip" else None
        most = self._spec.max_payload_bytes
        header = int(self._spec.transform_input.skip_header)
        with self._file.open(packing) as stream:
            # Arrow's stream is a raw one to Python.
            text = io.BufferedReader(stream, _CHUNK)
            records = _records(text, is_csv=self.form == "csv", most=most)
            yield from self._packed(_without_blank_end(islice(records, header, None)), 1 + header)

    def _packed(self, records: Iterable[bytes], first: int) -> Iterator[Batch]:
        """Put as many records together as the strategy and the payload allow."""
        held: list[bytes] = []
        size, number, most = 0, first - 1, self._spec.max_payload_bytes
        is_single = self._spec.batch_strategy == "SingleRecord"
        for number, record in enumerate(records, first):
            if len(record) > most:
                raise InputError(
                    f"{self._file.shown}: record {number} ({Batch([record], number).shown}) is "
                    f"larger than max_payload_in_mb ({self._spec.max_payload_in_mb}); raise it; "
                    "in CSV, a quote may lack its end"
                )
            if held and (is_single or size + len(record) > most):
                yield Batch(held, number - len(held))
                held, size = [], 0
            held.append(record)
            size += len(record)
        if held:
            yield Batch(held, number + 1 - len(held))

    @contextmanager
    def writing(self, path: Path) -> Iterator[Callable[[Any], object]]:
        """Yield what writes outputs into a file."""
        with path.open("wb") as file:
            yield file.write

    def request(self, batch: Batch) -> bytes:
        """Return the body that the model is sent."""
        content = b"".join(batch.records)
        if self._input.is_whole:
            return content
        return csv_text(map(self._input, read_rows(content)))

    def output(self, batch: Batch, answer: bytes) -> Any:  # noqa: ANN401 # As `writing` takes it.
        """Return what is written for a mini-batch."""
        texts = split_records(answer, is_csv=self.answer_form == "csv")
        if len(texts) != len(batch):
            raise AnswerError(
                f"the model answered {len(texts)} records to {len(batch)}; expected one for each"
            )
        if self._is_joined:
            pairs = zip(batch.records, texts, strict=True)
            if self.form == "csv":  # As it was written, to the letter.
                joined = (b"%b,%b" % (one.rstrip(b"\r\n"), other) for one, other in pairs)
            else:
                joined = (_joined(one, other) for one, other in pairs)
            answer = b"".join(joined)
        if not self._output.is_whole:
            answer = csv_text(map(self._output, read_rows(answer)))
        return answer if answer.endswith(b"\n") else answer + b"\n"


def read_rows(content: bytes) -> list[list[str]]:
    """Return the rows of CSV."""
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        return list(csv.reader(text, strict=True))
    except (ValueError, csv.Error) as error:
        # Not the error's own sentence, which may quote the record.
        raise AnswerError(f"a record is not CSV ({type(error).__name__})") from None


def _joined(record: bytes, answer: bytes) -> bytes:
    """Join lines of JSON as SageMaker does."""
    try:
        found, output = json.loads(record), json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"a record is not JSON ({type(error).__name__})") from None
    joined = (
        {**found, OUTPUT: output} if isinstance(found, dict) else {INPUT: found, OUTPUT: output}
    )
    return json.dumps(joined, ensure_ascii=False).encode() + b"\n"
