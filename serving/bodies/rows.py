"""Bodies of invocations to columns, in the worker: CSV, JSON, JSON Lines and npy.

For a few rows the standard library's readers, ``zip`` and numpy are several times faster. Only when
a column is not plain are its cells looked at one by one, to name row and column in a refusal.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.arrow_types import is_before_pandas_3
from driftline.formats.body_limits import MAX_REQUEST_ROWS, BodyError, TooManyRowsError
from driftline.formats.cells import Cell, MisfitError, read_cell
from driftline.formats.csv.bodies import read_clean
from driftline.formats.json.parsing import fault_of, parse
from driftline.formats.large_bodies import LARGE_BYTES, read_number_table
from driftline.formats.npy_layout import header_end, layout_of, require_unicode
from driftline.formats.shapes.requests import RequestRows, listed
from driftline.serving.bodies.media_types import BodyForm
from driftline.signature import Column, ColumnType

Columns = dict[str, np.ndarray]

# What csv and `read_cell` read otherwise than ``split`` and ``float`` do.
_UNUSUAL = ('"', "\r", "\n", "_")
_FEW_BYTES = 1 << 16  # Larger bodies of CSV are read faster by columns than by cells.
_NANOSECONDS_REACH = np.iinfo(np.int64).max // 1000  # In microseconds.
# What pandas makes of it among texts, for requests of missing ones alone: models know that.
NO_TEXT = None if is_before_pandas_3() else np.nan


class RowsError(InputError):
    """A request body cannot be read as rows of the endpoint's columns."""


