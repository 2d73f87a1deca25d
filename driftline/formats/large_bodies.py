"""Large bodies of plain values to columns at once, the same for the model and for the table.

orjson reads JSON; of CSV each field is a slice of the body, which Arrow reads as a number. Every
other body is declined, and read by its format's exact reader, with which this one agrees to the
bit.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.body_columns import Wanted
from driftline.formats.body_limits import MAX_ROWS, MAX_VALUES, BodyError
from driftline.formats.coercion import Coerced, float_array, from_values
from driftline.formats.shapes.requests import RequestRows

# Smaller bodies cost less by the exact readers, which take many of them at once.
LARGE_BYTES = 1 << 13
_COMMA, _NEW_LINE = b",\n"
_TEXTS = {str, type(None)}


def read_number_table(
    content: bytes | memoryview, form: str, finder: RequestRows, max_rows: int = MAX_ROWS
) -> np.ndarray | None:
    """Return the rows of a request of float64 alone, shape (rows, columns); None if declined.

    ``form``: "csv" or "json". A missing value is NaN.
    """
    if not finder.is_numeric or len(content) > MAX_VALUES:
        return None
    if form == "csv":
        table = _csv_table(bytes(content), finder.names)
    else:
        try:
            table = _json_table(orjson.loads(content), finder)
        except (orjson.JSONDecodeError, BodyError):
            return None
    return table if table is not None and len(table) <= max_rows else None


def add_large(
    wanted: Wanted, form: str, indices: np.ndarray, contents: pa.BinaryArray
) -> tuple[np.ndarray, pa.BinaryArray]:
    """Read the large bodies of plain values; return all others."""
    large = np.flatnonzero(pc.binary_length(contents).to_numpy() >= LARGE_BYTES).tolist()
    finder, reading = wanted.finder, wanted.reading
    tables: dict[int, np.ndarray] = {}
    is_left = np.ones(len(contents), np.bool_)
    for at in large:
        content = memoryview(contents[at].as_buffer())
        if isinstance(finder, RequestRows) and finder.is_numeric:
            table = read_number_table(content, form, finder)
            if table is not None:
                tables[at] = table
                is_left[at] = False
        elif (columns := _columns(content, form, wanted)) is not None:
            reading.add([indices[at]], [len(columns[0].values)], columns)
            is_left[at] = False
    if tables:
        whole = np.concatenate([*tables.values()])
        has_gaps = bool(np.isnan(whole).any())
        arrays = (pa.array(each, from_pandas=has_gaps) for each in np.ascontiguousarray(whole.T))
        columns = [Coerced(array, np.empty(0, np.int64), []) for array in arrays]
        reading.add(indices[[*tables]], [*map(len, tables.values())], columns)
    if is_left.all():
        return indices, contents
    return indices[is_left], contents.filter(pa.array(is_left))


def _columns(content: memoryview, form: str, wanted: Wanted) -> Sequence[Coerced] | None:
    finder = wanted.finder
    if form == "csv" or len(content) > MAX_VALUES:
        return None
    try:
        document = orjson.loads(content)
        columns = finder.columns_of(document)
        if columns is None:
            rows, extras = finder.take(document)
            if extras:
                return None
            columns = list(zip(*rows, strict=True))
    except (orjson.JSONDecodeError, BodyError):
        return None
    found: list[Coerced] = []
    for values, column in zip(columns, wanted.reading.columns, strict=True):
        # Where orjson has rounded a number, only its text would tell.
        if column.type == "string" and not set(map(type, values)) <= _TEXTS:
            return None
        found.append(from_values(values, column.type))
        if len(found[-1].unfit):
            return None
    return found


def _json_table(document: object, finder: RequestRows) -> np.ndarray | None:
    """Return the rows of a document whose fields are all the signature's."""
    columns = finder.columns_of(document)
    if columns is not None:
        table = _table(columns)
        return None if table is None else table.T
    rows, extras = finder.take(document)
    return None if extras else _table(rows)


def _csv_table(content: bytes, names: Sequence[str]) -> np.ndarray | None:
    """Return lines of finite numbers; where these are names, too, line 1 may be a header."""
    text = content.replace(b"\r\n", b"\n") if b"\r" in content else content
    if not text.endswith(b"\n") or text.endswith(b"\n\n"):
        text = text.rstrip(b"\n") + b"\n"
    if b"\r" in text or set(names).issubset(_first_cells(text)):
        return None
    codes = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((codes == _COMMA) | (codes == _NEW_LINE))
    if len(ends) % len(names):
        return None
    marks = codes[ends].reshape(-1, len(names))
    if (marks[:, :-1] != _COMMA).any() or (marks[:, -1] != _NEW_LINE).any():
        return None
    # Fields alternate with what ends them, which is null: so nothing is copied.
    offsets = np.zeros(2 * len(ends), np.int32)
    offsets[1::2] = ends
    offsets[2::2] = ends[:-1] + 1
    is_field = pa.py_buffer(b"\x55" * (len(offsets) // 8 + 1))
    buffers = [is_field, pa.py_buffer(offsets), pa.py_buffer(text)]
    fields = pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)
    try:
        numbers = fields.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    table = np.frombuffer(numbers.buffers()[1], np.float64, len(numbers))[::2].copy()
    return table.reshape(marks.shape) if np.isfinite(table).all() else None


def _first_cells(text: bytes) -> list[str]:
    return text.partition(b"\n")[0].decode("utf-8", "replace").split(",")


def _table(lists: Sequence[Sequence[object]]) -> np.ndarray | None:
    """Return lists of numbers and None of one length as float64; None where there is a text."""
    table = np.empty((len(lists), len(lists[0])))
    try:
        # Twice as fast as numpy or Arrow, and takes no text for a number.
        struct.pack_into(f"{table.size}d", table.data, 0, *chain.from_iterable(lists))
    except (struct.error, OverflowError):
        numbers = float_array(list(chain.from_iterable(lists)))
        if numbers is None:
            return None
        table[:] = numbers.to_numpy(zero_copy_only=False).reshape(table.shape)
    return table
