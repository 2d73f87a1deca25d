"""Rows of captured records, each with the ids by which it is found again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from driftline.capture.windows.window import ROW_IDS
from driftline.errors import InputError
from driftline.formats.json.rows import record_ids
from driftline.formats.location import locate
from driftline.formats.source import Source, open_source
from driftline.signature import Signature

IDS = pa.schema([(ROW_IDS[0], pa.string()), (ROW_IDS[1], pa.int64())])


def captured_rows(file: str, signature: Signature) -> tuple[Source, Iterator[pa.RecordBatch]]:
    """Open capture lines as a table: ``event_id`` and ``row_index``, then a row's own columns."""
    source = open_source(file, signature=signature)
    if taken := [name for name in IDS.names if name in source.schema.names]:
        raise InputError(
            f'the captured rows have a column "{taken[0]}" already; its name is kept for the id'
        )
    return source, _with_ids(source, record_ids(locate(file), "utf-8", signature))


def _with_ids(source: Source, ids: Iterator[tuple[str, int]]) -> Iterator[pa.RecordBatch]:
    for batch in source.batches():
        events, places = zip(*islice(ids, batch.num_rows), strict=True)
        columns = [pa.array(events, IDS[0].type), pa.array(places, IDS[1].type), *batch.columns]
        yield pa.RecordBatch.from_arrays(columns, schema=pa.schema([*IDS, *batch.schema]))
