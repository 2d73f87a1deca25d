"""CSV bodies to columns: clean ones joined and parsed at once, the others one by one.

The positions of line ends, commas, quotes and carriage returns in the joined text tell which bodies
are clean, and their lines and fields, without a look at single ones. Arrow's reader then cuts and
types all of them at once. Only columns that it reads as ``coercion.from_array`` does are taken from
it; others are read as text, and go there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.body_columns import Reading, RowGatherer, Wanted
from driftline.formats.body_limits import MAX_ROWS, MAX_VALUES, BodyError, require_rows
from driftline.formats.cells import NO_VALUES
from driftline.formats.coercion import Coerced, from_array, is_plainly_read
from driftline.formats.large_bodies import add_large
from driftline.formats.shapes.cells import rows_of_cells
from driftline.formats.shapes.responses import ROUNDED, AnswerRows
from driftline.signature import Column, ColumnType

# Python's own bound of a quoted text, for the whole process; bodies are bounded by the tap.
csv.field_size_limit(1 << 30)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NEW_LINE, _RETURN, _COMMA, _QUOTE = b'\n\r,"'
# Spelled as programs spell them; other capitals are read the careful way.
_TRUE, _FALSE = ["true", "True", "TRUE", "1", "1.0"], ["false", "False", "FALSE", "0", "0.0"]


def read_csv(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read bodies; rows of answers may lack fields at the end."""
    reading, answers = wanted.reading, wanted.answers
    is_ragged = answers is not None
    indices, contents = add_large(wanted, "csv", indices, contents)
    if not len(contents):
        return
    layout = _Layout(contents)
    width = len(reading.columns)
    clean = layout.clean_widths()
    is_header = layout.may_be_header([column.name for column in reading.columns])
    usable = (clean > 0) & ((clean <= width) if is_ragged else (clean == width)) & ~is_header
    usable &= layout.line_counts <= MAX_ROWS
    careful = np.flatnonzero(~usable).tolist()
    for fields in np.unique(clean[usable]).tolist():
        chosen = np.flatnonzero(usable & (clean == fields))
        part = layout if len(chosen) == len(contents) else _Layout(contents.take(pa.array(chosen)))
        columns = _parse(part.text, fields, reading.columns)
        if columns is None or len(columns[0].values) != part.line_counts.sum():
            careful += chosen.tolist()
            continue
        if answers is not None and answers.may_be_probabilities(fields):
            is_odd = _add_up(columns[:fields], part.line_counts) | (fields < width)
            careful += chosen[is_odd].tolist()
            if is_odd.any():
                keep = np.repeat(~is_odd, part.line_counts)
                columns = [column.only(keep) for column in columns]
            chosen, counts = chosen[~is_odd], part.line_counts[~is_odd]
        else:
            counts = part.line_counts
        if len(chosen):
            reading.add(indices[chosen], counts, columns)
    if careful:
        _read_carefully(reading, indices, contents, sorted(careful), answers)


def read_clean(text: bytes, columns: Sequence[Column], max_rows: int) -> list[Coerced] | None:
    """Read one body whose lines hold a plain field for each column; None for any other."""
    layout = _Layout(pa.array([text], pa.binary()))
    is_usable = (
        layout.line_counts[0] <= max_rows
        and layout.clean_widths()[0] == len(columns)
        and not layout.may_be_header([column.name for column in columns])[0]
    )
    found = _parse(layout.text, len(columns), columns) if is_usable else None
    is_whole = found is not None and len(found[0].values) == layout.line_counts[0]
    return found if is_whole else None


def _read_carefully(
    reading: Reading,
    indices: np.ndarray,
    contents: pa.BinaryArray,
    careful: Sequence[int],
    answers: AnswerRows | None,
) -> None:
    names = [column.name for column in reading.columns]
    rows = RowGatherer(reading, _of_texts)
    for at in careful:
        try:
            cells = _cells(contents[at].as_py())
            rows.add(int(indices[at]), rows_of_cells(cells, names, answers))
        except BodyError as error:
            reading.errors[indices[at]] = str(error)
    rows.flush()


