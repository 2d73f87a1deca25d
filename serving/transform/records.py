"""Files to mini-batches: read as a stream, cut where records end.

A CSV record ends at a line end outside of quotes (RFC 4180): one with an even number of quotes
before it. That holds for escaped quotes as well, which come in pairs.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.serving.transform.definition import TransformJobSpec

_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
SHOWN = 80


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of a file in a row, as they stand there."""

    texts: Sequence[bytes]  # Each with its line's end.
    first: int  # The number of the first record, from 1.

    @property
    def content(self) -> bytes:
        """The records, as they stand in the file."""
        return b"".join(self.texts)

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.texts)

    @property
    def shown(self) -> bytes:
        """The first record."""
        return self.texts[0]

    def part(self, start: int, end: int) -> Batch:
        """Return the records [start, end)."""
        return Batch(self.texts[start:end], self.first + start)


def split_records(content: bytes, *, is_csv: bool) -> list[bytes]:
    """Cut whole text into records, of which the last one may lack its line's end."""
    return list(_records(io.BytesIO(content), is_csv=is_csv))


def read_batches(file: Location, spec: TransformJobSpec) -> Iterator[Batch]:
    """Read a file's mini-batches: as many records as the strategy and the payload allow."""
    packing = "gzip" if spec.transform_input.compression_type == "Gzip" else None
    most, is_csv = spec.max_payload_bytes, spec.input_format == "csv"
    with file.open(packing) as stream:
        # Arrow's stream is a raw one to Python.
        text = io.BufferedReader(stream, _CHUNK)
        if text.peek(len(_BOM)).startswith(_BOM):
            text.read(len(_BOM))
        records = enumerate(_records(text, is_csv=is_csv, most=most), start=1)
        skipped = islice(records, int(spec.transform_input.skip_header))
        for number, record in skipped:
            _require_size(file, record, spec, number)
        if spec.transform_input.split_type == "None":
            content = text.read(most + 1)
            _require_size(file, content, spec, None)
            if content.strip():
                yield Batch([content], 1 + spec.transform_input.skip_header)
            return
        held: list[bytes] = []
        size = first = 0
        for number, record in _without_blank_end(records):
            _require_size(file, record, spec, number)
            if held and (size + len(record) > most or spec.batch_strategy == "SingleRecord"):
                yield Batch(held, first)
                held, size = [], 0
            first = first if held else number
            held.append(record)
            size += len(record)
        if held:
            yield Batch(held, first)


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
        if record.isspace():
            blank.append((number, record))
            continue
        yield from blank
        blank.clear()
        yield number, record


def _require_size(file: Location, text: bytes, spec: TransformJobSpec, number: int | None) -> None:
    """Refuse a record, or a whole file, that is larger than a request may be."""
    if len(text) <= spec.max_payload_bytes:
        return
    bound = f"larger than max_payload_in_mb ({spec.max_payload_in_mb})"
    if number is None:
        raise InputError(
            f"{file.shown}: {bound}, and split_type is None; cut it by split_type Line, or raise "
            "the bound"
        )
    is_open = spec.input_format == "csv" and text.count(b"\n") > 1
    hint = "a quote in it may lack its end" if is_open else "raise the bound"
    raise InputError(f"{file.shown}: record {number} is {bound}: {shown_record(text)}; {hint}")


def shown_record(text: bytes) -> str:
    """Return the beginning of a record for a sentence."""
    head = text[: 4 * SHOWN].decode("utf-8", "replace").rstrip("\r\n").replace("\n", "\\n")
    return head if len(head) <= SHOWN else f"{head[:SHOWN]}…"
