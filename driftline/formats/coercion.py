"""Whole columns to the type that the signature promises, by the table of `cells`.

What does not fit is null, and is counted or kept as text by whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, UTC_MICROSECONDS, plain_array
from driftline.formats.cells import (
    MOMENT,
    NO_VALUES,
    NUMBER,
    SECONDS_BEYOND,
    TRUTH_VALUES,
    WHOLE,
    WHOLE_ENDING,
    ZONE,
    MisfitError,
    as_text,
    read_cell,
)
from driftline.formats.hashing import vector_texts
from driftline.signature import ColumnType

MISSING = pa.array(sorted(NO_VALUES), pa.string())
_TRUTHS = pa.array(list(TRUTH_VALUES))
_TRUE = pa.array([text for text, truth in TRUTH_VALUES.items() if truth])
_WHOLE_OR_MISSING = {int, type(None)}
_NOT_OF_ONE_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)
# What Python's clock, and so most readers, can count: the years 1 to 9999, in microseconds.
_FIRST_US = pa.scalar(-62_135_596_800_000_000, pa.int64()).cast(UTC_MICROSECONDS)
_LAST_US = pa.scalar(253_402_300_799_999_999, pa.int64()).cast(UTC_MICROSECONDS)


class Coerced(NamedTuple):
    """A column in its type; ``unfit``: rows whose value did not fit, ``texts``: what was there."""

    values: pa.Array
    unfit: np.ndarray
    texts: list[str]

    def only(self, keep: np.ndarray) -> Coerced:
        """Return some of the rows, by a mask over them."""
        is_kept = keep[self.unfit]
        position = np.cumsum(keep) - 1
        texts = [text for text, kept in zip(self.texts, is_kept, strict=True) if kept]
        return Coerced(self.values.filter(pa.array(keep)), position[self.unfit[is_kept]], texts)


def coerce(array: pa.Array | pa.ChunkedArray, kind: ColumnType) -> tuple[pa.Array, int]:
    """Cast values to a signature's type; return also how many did not fit and are null."""
    values, lost = _read(array, kind)
    return values, 0 if lost is None else int(pc.sum(lost).as_py() or 0)


def unfit_mask(array: pa.Array | pa.ChunkedArray, kind: ColumnType) -> pa.BooleanArray:
    """Return a mask of the values that do not fit the type; same length, never null."""
    _, lost = _read(array, kind)
    return pa.array(np.zeros(len(array), dtype=bool)) if lost is None else lost


def from_array(array: pa.Array, kind: ColumnType, *, are_amounts: bool = False) -> Coerced:
    """Cast a column of any Arrow type, such as one of a Parquet file, and keep what is unfit.

    Truth values are the numbers 1 and 0, except for amounts, where they are unfit.
    """
    if kind == "double" and isinstance(array, pa.DoubleArray):
        return Coerced(array, np.empty(0, np.int64), [])
    if are_amounts and (pa.types.is_string(array.type) or pa.types.is_boolean(array.type)):
        texts = array.cast(pa.string())
        is_truth = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), value_set=_TRUTHS)
        array = pc.if_else(is_truth, "a truth value", texts)
    values, lost = _read(array, kind)
    if kind == "string":
        values = pc.if_else(pc.equal(values, ""), None, values)
    if pa.types.is_temporal(array.type) and kind == "timestamp":
        values = _countable(values)
        lost = _lost(pc.is_valid(array), values)
    if lost is None:
        return Coerced(values, np.empty(0, np.int64), [])
    rows = np.flatnonzero(lost.to_numpy(zero_copy_only=False))
    unfit = array.take(pa.array(rows))
    if kind == "timestamp" and pa.types.is_timestamp(array.type):
        counts = unfit.cast(pa.int64()).to_pylist()
        return Coerced(values, rows, [f"{at} {array.type.unit} since 1970" for at in counts])
    return Coerced(values, rows, [as_text(value) for value in unfit.to_pylist()])