def _of_texts(texts: Sequence[str | None], kind: ColumnType) -> Coerced:
    return from_array(pa.array(texts, pa.string()), kind)


def _add_up(columns: Sequence[Coerced], counts: np.ndarray) -> np.ndarray:
    """Return which bodies have rows of numbers that all add up to one, shape (bodies,)."""
    with np.errstate(invalid="ignore"):  # Of opposite infinities.
        total = np.sum([_numbers(column) for column in columns], axis=0)
    is_one = np.abs(total - 1) <= ROUNDED  # Never where a number is missing.
    return np.asarray(np.logical_and.reduceat(is_one, np.cumsum(counts) - counts), np.bool_)


def _numbers(column: Coerced) -> np.ndarray:
    """Return what a column says as numbers, NaN for what is none, whatever its type."""
    values, unfit, texts = column
    if pa.types.is_string(values.type):
        values = from_array(values, "double").values
    elif pa.types.is_timestamp(values.type) or pa.types.is_list(values.type):
        values = pa.nulls(len(values))
    found: np.ndarray = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).copy()
    found[unfit] = from_array(pa.array(texts, pa.string()), "double").values.to_numpy(
        zero_copy_only=False
    )
    return found


class _Layout:
    """Bodies joined to one text of lines, and where what stands in it."""

    def __init__(self, contents: pa.BinaryArray) -> None:
        # View, not cast: whether it is UTF-8 is seen when it is parsed.
        trimmed = pc.ascii_rtrim(contents.view(pa.string()), "\r\n").view(pa.binary())
        one = pa.ListArray.from_arrays(pa.array([0, len(trimmed)], pa.int32()), trimmed)
        self.text: bytes = pc.binary_join(one, b"\n")[0].as_py()
        lengths = pc.binary_length(trimmed).to_numpy().astype(np.int64)
        self._ends = np.cumsum(lengths + 1) - 1
        self._starts = self._ends - lengths
        self._bytes = np.frombuffer(self.text, np.uint8)
        inside = np.flatnonzero(self._bytes == _NEW_LINE)
        self._line_ends = np.append(inside, len(self.text))
        first = np.searchsorted(self._line_ends, self._starts)
        last = np.searchsorted(self._line_ends, self._ends)
        self._first_line = first
        self.line_counts = last - first + 1

    def clean_widths(self) -> np.ndarray:
        """Return the fields of a body's lines, where all have as many; 0 where it is not clean.

        Quotes, empty lines, a byte order mark, and carriage returns elsewhere than at a line's end
        are not clean.
        """
        commas = np.flatnonzero(self._bytes == _COMMA)
        before = np.searchsorted(commas, self._line_ends)
        widths = np.diff(before, prepend=0) + 1
        least = np.minimum.reduceat(widths, self._first_line)
        most = np.maximum.reduceat(widths, self._first_line)
        found = np.where(least == most, least, 0)
        line_starts = np.concatenate([[0], self._line_ends[:-1] + 1])
        found[self._owners(line_starts[line_starts == self._line_ends])] = 0
        if b'"' in self.text:
            found[self._owners(np.flatnonzero(self._bytes == _QUOTE))] = 0
        if b"\r" in self.text:
            returns = np.flatnonzero(self._bytes == _RETURN)
            following = self._bytes[np.minimum(returns + 1, len(self.text) - 1)]
            # A line of a carriage return alone is an empty line.
            before_it = self._bytes[np.maximum(returns - 1, 0)]
            is_odd = (following != _NEW_LINE) | (before_it == _NEW_LINE) | (returns == 0)
            found[self._owners(returns[is_odd])] = 0
        if _BYTE_ORDER_MARK in self.text:
            found[self._owners(np.flatnonzero(self._bytes == _BYTE_ORDER_MARK[0]))] = 0
        if not _is_utf8(self.text):
            pairs = zip(self._starts.tolist(), self._ends.tolist(), strict=True)
            found[[not _is_utf8(self.text[start:end]) for start, end in pairs]] = 0
        return found

    def may_be_header(self, names: Sequence[str]) -> np.ndarray:
        """Return which bodies may begin with the names in any order, by that line's length."""
        expected = len(",".join(names).encode())
        lengths = self._line_ends[self._first_line] - self._starts
        ends_so = (lengths == expected) | (lengths == expected + 1)
        found: np.ndarray = ends_so & (self.line_counts > 1)
        wanted = set(names)
        for body in np.flatnonzero(found).tolist():
            start = int(self._starts[body])
            line = self.text[start : start + int(lengths[body])]
            cells = line.decode("utf-8", "replace").rstrip("\r").split(",")
            found[body] = wanted.issubset(cells)
        return found

    def _owners(self, positions: np.ndarray) -> np.ndarray:
        """Return the bodies that positions of the text lie in."""
        return np.asarray(np.searchsorted(self._ends, positions))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parse(text: bytes, fields: int, columns: Sequence[Column]) -> list[Coerced] | None:
    """Read lines of so many fields each; None when that cannot be done."""
    present = columns[:fields]
    kinds = [column.type for column in present]
    table = _table(text, [_direct_type(kind) for kind in kinds])
    if table is None:
        table = _table(text, [pa.string()] * fields)
    if table is None:
        return None
    found = [_typed(table.column(at).combine_chunks(), kind, text) for at, kind in enumerate(kinds)]
    for at, column in enumerate(found):
        if column is None:
            # Rare: Arrow took for a number what is none, and only the text tells which.
            texts = _table(text, [pa.string()] * fields)
            assert texts is not None, "what can be typed can be read as text"
            found[at] = from_array(texts.column(at).combine_chunks(), kinds[at])
    missing = [
        Coerced(pa.nulls(table.num_rows, ARROW_TYPES[column.type]), np.empty(0, np.int64), [])
        for column in columns[fields:]
    ]
    return [column for column in found if column is not None] + missing


