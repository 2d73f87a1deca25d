"""Tables of the rows that meet a condition, the violating column first."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.condition import Condition, Ranked
from driftline.baseline.predicate import UNFIT
from driftline.capture.windows.window import ROW_IDS
from driftline.formats.coercion import coerce

Batches = Iterable[pa.RecordBatch]


def matching_rows(
    batches: Batches, predicate: Condition, *, limit: int, position: str | None = None
) -> pa.Table:
    """Return the first rows that meet a condition, with the violating column first.

    A ranked condition gives its worst rows, the worst first.
    """
    if isinstance(predicate, Ranked):
        return predicate.worst(batches, limit=limit, position=position)
    parts: list[pa.Table] = []
    left, first = limit, 0
    for batch in batches:
        if left <= 0:
            break
        mask = predicate.mask(batch)
        chosen = pa.Table.from_batches([batch]).filter(mask).slice(0, left)
        left -= chosen.num_rows
        if position is not None and "event_id" not in batch.schema.names:
            places = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[: chosen.num_rows]
            chosen = chosen.append_column(position, pa.array(first + places, pa.int64()))
        parts.append(with_texts(chosen, predicate))
        first += batch.num_rows
    if not parts:
        return pa.table({})
    table = pa.concat_tables(parts, promote_options="permissive")
    front = [name for name in (*ROW_IDS, *predicate.columns) if name in table.column_names]
    return table.select([*front, *(name for name in table.column_names if name not in front)])


def with_texts(table: pa.Table, predicate: Condition, *, keep: bool = False) -> pa.Table:
    """Put the text that did not fit where its value is missing; drop the map column, or keep it."""
    if UNFIT not in table.column_names or not pa.types.is_map(table.schema.field(UNFIT).type):
        return table
    if predicate.op == "unfit" and predicate.column in table.column_names:
        texts = pc.map_lookup(table.column(UNFIT).combine_chunks(), predicate.column, "first")
        values, _ = coerce(table.column(predicate.column), "string")
        place = table.schema.get_field_index(predicate.column)
        shown = pc.coalesce(values, texts.cast(pa.string()))
        table = table.set_column(place, predicate.column, shown)
    return table if keep else table.drop_columns([UNFIT])
