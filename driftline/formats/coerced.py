"""Values of a request, as text or as JSON gave them, to the types of the signature.

A value that does not fit its type becomes null and is given back as text, so that nothing is lost
or silently changed: 1.5 is no integer, ``EVX`` no number, and the number 7 no text. Text that reads
as a number fits a number, true and false fit 1 and 0, an empty text is a missing value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.signature import ColumnType

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": UTC_MICROSECONDS,
}

# Up to 18 digits always fit 64 bits; longer ones take the way over a float.
_INTEGER = r"^[+-]?[0-9]{1,18}$"
_NUMBER = r"^(?i:[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?nan|[+-]?inf(inity)?)$"
_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$"
_NAIVE = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$"
_WHOLE_OR_MISSING = {int, type(None)}
_NOT_OF_ONE_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)
# The next one may stand for two integers.
_EXACT_FLOAT = 2.0**53 - 1
_INT64 = range(-(2**63), 2**63)
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


def from_text(array: pa.Array, kind: ColumnType) -> Coerced:
    """Read a text column as a type; blanks around numbers are nothing, a time without zone UTC."""
    if kind == "string":
        return _kept(pc.if_else(pc.equal(array, ""), None, array))
    clean = _clean(array, kind)
    return _carefully(array, kind) if clean is None else _kept(clean)


def _clean(array: pa.Array, kind: ColumnType) -> pa.Array | None:
    """Read numbers that stand there as programs write them; None when there is any other text.

    Five times faster than to look at each text first.
    """
    if kind not in ("double", "int64"):
        return None
    try:
        values = pc.cast(pc.if_else(pc.equal(array, ""), None, array), ARROW_TYPES[kind])
    except pa.ArrowInvalid:
        return None
    if kind == "int64":
        text = array.buffers()[2]
        return values if text is None or is_plainly_read(values, text.to_pybytes()) else None
    return values if is_plainly_read(values, b"") else None


def is_plainly_read(values: pa.Array, text: bytes) -> bool:
    """Say whether Arrow's own reading of numbers was that of this module.

    It also takes ``nan(text)`` for a number and ``0x1F`` for a whole one.
    """
    if pa.types.is_floating(values.type):
        return not pc.any(pc.is_nan(values)).as_py()
    return b"0x" not in text and b"0X" not in text


def _carefully(array: pa.Array, kind: ColumnType) -> Coerced:
    trimmed = pc.utf8_trim_whitespace(array)
    trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    if kind == "double":
        values = _cast(trimmed, _NUMBER, pa.float64())
    elif kind == "int64":
        values = _integers(trimmed)
    elif kind == "bool":
        values = _cast(trimmed, r"^(?i:true|false|0|1)$", pa.bool_())
    else:
        zoned = _cast(trimmed, _ZONED, UTC_MICROSECONDS)
        naive = _cast(trimmed, _NAIVE, pa.timestamp("us"))
        values = _countable(pc.coalesce(zoned, pc.assume_timezone(naive, "UTC")))
    rows = _lost(trimmed, values)
    return Coerced(values, rows, array.take(pa.array(rows)).to_pylist())


def from_values(values: Sequence[object], kind: ColumnType) -> Coerced:
    """Read the values of one JSON field as a type; lists and objects never fit."""
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
    if kinds.isdisjoint((list, dict)) and (len(kinds) == 1 or kind == "double"):
        try:
            return from_array(pa.array(values), kind)
        except _NOT_OF_ONE_TYPE:
            pass
    return _one_by_one(values, kind)


def from_array(array: pa.Array, kind: ColumnType) -> Coerced:
    """Read a typed column, such as one of a Parquet file, as a type."""
    array = _simple(array)
    if pa.types.is_null(array.type):
        return _kept(pa.nulls(len(array), ARROW_TYPES[kind]))
    if pa.types.is_string(array.type):
        return from_text(array, kind)
    if kind == "timestamp" and pa.types.is_timestamp(array.type):
        return _from_times(array)
    if array.type == ARROW_TYPES[kind]:
        return _kept(array)
    is_number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if kind == "double" and (is_number or pa.types.is_boolean(array.type)):
        return _kept(array.cast(pa.float64(), safe=False))
    if is_number and kind in ("int64", "bool"):
        return _from_numbers(array, kind)
    return _one_by_one(array.to_pylist(), kind)


def _simple(array: pa.Array) -> pa.Array:
    """Give kinds of types that only files have as those that JSON has, and times."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _simple(array.dictionary_decode())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.string())
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64())
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    return array.cast(pa.timestamp("s")) if pa.types.is_date(kind) else array


def _from_times(array: pa.Array) -> Coerced:
    """Read times of another unit or zone; a time without zone is UTC, what is finer is cut."""
    zoned = array if array.type.tz is not None else pc.assume_timezone(array, "UTC")
    try:
        values = _countable(zoned.cast(UTC_MICROSECONDS, safe=array.type.unit != "ns"))
    except pa.ArrowInvalid:  # Some are too far away to be counted in microseconds.
        values = pa.nulls(len(array), UTC_MICROSECONDS)
    rows = _lost(array, values)
    counts = array.cast(pa.int64()).take(pa.array(rows)).to_pylist()
    return Coerced(values, rows, [f"{count} {array.type.unit} since 1970" for count in counts])