class RowLimitError(RowsError):
    """A request body has more rows than a request may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most} rows; send them in several requests")


def read_columns(
    body: bytes,
    form: BodyForm,
    expected: RequestRows | None,
    max_rows: int = MAX_REQUEST_ROWS,
    *,
    has_types: bool = True,
    by_position: bool = False,
    count: int | None = None,
    are_texts: bool = False,
) -> Columns:
    """Read the rows of a body as columns of one length, at least 1 and at most ``max_rows``.

    Numbers are int64 or float64 (missing is NaN), text and truth values with gaps objects (NO_TEXT;
    None or NaN). Without types a column is numeric when every value in it is. ``by_position``: a
    lone tensor's columns are called ``_c0`` …, too; ``count`` is how many values a row has, where
    that is known, and ``are_texts`` that none of them is a number.
    """
    columns: Sequence[Column] | None = None if expected is None else expected.columns
    if form == "npy":
        arrays = _arrays(body, columns, max_rows, count or 0)
        if columns is None or not has_types:
            columns = [Column(name, "", _array_type(found)) for name, found in arrays.items()]
        return {one.name: _typed_array(arrays[one.name], one) for one in columns}
    body = body.removeprefix(codecs.BOM_UTF8)
    text = _decode(body)
    if form == "csv":
        if columns is not None and has_types and len(body) > _FEW_BYTES:
            clean = _clean_columns(body, columns, max_rows)
            if clean is not None:
                return clean
        names, cells = _csv_cells(text, columns, max_rows)
    else:
        # To float64 orjson rounds a long number as the standard library does.
        has_long = False if expected is not None and has_types and expected.is_numeric else None
        document = _parse(body, "the body", has_long) if form == "json" else _lines(text, max_rows)
        try:
            finder = expected or RequestRows.like(
                document, is_strict=True, max_rows=max_rows, by_position=by_position, count=count
            )
            rows, _ = finder.take(document)
        except TooManyRowsError:
            raise RowLimitError(max_rows) from None
        except BodyError as error:
            raise RowsError(str(error)) from None
        names = [column.name for column in finder.columns]
        cells = list(zip(*rows, strict=True))
    if are_texts:
        columns = [Column(name, "", "string") for name in names]
    elif columns is None or not has_types:
        return {name: _guessed(column, name) for name, column in zip(names, cells, strict=True)}
    return {one.name: _typed(values, one) for one, values in zip(columns, cells, strict=True)}


def read_numbers(
    body: bytes, form: BodyForm, expected: RequestRows, max_rows: int = MAX_REQUEST_ROWS
) -> list[float] | np.ndarray | None:
    """Return what ``read_columns`` makes arrays of, for usual rows of float64; else None."""
    if not expected.is_numeric or form == "jsonlines":
        return None
    if form == "npy":
        return _number_array(body, expected, max_rows)
    found = _one_row(body, form, expected) if len(body) < LARGE_BYTES else None
    return read_number_table(body, form, expected, max_rows) if found is None else found


def _number_array(body: bytes, expected: RequestRows, max_rows: int) -> np.ndarray | None:
    end, width = header_end(body), len(expected.columns)
    try:
        layout = layout_of(body[:end], width)
    except BodyError:
        return None
    # Named fields have no kind of these.
    is_usual = layout.dtype.kind in "iuf" and layout.width == width and layout.rows <= max_rows
    if not is_usual or len(body) - end != layout.size_bytes:
        return None
    # A copy, for the model may write into it.
    return layout.table(memoryview(body)[end:]).astype(np.float64)


def _one_row(body: bytes, form: BodyForm, expected: RequestRows) -> list[float] | None:
    try:
        if form == "csv":
            line = body.decode("ascii").removesuffix("\n")
            if any(mark in line for mark in _UNUSUAL):
                return None
            cells: Sequence[Any] = line.split(",")
        else:
            # To float64 a long number is rounded the same by either reader.
            (cells,), extras = expected.take(parse(body, has_long=False))
            if extras or not set(map(type, cells)) <= {int, float}:
                return None
        return list(map(float, cells)) if len(cells) == len(expected.columns) else None
    except (ValueError, OverflowError, RecursionError, InputError):
        return None  # ``read_columns`` finds words for it, or takes it all the same.


def are_named(columns: Columns) -> bool:
    """Whether rows that were read without knowing their columns had names for them."""
    return list(columns) != [f"_c{at}" for at in range(len(columns))]


def _arrays(
    body: bytes, expected: Sequence[Column] | None, max_rows: int, count: int
) -> Mapping[str, np.ndarray]:
    """Read an array of numpy: (rows, columns), (columns,) as one row, or named fields."""
    end = header_end(body)
    try:
        layout = layout_of(body[:end], count if expected is None else len(expected))
    except TooManyRowsError:
        raise RowLimitError(max_rows) from None
    except BodyError as error:
        raise RowsError(f"the body cannot be read: {error}") from None
    if len(body) - end != layout.size_bytes:
        raise RowsError(
            f"the array has {len(body) - end} bytes of values; its header says {layout.size_bytes}"
        )
    if layout.rows > max_rows:
        raise RowLimitError(max_rows)
    names = None if expected is None else [column.name for column in expected]
    if fields := layout.dtype.names:
        if missing := [name for name in names or () if name not in fields]:
            raise RowsError(
                f'the array has no field "{missing[0]}"; expected {listed(names or ())}'
            )
        (values,) = layout.columns(body[end:])
        return {name: values[name] for name in names or fields}
    # Before they are cut apart: each column costs a hundred bytes, also where it has one.
    if names is not None and layout.width != len(names):
        raise RowsError(f"the array has {layout.width} values a row; expected {listed(names)}")
    table = layout.columns(body[end:])
    return dict(zip(names or [f"_c{at}" for at in range(len(table))], table, strict=True))


def _array_type(values: np.ndarray) -> ColumnType:
    return "double" if values.dtype.kind in "iuf" else "string"


def _typed_array(values: np.ndarray, column: Column) -> np.ndarray:
    kind = values.dtype.kind
    if column.type == "double" and kind in "iuf":
        return values.astype(np.float64)
    if column.type == "int64" and kind == "i":
        return values.astype(np.int64)
    if kind == "b":
        # Bytes other than 0 and 1 are no truth values to numpy.
        values = np.ascontiguousarray(values).view(np.uint8) != 0
    if column.type == "timestamp" and kind == "M" and "[" in values.dtype.name:
        return _as_fitted(values.astype("datetime64[us]"), column)
    try:
        if kind == "U":
            require_unicode(values)
        cells = [
            one.decode() if isinstance(one, bytes) else one
            for one in (values.astype(str) if kind == "M" else values).tolist()
        ]
    except (UnicodeDecodeError, ValueError, OverflowError):
        raise RowsError(f'column "{column.name}": its texts are not Unicode') from None
    return _typed(cells, column)


def _clean_columns(body: bytes, columns: Sequence[Column], max_rows: int) -> Columns | None:
    """Read lines of plain fields that all fit their columns, at once; None for others."""
    found = read_clean(body, columns, max_rows)
    if found is None or any(len(coerced.unfit) for coerced in found):
        return None
    return {
        column.name: _as_fitted(_of_arrow(coerced.values, column.type), column)
        for column, coerced in zip(columns, found, strict=True)
    }


def _of_arrow(values: pa.Array, kind: ColumnType) -> np.ndarray:
    """Return a column as `_array` makes it of cells."""
    if kind == "string" or (kind == "bool" and values.null_count):
        return _array(values.to_pylist(), kind)
    # Of whole numbers with gaps this makes float64; of times datetime64[us] in UTC.
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _decode(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RowsError(f"the body is not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise RowsError("the body is empty; expected at least one row")
    return text


def _csv_cells(
    text: str, expected: Sequence[Column] | None, max_rows: int
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Split CSV text and turn rows into columns; by name, where line 1 has all names."""
    try:
        # No line more is read than it takes to know that there are too many.
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = list(islice(lines, max_rows + 1))
        # Line 1 is a header where it has the names of all columns and rows follow, as to capture.
        header = None
        if expected and len(rows) > 1 and all(one.name in rows[0] for one in expected):
            header, *rows = [*rows, *islice(lines, 1)]
    except csv.Error as error:
        raise RowsError(f"the body is not CSV ({error})") from None
    if len(rows) > max_rows:
        raise RowLimitError(max_rows)
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise RowsError("the body is empty; expected at least one row")
    width = len(expected) if expected is not None else len(rows[0])
    names = [column.name for column in expected] if expected else [f"_c{i}" for i in range(width)]
    known = names if header is None else header
    if set(map(len, rows)) != {len(known)}:
        number, row = next(one for one in enumerate(rows, 1) if len(one[1]) != len(known))
        raise RowsError(f"row {number} has {len(row)} values; expected {listed(known)}")
    cells = list(zip(*rows, strict=True))
    return names, cells if header is None else [cells[header.index(name)] for name in names]


