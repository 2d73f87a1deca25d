"""Ids of the captured rows that baselines keep, by which an erasure finds them wherever they are.

A table of captured rows has one more column: for each row a hash of its endpoint and event time.
Versions made from others inherit it with the rows, whatever they were made of themselves.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.folder import from_ipc, to_ipc
from driftline.formats.arrow_types import UTC_MICROSECONDS
from driftline.formats.hashing import hash_integers, hash_texts

CAPTURED = "driftline_captured"
# In the metadata of a table of attributions: the rows that they are explained against.
BACKGROUND = b"driftline.background"


def captured_ids(endpoint: str, times: pa.Array) -> pa.Array:
    """Return the ids of an endpoint's rows by their event times, or microseconds since 1970."""
    whole = pc.fill_null(times.cast(UTC_MICROSECONDS).cast(pa.int64()), 0)
    of_endpoint = hash_texts(pa.array([endpoint.lower()]))
    hashes = (hash_integers(whole.to_numpy(zero_copy_only=False)) ^ of_endpoint).view(np.int64)
    return pa.array(hash_integers(hashes).view(np.int64))


def data_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema without the column of ids, which is no data."""
    place = schema.get_field_index(CAPTURED)
    return schema if place < 0 else schema.remove(place)


def without_rows(table: pa.Table, ids: pa.Array) -> tuple[pa.Table, int]:
    """Leave the rows of some ids out of a table and its background; return how many went, too."""
    kept, metadata, gone = table, dict(table.schema.metadata or {}), 0
    if CAPTURED in table.column_names:
        kept = table.filter(pc.invert(pc.is_in(table[CAPTURED], value_set=ids)))
        gone = len(table) - len(kept)
    if BACKGROUND in metadata:
        background, more = without_rows(from_ipc(metadata[BACKGROUND]), ids)
        metadata[BACKGROUND] = to_ipc(background)
        gone += more
    return kept.replace_schema_metadata(metadata), gone


def holds_captured(*tables: pa.Table | None) -> bool:
    """Whether any table has rows that were captured."""
    return any(one is not None and CAPTURED in one.column_names for one in tables)
