"""Points of many metrics as columns, from wherever they are kept: as put, fresh or packed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    Float,
    LargeBinary,
    Select,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from driftline.alerts.metrics.block import SPANS_S, Block
from driftline.alerts.metrics.datapoint import UNIT_CODES
from driftline.alerts.tables import SLOT_S, blocks, datapoints, samples

# More slots than this are asked for as a range: a longer list of them would be slower.
_SLOTS_LISTED: Final = 200
# More days than are kept.
_STARTS_LISTED: Final = 500
_LEVELS_BY_SPAN: Final = {
    span_s: [level for level, length in SPANS_S.items() if length == span_s]
    for span_s in sorted(set(SPANS_S.values()))
}

Note = Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of several metrics, by metric and time."""

    metric: NDArray[np.int64]  # Ids; as all columns of shape (n,).
    time: NDArray[np.float64]  # Start in seconds since 1970.
    kept_s: NDArray[np.int64]  # Length of the period that the point sums up; 0: as it was put.
    unit: NDArray[np.int64]  # Code of the unit.
    numbers: NDArray[np.float64]  # Shape (n, 4): count, sum, minimum, maximum.
    spreads: Sequence[bytes | None]  # Distributions as bytes; None where there is none.
    notes: Sequence[Note | None]


def slots_of(connection: Connection) -> range:
    """Return the slots that samples may be in, by the ends of their index."""
    slot = samples.c.slot
    ends = select(
        select(func.min(slot)).scalar_subquery(), select(func.max(slot)).scalar_subquery()
    )
    first, last = connection.execute(ends).one()
    return range(0) if first is None else range(first, last + 1)


def in_slots(slots: range) -> ColumnElement[bool]:
    """Select the samples of some slots, in the way that lets the index find single metrics."""
    slot = samples.c.slot
    if len(slots) < _SLOTS_LISTED:
        return slot.in_(slots)
    return slot.between(slots.start, slots.stop - 1)


def points_of(
    connection: Connection,
    metric_ids: Sequence[int],
    low_s: float,
    high_s: float,
    slots: range,
    *,
    with_spreads: bool,
) -> Points:
    """Read the points of [low, high) of some metrics, at most 500.

    One statement reads samples and blocks: a point that moves from one to the other must be seen
    once, also where each statement sees the newest state.
    """
    rows: list[tuple[Any, ...]] = []
    spreads: list[bytes | None] = []
    notes: list[Note | None] = []
    for row in connection.execute(_put(metric_ids, low_s, high_s, with_spreads)):
        seconds = row[1].timestamp()
        rows.append((row[0], seconds, 0, UNIT_CODES[row[2] or "None"], *row[3:7]))
        spreads.append(row[7])
        notes.append(row[8])
    packed: list[tuple[int, int, int, int, bytes]] = []
    is_postgres = connection.dialect.name == "postgresql"
    fresh = (_fresh_by_metric if is_postgres else _fresh)(
        metric_ids, low_s, high_s, slots, with_spreads
    )
    kept = _kept(fresh, metric_ids, low_s, high_s, is_postgres=is_postgres)
    for row in connection.execute(kept):
        if row[2]:
            packed.append((row[0], row[1], row[2], row[3], row[8]))
        else:
            rows.append(tuple(row[:8]))
            spreads.append(row[8])
    parts = [np.array(rows, dtype=np.float64).reshape(-1, 8)]
    for metric, start, level, unit, data in packed:
        block = Block.from_bytes(data)
        part = np.empty((len(block.offsets), 8))
        part[:, :4] = (metric, 0, level, unit)
        part[:, 1] = start + block.offsets * level
        part[:, 4:] = block.numbers
        parts.append(part)
        spreads += block.spreads if with_spreads else [None] * len(part)
    columns = np.concatenate(parts)
    notes += [None] * (len(columns) - len(notes))
    return _sorted(columns, spreads, notes, low_s, high_s)


def _sorted(
    columns: NDArray[np.float64],
    spreads: Sequence[bytes | None],
    notes: Sequence[Note | None],
    low_s: float,
    high_s: float,
) -> Points:
    inside = np.flatnonzero((columns[:, 1] >= low_s) & (columns[:, 1] < high_s))
    # Stable: of one time what was put later stays later, and its note wins.
    order = inside[np.lexsort((columns[inside, 1], columns[inside, 0]))]
    ordered = columns[order]
    return Points(
        ordered[:, 0].astype(np.int64),
        ordered[:, 1],
        ordered[:, 2].astype(np.int64),
        ordered[:, 3].astype(np.int64),
        ordered[:, 4:],
        [spreads[place] for place in order.tolist()],
        [notes[place] for place in order.tolist()],
    )


