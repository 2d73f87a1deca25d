"""JSON and JSON Lines bodies to columns.

orjson reads each body, and the standard library where orjson declines: NaN and Infinity, which
TensorFlow Serving answers, half surrogate pairs, and whole numbers beyond 64 bits, which it would
round. Rows of all bodies then become columns together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from driftline.formats.body_columns import RowGatherer, Wanted
from driftline.formats.body_limits import MAX_VALUES, BodyError, require_rows
from driftline.formats.coercion import from_values
from driftline.formats.json.parsing import LONG_DIGITS, fault_of, has_long_number, parse
from driftline.formats.large_bodies import add_large
from driftline.formats.shapes.requests import Extra, RequestRows, Row
from driftline.formats.shapes.responses import AnswerRows
from driftline.formats.shapes.tensors import with_binary_data

# Only bodies of this many bytes can hold more values than are allowed.
_MAYBE_MANY = MAX_VALUES
_DIGITS = b"0" * LONG_DIGITS
_TO_DIGITS = bytes(48 if chr(code) in "0123456789" else 32 for code in range(256))
_SIZE_DIGITS = 10
_BLANK = b" \t\r\n"

Found = tuple[Sequence[Row], Sequence[Extra]]


def read_json(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read bodies of one document each."""
    take = wanted.finder.take
    indices, contents = add_large(wanted, "json", indices, contents)
    _read(wanted, indices, contents, lambda content, has_long: take(_document(content, has_long)))


def read_json_lines(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read bodies of a document a line; empty lines are nothing."""

    def rows(content: bytes, has_long: bool) -> Found:
        # One document at a time: all of them as Python objects are some thirty times their text.
        return _take(wanted.finder, (_document(line, has_long) for line in _lines(content)))

    _read(wanted, indices, contents, rows)


def read_tensor_bodies(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read bodies whose tensors follow the JSON as binary data."""
    assert wanted.header_lengths is not None, "such bodies are known by them"
    lengths = iter(wanted.header_lengths.take(pa.array(indices)).to_pylist())

    def rows(content: bytes, _has_long: bool) -> Found:
        size = _size(next(lengths), len(content))
        document = _document(content[:size], has_long=True)
        return wanted.finder.take(with_binary_data(document, memoryview(content)[size:]))

    _read(wanted, indices, contents, rows)


def _read(
    wanted: Wanted,
    indices: np.ndarray,
    contents: pa.BinaryArray,
    rows_of: Callable[[bytes, bool], Found],
) -> None:
    reading = wanted.reading
    rows = RowGatherer(reading, from_values)
    bodies = zip(indices.tolist(), contents.to_pylist(), _have_long(contents), strict=True)
    for index, content, has_long in bodies:
        try:
            found, extras = rows_of(content, has_long)
        except BodyError as error:
            reading.errors[index] = str(error)
        else:
            rows.add(index, found, extras)
    rows.flush()


def _take(finder: RequestRows | AnswerRows, documents: Iterable[object]) -> Found:
    """Return the rows of all documents of a body."""
    found: list[Row] = []
    extras: list[Extra] = []
    for document in documents:
        rows, others = finder.take(document)
        extras += [(len(found) + row, name, text) for row, name, text in others]
        found += rows
    require_rows(len(found))
    return found, extras


def _size(told: str, whole: int) -> int:
    """Read how many bytes of a body are JSON."""
    size = int(told) if told.isascii() and told.isdigit() and len(told) <= _SIZE_DIGITS else 0
    if not 0 < size <= whole:
        raise BodyError("“Inference-Header-Content-Length” is not within the body's length")
    return size


def _have_long(contents: pa.BinaryArray) -> list[bool]:
    """Return which bodies have so many digits in a row that orjson may round a whole number.

    Few have; to look at each by itself would cost more than to read it.
    """
    _, offsets, text = contents.buffers()
    found = [False] * len(contents)
    if text is None:
        return found
    ends = np.frombuffer(offsets, np.int32)[contents.offset : contents.offset + len(contents) + 1]
    start, ends = int(ends[0]), ends - ends[0]
    digits = text.slice(start, int(ends[-1])).to_pybytes().translate(_TO_DIGITS)
    at = digits.find(_DIGITS)
    while at >= 0:
        body = int(np.searchsorted(ends, at, "right")) - 1
        found[body] = True
        at = digits.find(_DIGITS, int(ends[body + 1]))
    return found


def _document(content: bytes, has_long: bool) -> object:
    if len(content) > _MAYBE_MANY:
        _require_few(content)
    try:
        is_long = has_long and has_long_number(content)
        return parse(content, has_long=is_long, is_utf8=False)
    except UnicodeDecodeError as error:
        raise BodyError(f"not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        told = f"not JSON ({fault_of(error)})" if content.strip() else "empty body"
        raise BodyError(told) from error


def _require_few(content: bytes) -> None:
    """Refuse what would take far more memory as values than as text."""
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_VALUES:
        raise BodyError(f"more than {MAX_VALUES} values")


def _lines(content: bytes) -> Iterator[bytes]:
    """Return the lines that are not blank; no more are cut at once than are looked at."""
    if content.count(b"\n") > MAX_VALUES:
        raise BodyError(f"more than {MAX_VALUES} lines")
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        line = content[start:end].strip(_BLANK)
        if line:
            yield line
        start = end + 1