def _countable(times: pa.Array) -> pa.Array:
    """Leave out the times that readers fail at."""
    inside = pc.and_(pc.greater_equal(times, _FIRST_US), pc.less_equal(times, _LAST_US))
    return times if pc.all(inside).as_py() else pc.if_else(inside, times, None)


def _lost(given: pa.Array, values: pa.Array) -> np.ndarray:
    """Say which rows had a value and have none now, shape (lost,)."""
    lost = pc.and_(pc.is_valid(given), pc.is_null(values))
    return np.flatnonzero(lost.to_numpy(zero_copy_only=False))


def _from_numbers(array: pa.Array, kind: ColumnType) -> Coerced:
    """Read whole numbers among numbers as integers, 0 and 1 as truth values."""
    if kind == "int64" and pa.types.is_integer(array.type):
        try:
            return _kept(array.cast(pa.int64()))
        except pa.ArrowInvalid:  # Beyond 64 bits with a sign, one by one.
            return _one_by_one(array.to_pylist(), kind)
    whole = _whole(array.cast(pa.float64(), safe=False))
    if kind == "bool":
        whole = pc.if_else(pc.is_in(whole, pa.array([0, 1])), whole, None)
    rows = _lost(array, whole)
    texts = [as_text(value) for value in array.take(pa.array(rows)).to_pylist()]
    return Coerced(whole.cast(ARROW_TYPES[kind]), rows, texts)


def _whole(numbers: pa.Array) -> pa.Array:
    """Give floats that are whole and exact as integers, the others as null."""
    exact = pc.and_(
        pc.equal(numbers, pc.round(numbers)), pc.less_equal(pc.abs(numbers), _EXACT_FLOAT)
    )
    return pc.cast(pc.if_else(exact, numbers, None), pa.int64())


def as_text(value: object) -> str:
    """Write a JSON value as the text that is kept of it; text itself stays bare."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode("utf-8")


def _kept(array: pa.Array) -> Coerced:
    return Coerced(array, np.empty(0, np.int64), [])


def _cast(array: pa.Array, pattern: str, target: pa.DataType) -> pa.Array:
    """Cast what a pattern allows; what looks right and still cannot be cast is null."""
    allowed = pc.if_else(pc.match_substring_regex(array, pattern), array, None)
    try:
        return pc.cast(allowed, target)
    except pa.ArrowInvalid:
        return _cast_distinct(allowed, target)


def _cast_distinct(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Cast each distinct text by itself, such as the 31st of February among good dates."""
    coded = array.dictionary_encode()
    found = []
    for text in coded.dictionary:
        try:
            found.append(pc.cast(text, target))
        except pa.ArrowInvalid:
            found.append(None)
    return pa.array(found, target).take(coded.indices)


def _integers(array: pa.Array) -> pa.Array:
    plain = _cast(pc.utf8_ltrim(array, "+"), _INTEGER, pa.int64())
    if plain.null_count == array.null_count:
        return plain
    whole = _whole(_cast(array, _NUMBER, pa.float64()))
    long = pc.if_else(pc.match_substring_regex(array, r"^[+-]?[0-9]{19}$"), array, None)
    return pc.coalesce(plain, _cast(pc.utf8_ltrim(long, "+"), "", pa.int64()), whole)


_UNFIT = object()


def _one_by_one(values: Sequence[object], kind: ColumnType) -> Coerced:
    """Read values of mixed kinds; the way for columns that are broken, not for good ones."""
    texts = [as_text(value) if isinstance(value, str) else None for value in values]
    read = from_text(pa.array(texts, pa.string()), kind)
    plain = [None if isinstance(value, str) else _plain(value, kind) for value in values]
    lost = [row for row, value in enumerate(plain) if value is _UNFIT]
    others = pa.array([None if value is _UNFIT else value for value in plain], ARROW_TYPES[kind])
    rows = np.concatenate([read.unfit, np.array(lost, np.int64)])
    return Coerced(
        pc.coalesce(read.values, others),
        rows,
        read.texts + [as_text(values[row]) for row in lost],
    )


def _plain(value: object, kind: ColumnType) -> object:
    """Give a number, truth value or null as the type wants it, or say that it does not fit."""
    if value is None:
        return None
    if not isinstance(value, bool | int | float) or kind in ("string", "timestamp"):
        return _UNFIT
    if kind == "double":
        try:
            return float(value)
        except OverflowError:
            return _UNFIT
    # As in _whole: a float beyond that may stand for any of several integers.
    if isinstance(value, float) and not (value.is_integer() and abs(value) <= _EXACT_FLOAT):
        return _UNFIT
    whole = int(value)
    if kind == "bool":
        return bool(whole) if whole in (0, 1) else _UNFIT
    return whole if whole in _INT64 else _UNFIT