def from_values(values: Sequence[object], kind: ColumnType) -> Coerced:
    """Read the values of one JSON field; objects and lists never fit."""
    try:
        # Arrow would cut 1.5 to a whole number, and take 17 for a time.
        is_whole = kind == "int64" and set(map(type, values)) <= _WHOLE_OR_MISSING
        if is_whole or kind in ("double", "string", "bool"):
            return from_array(pa.array(values, ARROW_TYPES[kind]), kind)
    except _NOT_OF_ONE_TYPE:
        pass
    # Arrow makes one structure of all objects' fields, as wide as whoever sends them likes, and of
    # true beside 1.0 two numbers: what does not fit would be told as another value.
    kinds = set(map(type, values)) - {type(None)}
    is_plain = kind != "string" and kinds.isdisjoint((list, dict))
    if is_plain and (len(kinds) == 1 or kind == "double"):
        try:
            return from_array(pa.array(values), kind)
        except _NOT_OF_ONE_TYPE:
            pass
    return _one_by_one(values, kind)


def float_array(values: Sequence[object]) -> pa.DoubleArray | None:
    """Return numbers of JSON and None as float64, at once.

    Truth values are 1 and 0. None where some are texts, or whole numbers that float64 would round.
    """
    try:
        return pa.array(values, pa.float64())
    except _NOT_OF_ONE_TYPE:
        return None


def text_array(values: Iterable[str | None]) -> pa.Array:
    """Return a column of texts; halves of characters, which no file can hold, become "?"."""
    listed = list(values)
    try:
        return pa.array(listed, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if one is None else as_text(one) for one in listed], pa.string())


def is_missing(array: pa.Array) -> pa.BooleanArray:
    """Return a mask of what holds no value: null, NaN, empty text; same length, never null."""
    if pa.types.is_floating(array.type):
        return pc.is_null(array, nan_is_null=True)
    if pa.types.is_string(array.type):
        return pc.fill_null(pc.equal(array, ""), fill_value=True)
    return pc.is_null(array)


def means_missing(texts: pa.ChunkedArray, kind: ColumnType) -> pa.ChunkedArray:
    """Return a mask of the texts that are no value of a type; same length, never null."""
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(texts, ""))
    return pc.equal(trimmed, "") if kind == "string" else pc.is_in(trimmed, value_set=MISSING)


def is_plainly_read(values: pa.Array, text: bytes) -> bool:
    """Whether Arrow's own reading of numbers agrees with `cells`.

    Arrow also takes ``nan(text)`` for a number and ``0x1F`` for a whole one.
    """
    if pa.types.is_floating(values.type):
        return not pc.any(pc.is_nan(values)).as_py()
    return not pa.types.is_integer(values.type) or (b"0x" not in text and b"0X" not in text)


def zones_of(array: pa.Array) -> frozenset[bool]:
    """Return whether times that came as text have a zone, have none, or some of them have."""
    if not pa.types.is_string(array.type):
        return frozenset()
    return frozenset(pc.unique(has_zone(array).drop_null()).to_pylist())


def has_zone(texts: pa.StringArray) -> pa.BooleanArray:
    """Return whether each text's time has a zone; null where it is no time."""
    return _moments(pc.utf8_trim_whitespace(texts))[1]


def some_zoned(name: object) -> InputError:
    """Return the error for a column of which only some times have a zone."""
    return InputError(
        f'column "{name}": some times have a zone and some have none; expected one of the two: '
        "give each its zone, or bring all to UTC"
    )


