"""Samples the rows to explain: at random in one pass, and evenly spaced in time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, as_fitted, in_unit
from driftline.formats.coercion import coerce
from driftline.monitors.results.row_references import Pointer, row_pointers
from driftline.monitors.rows import BatchMaker
from driftline.signature import ColumnType, Missing, TimeUnit


def sample_rows(
    batches: BatchMaker, columns: Mapping[str, ColumnType], *, limit: int, seed: int
) -> tuple[pa.Table, list[Pointer], int]:
    """Draw rows uniformly in one pass, independent of the batches, in a random order.

    Also returns their references, and how many rows there are.
    """
    random = np.random.default_rng(seed)
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
    kept, keys, pointers = schema.empty_table(), np.empty(0), list[Pointer]()
    total = 0
    for batch in batches():
        if missing := [name for name in columns if name not in batch.schema.names]:
            raise InputError(
                f'column "{missing[0]}" is not in the data; the model takes {", ".join(columns)}'
            )
        own = random.random(batch.num_rows)
        # Nearly all rows of a long stream are passed over here.
        near = np.flatnonzero(own < (keys.max() if len(keys) >= limit else np.inf))
        chosen = batch.select([*columns]).take(pa.array(near))
        arrays = [coerce(chosen[name], kind)[0] for name, kind in columns.items()]
        kept = pa.concat_tables([kept, pa.Table.from_arrays(arrays, schema=schema)])
        keys = np.concatenate([keys, own[near]])
        pointers += row_pointers(batch, near, total)
        best = np.argsort(keys, kind="stable")[:limit]
        kept, keys = kept.take(pa.array(best)), keys[best]
        pointers = [pointers[at] for at in best]
        total += batch.num_rows
    return kept.combine_chunks(), pointers, total


def evenly(times: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """Choose rows evenly spaced in time: as many of each week as its share."""
    order = np.argsort(times, kind="stable")
    count = min(count, len(order))
    return order[(np.arange(count) * 2 + 1) * len(order) // (2 * count)]


def as_known(
    rows: pa.Table, notes: Mapping[str, tuple[TimeUnit | None, Missing | None]]
) -> pa.Table:
    """Return rows with times and missing booleans in the form that the model knows."""
    for at, field in enumerate(rows.schema):
        unit, missing = notes.get(field.name, (None, None))
        if unit is not None:
            rows = rows.set_column(at, field.name, in_unit(rows[field.name], unit))
        elif missing is not None:
            rows = rows.set_column(at, as_fitted(field, None, missing), rows[field.name])
    return rows