def _put(metric_ids: Sequence[int], low_s: float, high_s: float, with_spreads: bool) -> Select[Any]:
    table = datapoints.c
    return (
        select(
            table.metric_id,
            table.time,
            table.unit,
            table.sample_count,
            table.sum,
            table.minimum,
            table.maximum,
            table.distribution if with_spreads else null(),
            table.note,
        )
        .where(
            table.metric_id.in_(metric_ids),
            table.time >= datetime.fromtimestamp(low_s, UTC),
            table.time < datetime.fromtimestamp(high_s, UTC),
        )
        .order_by(table.id)
    )


def _kept(
    fresh: Select[Any],
    metric_ids: Sequence[int],
    low_s: float,
    high_s: float,
    *,
    is_postgres: bool,
) -> CompoundSelect[Any]:
    """Select samples and blocks at once; of a block all columns of numbers are empty."""
    table, ids = blocks.c, _ids(metric_ids)
    low, high = math.floor(low_s), math.ceil(high_s)
    starts_in, level = (
        (_starts_by_key, table.level_s + 0) if is_postgres else (_starts, table.level_s)
    )
    fine, day, month = (
        select(
            table.metric_id,
            table.start,
            table.level_s,
            table.unit,
            *(cast(null(), Float) for _ in range(4)),
            table.data,
        ).where(table.metric_id.in_(ids), starts_in(low, high, span_s), level.in_(levels))
        for span_s, levels in _LEVELS_BY_SPAN.items()
    )
    return union_all(fresh, fine, day, month)


def _starts(low: int, high: int, span_s: int) -> ColumnElement[bool]:
    """Select blocks of one length that reach into a range."""
    return and_(blocks.c.start > low - span_s, blocks.c.start < high)


def _starts_by_key(low: int, high: int, span_s: int) -> ColumnElement[bool]:
    """Select blocks of one length by the primary key alone; their starts are multiples of it.

    PostgreSQL estimates blocks packed since its last statistics as nearly none, and would read
    those of all metrics by the index of levels and starts. So levels are compared in a form that no
    index matches; and long blocks by each start, for their ranges are full of short ones.
    """
    starts = range(low // span_s * span_s, high, span_s)
    if span_s == min(_LEVELS_BY_SPAN) or len(starts) > _STARTS_LISTED:
        return _starts(low, high, span_s)
    return blocks.c.start.in_(starts)


def _ids(metric_ids: Sequence[int]) -> BindParameter[Any]:
    return bindparam("ids", list(metric_ids), expanding=True, literal_execute=True)


def _fresh(
    metric_ids: Sequence[int], low_s: float, high_s: float, slots: range, with_spreads: bool
) -> Select[Any]:
    """Select samples of some metrics."""
    is_asked = _is_fresh(low_s, high_s, slots)
    columns = _fresh_columns(samples.c, with_spreads)
    return select(*columns).where(*is_asked, samples.c.metric_id.in_(_ids(metric_ids)))


def _fresh_by_metric(
    metric_ids: Sequence[int], low_s: float, high_s: float, slots: range, with_spreads: bool
) -> Select[Any]:
    """Select samples, metric by metric, each by the index.

    PostgreSQL has no statistics of slots that have just begun: it would take them for nearly empty
    and read all metrics of a slot to find some.
    """
    numbers = func.unnest(cast(list(metric_ids), ARRAY(BigInteger)))
    wanted = numbers.table_valued("id", name="wanted").render_derived()
    own = select(samples).where(
        *_is_fresh(low_s, high_s, slots), samples.c.metric_id == wanted.c.id
    )
    # With OFFSET it stays a question of its own, which the planner cannot turn round.
    found = own.offset(literal_column("0")).lateral("fresh")
    columns = _fresh_columns(found.c, with_spreads)
    return select(*columns).select_from(wanted).join(found, true())


def _is_fresh(low_s: float, high_s: float, slots: range) -> tuple[ColumnElement[bool], ...]:
    table = samples.c
    first = max(int(low_s // SLOT_S), slots.start)
    stop = min(int(-(-high_s // SLOT_S)), slots.stop)
    return (
        in_slots(range(first, stop)),
        table.time >= math.ceil(low_s),
        table.time < math.ceil(high_s),
    )


def _fresh_columns(
    table: ReadOnlyColumnCollection[str, Any], with_spreads: bool
) -> tuple[ColumnElement[Any], ...]:
    return (
        table.metric_id,
        table.time,
        literal_column("0"),
        table.unit,
        table.sample_count,
        table.sum,
        func.coalesce(table.minimum, table.sum),
        func.coalesce(table.maximum, table.sum),
        table.distribution if with_spreads else cast(null(), LargeBinary),
    )
