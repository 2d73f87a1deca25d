"""Values to the type that the signature promises; what does not fit is null and counted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.signature import ColumnType

__all__ = [
    "ARROW_TYPES",
    "NULL_TEXTS",
    "coerce",
    "is_missing",
    "plain_array",
    "plain_type",
    "text_array",
    "unfit_mask",
]

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
}

# What stands for "no value" where a number is expected; in a text column only "" does, because
# "NA" is also the code of Namibia.
NULL_TEXTS = ("", "NA", "N/A", "#N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "<NA>")

NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
WHOLE = r"^[+-]?\d{1,18}$"
ZONED = r"(?:[zZ]|[+-]\d{2}:?\d{2})$"
MOMENT = (
    r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[zZ]|[+-]\d{2}:?\d{2})?)?$"
)


def plain_type(found: pa.DataType) -> pa.DataType:
    """Give the one of five Arrow types that values of this type are carried in.

    Whole numbers become int64, other numbers float64 (durations in seconds), dates and times UTC
    in microseconds; dictionaries take the type of their values; all else becomes text.
    """
    if pa.types.is_dictionary(found) or pa.types.is_run_end_encoded(found):
        return plain_type(found.value_type)
    if isinstance(found, pa.BaseExtensionType) and not isinstance(found, pa.UuidType):
        return plain_type(found.storage_type)
    if pa.types.is_boolean(found):
        return ARROW_TYPES["bool"]
    if pa.types.is_integer(found):
        return ARROW_TYPES["int64"]
    if _is_decimal_number(found):
        return ARROW_TYPES["double"]
    if pa.types.is_timestamp(found) or pa.types.is_date(found):
        return ARROW_TYPES["timestamp"]
    return ARROW_TYPES["string"]


def plain_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Carry an array over to its plain type (see `plain_type`); values stay what they are.

    A time without zone is taken as UTC. Whole numbers beyond 64 bits become null.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # Older Arrow gives chunks back when there are none.
            array = pa.concat_arrays(array.chunks)
    found = array.type
    wanted = plain_type(found)
    if found == wanted:
        return array
    if pa.types.is_dictionary(found):
        values = plain_array(array.dictionary)
        return pa.DictionaryArray.from_arrays(array.indices, values).dictionary_decode()
    if pa.types.is_run_end_encoded(found):
        return plain_array(pc.run_end_decode(array))
    if isinstance(found, pa.BaseExtensionType) and not isinstance(found, pa.UuidType):
        return plain_array(array.storage)
    if pa.types.is_timestamp(found) and found.tz is None:
        return pc.assume_timezone(array.cast(pa.timestamp("us"), safe=False), "UTC")
    if pa.types.is_date(found):
        return pc.assume_timezone(array.cast(pa.timestamp("us")), "UTC")
    if pa.types.is_duration(found):
        return pc.divide(
            array.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(wanted), 1e6
        )
    if pa.types.is_uint64(found):
        fits = pc.less_equal(array, pa.scalar(np.iinfo(np.int64).max, pa.uint64()))
        return pc.if_else(fits, array, pa.scalar(None, pa.uint64())).cast(wanted)
    if pa.types.is_decimal(found):
        # Arrow's own cast is off in the last digit: 1.2 with 18 places becomes 1.2000000000000002.
        return array.cast(pa.string()).cast(wanted)
    if _is_written_out(found):
        return _as_text(array)
    return array.cast(wanted, safe=False)


def _is_decimal_number(found: pa.DataType) -> bool:
    tests = (pa.types.is_floating, pa.types.is_decimal, pa.types.is_duration)
    return any(test(found) for test in tests)


def _is_written_out(found: pa.DataType) -> bool:
    """Say whether Arrow has no sound cast of these to text."""
    tests = (
        pa.types.is_nested,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
        pa.types.is_interval,
    )
    return isinstance(found, pa.UuidType) or any(test(found) for test in tests)


def _as_text(array: pa.Array) -> pa.Array:
    """Write nested values as JSON and bytes as UTF-8; rare, hence value by value."""

    def text(value: object) -> str | None:
        if value is None or isinstance(value, uuid.UUID):
            return None if value is None else str(value)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return json.dumps(value, default=str, ensure_ascii=False)

    return pa.array([text(value) for value in array.to_pylist()], pa.string())


def text_array(values: Iterable[str | None]) -> pa.Array:
    """Make a column of texts; halves of characters, which no file can hold, become "?"."""
    found = list(values)
    try:
        return pa.array(found, pa.string())
    except UnicodeEncodeError:
        whole = [one if one is None else one.encode("utf-8", "replace").decode() for one in found]
        return pa.array(whole, pa.string())


def coerce(array: pa.Array | pa.ChunkedArray, kind: ColumnType) -> tuple[pa.Array, int]:
    """Cast values to a signature's type.

    Parameters
    ----------
    array
        Any Arrow array.
    kind
        The promised type. Whole numbers fit "double"; 3.0 fits "int64", 3.5 does not; 0 and 1 fit
        "bool"; ISO 8601 text fits "timestamp"; every value fits "string".

    Returns
    -------
    tuple of pa.Array and int
        The values, null where there was none or where it did not fit, and how many did not fit.
        Blank text, ``NA`` and NaN count as no value, not as unfit.
    """
    plain = plain_array(array)
    if plain.type == ARROW_TYPES[kind]:
        return plain, 0
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), ARROW_TYPES[kind]), 0
    cast = _CASTS[kind](plain)
    if kind == "string":
        return cast, 0
    return cast, int(pc.sum(_lost(plain, cast)).as_py() or 0)


def unfit_mask(array: pa.Array | pa.ChunkedArray, kind: ColumnType) -> pa.BooleanArray:
    """Mark the values that do not fit the type; same length, never null."""
    plain = plain_array(array)
    if plain.type == ARROW_TYPES[kind] or kind == "string":
        return pa.array(np.zeros(len(plain), dtype=bool))
    return _lost(plain, _CASTS[kind](plain))


def is_missing(array: pa.Array) -> pa.BooleanArray:
    """Mark what holds no value: null, NaN, empty text; same length, never null."""
    if pa.types.is_floating(array.type):
        return pc.is_null(array, nan_is_null=True)
    if pa.types.is_string(array.type):
        return pc.fill_null(pc.equal(array, ""), fill_value=True)
    return pc.is_null(array)


def _lost(plain: pa.Array, cast: pa.Array) -> pa.BooleanArray:
    """Mark where a value was, and none is after the cast."""
    if pa.types.is_string(plain.type):
        trimmed = pc.utf8_trim_whitespace(plain)
        had = pc.invert(pc.is_in(trimmed, value_set=pa.array([*NULL_TEXTS, None], pa.string())))
    else:
        had = pc.invert(is_missing(plain))
    return pc.and_(had, pc.is_null(cast))


def _keep(array: pa.Array, mask: pa.BooleanArray) -> pa.Array:
    return pc.if_else(mask, array, pa.scalar(None, array.type))


def _to_double(plain: pa.Array) -> pa.Array:
    if pa.types.is_string(plain.type):
        try:
            return plain.cast(pa.float64())
        except pa.ArrowInvalid:
            text = pc.replace_substring_regex(pc.utf8_trim_whitespace(plain), r"^\+", "")
            return _keep(text, pc.match_substring_regex(text, NUMBER)).cast(pa.float64())
    if pa.types.is_timestamp(plain.type):
        return pa.nulls(len(plain), pa.float64())
    return plain.cast(pa.float64(), safe=False)


def _to_int64(plain: pa.Array) -> pa.Array:
    if pa.types.is_boolean(plain.type):
        return plain.cast(pa.int64())
    if pa.types.is_string(plain.type):
        text = pc.replace_substring_regex(pc.utf8_trim_whitespace(plain), r"^\+", "")
        whole = _keep(text, pc.match_substring_regex(text, WHOLE)).cast(pa.int64())
        return pc.coalesce(whole, _whole_part(_to_double(text)))
    return _whole_part(_to_double(plain))


def _whole_part(numbers: pa.Array) -> pa.Array:
    """Keep whole numbers within 64 bits."""
    fits = pc.and_(
        pc.equal(numbers, pc.floor(numbers)),
        pc.less(pc.abs(numbers), 2.0**63),
    )
    return _keep(numbers, pc.fill_null(fits, fill_value=False)).cast(pa.int64())


def _to_bool(plain: pa.Array) -> pa.Array:
    if pa.types.is_string(plain.type):
        text = pc.utf8_lower(pc.utf8_trim_whitespace(plain))
    elif pa.types.is_timestamp(plain.type):
        return pa.nulls(len(plain), pa.bool_())
    else:
        text = _to_string(plain)
    yes = pc.is_in(text, value_set=pa.array(["true", "1", "1.0"]))
    known = pc.or_(yes, pc.is_in(text, value_set=pa.array(["false", "0", "0.0"])))
    return _keep(yes, known)


def _to_timestamp(plain: pa.Array) -> pa.Array:
    if not pa.types.is_string(plain.type):
        return pa.nulls(len(plain), ARROW_TYPES["timestamp"])
    text = pc.utf8_trim_whitespace(plain)
    text = _keep(text, pc.match_substring_regex(text, MOMENT))
    zoned = pc.fill_null(pc.match_substring_regex(text, ZONED), fill_value=False)
    # A date alone ends in "-05" too, which looks like half an offset: ZONED wants four digits.
    aware = _parse_time(_keep(text, zoned), pa.timestamp("us", "UTC"))
    naive = _parse_time(_keep(text, pc.invert(zoned)), pa.timestamp("us"))
    return pc.coalesce(aware, pc.assume_timezone(naive, "UTC"))


def _parse_time(text: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Parse ISO 8601; days that no calendar has (30 February) become null."""
    try:
        return text.cast(pa.timestamp("ns", wanted.tz)).cast(wanted, safe=False)
    except pa.ArrowInvalid:
        return pa.concat_arrays([_parse_one(text.slice(at, 1), wanted) for at in range(len(text))])


def _parse_one(text: pa.Array, wanted: pa.DataType) -> pa.Array:
    try:
        return text.cast(wanted)
    except pa.ArrowInvalid:
        return pa.nulls(1, wanted)


def _to_string(plain: pa.Array) -> pa.Array:
    if pa.types.is_floating(plain.type):
        # pandas turns whole numbers with gaps into floats: 10001.0 is meant as the text "10001".
        whole = _whole_part(plain)
        present = _keep(plain, pc.invert(is_missing(plain)))
        if whole.null_count == present.null_count:
            return whole.cast(pa.string())
        return present.cast(pa.string())
    return plain.cast(pa.string())


_CASTS = {
    "int64": _to_int64,
    "double": _to_double,
    "string": _to_string,
    "bool": _to_bool,
    "timestamp": _to_timestamp,
}