def _lines(text: str, max_rows: int) -> list[object]:
    """Return the document of each line; empty lines at the end do not count."""
    found = []
    text = text.rstrip()
    if text.count("\n") >= max_rows:
        raise RowLimitError(max_rows)
    for number, line in enumerate(text.split("\n"), 1):
        found.append(_parse(line.encode(), f"row {number}"))
        if not isinstance(found[-1], list | dict):
            raise RowsError(f"row {number} is {_shown(found[-1])}; expected a list or an object")
    return found


def _parse(text: bytes, what: str, has_long: bool | None = None) -> object:
    try:
        return parse(text, has_long=has_long)
    except (ValueError, RecursionError) as error:
        raise RowsError(f"{what} is not JSON ({fault_of(error)})") from None


def _typed(values: Sequence[Any], column: Column) -> np.ndarray:
    if (plain := _plain(values, column.type)) is not None:
        return _as_fitted(plain, column)
    cells = []
    for number, value in enumerate(values, start=1):
        try:
            cells.append(_cell(value, column.type))
        except ValueError:
            raise RowsError(
                f'row {number}, column "{column.name}": {_shown(value)} is not '
                f"{_WORDS[column.type]}"
            ) from None
    return _as_fitted(_array(cells, column.type), column)


def _cell(value: object, kind: ColumnType) -> Cell:
    try:
        found = read_cell(value, kind)
    except MisfitError:
        # A fraction is a misfit, but no reason to refuse a prediction: the model gets it as
        # float64, and the capture table records it. Numbers beyond 64 bits are refused.
        if kind != "int64" or not isinstance(found := read_cell(value, "double"), float):
            raise
        if not abs(found) < 2.0**63:
            raise
    if isinstance(found, str):
        found.encode()  # Half of a surrogate pair can stand in JSON but in no UTF-8 text.
    return found