def _read(
    array: pa.Array | pa.ChunkedArray, kind: ColumnType
) -> tuple[pa.Array, pa.BooleanArray | None]:
    """Return a column in its type, and a mask of what did not fit; None where all did."""
    if pa.types.is_decimal(array.type) and array.type.scale == 0 and kind in ("int64", "string"):
        array = array.cast(pa.string())  # Exact, where float64 is not beyond 2^53.
    elif pa.types.is_uint64(array.type) and kind == "double":
        array = array.cast(pa.float64(), safe=False)
    plain = plain_array(array)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), ARROW_TYPES[kind]), None
    if isinstance(array, pa.ChunkedArray):
        array = plain
    if pa.types.is_list(plain.type):
        plain = vector_texts(plain)
    if pa.types.is_string(plain.type):
        return (plain, None) if kind == "string" else _read_texts(plain, kind)
    values = _cast_typed(plain, kind)
    if values.null_count == array.null_count:
        return values, None
    return values, _lost(pc.invert(is_missing(array)), values)


def _lost(had: pa.BooleanArray, values: pa.Array) -> pa.BooleanArray | None:
    """Return a mask of where a value was, and none is now; None where that is nowhere."""
    lost = pc.and_(had, pc.is_null(values))
    return lost if pc.any(lost).as_py() else None


def _cast_typed(plain: pa.Array, kind: ColumnType) -> pa.Array:
    """Cast numbers, truth values and times; null where they do not fit."""
    if plain.type == ARROW_TYPES[kind]:
        return plain
    if kind == "string":
        return _written(plain)
    if kind == "timestamp" or pa.types.is_timestamp(plain.type):
        return pa.nulls(len(plain), ARROW_TYPES[kind])
    if kind == "double":
        return plain.cast(pa.float64(), safe=False)
    if kind == "int64":
        return plain.cast(pa.int64()) if pa.types.is_boolean(plain.type) else _whole(plain)
    is_one = pc.equal(plain, 1)
    return _keep(is_one, pc.or_(is_one, pc.equal(plain, 0)))


def _written(plain: pa.Array) -> pa.Array:
    """Write values as texts.

    pandas turns whole numbers with gaps into floats: 10001.0 means the text "10001". Each value by
    itself, for another batch may hold none that is not whole.
    """
    if not pa.types.is_floating(plain.type):
        return plain.cast(pa.string())
    present = _keep(plain, pc.invert(is_missing(plain)))
    return pc.coalesce(_whole(plain).cast(pa.string()), present.cast(pa.string()))


def _whole(numbers: pa.Array) -> pa.Array:
    """Keep whole numbers within 64 bits."""
    fits = pc.and_(
        pc.equal(numbers, pc.floor(numbers)),
        pc.less(pc.abs(numbers), 2.0**63),
    )
    return _keep(numbers, pc.fill_null(fits, fill_value=False)).cast(pa.int64())


def _countable(times: pa.Array) -> pa.Array:
    """Leave out the times that readers fail at."""
    inside = pc.and_(pc.greater_equal(times, _FIRST_US), pc.less_equal(times, _LAST_US))
    return times if pc.all(inside).as_py() else pc.if_else(inside, times, None)


def _keep(array: pa.Array, mask: pa.BooleanArray) -> pa.Array:
    return pc.if_else(mask, array, pa.scalar(None, array.type))


def _read_texts(texts: pa.Array, kind: ColumnType) -> tuple[pa.Array, pa.BooleanArray | None]:
    """Read texts as numbers, truth values or times; blanks around them are nothing."""
    clean = _clean(texts, kind)
    if clean is not None:
        return clean, None
    trimmed = pc.utf8_trim_whitespace(texts)
    filled = _keep(trimmed, pc.invert(pc.is_in(trimmed, MISSING)))
    values = _CASTS[kind](filled)
    if values.null_count == filled.null_count:
        return values, None
    return values, _lost(pc.is_valid(filled), values)


def _clean(texts: pa.Array, kind: ColumnType) -> pa.Array | None:
    """Parse numbers as programs write them; None when there is any other text.

    Five times faster than to look at each text first.
    """
    if kind not in ("double", "int64"):
        return None
    try:
        values = pc.cast(pc.if_else(pc.equal(texts, ""), None, texts), ARROW_TYPES[kind])
    except pa.ArrowInvalid:
        return None
    content = texts.buffers()[2] if kind == "int64" else None
    plain = is_plainly_read(values, b"" if content is None else content.to_pybytes())
    return values if plain else None


