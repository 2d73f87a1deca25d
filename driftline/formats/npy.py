"""Bodies of numpy arrays (``application/x-npy``) to columns; nothing in them is ever unpickled.

Their header may say anything, so it is compared with the bytes that are there before any are taken.

References
----------
NEP 1, A simple file format for NumPy arrays.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa

from driftline.formats.body_columns import Reading, Wanted
from driftline.formats.body_limits import BodyError, require_rows
from driftline.formats.cells import as_text
from driftline.formats.coercion import Coerced, from_array
from driftline.formats.shapes.responses import AnswerRows

_LENGTH_ENDS = {1: 10, 2: 12, 3: 12}
_MAX_HEADER_BYTES = 10_000
_MAGIC = b"\x93NUMPY"
# Numbers and truth values of up to eight bytes, texts, times.
_PLAIN = re.compile(r"[<>=|](?:[biuf][1248]|[SU][0-9]{1,7}|M8\[[0-9A-Za-z]{1,9}\])\Z")
_LAST_CODE_POINT = 0x10FFFF


class _Layout(NamedTuple):
    """What a header tells: ``rows`` of ``width`` values of one type, or of named fields."""

    dtype: np.dtype
    rows: int
    width: int
    is_fortran: bool

    @property
    def size_bytes(self) -> int:
        """How long the data behind the header must be."""
        return self.rows * self.width * self.dtype.itemsize

    def columns(self, data: bytes) -> list[np.ndarray]:
        """Cut the data of one or many bodies of this layout into columns."""
        values = np.frombuffer(data, self.dtype)
        if self.is_fortran:
            values = values.reshape(-1, self.width, self.rows).transpose(0, 2, 1)
        table = values.reshape(-1, self.width)
        return [table[:, at] for at in range(self.width)]


def read_npy(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read arrays of shape (n, k), (n,) of one field or, of requests, (k,); or structured ones.

    Bodies with equal headers, as one client sends them, are read together. Rows of answers may lack
    values at the end, and a vector is one value a row there.
    """
    reading, answers, id_name = wanted.reading, wanted.answers, wanted.id_name
    groups: dict[bytes, list[tuple[int, bytes]]] = {}
    for index, content in zip(indices.tolist(), contents.to_pylist(), strict=True):
        end = _header_end(content)
        groups.setdefault(content[:end], []).append((index, content[end:]))
    for header, bodies in groups.items():
        try:
            layout = _layout(header, 1 if answers is not None else len(reading.columns))
            whole = _whole(reading, layout, bodies)
            if answers is not None and answers.may_be_probabilities(layout.width):
                _add_each(reading, layout, whole, answers)
            else:
                _add(reading, layout, whole, id_name, is_ragged=answers is not None)
        except BodyError as error:
            for index, _ in bodies:
                reading.errors[index] = str(error)


def _whole(
    reading: Reading, layout: _Layout, bodies: Sequence[tuple[int, bytes]]
) -> list[tuple[int, bytes]]:
    """Return the bodies that have as many bytes as their header says."""
    for index, data in bodies:
        if len(data) != layout.size_bytes:
            told = f"{len(data)} bytes of values; its header says {layout.size_bytes}"
            reading.errors[index] = told
    return [body for body in bodies if len(body[1]) == layout.size_bytes]


def _add_each(
    reading: Reading, layout: _Layout, bodies: Sequence[tuple[int, bytes]], answers: AnswerRows
) -> None:
    """Take each body of answers by itself: what its values are, they say only together."""
    for body in bodies:
        try:
            values = layout.columns(body[1])
            numbers = (column.tolist() for column in values)
            places = answers.places(list(zip(*numbers, strict=True)))
            _add(reading, layout, [body], None, is_ragged=True, places=places)
        except BodyError as error:
            reading.errors[body[0]] = str(error)


def _add(
    reading: Reading,
    layout: _Layout,
    bodies: Sequence[tuple[int, bytes]],
    id_name: str | None,
    *,
    is_ragged: bool,
    places: Sequence[int | None] | None = None,
) -> None:
    names = [column.name for column in reading.columns]
    if not bodies:
        return
    (values, *others) = layout.columns(b"".join(data for _, data in bodies))
    fields = layout.dtype.names
    if fields is not None:
        found = _by_name(values, fields, names)
        told = values[id_name].tolist() if id_name in fields else []
        extras = [(row, str(id_name), as_text(value)) for row, value in enumerate(told)]
    elif places is not None:
        found = [None if at is None else (values, *others)[at] for at in places]
        extras = []
    elif layout.width == len(names) or (is_ragged and layout.width < len(names)):
        found = [values, *others, *[None] * (len(names) - layout.width)]
        extras = []
    else:
        raise BodyError(f"{layout.width} values a row; expected {len(names)}")
    count = layout.rows * len(bodies)
    columns: list[Coerced] = [
        from_array(pa.nulls(count) if each is None else _arrow(each), column.type)
        for each, column in zip(found, reading.columns, strict=True)
    ]
    reading.add([index for index, _ in bodies], [layout.rows] * len(bodies), columns, extras)


