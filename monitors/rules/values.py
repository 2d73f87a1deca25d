"""What rules read of a batch: a column's values as numbers, texts or times, missing ones null."""

from __future__ import annotations

from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.baseline.row_hashes import is_captured, present
from driftline.formats.coercion import coerce, unfit_mask
from driftline.signature import ColumnType


def absent_columns(batch: pa.RecordBatch, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Name the columns that the batch does not have."""
    return tuple(name for name in columns if batch.schema.get_field_index(name) < 0)


def texts_of(batch: pa.RecordBatch, column: str) -> pa.Array:
    """Return a column as text, null where there is no value; what did not fit its type included."""
    text = present(coerce(batch.column(column), "string")[0])
    if not is_captured(batch):
        return text
    kept = pc.map_lookup(batch.column(UNFIT), column, "first")
    return pc.coalesce(text, kept.cast(pa.string()))


def typed(batch: pa.RecordBatch, column: str, kind: ColumnType) -> tuple[pa.Array, pa.Array]:
    """Return a column as a type, null where it does not fit, and mark the values that do not."""
    array = batch.column(column)
    values, _ = coerce(array, kind)
    unfit = unfit_mask(array, kind)
    if is_captured(batch):
        kept = pc.map_lookup(batch.column(UNFIT), column, "first")
        unfit = pc.or_(unfit, pc.is_valid(kept))
    return present(values), cast(pa.Array, unfit)


def numbers_of(array: pa.Array) -> np.ndarray:
    """Return the values that are there as numpy numbers; times as microseconds since 1970."""
    found = array.drop_null()
    if pa.types.is_timestamp(found.type):
        found = found.cast(pa.int64())
    return np.asarray(found.to_numpy(zero_copy_only=False))
