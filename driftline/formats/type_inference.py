"""Types of columns that come as text: the narrowest that all values have."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.coercion import MISSING, is_plainly_read

TRIED_TYPES = (
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.timestamp("us", "UTC"),
    pa.timestamp("us"),
)
_NOTHING = pa.concat_arrays([MISSING, pa.nulls(1, pa.string())])
# As Arrow's reader of CSV knows them.
_TRUTHS = pa.array(["0", "1", "false", "False", "FALSE", "true", "True", "TRUE"])


def narrow(batches: Iterable[pa.RecordBatch], decimal: str = ".") -> dict[str, pa.DataType]:
    """Find for each text column the narrowest type that all its values have.

    Blank fields and the like are no values; a column without values stays text.
    """
    left: dict[str, tuple[pa.DataType, ...] | None] = {}
    names: dict[str, None] = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            names.setdefault(name)
            left[name] = still_fitting(column, left.get(name), decimal)
    return {name: next(iter(left.get(name) or ()), pa.string()) for name in names}


def still_fitting(
    texts: pa.Array, tried: tuple[pa.DataType, ...] | None, decimal: str = "."
) -> tuple[pa.DataType, ...] | None:
    """Return which of the types that fitted earlier texts fit these, too.

    None means that there has been no value so far, to which every type would apply.
    """
    values = texts.filter(pc.invert(pc.is_in(texts, value_set=_NOTHING)))
    if not len(values):
        return tried
    left = TRIED_TYPES if tried is None else tried
    return tuple(kind for kind in left if _casts(values, kind, decimal))


def _casts(texts: pa.Array, wanted: pa.DataType, decimal: str) -> bool:
    if pa.types.is_boolean(wanted):
        return bool(pc.all(pc.is_in(texts, value_set=_TRUTHS)).as_py())
    if pa.types.is_integer(wanted) or pa.types.is_floating(wanted):
        texts = pc.utf8_trim(texts, " \t")  # As the reader of CSV does.
    if decimal != "." and pa.types.is_floating(wanted):
        texts = pc.replace_substring(texts, decimal, ".")
    try:
        values = texts.cast(wanted)
    except pa.ArrowInvalid:
        return False
    content = texts.buffers()[2]
    return is_plainly_read(values, b"" if content is None else content.to_pybytes())


def one_type(types: Iterable[pa.DataType]) -> pa.DataType:
    """Return the type that all these values go into: theirs, double for numbers, else text."""
    found = set(types)
    if len(found) == 1:
        return found.pop()
    return pa.float64() if found <= {pa.int64(), pa.float64()} else pa.string()
