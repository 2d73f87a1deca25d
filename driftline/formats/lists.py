"""Lists as values, such as forecasts and rankings: of numbers, or of texts.

A list may come as such, as its JSON text, or, of numbers, as numpy prints it and pandas writes it
into files. Its elements follow the table of `cells`, so that an element without a value is null.
What is no list, or holds an element that does not fit, is unfit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.arrow_types import ARROW_TYPES, EXACT_WHOLE
from driftline.formats.cells import NO_VALUES, Cell, MisfitError, read_cell
from driftline.signature import ColumnType

ELEMENTS: dict[ColumnType, ColumnType] = {"list<double>": "double", "list<string>": "string"}
# Numbers between blanks, as numpy prints them: without commas, and without "..." for some of them.
PRINTED = re.compile(r"\s*\[([^][,\"]*)\]\s*")
_NO_LIST = object()


def read_lists(plain: pa.Array, kind: ColumnType) -> tuple[pa.Array, pa.BooleanArray | None]:
    """Return a column of a plain type as lists, and a mask of what did not fit; None where all did.

    Parameters
    ----------
    plain
        Of one of `arrow_types.plain_type`'s types.
    kind
        One of `signature.LISTS`.
    """
    if pa.types.is_list(plain.type) and kind == "list<double>":
        numbers = plain.cast(ARROW_TYPES[kind], safe=False)
        return _without_nan(numbers), None
    if pa.types.is_list(plain.type):
        return _with_values(plain, _number_texts(plain.flatten())), None
    if pa.types.is_string(plain.type):
        found, lost = listed(plain.to_pylist(), kind)
    else:
        found, lost = pa.nulls(len(plain), ARROW_TYPES[kind]), np.flatnonzero(plain.is_valid())
    if not len(lost):
        return found, None
    mask = np.zeros(len(plain), np.bool_)
    mask[lost] = True
    return found, pa.array(mask)


def listed(values: Sequence[object], kind: ColumnType) -> tuple[pa.Array, np.ndarray]:
    """Return values of JSON as a column of lists, and the rows whose value did not fit."""
    parsed = [_parsed(value, kind) if isinstance(value, str) else value for value in values]
    try:
        if kind == "list<double>":
            return _without_nan(pa.array(parsed, ARROW_TYPES[kind])), np.empty(0, np.int64)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    lists: list[object] = []
    lost: list[int] = []
    for row, value in enumerate(parsed):
        try:
            lists.append(_cells(value, ELEMENTS[kind]))
        except MisfitError:
            lists.append(None)
            lost.append(row)
    return pa.array(lists, ARROW_TYPES[kind]), np.array(lost, np.int64)


def _cells(value: object, kind: ColumnType) -> list[Cell] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise MisfitError
    return [read_cell(one, kind) for one in value]


def _parsed(text: str, kind: ColumnType) -> object:
    """Read a list's text; a text that says "no value" is None."""
    if text.strip() in NO_VALUES:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        printed = PRINTED.fullmatch(text) if kind == "list<double>" else None
        return printed[1].split() if printed else _NO_LIST


def _without_nan(lists: pa.Array) -> pa.Array:
    """Make nulls of elements that are no number."""
    flat = lists.flatten()
    if not pc.any(pc.is_nan(flat)).as_py():
        return lists
    return _with_values(lists, pc.if_else(pc.is_nan(flat), pa.scalar(None, flat.type), flat))


def _number_texts(numbers: pa.Array) -> pa.Array:
    """Write numbers as items are named, whole ones without a point; NaN is none."""
    if pa.types.is_integer(numbers.type):
        return numbers.cast(pa.string())
    known = pc.if_else(pc.is_nan(numbers), pa.scalar(None, numbers.type), numbers)
    is_whole = pc.and_(pc.equal(pc.floor(known), known), pc.less(pc.abs(known), float(EXACT_WHOLE)))
    whole = pc.if_else(is_whole, known, 0.0).cast(pa.int64()).cast(pa.string())
    return pc.if_else(is_whole, whole, known.cast(pa.string()))


def _with_values(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Return lists of the same lengths that hold other values."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    kind = pa.list_(values.type)
    return pa.ListArray.from_arrays(offsets, values, kind, mask=lists.is_null())
