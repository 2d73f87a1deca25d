"""Sums of windows in the database, from which the engine judges several windows together."""

from __future__ import annotations

import math
import struct
import zlib
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection, select, update

from driftline.database.dialects import upsert
from driftline.errors import InputError
from driftline.monitors.engine.metric import Array
from driftline.monitors.engine.pooling import MOST_PAST, SCALES, WindowSums
from driftline.monitors.tables import window_counts
from driftline.monitors.window_history.store import Key

SUMS_FORMAT = 2
# Format, shape, p-value, and the sizes of the layout's name and of the compressed totals.
HEAD = struct.Struct("<BIIdII")


def put_sums(connection: Connection, key: Key, sums: WindowSums, row_count: int) -> None:
    """Keep the sums of a window, beside its counts if it has any."""
    values = {
        "source": key.source,
        "baseline_version": key.baseline_version,
        "row_count": row_count,
        "sums": pack_sums(sums),
    }
    row = {"monitor": key.monitor, "window_start": sums.start, "window_end": sums.end, **values}
    statement = upsert(connection, window_counts).values(row)
    key_columns = [*window_counts.primary_key]
    connection.execute(statement.on_conflict_do_update(index_elements=key_columns, set_=values))


def read_sums(
    connection: Connection, key: Key, before: datetime, length: timedelta
) -> tuple[WindowSums, ...]:
    """Return the newest windows of a length that end by a moment, in order of time.

    Windows too old to be judged together with one that starts then have totals alone.
    """
    table = window_counts.c
    query = (
        select(table.window_start, table.window_end, table.sums)
        .where(
            table.monitor == key.monitor,
            table.source == key.source,
            table.baseline_version == key.baseline_version,
            table.window_start < before,
            table.window_end <= before,
            table.sums.is_not(None),
        )
        .order_by(table.window_start.desc(), table.window_end.desc())
        .limit(MOST_PAST)
    )
    oldest = before - min(SCALES[-1] * length, before - datetime.min.replace(tzinfo=before.tzinfo))
    found: list[WindowSums] = []
    for row in connection.execute(query):
        if row.window_end - row.window_start != length:
            continue
        if found and row.window_end > found[-1].start:
            continue  # Two runs asked for overlapping windows; rows must not count twice.
        is_total = row.window_start < oldest
        buckets, layout, p_value = unpack_sums(row.sums, is_total=is_total)
        found.append(WindowSums(row.window_start, row.window_end, buckets, layout, p_value))
    return tuple(reversed(found))


def clear_sums(connection: Connection, monitor: str, start: datetime, end: datetime) -> None:
    """Forget the sums of a window, because a sum of one row tells of it."""
    table = window_counts.c
    same = (table.monitor == monitor, table.window_start == start, table.window_end == end)
    connection.execute(update(window_counts).where(*same).values(sums=None))


def pack_sums(sums: WindowSums) -> bytes:
    """Write the sums of a window: totals, and sums by group."""
    layout = sums.layout.encode()
    total, buckets = (
        zlib.compress(part.astype("<f8").tobytes())
        for part in (sums.buckets.sum(axis=0), sums.buckets)
    )
    shape = sums.buckets.shape
    p_value = -1.0 if math.isnan(sums.p_value) else sums.p_value
    head = HEAD.pack(SUMS_FORMAT, *shape, p_value, len(layout), len(total))
    return head + layout + total + buckets


def unpack_sums(data: bytes, *, is_total: bool = False) -> tuple[Array, str, float]:
    """Read what `pack_sums` wrote: sums by group, or in one, their layout, and the p-value."""
    if data[:1] != bytes([SUMS_FORMAT]):
        raise InputError(
            f"sums of a window begin with {data[:1].hex() or 'nothing'}; expected format "
            f"{SUMS_FORMAT}: another version of driftline wrote them"
        )
    _, groups, size, p_value, name, total = HEAD.unpack_from(data)
    body = data[HEAD.size :]
    layout, rest = body[:name].decode(), body[name:]
    part = rest[:total] if is_total else rest[total:]
    numbers = np.frombuffer(zlib.decompress(part), "<f8")
    shape = (1, size) if is_total else (groups, size)
    return numbers.reshape(shape), layout, math.nan if p_value < 0 else p_value
