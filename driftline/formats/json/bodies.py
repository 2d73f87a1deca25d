"""JSON and JSON Lines bodies to columns.

Each body is read by orjson, and by the standard library where orjson declines: NaN and Infinity,
which TensorFlow Serving answers, half surrogate pairs, and whole numbers beyond 64 bits, which it
would round. Rows of all bodies then become columns together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import numpy as np
import orjson
import pyarrow as pa

from driftline.formats.body_columns import Reading, Wanted
from driftline.formats.body_limits import MAX_VALUES, BodyError, require_rows
from driftline.formats.coercion import from_values
from driftline.formats.json.requests import Extra, Row
from driftline.formats.json.tensors import with_binary_data

# Values as Python objects take up to thirty times their text; so many wait to become columns.
_VALUES_AT_ONCE = 1 << 16
# Only bodies of this many bytes can hold more values than are allowed.
_MAYBE_MANY = MAX_VALUES
_DIGITS = b"0" * 19
_TO_DIGITS = bytes(48 if chr(code) in "0123456789" else 32 for code in range(256))
_LONG = re.compile(rb"(?<![0-9.])[0-9]{19}")
_SIZE_DIGITS = 10
_BLANK = b" \t\r\n"


def read_json(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read bodies of one document each."""
    reading, finder, _ = wanted
    rows = _Rows(reading)
    told = zip(indices.tolist(), contents.to_pylist(), _have_long(contents), strict=True)
    for index, content, has_long in told:
        try:
            found, extras = finder.take(_document(content, has_long=has_long))
        except BodyError as error:
            reading.errors[index] = str(error)
        else:
            rows.add(index, found, extras)
    rows.flush()


def read_json_lines(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read bodies of a document a line; empty lines are nothing."""
    reading, finder, _ = wanted
    rows = _Rows(reading)
    told = zip(indices.tolist(), contents.to_pylist(), _have_long(contents), strict=True)
    for index, content, has_long in told:
        found: list[Row] = []
        extras: list[Extra] = []
        try:
            for line in _lines(content):
                some, others = finder.take(_document(line, has_long=has_long))
                extras += [(len(found) + row, name, text) for row, name, text in others]
                found += some
            require_rows(len(found))
        except BodyError as error:
            reading.errors[index] = str(error)
        else:
            rows.add(index, found, extras)
    rows.flush()


def read_tensor_bodies(
    wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray, lengths: Sequence[str]
) -> None:
    """Read bodies whose tensors follow the JSON as binary data.

    Parameters
    ----------
    lengths
        What ``Inference-Header-Content-Length`` said for each: how long the JSON is.
    """
    reading, finder, _ = wanted
    rows = _Rows(reading)
    told = zip(indices.tolist(), contents.to_pylist(), lengths, strict=True)
    for index, content, length in told:
        try:
            size = _size(length, len(content))
            document = _document(content[:size], has_long=True)
            document = with_binary_data(document, memoryview(content)[size:])
            found, extras = finder.take(document)
        except BodyError as error:
            reading.errors[index] = str(error)
        else:
            rows.add(index, found, extras)
    rows.flush()


def _size(told: str, whole: int) -> int:
    """Read how many bytes of a body are JSON."""
    size = int(told) if told.isascii() and told.isdigit() and len(told) <= _SIZE_DIGITS else 0
    if not 0 < size <= whole:
        raise BodyError("“Inference-Header-Content-Length” is not within the body's length")
    return size


class _Rows:
    """Gathers rows of bodies until they are worth turning into columns."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._rows: list[Row] = []
        self._indices: list[int] = []
        self._counts: list[int] = []
        self._extras: list[Extra] = []
        self._limit = max(_VALUES_AT_ONCE // max(len(reading.columns), 1), 1)

    def add(self, index: int, rows: Sequence[Row], extras: Sequence[Extra]) -> None:
        """Take the rows of one body."""
        if extras:
            start = len(self._rows)
            self._extras += [(start + row, name, text) for row, name, text in extras]
        self._indices.append(index)
        self._counts.append(len(rows))
        self._rows += rows
        if len(self._rows) >= self._limit:
            self.flush()

    def flush(self) -> None:
        """Turn all rows so far into columns."""
        if self._indices:
            columns = [
                from_values(values, column.type)
                for values, column in zip(
                    zip(*self._rows, strict=True), self._reading.columns, strict=True
                )
            ]
            self._reading.add(self._indices, self._counts, columns, self._extras)
        self._rows, self._indices, self._counts, self._extras = [], [], [], []


def _have_long(contents: pa.BinaryArray) -> list[bool]:
    """Say which bodies have so many digits in a row that orjson may round a whole number.

    Few have; to look at each by itself would cost more than to read it.
    """
    _, offsets, text = contents.buffers()
    found = [False] * len(contents)
    if text is None:
        return found
    ends = np.frombuffer(offsets, np.int32)[contents.offset : contents.offset + len(contents) + 1]
    digits = text.to_pybytes().translate(_TO_DIGITS)
    at = digits.find(_DIGITS, int(ends[0]), int(ends[-1]))
    while at >= 0:
        body = int(np.searchsorted(ends, at, "right")) - 1
        found[body] = True
        at = digits.find(_DIGITS, int(ends[body + 1]), int(ends[-1]))
    return found


def _document(content: bytes, *, has_long: bool) -> object:
    if len(content) > _MAYBE_MANY:
        _require_few(content)
    if not (has_long and _LONG.search(content)):
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            pass
    if not content.strip():
        raise BodyError("empty body")
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise BodyError(f"not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise BodyError("not JSON (nested too deeply)") from error
    except json.JSONDecodeError as error:
        raise BodyError(f"not JSON ({error})") from error
    except ValueError as error:  # Of so many digits that Python declines to count them.
        raise BodyError("not JSON (a number is too long)") from error


def _require_few(content: bytes) -> None:
    """Refuse what would take far more memory as values than as text."""
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_VALUES:
        raise BodyError(f"more than {MAX_VALUES} values")


def _lines(content: bytes) -> Iterator[bytes]:
    """Give the lines that are not blank; no more are cut at once than are looked at."""
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