def _direct_type(kind: ColumnType) -> pa.DataType:
    """Return what Arrow reads a column as; times it reads otherwise than we do."""
    return pa.string() if kind == "timestamp" else ARROW_TYPES[kind]


def _typed(values: pa.Array, kind: ColumnType, text: bytes) -> Coerced | None:
    if pa.types.is_string(values.type):
        return from_array(values, kind)
    is_number = kind in ("double", "int64")
    if is_number and not is_plainly_read(values, text):
        return None
    return Coerced(values, np.empty(0, np.int64), [])


def _table(text: bytes, types: Sequence[pa.DataType]) -> pa.Table | None:
    names = [str(at) for at in range(len(types))]
    try:
        return pacsv.read_csv(
            pa.BufferReader(text),
            read_options=pacsv.ReadOptions(
                column_names=names, use_threads=False, block_size=len(text) + 1
            ),
            parse_options=pacsv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                column_types=dict(zip(names, types, strict=True)),
                null_values=sorted(NO_VALUES),
                true_values=_TRUE,
                false_values=_FALSE,
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None


def _cells(content: bytes) -> list[list[str]]:
    if content.count(b",") + content.count(b"\n") > MAX_VALUES:
        raise BodyError(f"more than {MAX_VALUES} values")
    try:
        text = content.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
        # One more line is asked for than is allowed, so that the list stays short.
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = []
        for row in lines:
            if row:
                rows.append(row)
            if len(rows) > MAX_ROWS:
                break
    except UnicodeDecodeError as error:
        raise BodyError(f"not UTF-8 (byte {error.start})") from error
    except csv.Error as error:
        raise BodyError(f"not CSV ({error})") from error
    require_rows(len(rows))
    return rows
