"""Dataclasses as the rows of a Parquet file that any reader opens: a column for each field.

A field is a number, a text, a tuple of these, an array of numpy or Arrow, a sketch, or a dataclass
of such fields. Its annotation says as what it is read back.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

from driftline.baseline.sketch import QuantileSketch

FIELDS = "__dataclass_fields__"  # What tells dataclasses, as `dataclasses.is_dataclass` does.
T = TypeVar("T")


def to_table(rows: Iterable[object]) -> pa.Table:
    """Return a table with a row for each dataclass, all of one type."""
    return pa.Table.from_pylist([_plain(row) for row in rows])


def from_table(kind: type[T], table: pa.Table) -> list[T]:
    """Read what `to_table` made; KeyError, TypeError or ValueError where it is something else."""
    batches = table.combine_chunks().to_batches()
    found: list[T] = _values(kind, batches[0].to_struct_array()) if batches else []
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field of a dataclass
    if hasattr(value, FIELDS):
        return {name: _plain(getattr(value, name)) for name in _hints(value.__class__)}
    if isinstance(value, pa.Array):
        return value.to_pylist()
    if isinstance(value, QuantileSketch):
        return list(value.levels)
    if isinstance(value, np.ndarray) and value.ndim > 1:
        return list(value)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


@cache
def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type
    """Return the fields of a dataclass that it is made by, with their types."""
    found = get_type_hints(kind)
    return {one.name: found[one.name] for one in fields(kind) if one.init}


def _values(kind: Any, array: pa.Array) -> list[Any]:  # noqa: ANN401 - a type
    """Return a value of a type for each row; arrays of numbers are not copied."""
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (one for one in get_args(kind) if one is not types.NoneType)
    own, known = get_origin(kind) or kind, array.is_valid().to_pylist()
    if pa.types.is_null(array.type):
        return [None] * len(array)
    if hasattr(kind, FIELDS):
        hints = _hints(kind)
        rows = zip(*(_values(one, array.field(name)) for name, one in hints.items()), strict=True)
        return [
            kind(**dict(zip(hints, row, strict=True))) if is_there else None
            for row, is_there in zip(rows, known, strict=True)
        ]
    if own is tuple:
        return [None if one is None else tuple(one) for one in array.to_pylist()]
    if own not in (np.ndarray, pa.Array, QuantileSketch):
        return list(array.to_pylist())
    parts: Any = array.values
    if own is np.ndarray and not pa.types.is_list(parts.type):
        parts = parts.to_numpy(zero_copy_only=False)
    elif own is not pa.Array:
        parts = _values(np.ndarray, parts)
    found = []
    for (start, end), is_there in zip(pairwise(array.offsets.to_pylist()), known, strict=True):
        part: Any = parts[start:end] if is_there else None
        if own is QuantileSketch and is_there:
            part = QuantileSketch.from_levels(part)
        elif isinstance(part, list):
            part = np.stack(part)
        found.append(part)
    return found