def _by_name(
    values: np.ndarray, fields: Sequence[str], names: Sequence[str]
) -> list[np.ndarray | None]:
    if not set(fields).isdisjoint(names):
        return [values[name] if name in fields else None for name in names]
    # numpy calls them f0, f1 … where nobody named them.
    if len(fields) == len(names):
        return [values[name] for name in fields]
    raise BodyError("the array has none of the signature's fields")


def _header_end(content: bytes) -> int:
    """Return where the values begin, if a header of a known version does; else 0."""
    if not content.startswith(_MAGIC) or len(content) < 12:
        return 0
    end = _LENGTH_ENDS.get(content[6], 0)
    return end + int.from_bytes(content[8:end], "little") if end else 0


def _layout(header: bytes, alone: int) -> _Layout:
    """Read a header; ``alone``: how many values a vector has that is one row."""
    if not header:
        raise BodyError("not an npy file of version 1, 2 or 3")
    told = _literal(header)
    dtype, shape, is_fortran = _dtype(told["descr"]), told["shape"], told["fortran_order"] is True
    if not isinstance(shape, tuple) or any(type(size) is not int or size < 0 for size in shape):
        raise BodyError("its npy shape is not one of sizes")
    is_row = dtype.names is None and len(shape) == 1 and shape[0] == alone > 1
    rows = 1 if is_row or not shape else shape[0]
    require_rows(rows)
    width = shape[0] if is_row else math.prod(shape[1:])
    if dtype.names is not None and width != 1:
        raise BodyError("its npy array is one of structures in several columns")
    if not dtype.itemsize or not width:
        raise BodyError("its npy rows hold no values")
    return _Layout(dtype, rows, width, is_fortran and not is_row)


def _literal(header: bytes) -> dict[str, object]:
    """Read the literal of a header; numpy's own reader also mends those of Python 2, with luck."""
    if len(header) > _MAX_HEADER_BYTES:
        raise BodyError(f"its npy header is longer than {_MAX_HEADER_BYTES} bytes")
    try:
        text = header[_LENGTH_ENDS[header[6]] :].decode("utf-8" if header[6] > 2 else "latin-1")
        told = ast.literal_eval(text.strip())
    # What is no literal fails in as many ways as Python has.
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise BodyError(f"its npy header cannot be read ({type(error).__name__})") from error
    if not isinstance(told, dict) or told.keys() != {"descr", "fortran_order", "shape"}:
        raise BodyError("its npy header does not tell type, order and shape")
    return told


def _dtype(told: object) -> np.dtype:
    """Make a type of plain values, or of named fields of such; never one of objects."""
    fields = told if isinstance(told, list) else [("", told)]
    for field in fields:
        if not isinstance(field, tuple) or len(field) != 2 or not isinstance(field[0], str):
            raise BodyError("its npy fields are not pairs of name and type")
        if not isinstance(field[1], str) or not _PLAIN.match(field[1]):
            raise BodyError("its npy type is neither numbers, truth values, texts nor times")
    try:
        found: np.dtype = np.dtype(cast(Any, told))
    except (ValueError, TypeError) as error:
        raise BodyError("its npy type is none that numpy knows") from error
    return found


def _arrow(values: np.ndarray) -> pa.Array:
    """Return a column to Arrow; bytes are texts, and what is not UTF-8 stays as it can be shown."""
    kind = values.dtype.kind
    if kind == "b":
        # Bytes other than 0 and 1 are no booleans to numpy.
        return pa.array(np.ascontiguousarray(values).view(np.uint8) != 0)
    if kind in "iuf":
        return pa.array(values.astype(values.dtype.newbyteorder("=")))
    try:
        if kind == "S":
            values = np.char.decode(values, "utf-8", "backslashreplace")
        if kind == "M":
            return _times(values)
        codes = np.ascontiguousarray(values).view(values.dtype.str[0] + "u4")
        if codes.size and codes.max() > _LAST_CODE_POINT:
            raise BodyError("its npy texts are not Unicode")
        return pa.array(values.tolist(), pa.string())
    except (ValueError, UnicodeError, OverflowError) as error:
        raise BodyError("its npy texts are not Unicode") from error


def _times(values: np.ndarray) -> pa.Array:
    """Return times as microseconds; those that microseconds cannot count are missing to numpy."""
    if np.datetime_data(values.dtype)[0] == "generic":
        raise BodyError("its npy times have no unit")
    try:
        return pa.array(values.astype("datetime64[us]"), pa.timestamp("us"))
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise BodyError("its npy times cannot be counted in microseconds") from error
