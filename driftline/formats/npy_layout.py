"""Headers of numpy arrays (``application/x-npy``), compared with the bytes that follow them.

numpy reads the header; values are never unpickled, and no memory is reserved by its numbers alone.
Imports no Arrow: workers read it.

References
----------
NEP 1, A simple file format for NumPy arrays.
"""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from driftline.formats.body_limits import BodyError, require_rows

_LENGTH_ENDS = {1: 10, 2: 12}
_READERS = {1: npy_format.read_array_header_1_0, 2: npy_format.read_array_header_2_0}
_MAX_HEADER_BYTES = 10_000
_LAST_CODE_POINT = 0x10FFFF
_MOST_NUMBER_BYTES = 8


class Layout(NamedTuple):
    """The layout of an array: ``rows`` of ``width`` values of one type, or of named fields."""

    dtype: np.dtype
    rows: int
    width: int
    is_fortran: bool

    @property
    def size_bytes(self) -> int:
        """How long the data behind the header must be."""
        return self.rows * self.width * self.dtype.itemsize

    def table(self, data: bytes | memoryview) -> np.ndarray:
        """Return the data of one or many bodies of this layout, shape (rows, width)."""
        values = np.frombuffer(data, self.dtype)
        if self.is_fortran:
            values = values.reshape(-1, self.width, self.rows).transpose(0, 2, 1)
        return values.reshape(-1, self.width)

    def columns(self, data: bytes) -> list[np.ndarray]:
        """Cut the data of one or many bodies of this layout into columns."""
        table = self.table(data)
        return [table[:, at] for at in range(self.width)]


def header_end(content: bytes) -> int:
    """Return where the values begin, if a header of a known version does; else 0."""
    if not content.startswith(npy_format.MAGIC_PREFIX) or len(content) < 12:
        return 0
    end = _LENGTH_ENDS.get(content[6], 0)
    return end + int.from_bytes(content[8:end], "little") if end else 0


def layout_of(header: bytes, alone: int) -> Layout:
    """Read a header; ``alone``: how many values a vector has that is one row."""
    if not header:
        raise BodyError("not an npy file of version 1 or 2")
    stream = io.BytesIO(header)
    try:
        version, _ = npy_format.read_magic(stream)
        shape, is_fortran, dtype = _READERS[version](stream, max_header_size=_MAX_HEADER_BYTES)
    # What is no header fails numpy's reader in many ways.
    except Exception as error:
        raise BodyError(f"its npy header cannot be read ({type(error).__name__})") from error
    if any(size < 0 for size in shape):
        raise BodyError("its npy shape is not one of sizes")
    _require_plain(dtype)
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


def _require_plain(dtype: np.dtype) -> None:
    """Refuse all but numbers, truth values, texts and times, or named fields of these."""
    fields = [dtype] if dtype.names is None else [dtype[name] for name in dtype.names]
    for field in fields:
        is_number = field.kind in "biuf" and field.itemsize <= _MOST_NUMBER_BYTES
        if not is_number and field.kind not in "SUM":
            raise BodyError("its npy type is neither numbers, truth values, texts nor times")
