"""Metrics: put and add datapoints, and read statistics over periods.

Datapoints keep count, sum, minimum and maximum, which merge exactly, and the distribution of
values, so that any period is a group-by. Each put names its source; a second put of the same source
replaces the first, which makes a repeated execution harmless. What is added comes on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    func,
    select,
    update,
)

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.datapoint import Datapoint, check_metric, metric_key
from driftline.alerts.metrics.identity import ids_of
from driftline.alerts.metrics.points import in_slots, slots_of
from driftline.alerts.metrics.putting import append, lock_metrics
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.statistic import STATISTICS, check_statistic
from driftline.alerts.tables import blocks, samples
from driftline.alerts.tables import datapoints as datapoint_table
from driftline.alerts.tables import metrics as metric_table
from driftline.database.dialects import advisory_lock

_SOURCE_MAX = 255


def put(
    connection: Connection,
    datapoints: Iterable[Datapoint],
    *,
    source: str,
) -> int:
    """Store datapoints in place of what the same source put before."""
    if not 1 <= len(source) <= _SOURCE_MAX:
        raise DatapointError(f"source {source[:80]!r}; expected 1 to {_SOURCE_MAX} characters")
    points = list(datapoints)
    # Two of the same source at once would each clear what is there and both write.
    advisory_lock(connection, f"source:{source}")
    keys = [metric_key(point.namespace, point.name, point.dimensions) for point in points]
    ids = ids_of(connection, dict(zip(keys, points, strict=True)))
    old = datapoint_table.c.source == source
    touched = set(connection.scalars(select(datapoint_table.c.metric_id).where(old).distinct()))
    lock_metrics(connection, touched.union(ids.values()))
    if touched:
        _clear(connection, old)
    if points:
        found = [(ids[key], point) for key, point in zip(keys, points, strict=True)]
        append(connection, found, source=source, is_locked=True)
    return len(points)


def read(
    connection: Connection,
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    start: datetime,
    end: datetime,
    period_s: int,
    statistic: str,
    *,
    unit: str | None = None,
) -> list[tuple[datetime, float]]:
    """Return one statistic per period of [start, end), oldest first; empty periods are absent.

    So are periods for which an extended statistic, such as ``p99``, is unknown. Periods are counted
    from ``start``, and each is named by its own start. Without a unit, datapoints of all units are
    taken together.
    """
    check_statistic(statistic)
    if period_s < 1:
        raise DatapointError(f"period {period_s} s; expected 1 or more")
    if start >= end:
        raise DatapointError("The parameter StartTime must be less than the parameter EndTime.")
    check_metric(namespace, name, dimensions)
    key, needs = metric_key(namespace, name, dimensions), statistic not in STATISTICS
    (found,) = read_many(connection, [SeriesRequest(key, start, end, period_s, unit, needs)])
    begin = start.astimezone(UTC)
    values = [
        (begin + timedelta(seconds=index * period_s), summary.get(statistic))
        for index, summary in found.items()
    ]
    return [(time, value) for time, value in values if value is not None]


def find(
    connection: Connection, namespace: str, name: str, dimensions: Mapping[str, str]
) -> int | None:
    """Return the id of a metric, None when nothing was ever put for it."""
    check_metric(namespace, name, dimensions)
    key = metric_key(namespace, name, dimensions)
    return connection.scalar(select(metric_table.c.id).where(metric_table.c.key == key))


def span(connection: Connection, metric_id: int) -> tuple[datetime, datetime] | None:
    """Return the times of a metric's first and last datapoint; None when it has none.

    Of plain metrics the last may be up to ten minutes early once its hour is packed.
    """
    put_at = datapoint_table.c
    query = select(func.min(put_at.time), func.max(put_at.time)).where(
        put_at.metric_id == metric_id
    )
    found = [time for time in connection.execute(query).one() if time is not None]
    fresh, packed, slots = samples.c, blocks.c, slots_of(connection)
    seconds = [
        *connection.execute(
            select(func.min(fresh.time), func.max(fresh.time)).where(
                in_slots(slots), fresh.metric_id == metric_id
            )
        ).one(),
        connection.scalar(select(func.min(packed.start)).where(packed.metric_id == metric_id)),
    ]
    found += [datetime.fromtimestamp(one, UTC) for one in seconds if one is not None]
    active_at = connection.scalar(
        select(metric_table.c.active_at).where(metric_table.c.id == metric_id)
    )
    if active_at is not None:
        found.append(active_at)
    return (min(found), max(found)) if found else None


def latest_note(
    connection: Connection,
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    *,
    before: datetime | None = None,
) -> Mapping[str, object] | None:
    """Return the note of the newest datapoint that has one; ``before`` leaves out later ones."""
    metric_id = find(connection, namespace, name, dimensions)
    table = datapoint_table.c
    query = (
        select(table.note)
        .where(table.metric_id == metric_id, table.note.is_not(None))
        .order_by(table.time.desc(), table.id.desc())
        .limit(1)
    )
    if before is not None:
        query = query.where(table.time < before)
    return connection.scalar(query)


def _clear(connection: Connection, old: ColumnElement[bool]) -> None:
    """Remove what was put before, and let alarms on those metrics look again."""
    table = datapoint_table.c
    touched = select(table.metric_id).where(old)
    connection.execute(
        update(metric_table)
        .where(metric_table.c.id.in_(touched))
        .values(revision=metric_table.c.revision + 1)
    )
    connection.execute(delete(datapoint_table).where(old))
