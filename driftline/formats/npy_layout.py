"""What the header of a numpy array says (``application/x-npy``), without believing it.

It may say anything, so it is compared with the bytes that are there before any are taken, and no
type of objects is read, which would run code of whoever sent it. Imports no Arrow: workers read it.

References
----------
NEP 1, A simple file format for NumPy arrays.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any, NamedTuple, cast

import numpy as np

from driftline.formats.body_limits import BodyError, require_rows

_LENGTH_ENDS = {1: 10, 2: 12, 3: 12}
_MAX_HEADER_BYTES = 10_000
_LAST_CODE_POINT = 0x10FFFF
_MAGIC = b"\x93NUMPY"
# Numbers and truth values of up to eight bytes, texts, times.
_PLAIN = re.compile(r"[<>=|](?:[biuf][1248]|[SU][0-9]{1,7}|M8\[[0-9A-Za-z]{1,9}\])\Z")


class Layout(NamedTuple):
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


def header_end(content: bytes) -> int:
    """Return where the values begin, if a header of a known version does; else 0."""
    if not content.startswith(_MAGIC) or len(content) < 12:
        return 0
    end = _LENGTH_ENDS.get(content[6], 0)
    return end + int.from_bytes(content[8:end], "little") if end else 0


def layout_of(header: bytes, alone: int) -> Layout:
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
    return Layout(dtype, rows, width, is_fortran and not is_row)


def require_unicode(texts: np.ndarray) -> None:
    """Refuse texts of code points that are none, which break whoever makes Python's of them."""
    codes = np.ascontiguousarray(texts).view(texts.dtype.str[0] + "u4")
    if codes.size and codes.max() > _LAST_CODE_POINT:
        raise BodyError("its npy texts are not Unicode")


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
