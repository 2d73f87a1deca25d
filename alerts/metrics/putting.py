"""Rows of datapoints as monitors put them, and what alarms see of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, insert, or_, select, update

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.tables import datapoints as datapoint_table
from driftline.alerts.tables import metrics as metric_table


def append(
    connection: Connection,
    points: Sequence[tuple[int, Datapoint]],
    *,
    source: str,
    is_locked: bool = False,
) -> None:
    """Store datapoints, each with the id of its metric, and let alarms look at those metrics."""
    if not is_locked:
        lock_metrics(connection, (metric_id for metric_id, _ in points))
    rows = []
    ends: dict[int, datetime] = {}
    for metric_id, point in points:
        count, total, low, high = point.statistics
        time = point.time_utc
        end = time + timedelta(seconds=point.period_s)
        ends[metric_id] = max(ends.get(metric_id, end), end)
        rows.append(
            {
                "metric_id": metric_id,
                "source": source,
                "time": time,
                "period_s": point.period_s,
                "unit": point.unit,
                "sample_count": count,
                "sum": total,
                "minimum": low,
                "maximum": high,
                "note": dict(point.note) if point.note is not None else None,
                "distribution": point.spread,
            }
        )
    connection.execute(insert(datapoint_table), rows)
    _raise_revisions(connection, ends)


def lock_metrics(connection: Connection, metric_ids: Iterable[int]) -> None:
    """Lock the rows of all metrics that a put changes, in one order, so that puts only queue."""
    if connection.dialect.name != "postgresql":
        return
    if wanted := set(metric_ids):
        table = metric_table.c
        query = select(table.id).where(table.id.in_(sorted(wanted))).order_by(table.id)
        connection.execute(query.with_for_update(key_share=True))


def _raise_revisions(connection: Connection, ends: Mapping[int, datetime]) -> None:
    table = metric_table.c
    end = bindparam("end", type_=table.covered_until.type)
    later = or_(table.covered_until.is_(None), table.covered_until < end)
    connection.execute(
        update(metric_table)
        .where(table.id == bindparam("metric"))
        .values(
            revision=table.revision + 1,
            covered_until=case((later, end), else_=table.covered_until),
        ),
        [{"metric": metric, "end": last} for metric, last in ends.items()],
    )
