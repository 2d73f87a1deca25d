"""Merges rows of many files in order of time, with a moving window in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from driftline.capture.tables.part_file import ROW_GROUP_ROWS
from driftline.capture.tables.table import DeltaFolder

# Most that is held to be sorted; a row group of requests with their bodies is no larger either.
_WAITING_BYTES = 64 << 20
_LOWEST = datetime.min.replace(tzinfo=UTC)


class _Source(NamedTuple):
    """A row group of a file, and the earliest time in it."""

    earliest: datetime
    path: str
    group: int


def rows_in_order(
    folder: DeltaFolder, paths: Sequence[str], schema: pa.Schema
) -> Iterator[pa.Table]:
    """Yield the rows of files sorted by the table's order, in tables of a row group each.

    Row groups are read by their earliest times; rows earlier than all that is still to be read are
    yielded. Where times overlap so much that too many rows would wait, they go sorted so far.
    """
    order = [name for name in folder.order if name in schema.names]
    first = order[0] if order else None
    sources = sorted(source for path in paths for source in _sources(folder, path, first))
    waiting, news = schema.empty_table(), list[pa.Table]()
    rows, size = 0, 0
    for number, source in enumerate(sources):
        news.append(_read(folder, source.path, source.group, schema))
        rows += news[-1].num_rows
        size += news[-1].nbytes
        if rows < ROW_GROUP_ROWS and size < _WAITING_BYTES:
            continue
        waiting, news = _sorted([waiting, *news], order), []
        bound = sources[number + 1].earliest if number + 1 < len(sources) else None
        ready = waiting.num_rows if bound is None else _before(waiting, first, bound)
        done = ready // ROW_GROUP_ROWS * ROW_GROUP_ROWS
        if waiting.nbytes >= _WAITING_BYTES:
            done = ready if ready >= waiting.num_rows // 2 else waiting.num_rows
        yield from _groups(waiting.slice(0, done))
        # A copy, so that what was given away is let go of.
        waiting = waiting.slice(done).combine_chunks()
        rows, size = 0, waiting.nbytes
    yield from _groups(_sorted([waiting, *news], order))


def read_groups(folder: DeltaFolder, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Read a file's columns bit by bit, in its order; those that came later than it are null."""
    with folder.filesystem.open_input_file(f"{folder.path}/{path}") as stream:
        file = pq.ParquetFile(stream)
        for group in range(file.num_row_groups):
            yield fitted(file.read_row_group(group, schema.names, use_threads=False), schema)


def _read(folder: DeltaFolder, path: str, group: int, schema: pa.Schema) -> pa.Table:
    with folder.filesystem.open_input_file(f"{folder.path}/{path}") as stream:
        return fitted(pq.ParquetFile(stream).read_row_group(group, use_threads=False), schema)


def fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a schema, null where they are of an older one."""
    arrays = [
        rows[field.name].cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _sources(folder: DeltaFolder, path: str, column: str | None) -> Iterator[_Source]:
    """Return the row groups of a file with their earliest times, from its footer."""
    with folder.filesystem.open_input_file(f"{folder.path}/{path}") as stream:
        metadata = pq.read_metadata(stream)
    names = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    at = names.index(column) if column in names else None
    for group in range(metadata.num_row_groups):
        statistics = None if at is None else metadata.row_group(group).column(at).statistics
        earliest = statistics.min if statistics is not None and statistics.has_min_max else _LOWEST
        yield _Source(earliest, path, group)


def _groups(rows: pa.Table) -> Iterator[pa.Table]:
    """Cut rows into tables of at most a row group, and of few enough bytes for who reads one."""
    if rows.num_rows:
        fitting = max(1, rows.num_rows * _WAITING_BYTES // max(rows.nbytes, 1))
        step = min(ROW_GROUP_ROWS, fitting)
        for at in range(0, rows.num_rows, step):
            yield rows.slice(at, step)


def _sorted(tables: Sequence[pa.Table], order: Sequence[str]) -> pa.Table:
    rows = pa.concat_tables(tables)
    if not order or not rows.num_rows:
        return rows
    return rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in order]))


def _before(rows: pa.Table, column: str | None, bound: datetime) -> int:
    """Count the sorted rows that are earlier than a time; all where there is no order."""
    if column is None:
        return int(rows.num_rows)
    return pc.sum(pc.less(rows[column], pa.scalar(bound, rows[column].type))).as_py() or 0
