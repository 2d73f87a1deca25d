"""Values to the type that the signature promises; what does not fit is null and counted."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, plain_array
from driftline.formats.hashing import vector_texts
from driftline.signature import ColumnType

# What stands for "no value" where a number is expected; in a text column only "" does, because
# "NA" is also the code of Namibia.
NULL_TEXTS = ("", "NA", "N/A", "#N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "<NA>")

NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
WHOLE = r"^[+-]?\d{1,18}$"
ZONED = r"(?:[zZ]|[+-]\d{2}:?\d{2})$"
MOMENT = (
    r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[zZ]|[+-]\d{2}:?\d{2})?)?$"
)


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
        "bool"; ISO 8601 text fits "timestamp"; every value fits "string", lists of many
        numbers by a digest.

    Returns
    -------
    tuple of pa.Array and int
        The values, null where there was none or where it did not fit, and how many did not fit.
        Blank text, ``NA`` and NaN count as no value, not as unfit.
    """
    plain = _scalars(array)
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
    plain = _scalars(array)
    if plain.type == ARROW_TYPES[kind] or kind == "string":
        return pa.array(np.zeros(len(plain), dtype=bool))
    return _lost(plain, _CASTS[kind](plain))


def _scalars(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Give plain values, lists of numbers as texts."""
    plain = plain_array(array)
    return vector_texts(plain) if pa.types.is_list(plain.type) else plain


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


def zones_of(array: pa.Array) -> frozenset[bool]:
    """Tell whether times that came as text have a zone, have none, or some of them have."""
    if not pa.types.is_string(array.type):
        return frozenset()
    return frozenset(pc.unique(_moments(array)[1].drop_null()).to_pylist())


def some_zoned(name: object) -> InputError:
    """Make the error for a column of which only some times have a zone."""
    return InputError(
        f'column "{name}": some times have a zone and some have none; expected one of the two: '
        "give each its zone, or bring all to UTC"
    )


def _moments(plain: pa.Array) -> tuple[pa.Array, pa.BooleanArray]:
    """Keep the texts that are times; and whether each has a zone, null where none is."""
    text = pc.utf8_trim_whitespace(plain)
    text = _keep(text, pc.match_substring_regex(text, MOMENT))
    # A date alone ends in "-05" too, which looks like half an offset: ZONED wants four digits.
    return text, pc.match_substring_regex(text, ZONED)


def _to_timestamp(plain: pa.Array) -> pa.Array:
    if not pa.types.is_string(plain.type):
        return pa.nulls(len(plain), ARROW_TYPES["timestamp"])
    text, found = _moments(plain)
    zoned = pc.fill_null(found, fill_value=False)
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
        # Each value by itself, for another batch may hold none that is not whole.
        present = _keep(plain, pc.invert(is_missing(plain)))
        return pc.coalesce(_whole_part(plain).cast(pa.string()), present.cast(pa.string()))
    return plain.cast(pa.string())


_CASTS = {
    "int64": _to_int64,
    "double": _to_double,
    "string": _to_string,
    "bool": _to_bool,
    "timestamp": _to_timestamp,
}
