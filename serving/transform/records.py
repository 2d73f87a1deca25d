"""Files to mini-batches: read as a stream, cut where records end, with the place of each end.

A record of CSV ends at a line's end outside of quotes (RFC 4180): where an even number of quotes
stands before it. That holds for escaped quotes as well, which come in pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.serving.transform.definition import TransformJobSpec

_CHUNK = 1 << 20
_LINE_END, _QUOTE = 10, 34
_BOM = b"\xef\xbb\xbf"
SHOWN = 80


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of a file in a row, as they stand there."""

    content: bytes
    ends: np.ndarray  # Where each record ends in the content.
    first: int  # The number of the first record, from 1.
    offset: int  # Where the content begins in the file, unpacked.

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.ends)

    @property
    def end(self) -> int:
        """Where the content ends in the file."""
        return self.offset + len(self.content)

    def records(self) -> list[bytes]:
        """Return each record, with its line's end."""
        starts = [0, *self.ends[:-1].tolist()]
        return [self.content[a:b] for a, b in zip(starts, self.ends.tolist(), strict=True)]

    def part(self, start: int, end: int) -> Batch:
        """Return the records [start, end)."""
        base = int(self.ends[start - 1]) if start else 0
        return Batch(
            self.content[base : int(self.ends[end - 1])],
            self.ends[start:end] - base,
            self.first + start,
            self.offset + base,
        )


def record_ends(content: bytes, *, is_csv: bool) -> np.ndarray:
    """Return where records end in text, behind their line's ends; text after the last is left."""
    signs = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(signs == _LINE_END)
    if is_csv and b'"' in content:
        quotes = np.flatnonzero(signs == _QUOTE)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    found: np.ndarray = ends + 1
    return found


def all_ends(content: bytes, *, is_csv: bool) -> np.ndarray:
    """Return where records end in whole text, of which the last one may lack its line's end."""
    ends = record_ends(content, is_csv=is_csv)
    if content and (not len(ends) or ends[-1] < len(content)):
        ends = np.append(ends, len(content))
    return ends


def read_batches(
    file: Location, spec: TransformJobSpec, offset: int, first: int
) -> Iterator[Batch]:
    """Read a file's mini-batches from a place that a mini-batch ended at; ``first`` is a number."""
    with _open(file, spec, offset) as stream:
        if offset == 0:
            offset, rest = _skip_start(file, stream, spec)
            first = 2 if spec.transform_input.skip_header else 1
        else:
            rest = b""
        if spec.transform_input.split_type == "None":
            yield from _whole(file, stream, spec, rest, offset)
            return
        yield from _cut(file, stream, spec, rest, offset, first)


def _open(file: Location, spec: TransformJobSpec, offset: int) -> pa.NativeFile:
    """Open a file at a place of its text."""
    if spec.transform_input.compression_type == "Gzip":
        stream = file.open("gzip")
        while offset:
            passed = len(stream.read(min(offset, _CHUNK)))
            if not passed:
                raise InputError(f"{file.shown}: shorter than when the job began")
            offset -= passed
        return stream
    if not offset:
        return file.open()
    stream = file.system.open_input_file(file.path)
    stream.seek(offset)
    return stream


def _skip_start(file: Location, stream: pa.NativeFile, spec: TransformJobSpec) -> tuple[int, bytes]:
    """Pass over a mark in front of the text, and the header; return where, and what was read."""
    read = bytes(stream.read(_CHUNK))
    offset = len(_BOM) if read.startswith(_BOM) else 0
    rest = read[offset:]
    if not spec.transform_input.skip_header:
        return offset, rest
    is_csv = spec.input_format == "csv"
    while not len(ends := record_ends(rest, is_csv=is_csv)):
        more = bytes(stream.read(_CHUNK))
        if not more:
            return offset + len(rest), b""
        rest += more
        _require_small(file, rest, spec, 1)
    return offset + int(ends[0]), rest[int(ends[0]) :]


def _whole(
    file: Location, stream: pa.NativeFile, spec: TransformJobSpec, rest: bytes, offset: int
) -> Iterator[Batch]:
    """Return the file as the one record that it is."""
    while more := bytes(stream.read(_CHUNK)):
        rest += more
        if len(rest) > spec.max_payload_bytes:
            raise InputError(
                f"{file.shown}: larger than max_payload_in_mb ({spec.max_payload_in_mb}), and "
                "split_type is None; cut it by split_type Line, or raise the bound"
            )
    if rest.strip():
        yield Batch(rest, np.array([len(rest)]), 1, offset)


def _cut(
    file: Location, stream: pa.NativeFile, spec: TransformJobSpec, rest: bytes, offset: int,
    first: int,
) -> Iterator[Batch]:  # fmt: skip
    """Return the file's records, as many together as the strategy and the payload allow."""
    is_csv, most = spec.input_format == "csv", spec.max_payload_bytes
    is_single = spec.batch_strategy == "SingleRecord"
    is_over = False
    while True:
        while len(rest) <= most and not is_over:
            # As large as what is wanted: text is joined once or twice a mini-batch, not each time.
            more = bytes(stream.read(most + 1 - len(rest)))
            is_over = not more
            rest += more
        if is_over:
            rest = _without_blank_end(rest)
        ends = all_ends(rest, is_csv=is_csv) if is_over else record_ends(rest, is_csv=is_csv)
        ends = ends[ends <= most]
        if not len(ends):
            _require_small(file, rest, spec, first)
            return
        content = rest[: int(ends[-1])]
        batch = Batch(content, ends, first, offset)
        if is_single:
            yield from (batch.part(at, at + 1) for at in range(batch.count))
        else:
            yield batch
        first, offset, rest = first + batch.count, batch.end, rest[len(content) :]


def _without_blank_end(text: bytes) -> bytes:
    """Return text without empty lines at its end."""
    kept = text.rstrip(b" \t\r\n")
    end = text.find(b"\n", len(kept))
    return text if end < 0 and kept else text[: end + 1] if kept else b""


def _require_small(file: Location, text: bytes, spec: TransformJobSpec, number: int) -> None:
    if len(text) <= spec.max_payload_bytes:
        return
    is_open = spec.input_format == "csv" and record_ends(text, is_csv=False).size
    raise InputError(
        f"{file.shown}: record {number} is larger than max_payload_in_mb "
        f"({spec.max_payload_in_mb}): {shown_record(text)}"
        + ("; a quote in it may lack its end" if is_open else "; raise the bound")
    )


def shown_record(text: bytes) -> str:
    """Return the beginning of a record for a sentence."""
    head = text[: 4 * SHOWN].decode("utf-8", "replace").rstrip("\r\n").replace("\n", "\\n")
    return head if len(head) <= SHOWN else f"{head[:SHOWN]}…"
