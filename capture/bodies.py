"""Bodies in CSV, JSON and JSON Lines to columns of values, many bodies at once."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from driftline.capture.coerce import ARROW_TYPES, Coerced, from_text, from_values
from driftline.capture.shapes import BodyError, Extra, Row, request_rows, response_rows
from driftline.signature import Column, ColumnType, Signature

__all__ = ["Bodies", "Body", "read_requests", "read_responses"]

_MAX_INFLATED_BYTES = 16 << 20


class Body(NamedTuple):
    """Bytes with their content type and encoding; ``problem`` when they cannot be whole."""

    content: bytes
    content_type: str
    encoding: str = ""
    problem: str | None = None


class Bodies(NamedTuple):
    """Rows read from bodies.

    ``starts`` and ``counts``, shape (bodies,), say where a body's rows lie in ``columns``; a body
    that was not read counts 0. ``extras`` are fields that no column takes: row, name, text.
    """

    starts: np.ndarray
    counts: np.ndarray
    columns: list[Coerced]
    extras: list[Extra]
    errors: list[str | None]


def read_requests(bodies: Sequence[Body | None], signature: Signature) -> Bodies:
    """Read request bodies as rows of the signature's inputs; None: a body to leave out."""
    inputs = signature.inputs
    names = [column.name for column in inputs]
    # The id is no input, but told among the extras, so that it can be picked up from there.
    known = {column.name for column in signature.columns} - {signature.inference_id}

    def rows_of(document: object) -> tuple[list[Row], list[Extra]]:
        return request_rows(document, names, known)

    return _read(bodies, inputs, rows_of, is_ragged=False)


def read_responses(
    bodies: Sequence[Body | None], signature: Signature, row_counts: np.ndarray
) -> Bodies:
    """Read response bodies as rows of the signature's outputs, as many as the request had."""
    outputs = signature.outputs
    if not outputs:
        zeros = np.zeros(len(bodies), np.int64)
        return Bodies(zeros, zeros, [], [], [None] * len(bodies))

    labels = [column.name for column in signature.features if column.role == "label"]

    def rows_of(document: object) -> tuple[list[Row], list[Extra]]:
        return response_rows(document, outputs, labels), []

    found = _read(bodies, outputs, rows_of, is_ragged=True)
    wrong = (found.counts != row_counts) & (found.counts > 0)
    for index in np.flatnonzero(wrong):
        found.errors[index] = f"{found.counts[index]} rows; the request had {row_counts[index]}"
    return _without(found, wrong)


def _without(found: Bodies, wrong: np.ndarray) -> Bodies:
    """Leave the rows of some bodies out."""
    if not wrong.any():
        return found
    order = np.argsort(found.starts[found.counts > 0], kind="stable")
    read = np.flatnonzero(found.counts > 0)[order]
    keep = pa.array(np.repeat(~wrong[read], found.counts[read]))
    position = np.cumsum(keep.to_numpy(zero_copy_only=False)) - 1
    columns = []
    for values, unfit, texts in found.columns:
        is_kept = keep.take(pa.array(unfit, pa.int64())).to_numpy(zero_copy_only=False)
        kept_texts = [text for text, kept in zip(texts, is_kept, strict=True) if kept]
        columns.append(Coerced(values.filter(keep), position[unfit[is_kept]], kept_texts))
    counts = np.where(wrong, 0, found.counts)
    starts = np.zeros_like(counts)
    starts[read] = np.cumsum(counts[read]) - counts[read]
    return found._replace(starts=starts, counts=counts, columns=columns)


def _read(
    bodies: Sequence[Body | None],
    columns: Sequence[Column],
    rows_of: Callable[[object], tuple[list[Row], list[Extra]]],
    *,
    is_ragged: bool,
) -> Bodies:
    """Read each body by its kind; ``is_ragged``: rows may lack columns at the end."""
    reading = _Reading(len(bodies), columns)
    joined: list[tuple[int, bytes]] = []
    texts: list[tuple[int, list[Row], list[Extra]]] = []
    values: list[tuple[int, list[Row], list[Extra]]] = []
    for index, body in enumerate(bodies):
        if body is None:
            continue
        try:
            content = _content(body)
            kind = _kind(body.content_type, content)
            if kind == "csv" and _is_plain(content):
                joined.append((index, content.replace(b"\r\n", b"\n").rstrip(b"\n")))
            elif kind == "csv":
                texts.append((index, _csv_rows(content, len(columns), is_ragged=is_ragged), []))
            else:
                values.append((index, *_json_rows(kind, content, rows_of)))
        except BodyError as error:
            reading.errors[index] = str(error)
    reading.take_plain(joined, is_ragged=is_ragged)
    reading.take_rows(texts, _from_texts)
    reading.take_rows(values, from_values)
    return reading.result()