def _cast_matching(texts: pa.Array, pattern: str, target: pa.DataType) -> pa.Array:
    """Cast what a pattern allows; what looks right and still cannot be cast is null."""
    allowed = pc.if_else(pc.match_substring_regex(texts, pattern), texts, None)
    try:
        return pc.cast(allowed, target)
    except pa.ArrowInvalid:
        return _cast_distinct(allowed, target)


def _cast_distinct(texts: pa.Array, target: pa.DataType) -> pa.Array:
    """Cast each distinct text by itself, such as the 31st of February among good dates."""
    coded = texts.dictionary_encode()
    values = []
    for text in coded.dictionary:
        try:
            values.append(pc.cast(text, target))
        except pa.ArrowInvalid:
            values.append(None)
    return pa.array(values, target).take(coded.indices)


def _to_double(texts: pa.Array) -> pa.Array:
    numbers = _cast_matching(texts, NUMBER, pa.float64())
    if numbers.null_count == texts.null_count:
        return numbers
    return pc.coalesce(numbers, _truths(texts).cast(pa.float64()))


def _truths(texts: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(texts)
    return _keep(pc.is_in(lower, value_set=_TRUE), pc.is_in(lower, value_set=_TRUTHS))


def _to_int64(texts: pa.Array) -> pa.Array:
    digits = pc.replace_substring_regex(pc.utf8_ltrim(texts, "+"), WHOLE_ENDING, "")
    digits = _keep(digits, pc.match_substring_regex(texts, NUMBER))
    whole = _cast_matching(digits, WHOLE, pa.int64())
    if whole.null_count == texts.null_count:
        return whole
    return pc.coalesce(whole, _whole(_to_double(texts)))


def _to_bool(texts: pa.Array) -> pa.Array:
    truths = _truths(texts)
    if truths.null_count == texts.null_count:
        return truths
    return pc.coalesce(truths, _cast_typed(_to_double(texts), "bool"))


def _moments(texts: pa.Array) -> tuple[pa.Array, pa.BooleanArray]:
    """Keep the texts that are times; and whether each has a zone, null where none is."""
    times = _keep(texts, pc.match_substring_regex(texts, MOMENT))
    times = pc.replace_substring_regex(times, SECONDS_BEYOND, r"\1")
    return times, pc.match_substring_regex(times, ZONE)


def _to_timestamp(texts: pa.Array) -> pa.Array:
    times, zoned = _moments(texts)
    aware = _cast_matching(_keep(times, zoned), "", UTC_MICROSECONDS)
    naive = _cast_matching(_keep(times, pc.invert(zoned)), "", pa.timestamp("us"))
    return _countable(pc.coalesce(aware, pc.assume_timezone(naive, "UTC")))


def _one_by_one(values: Sequence[object], kind: ColumnType) -> Coerced:
    """Read values of mixed kinds; the way for columns that are broken, not for good ones."""
    cells: list[object] = []
    lost: list[int] = []
    for row, value in enumerate(values):
        try:  # NaN stays what it is where a column can hold it: missing, and said by a number.
            is_nan = kind == "double" and value != value
            cells.append(value if is_nan else read_cell(value, kind))
        except MisfitError:
            cells.append(None)
            lost.append(row)
    # Halves of characters, which no file can hold, become "?".
    cells = [as_text(cell) if isinstance(cell, str) else cell for cell in cells]
    column = pa.array(cells, ARROW_TYPES[kind])
    return Coerced(column, np.array(lost, np.int64), [as_text(values[row]) for row in lost])


_CASTS = {
    "int64": _to_int64,
    "double": _to_double,
    "bool": _to_bool,
    "timestamp": _to_timestamp,
}