def _plain(values: Sequence[Any], kind: ColumnType) -> np.ndarray | None:
    """Return numbers and texts as programs write them, read at once; None for all others."""
    kinds = set(map(type, values))
    try:
        if kind == "double" and kinds <= {int, float, type(None)}:
            return np.array(values, dtype=np.float64)
        if kind == "int64" and kinds == {int}:
            return np.fromiter(values, np.int64, len(values))
        joined = "".join(values) if kinds == {str} else "_"
        if kind == "string" and kinds == {str}:
            joined.encode()
            return _array([one or None for one in values], kind)
        # `read_cell` takes neither 1_000 nor digits that are not ASCII.
        if kind in ("double", "int64") and joined.isascii() and "_" not in joined:
            read, dtype = (float, np.float64) if kind == "double" else (int, np.int64)
            return np.fromiter(map(read, values), dtype, len(values))
    except (ValueError, OverflowError):
        pass
    return None


def _array(cells: Sequence[Any], kind: ColumnType) -> np.ndarray:
    """Return cells as an array; what is missing is NaN, NaT, NO_TEXT or, of truth values, None."""
    if kind == "string":
        found = np.empty(len(cells), dtype=object)
        found[:] = [NO_TEXT if cell is None else cell for cell in cells]
        return found
    if kind == "timestamp":
        naive = [None if cell is None else cell.replace(tzinfo=None) for cell in cells]
        return np.array(naive, dtype="datetime64[us]")
    kinds = set(map(type, cells))
    if kind == "bool":
        return np.array(cells, dtype=bool if kinds == {bool} else object)
    return np.array(cells, dtype=np.int64 if kinds == {int} else np.float64)


def _guessed(values: Sequence[Any], name: str) -> np.ndarray:
    """Return numbers when every value is one or missing, else text."""
    if (plain := _plain(values, "double")) is not None:
        return plain
    try:
        return _array([_cell(one, "double") for one in values], "double")
    except ValueError:
        return _typed(values, Column(name, "", "string"))


def _shown(value: object) -> str:
    if isinstance(value, str):
        cut = value if len(value) <= 40 else value[:40] + "…"
        return json.dumps(cut, ensure_ascii=False).encode("utf-8", "replace").decode()
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return str(value)[:40]


def with_nan(values: np.ndarray) -> np.ndarray:
    """Return objects with NaN where they are None, as pandas reads truth values from text."""
    return np.array([np.nan if one is None else one for one in values.tolist()], dtype=object)


def _as_fitted(values: np.ndarray, column: Column) -> np.ndarray:
    """Return times in the unit of the reference, and missing truth values as it has them."""
    if column.missing is not None and values.dtype == object:
        return with_nan(values)
    if column.unit is None:
        return values
    if column.unit == "ns":
        beyond = np.flatnonzero(np.abs(values.astype(np.int64)) > _NANOSECONDS_REACH)
        if beyond.size:
            raise RowsError(
                f'row {beyond[0] + 1}, column "{column.name}": {values[beyond[0]]} is beyond what '
                "nanoseconds reach, the unit of the reference; expected a time from 1677-09-22 to "
                "2262-04-11"
            )
    return values.astype(f"datetime64[{column.unit}]")


_WORDS: dict[ColumnType, str] = {
    "double": "a number",
    "int64": "a number within 64 bits",
    "string": "text",
    "bool": "true or false",
    "timestamp": "a time such as 2013-01-15T06:00:00Z",
}