class _Reading:
    """Gathers pieces of columns in the order in which bodies are read."""

    def __init__(self, body_count: int, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._pieces: list[list[Coerced]] = [[] for _ in columns]
        self._extras: list[Extra] = []
        self._starts = np.zeros(body_count, np.int64)
        self._counts = np.zeros(body_count, np.int64)
        self._row_count = 0
        self.errors: list[str | None] = [None] * body_count

    def take_plain(self, joined: Sequence[tuple[int, bytes]], *, is_ragged: bool) -> None:
        """Parse plain CSV bodies in one go; if that fails, each by itself."""
        if not joined:
            return
        indices = [index for index, _ in joined]
        counts = np.array([content.count(b"\n") + 1 for _, content in joined], np.int64)
        table = _parse_plain(
            b"\n".join(content for _, content in joined), len(self._columns), is_ragged=is_ragged
        )
        if table is not None and table.num_rows == counts.sum():
            self._place(indices, counts)
            for at, column in enumerate(self._columns):
                text = (
                    table.column(at).combine_chunks()
                    if at < table.num_columns
                    else pa.nulls(table.num_rows, pa.string())
                )
                self._pieces[at].append(from_text(text, column.type))
            return
        rows: list[tuple[int, list[Row], list[Extra]]] = []
        for index, content in joined:
            try:
                found = _csv_rows(content, len(self._columns), is_ragged=is_ragged)
                rows.append((index, found, []))
            except BodyError as error:
                self.errors[index] = str(error)
        self.take_rows(rows, _from_texts)

    def take_rows(
        self,
        found: Sequence[tuple[int, list[Row], list[Extra]]],
        coerce: Callable[[Sequence[object], ColumnType], Coerced],
    ) -> None:
        """Take rows that are read already, all bodies' columns at once."""
        if not found:
            return
        start = self._row_count
        counts = np.array([len(rows) for _, rows, _ in found], np.int64)
        for first, (_, _, extras) in zip(np.cumsum(counts) - counts, found, strict=True):
            self._extras += [(start + int(first) + row, name, text) for row, name, text in extras]
        self._place([index for index, _, _ in found], counts)
        columns = zip(*(row for _, rows, _ in found for row in rows), strict=True)
        for at, values in enumerate(columns):
            self._pieces[at].append(coerce(values, self._columns[at].type))

    def _place(self, indices: Sequence[int], counts: np.ndarray) -> None:
        self._starts[indices] = self._row_count + np.cumsum(counts) - counts
        self._counts[indices] = counts
        self._row_count += int(counts.sum())

    def result(self) -> Bodies:
        """Give all that was read."""
        joined = [
            _join(pieces, column)
            for pieces, column in zip(self._pieces, self._columns, strict=True)
        ]
        return Bodies(self._starts, self._counts, joined, self._extras, self.errors)


def _join(pieces: Sequence[Coerced], column: Column) -> Coerced:
    kind = ARROW_TYPES[column.type]
    values = pa.chunked_array([piece.values for piece in pieces], kind).combine_chunks()
    starts = np.cumsum([0, *(len(piece.values) for piece in pieces)])
    unfit = [piece.unfit + start for piece, start in zip(pieces, starts, strict=False)]
    return Coerced(
        values,
        np.concatenate([np.empty(0, np.int64), *unfit]),
        [text for piece in pieces for text in piece.texts],
    )


def _from_texts(values: Sequence[object], kind: ColumnType) -> Coerced:
    return from_text(pa.array(values, pa.string()), kind)


def _content(body: Body) -> bytes:
    if body.problem is not None:
        raise BodyError(body.problem)
    content = body.content
    encoding = body.encoding.strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        content = _inflate(content)
    elif encoding not in ("", "identity"):
        raise BodyError(f'content-encoding "{encoding}"; expected gzip or deflate')
    if not content.strip():
        raise BodyError("empty body")
    return content


def _inflate(content: bytes) -> bytes:
    """Unpack within a bound, so that a small bomb stays small."""
    machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        found = machine.decompress(content, _MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise BodyError(f"cannot be unpacked ({error})") from error
    if machine.unconsumed_tail:
        raise BodyError(f"unpacks to more than {_MAX_INFLATED_BYTES} bytes")
    return found


def _kind(content_type: str, content: bytes) -> str:
    name = content_type.split(";", 1)[0].strip().lower()
    if name == "text/csv":
        return "csv"
    if name in ("application/jsonlines", "application/x-ndjson", "application/x-jsonlines"):
        return "jsonlines"
    if name == "application/json" or name.endswith("+json"):
        return "json"
    return "json" if content.lstrip()[:1] in (b"{", b"[") else "csv"


def _is_plain(content: bytes) -> bool:
    """Say whether lines and commas mean what they seem: no quotes, no empty lines, one line end."""
    return not (
        b'"' in content
        or content[:1] in (b"\n", b"\r")
        or b"\n\n" in content.rstrip(b"\r\n")
        or b"\r\n\r" in content.rstrip(b"\r\n")
        or content.count(b"\r") != content.count(b"\r\n")
    )


def _parse_plain(content: bytes, width: int, *, is_ragged: bool) -> pa.Table | None:
    first_width = content.split(b"\n", 1)[0].count(b",") + 1
    if first_width != width and not (is_ragged and first_width < width):
        return None
    names = [str(at) for at in range(first_width)]
    try:
        return pacsv.read_csv(
            pa.BufferReader(content),
            read_options=pacsv.ReadOptions(
                column_names=names, use_threads=False, block_size=len(content) + 1
            ),
            parse_options=pacsv.ParseOptions(quote_char=False),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None


def _csv_rows(content: bytes, width: int, *, is_ragged: bool) -> list[Row]:
    try:
        text = content.decode("utf-8")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError as error:
        raise BodyError(f"not UTF-8 (byte {error.start})") from error
    except csv.Error as error:
        raise BodyError(f"not CSV ({error})") from error
    for number, row in enumerate(rows, 1):
        if len(row) != width and not (is_ragged and len(row) < width):
            raise BodyError(f"row {number} has {len(row)} columns; expected {width}")
    if not rows:
        raise BodyError("no rows")
    return [[*row, *[None] * (width - len(row))] for row in rows]


def _json_rows(
    kind: str, content: bytes, rows_of: Callable[[object], tuple[list[Row], list[Extra]]]
) -> tuple[list[Row], list[Extra]]:
    lines = content.splitlines() if kind == "jsonlines" else [content]
    rows: list[Row] = []
    extras: list[Extra] = []
    for line in lines:
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BodyError(f"not JSON ({error})") from error
        found, others = rows_of(document)
        extras += [(len(rows) + row, name, text) for row, name, text in others]
        rows += found
    return rows, extras
