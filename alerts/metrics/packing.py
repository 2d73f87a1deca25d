"""Packing: complete hours of samples to blocks, old blocks to coarser ones, the oldest deleted.

Each function does one bounded step in the caller's transaction and returns how much it did; 0 is
the end. Points move in one transaction, and readers look at both places in one statement, so that
they see each exactly once. Late samples, for an hour that is packed already, are added to its block
in the same way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, and_, bindparam, delete, func, select

from driftline.alerts.metrics.block import SPANS_S, Block
from driftline.alerts.tables import SLOT_S, blocks, datapoints, samples
from driftline.alerts.tables import metrics as metric_table
from driftline.database.dialects import advisory_lock, upsert

# To which period each is rolled up.
NEXT_LEVEL: Final[Mapping[int, int]] = {1: 60, 60: 300, 300: 3600}

_HOUR_S = 3600
_DAY_S = 86_400
_METRICS_PER_STEP = 500
# Spans of time that one step takes of few metrics: where a year is replayed, hours fly by.
_SPANS_MAX = 48

# Metric, start of the block, unit.
_Key = tuple[int, int, int]
# Metric, unit, resolution, time; count, sum, minimum, maximum; distribution.
_Sample = tuple[Any, ...]


def pack_samples(connection: Connection, until_s: int) -> int:
    """Pack the samples of the oldest hour, of 500 metrics at most; of fewer, of more hours."""
    advisory_lock(connection, "metrics:packing")
    table = samples.c
    oldest = connection.scalar(select(func.min(table.slot)))
    if oldest is None:
        return 0
    hour = oldest * SLOT_S // _HOUR_S
    if (hour + 1) * _HOUR_S > until_s:
        return 0
    in_slot = select(table.metric_id).where(table.slot == oldest).distinct()
    ids = connection.scalars(in_slot.order_by(table.metric_id).limit(_METRICS_PER_STEP)).all()
    stop = hour + _at_once(ids, (until_s - hour * _HOUR_S) // _HOUR_S)
    taken = connection.execute(
        delete(samples)
        .where(
            table.slot.in_(range(hour * _HOUR_S // SLOT_S, stop * _HOUR_S // SLOT_S)),
            table.metric_id.in_(ids),
        )
        .returning(
            table.metric_id,
            table.unit,
            table.resolution_s,
            table.time,
            table.sample_count,
            table.sum,
            func.coalesce(table.minimum, table.sum),
            func.coalesce(table.maximum, table.sum),
            table.distribution,
        )
    ).all()
    by_level: dict[int, dict[_Key, list[_Sample]]] = defaultdict(lambda: defaultdict(list))
    for row in map(tuple, taken):
        by_level[row[2]][row[0], row[3] // _HOUR_S * _HOUR_S, row[1]].append(row)
    for level, found in by_level.items():
        _store(connection, level, {key: _block(key[1], level, rows) for key, rows in found.items()})
    return len(taken)


def roll_up(connection: Connection, level: int, until_s: int) -> int:
    """Move the oldest day of blocks (of seconds: hour), of 500 metrics at most, one level up.

    Of fewer metrics, more days.
    """
    advisory_lock(connection, "metrics:packing")
    table = blocks.c
    oldest = connection.scalar(select(func.min(table.start)).where(table.level_s == level))
    span_s = _HOUR_S if level == 1 else _DAY_S
    if oldest is None or (oldest // span_s + 1) * span_s > until_s:
        return 0
    ids = connection.scalars(
        select(table.metric_id)
        .where(table.level_s == level, table.start == oldest)
        .distinct()
        .order_by(table.metric_id)
        .limit(_METRICS_PER_STEP)
    ).all()
    day = oldest // span_s * span_s
    stop = day + span_s * _at_once(ids, (until_s - day) // span_s)
    rows = connection.execute(
        delete(blocks)
        .where(
            table.level_s == level,
            table.metric_id.in_(ids),
            table.start >= day,
            table.start < stop,
        )
        .returning(table.metric_id, table.start, table.unit, table.data)
    ).all()
    target = NEXT_LEVEL[level]
    found: dict[_Key, Block] = {}
    # In one order: sums of floats must not depend on how the database gave the rows.
    for metric_id, start, unit, data in sorted(map(tuple, rows), key=lambda row: row[:3]):
        block = Block.from_bytes(data)
        begin = start // SPANS_S[target] * SPANS_S[target]
        offsets = (start + block.offsets * level - begin) // target
        moved = Block.of(offsets, block.numbers, block.spreads)
        key = metric_id, begin, unit
        found[key] = found[key].joined(moved) if key in found else moved
    _store(connection, target, found)
    return len(rows)


def drop_blocks(connection: Connection, until_s: int) -> int:
    """Remove blocks of the coarsest level that end here or earlier; some thousand at most."""
    advisory_lock(connection, "metrics:packing")
    table = blocks.c
    oldest = connection.scalar(select(func.min(table.start)).where(table.level_s == _HOUR_S))
    if oldest is None or oldest + SPANS_S[_HOUR_S] > until_s:
        return 0
    at_oldest = and_(table.level_s == _HOUR_S, table.start == oldest)
    ids = connection.scalars(
        select(table.metric_id).where(at_oldest).limit(_METRICS_PER_STEP)
    ).all()
    return connection.execute(delete(blocks).where(at_oldest, table.metric_id.in_(ids))).rowcount


def drop_datapoints(
    connection: Connection, after_id: int, kept: timedelta, now: datetime
) -> tuple[int, int | None]:
    """Remove old datapoints of monitors, of 500 metrics after the given one.

    A metric's age counts from its newest datapoint: an old year that was judged lately stays whole.
    """
    table = metric_table.c
    rows = connection.execute(
        select(table.id, table.covered_until)
        .where(table.id > after_id, table.covered_until.is_not(None))
        .order_by(table.id)
        .limit(_METRICS_PER_STEP)
    ).all()
    if not rows:
        return 0, None
    column = datapoints.c
    found = delete(datapoints).where(
        column.metric_id == bindparam("metric"),
        column.time < bindparam("oldest", type_=column.time.type),
    )
    asked = [{"metric": row.id, "oldest": min(row.covered_until, now) - kept} for row in rows]
    return connection.execute(found, asked).rowcount, rows[-1].id


def _at_once(metric_ids: Sequence[int], complete: int) -> int:
    """Return how many spans of time to take at once, of those that are complete."""
    return max(1, min(_SPANS_MAX, _METRICS_PER_STEP // max(len(metric_ids), 1), complete))


def _block(start: int, level: int, rows: Sequence[_Sample]) -> Block:
    # In one order: sums of floats must not depend on how the database gave the rows.
    ordered = sorted(rows, key=lambda row: row[3:8])
    numbers = np.array([row[4:8] for row in ordered], dtype=np.float64)
    offsets = (np.array([row[3] for row in ordered], dtype=np.int64) - start) // level
    return Block.of(offsets, numbers, [row[8] for row in ordered])


def _store(connection: Connection, level: int, found: Mapping[_Key, Block]) -> None:
    """Store blocks; what is there already is joined with them."""
    if not found:
        return
    table = blocks.c
    there = connection.execute(
        select(table.metric_id, table.start, table.unit, table.data).where(
            table.level_s == level,
            table.metric_id.in_({key[0] for key in found}),
            table.start.in_({key[1] for key in found}),
        )
    )
    whole = dict(found)
    for metric_id, start, unit, data in there:
        key = metric_id, start, unit
        if key in whole:
            whole[key] = Block.from_bytes(data).joined(whole[key])
    statement = upsert(connection, blocks)
    rows = [
        {
            "metric_id": metric_id,
            "start": start,
            "level_s": level,
            "unit": unit,
            "data": block.to_bytes(),
        }
        for (metric_id, start, unit), block in sorted(whole.items(), key=lambda one: one[0])
    ]
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["metric_id", "start", "level_s", "unit"],
            set_={"data": statement.excluded.data},
        ),
        rows,
    )
