"""Samples the rows to explain: at random in one pass, and evenly spaced in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, as_fitted, in_unit
from driftline.formats.coercion import coerce
from driftline.monitors.results.row_references import (
    EVENT_ID,
    ROW_INDEX,
    Pointer,
    row_pointers,
)
from driftline.monitors.rows import BatchMaker
from driftline.signature import ColumnType, Missing, Signature, TimeUnit
from driftline.stats.blocks import HOUR_US

# A row's number in the data; no data set has such a column.
NUMBER = "\0row"


def sample_rows(
    batches: BatchMaker,
    columns: Mapping[str, ColumnType],
    *,
    limit: int,
    seed: int,
    ordered: bool = True,
) -> tuple[pa.Table, int]:
    """Draw rows uniformly in one pass, independent of the batches."""
    random = np.random.default_rng(seed)
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
    kept, keys, places = schema.empty_table(), np.empty(0), np.empty(0, dtype=np.int64)
    total = 0
    for batch in batches():
        own = random.random(batch.num_rows)
        # Nearly all rows of a long stream are passed over here.
        bound = keys.max() if len(keys) >= limit else np.inf
        near = np.flatnonzero(own < bound)
        fresh = _typed(batch, columns, schema, near)
        kept = pa.concat_tables([kept, fresh])
        keys = np.concatenate([keys, own[near]])
        places = np.concatenate([places, near + total])
        best = np.argsort(keys, kind="stable")[:limit]
        kept, keys, places = kept.take(pa.array(best)), keys[best], places[best]
        total += batch.num_rows
    if ordered:
        kept = kept.take(pa.array(np.argsort(places)))
    return kept.combine_chunks(), total


class PointedSample(NamedTuple):
    """Sampled rows and their references."""

    rows: pa.Table
    pointers: list[Pointer]


def pointed_sample(
    batches: BatchMaker,
    columns: Mapping[str, ColumnType],
    *,
    limit: int,
    seed: int,
) -> tuple[PointedSample, int]:
    """Draw rows as `sample_rows` does, with their references and the row count."""
    names: list[str] = next((one.schema.names for one in batches()), [])
    ids: dict[str, ColumnType] = {EVENT_ID: "string", ROW_INDEX: "int64"}
    more = {name: kind for name, kind in ids.items() if name in names and name not in columns}

    def numbered() -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in batches():
            numbers = np.arange(first, first + batch.num_rows)
            yield batch.append_column(NUMBER, pa.array(numbers))
            first += batch.num_rows

    wanted: dict[str, ColumnType] = {**columns, **more, NUMBER: "int64"}
    table, total = sample_rows(numbered, wanted, limit=limit, seed=seed)
    rows = table.select(list(columns))
    held = table.select([*more]).to_batches() if EVENT_ID in more else []
    pointers = [one for part in held for one in row_pointers(part, np.arange(len(part)), 0)]
    if not pointers or "row" in pointers[0]:  # A file may give these names to other things.
        pointers = [{"row": number} for number in table[NUMBER].to_pylist()]
    return PointedSample(rows, pointers), total


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


def time_column(batches: BatchMaker, signature: Signature) -> str | None:
    """Return the column of event times, if the reference has one and the data hold it."""
    known = next((column.name for column in signature.columns if column.role == "timestamp"), None)
    first = next(batches(), None)
    return known if first is not None and known in first.schema.names else None


def timed_sample(
    batches: BatchMaker,
    columns: Mapping[str, ColumnType],
    time: str | None,
    *,
    limit: int,
    seed: int,
) -> tuple[pa.Table, NDArray[np.int64] | None]:
    """Draw rows with their hours when there is a column of times."""
    when: dict[str, ColumnType] = {time: "timestamp"} if time else {}
    wanted = {**columns, **when}
    sample, _ = sample_rows(batches, wanted, limit=limit, seed=seed, ordered=False)
    return sample.select(list(columns)), hours_of(sample[time]) if time else None


def hours_of(times: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return hours since 1970, -1 for missing times (and for earlier ones)."""
    known = pc.fill_null(times.cast(pa.int64()), -1).to_numpy()
    return np.asarray(np.maximum(known // HOUR_US, -1), dtype=np.int64)


def evenly(hours: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """Choose rows evenly spaced in time: as many of each week as its share."""
    order = np.argsort(hours, kind="stable")
    count = min(count, len(order))
    return order[(np.arange(count) * 2 + 1) * len(order) // (2 * count)]


def _typed(
    batch: pa.RecordBatch,
    columns: Mapping[str, ColumnType],
    schema: pa.Schema,
    places: NDArray[np.int64],
) -> pa.Table:
    missing = [name for name in columns if name not in batch.schema.names]
    if missing:
        taken = ", ".join(name for name in columns if name != NUMBER)
        raise InputError(f'column "{missing[0]}" is not in the data; the model takes {taken}')
    chosen = pa.array(places)
    arrays = [coerce(batch.column(name).take(chosen), kind)[0] for name, kind in columns.items()]
    return pa.Table.from_arrays(arrays, schema=schema)
