"""Hashes of rows over several columns, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.formats.arrow_types import plain_array
from driftline.formats.coercion import coerce, is_missing
from driftline.formats.hashing import hash_integers, hash_numbers, hash_texts

NO_VALUE = np.uint64(0x9E3779B97F4A7C15)


def hash_rows(batch: pa.RecordBatch, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return uint64 hashes over several columns and which rows hold any value: (rows,) each."""
    found = np.zeros(batch.num_rows, np.uint64)
    known = np.zeros(batch.num_rows, bool)
    for index, column in enumerate(columns):
        hashes, valid = hash_column(batch.column(column))
        if is_captured(batch):  # What did not fit its type is a value, too.
            others, lost = hash_column(pc.map_lookup(batch.column(UNFIT), column, "first"))
            hashes, valid = np.where(lost, others, hashes), valid | lost
        known |= valid
        # The first column stays as it is: a single number's hash has no collisions.
        if index:
            hashes = hash_integers((found * np.uint64(31) + hashes).view(np.int64))
        found = hashes
    return found, known


def hash_column(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return 64-bit hashes, the same on every machine, and which rows hold a value: (rows,) each.

    Missing values share one hash.
    """
    plain = plain_array(array)
    if pa.types.is_floating(plain.type):  # Nulls come as NaN, which is no value, either.
        numbers = plain.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        known = ~np.isnan(numbers)
        return np.where(known, hash_numbers(numbers), NO_VALUE), known
    values = present(plain)
    if pa.types.is_list(values.type):
        values = present(coerce(values, "string")[0])
    known = values.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(values.type):
        coded = values.dictionary_encode()
        each = hash_texts(coded.dictionary) if len(coded.dictionary) else np.zeros(1, np.uint64)
        hashes = each[pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False)]
    elif pa.types.is_null(values.type):
        hashes = np.zeros(len(values), np.uint64)
    else:  # Whole numbers, truth values, times.
        whole = pc.fill_null(values.cast(pa.int64()), 0)
        hashes = hash_integers(whole.to_numpy(zero_copy_only=False))
    return np.where(known, hashes, NO_VALUE), known


def is_captured(batch: pa.RecordBatch) -> bool:
    """Whether the rows are captured ones: they have a map of unfit values."""
    place = batch.schema.get_field_index(UNFIT)
    return place >= 0 and bool(pa.types.is_map(batch.schema.field(place).type))


def present(array: pa.Array) -> pa.Array:
    """Make missing values null, NaN and empty text too; the type is one of the plain ones."""
    plain = plain_array(array)
    if pa.types.is_floating(plain.type) or pa.types.is_string(plain.type):
        return pc.if_else(is_missing(plain), pa.scalar(None, plain.type), plain)
    return plain
