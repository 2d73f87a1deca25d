"""Arrow's many types to the seven that values are carried in, each value staying what it is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.signature import ColumnType, Missing, TimeUnit

UTC_MICROSECONDS = pa.timestamp("us", "UTC")
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": UTC_MICROSECONDS,
}

# The largest power of ten, and the largest whole number, that float64 holds exactly.
EXACT_PLACES = 22
EXACT_WHOLE = 1 << 53

# Of units of time that reach further than microseconds in 64 bits.
MICROSECONDS = {"s": 10**6, "ms": 10**3, "date32[day]": 86_400 * 10**6, "date64[ms]": 10**3}

# Keys of a field's metadata: times are carried in microseconds, and models count in their own unit;
# what is missing is null, and models know it as what pandas has there.
_UNIT = b"driftline.unit"
_MISSING = b"driftline.missing"
# Types of pandas for truth values, of which scikit-learn takes missing ones as NaN.
WITH_NA = ("boolean", "bool[pyarrow]")

_IsSuch = Callable[[pa.DataType], bool]


def _any_of(*tests: _IsSuch) -> _IsSuch:
    return lambda found: any(test(found) for test in tests)


def _is_extension(found: pa.DataType) -> bool:
    return isinstance(found, pa.BaseExtensionType) and not isinstance(found, pa.UuidType)


# The values lie inside another type.
_is_wrapped = _any_of(pa.types.is_dictionary, pa.types.is_run_end_encoded, _is_extension)
_is_time = _any_of(pa.types.is_date, pa.types.is_timestamp)
_is_decimal_number = _any_of(pa.types.is_floating, pa.types.is_decimal, pa.types.is_duration)
is_list = _any_of(pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_is_binary = _any_of(
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)
# Of these Arrow has no sound cast to text.
_is_written_out = _any_of(
    pa.types.is_nested, pa.types.is_interval, lambda found: isinstance(found, pa.UuidType)
)


def plain_type(found: pa.DataType) -> pa.DataType:
    """Return which of seven Arrow types carries values of this type.

    Whole numbers become int64, other numbers float64 (durations in seconds), dates and times UTC in
    microseconds, lists of numbers lists of int64 or float64; dictionaries take the type of their
    values; all else becomes text.
    """
    if _is_wrapped(found):
        return plain_type(found.storage_type if _is_extension(found) else found.value_type)
    if pa.types.is_boolean(found):
        return ARROW_TYPES["bool"]
    if pa.types.is_integer(found):
        return ARROW_TYPES["int64"]
    if _is_decimal_number(found):
        return ARROW_TYPES["double"]
    if _is_time(found):
        return ARROW_TYPES["timestamp"]
    if is_vector(found):
        return pa.list_(plain_type(found.value_type))
    return ARROW_TYPES["string"]


def plain_field(field: pa.Field) -> pa.Field:
    """Return a field of its plain type, which still knows what its values are to the model."""
    return as_fitted(
        pa.field(field.name, plain_type(field.type)), unit_of(field), missing_of(field)
    )


@cache
def is_before_pandas_3() -> bool:
    """Whether the pandas here reads times in text as nanoseconds, and knows None among texts."""
    from importlib.metadata import version  # As slow as the rest of this module.

    return int(version("pandas").partition(".")[0]) < 3


def as_fitted(field: pa.Field, unit: TimeUnit | None, missing: Missing | None) -> pa.Field:
    """Return a field that knows as what its times and missing truth values reach the model."""
    notes = {key: note for key, note in ((_UNIT, unit), (_MISSING, missing)) if note is not None}
    return field.with_metadata(notes) if notes else field


def with_missing(schema: pa.Schema, *, is_text: bool = False) -> pa.Schema:
    """Return a schema that marks the columns whose missing truth values are NaN to the model.

    That is so in text (CSV and JSON), as pandas reads it, and for pandas' own types.
    """
    notes = (schema.pandas_metadata or {}).get("columns", [])
    own = {one.get("name") for one in notes if one.get("numpy_type") in WITH_NA}
    return pa.schema(
        as_fitted(one, None, "nan")
        if pa.types.is_boolean(one.type) and (is_text or one.name in own)
        else one
        for one in schema
    )


def missing_of(field: pa.Field) -> Missing | None:
    """Return what stands for missing truth values, where it is not None."""
    kept = (field.metadata or {}).get(_MISSING)
    return None if kept is None else cast("Missing", kept.decode())


def unit_of(field: pa.Field) -> TimeUnit | None:
    """Return the unit of times that are, or were, in another one than microseconds."""
    kept = (field.metadata or {}).get(_UNIT)
    if kept is not None:
        return cast("TimeUnit", kept.decode())
    unit = field.type.unit if pa.types.is_timestamp(field.type) else "us"
    return None if unit == "us" else cast("TimeUnit", unit)


def in_unit(times: pa.Array | pa.ChunkedArray, unit: str) -> pa.Array | pa.ChunkedArray:
    """Return times, of a zone or none, in another unit; null where it does not reach them."""
    kind = pa.timestamp(unit, times.type.tz)
    if unit == "ns" and times.type.unit != unit:
        count = times.cast(pa.timestamp("us", times.type.tz), safe=False).cast(pa.int64())
        reach = np.iinfo(np.int64).max // 1000
        fits = pc.and_(pc.less_equal(count, reach), pc.greater_equal(count, -reach))
        times = pc.if_else(fits, times, pa.scalar(None, times.type))
    return times.cast(kind, safe=False)


def plain_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Cast an array to its plain type (see `plain_type`); values stay what they are.

    A time without zone is taken as UTC. Whole numbers beyond 64 bits become null, and so do times
    that 64 bits of microseconds do not reach.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # Older Arrow gives chunks back when there are none.
            array = pa.concat_arrays(array.chunks)
    found = array.type
    wanted = plain_type(found)
    if found == wanted:
        return array
    for is_such, carry in _CARRIES:
        if is_such(found):
            return carry(array)
    return array.cast(wanted, safe=False)


def holds_beyond_int64(array: pa.Array | pa.ChunkedArray) -> bool:
    """Whether unsigned numbers are among these that int64 does not hold."""
    largest = pc.max(array).as_py() if pa.types.is_uint64(array.type) else None
    return bool(largest is not None and largest > np.iinfo(np.int64).max)


def carried(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Carry an array over to a plain type that may be wider than its own (`plain_type`)."""
    if array.type == wanted:
        return array
    if pa.types.is_uint64(array.type) and wanted == ARROW_TYPES["double"]:
        return array.cast(wanted, safe=False)
    plain = plain_array(array)
    return plain if plain.type == wanted else plain.cast(wanted, safe=False)


def _unwrapped(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        values = plain_array(array.dictionary)
        return pa.DictionaryArray.from_arrays(array.indices, values).dictionary_decode()
    if pa.types.is_run_end_encoded(array.type):
        return plain_array(pc.run_end_decode(array))
    return plain_array(array.storage)


def _times(array: pa.Array) -> pa.Array:
    """Carry times over to UTC; those that 64 bits of microseconds do not reach become null."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        return _within_reach(array).cast(ARROW_TYPES["timestamp"], safe=False)
    times = _within_reach(array).cast(pa.timestamp("us"), safe=False)
    return pc.assume_timezone(times, "UTC")


def _within_reach(array: pa.Array) -> pa.Array:
    """Leave out what the cast would turn into another time, such as the day that means never."""
    unit = str(array.type) if pa.types.is_date(array.type) else array.type.unit
    if unit not in MICROSECONDS:
        return array
    units = array.cast(pa.int32()) if unit == "date32[day]" else array.view(pa.int64())
    units, reach = units.cast(pa.int64()), np.iinfo(np.int64).max // MICROSECONDS[unit]
    fits = pc.and_(pc.less_equal(units, reach), pc.greater_equal(units, -reach))
    return pc.if_else(fits, array, pa.scalar(None, array.type))


def _seconds(array: pa.Array) -> pa.Array:
    whole = array.cast(pa.duration("us"), safe=False).cast(pa.int64())
    return pc.divide(whole.cast(pa.float64()), 1e6)


def _signed(array: pa.Array) -> pa.Array:
    fits = pc.less_equal(array, pa.scalar(np.iinfo(np.int64).max, pa.uint64()))
    return pc.if_else(fits, array, pa.scalar(None, pa.uint64())).cast(pa.int64())


def _decimals(array: pa.Array) -> pa.Array:
    """Return the nearest float64 of each decimal.

    Arrow's own cast is off in the last digit: 1.2 with 18 places becomes 1.2000000000000002. The
    quotient of a whole number and a power of ten that float64 holds exactly is the nearest; others
    go by way of their text, which is forty times as slow.
    """
    scale = array.type.scale
    if array.type.bit_width <= 128 and 0 <= scale <= EXACT_PLACES:
        wide = array.cast(pa.decimal128(38, scale))
        words = np.frombuffer(wide.buffers()[1] or b"", np.int64).reshape(-1, 2)
        low, high = words[wide.offset : wide.offset + len(wide)].T
        gone = wide.is_null().to_numpy(zero_copy_only=False)
        small = (high == low >> 63) & (low <= EXACT_WHOLE) & (low >= -EXACT_WHOLE)
        if (small | gone).all():
            return pa.array(low.astype(np.float64) / 10.0**scale, pa.float64(), mask=gone)
    return array.cast(pa.string()).cast(pa.float64())


def is_vector(found: pa.DataType) -> bool:
    """Whether these are lists of numbers."""
    numbers = (ARROW_TYPES["int64"], ARROW_TYPES["double"])
    return is_list(found) and plain_type(found.value_type) in numbers


def _vectors(array: pa.Array) -> pa.Array:
    """Carry lists of numbers over to lists of int64 or float64, value by value the same."""
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.large_list(array.type.value_type))
    lists = array.drop_null()
    lengths = np.zeros(len(array), np.int64)
    lengths[array.is_valid().to_numpy(zero_copy_only=False)] = pc.list_value_length(lists)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets),
        plain_array(lists.flatten()),
        plain_type(array.type),
        mask=array.is_null(),
    )


def _bytes_as_text(array: pa.Array) -> pa.Array:
    """Read bytes as UTF-8; those that are none are written as hexadecimal digits after 0x."""
    array = array.cast(pa.binary())
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_byte_text(value) for value in array.to_pylist()], pa.string())


def _byte_text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"


def _as_text(array: pa.Array) -> pa.Array:
    """Write nested values as JSON; rare, hence value by value."""
    if "[ns" in str(array.type):
        # Python has no nanoseconds: pyarrow gives them as pandas' times, once pandas is there.
        import_module("pandas")

    def text(value: object) -> str | None:
        if value is None or isinstance(value, uuid.UUID):
            return None if value is None else str(value)
        return json.dumps(value, default=str, ensure_ascii=False)

    return pa.array([text(value) for value in array.to_pylist()], pa.string())


# The first that fits carries the array over; what fits none of them, Arrow casts soundly.
_CARRIES: tuple[tuple[_IsSuch, Callable[[pa.Array], pa.Array]], ...] = (
    (_is_wrapped, _unwrapped),
    (_is_time, _times),
    (pa.types.is_duration, _seconds),
    (pa.types.is_uint64, _signed),
    (pa.types.is_decimal, _decimals),
    (is_vector, _vectors),
    (_is_binary, _bytes_as_text),
    (_is_written_out, _as_text),
)
