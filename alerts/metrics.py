"""Metrics: put datapoints, read statistics over periods, list what there is.

Datapoints keep count, sum, minimum and maximum, which merge exactly, so that any period is a
group-by. Each put names its source; a second put of the same source takes the place of the first,
which makes a repeated execution harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from driftline.alerts.datapoint import Datapoint, check_metric, metric_key
from driftline.alerts.errors import DatapointError
from driftline.alerts.guard import hold
from driftline.alerts.tables import datapoints as datapoint_table
from driftline.alerts.tables import metrics as metric_table

__all__ = [
    "STATISTICS",
    "Metric",
    "Statistic",
    "Summary",
    "find",
    "latest_note",
    "list_metrics",
    "put",
    "read",
    "summaries",
]

Statistic = Literal["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
STATISTICS: tuple[Statistic, ...] = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")

_SOURCE_MAX = 255
# SQLite takes at most 999 variables a statement in its older builds.
_KEYS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class Metric:
    """Identity of a metric."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a period's datapoints add up to, and the note of the newest that has one."""

    sample_count: float
    sum: float
    minimum: float
    maximum: float
    note: Mapping[str, object] | None = None

    def get(self, statistic: Statistic) -> float:
        """Give one statistic of the period."""
        if statistic == "SampleCount":
            return self.sample_count
        if statistic == "Average":
            return self.sum / self.sample_count
        if statistic == "Sum":
            return self.sum
        return self.minimum if statistic == "Minimum" else self.maximum


def put(
    connection: Connection,
    datapoints: Iterable[Datapoint],
    *,
    source: str,
    time_range: tuple[datetime, datetime] | None = None,
) -> int:
    """Store datapoints in place of what the same source put before.

    Parameters
    ----------
    connection
        The caller's transaction; nothing is committed here.
    datapoints
        May be empty: then the source's datapoints are removed.
    source
        Who writes, e.g. ``monitor:flights/20130115T000000Z``; at most 255 characters.
    time_range
        When given, only the source's datapoints in [start, end) are replaced, and all new ones
        must lie in it.

    Returns
    -------
    int
        Number of datapoints stored.

    Raises
    ------
    DatapointError
        When the source has no name or a datapoint lies outside of the range.
    """
    if not 1 <= len(source) <= _SOURCE_MAX:
        raise DatapointError(f"source {source[:80]!r}; expected 1 to {_SOURCE_MAX} characters")
    points = list(datapoints)
    _check_range(points, time_range)
    # Two of the same source at once would each clear what is there and both write.
    hold(connection, f"source:{source}")
    keys = [metric_key(point.namespace, point.name, point.dimensions) for point in points]
    ids = _metric_ids(connection, dict(zip(keys, points, strict=True)))
    old = _of_source(source, time_range)
    _lock_metrics(connection, old, ids.values())
    _clear(connection, old)
    if not points:
        return 0
    rows = []
    ends: dict[int, datetime] = {}
    for key, point in zip(keys, points, strict=True):
        count, total, low, high = point.statistics
        metric_id, time = ids[key], point.time_utc
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
            }
        )
    connection.execute(insert(datapoint_table), rows)
    _raise_revisions(connection, ends)
    return len(rows)


def read(
    connection: Connection,
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    start: datetime,
    end: datetime,
    period_s: int,
    statistic: Statistic,
    *,
    unit: str | None = None,
) -> list[tuple[datetime, float]]:
    """Give one statistic per period of [start, end), oldest first; empty periods are absent.

    Periods are counted from ``start``, and each is named by its own start. Without a unit,
    datapoints of all units are taken together.

    Raises
    ------
    DatapointError
        When the statistic or the period is not one that exists, or start is not before end.
    """
    if statistic not in STATISTICS:
        raise DatapointError(f'statistic "{statistic}"; expected one of {", ".join(STATISTICS)}')
    if period_s < 1:
        raise DatapointError(f"period {period_s} s; expected 1 or more")
    if start >= end:
        raise DatapointError("The parameter StartTime must be less than the parameter EndTime.")
    metric_id = find(connection, namespace, name, dimensions)
    if metric_id is None:
        return []
    found = summaries(connection, metric_id, start, end, period_s, unit=unit)
    return [
        (start.astimezone(UTC) + timedelta(seconds=index * period_s), summary.get(statistic))
        for index, summary in sorted(found.items())
    ]


def find(
    connection: Connection, namespace: str, name: str, dimensions: Mapping[str, str]
) -> int | None:
    """Give the id of a metric, None when nothing was ever put for it."""
    check_metric(namespace, name, dimensions)
    key = metric_key(namespace, name, dimensions)
    return connection.scalar(select(metric_table.c.id).where(metric_table.c.key == key))


def summaries(
    connection: Connection,
    metric_id: int,
    start: datetime,
    end: datetime,
    period_s: int,
    *,
    unit: str | None = None,
) -> dict[int, Summary]:
    """Add up the datapoints of [start, end) per period; key 0 is the period that begins at start.

    Returns
    -------
    dict
        Only periods that have datapoints.
    """
    table = datapoint_table.c
    query = (
        select(table.time, table.sample_count, table.sum, table.minimum, table.maximum, table.note)
        .where(table.metric_id == metric_id, table.time >= start, table.time < end)
        .order_by(table.time, table.id)
    )
    if unit is not None:
        query = query.where(table.unit == unit if unit != "None" else _is_unitless())
    rows = connection.execute(query).all()
    if not rows:
        return {}
    first = start.timestamp()
    seconds = np.array([row.time.timestamp() for row in rows]) - first
    # Microseconds survive in a float for centuries; the rounding keeps edges on their own side.
    index = np.floor_divide(np.round(seconds, 6), period_s).astype(np.int64)
    numbers = np.array([tuple(row)[1:5] for row in rows], dtype=np.float64)
    edges = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    counts = np.add.reduceat(numbers[:, 0], edges)
    sums = np.add.reduceat(numbers[:, 1], edges)
    lows = np.minimum.reduceat(numbers[:, 2], edges)
    highs = np.maximum.reduceat(numbers[:, 3], edges)
    notes = _newest_notes([row.note for row in rows], edges)
    return {
        int(index[edge]): Summary(float(count), float(total), float(low), float(high), note)
        for edge, count, total, low, high, note in zip(
            edges, counts, sums, lows, highs, notes, strict=True
        )
    }


def latest_note(
    connection: Connection,
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    *,
    before: datetime | None = None,
) -> Mapping[str, object] | None:
    """Give the note of the newest datapoint that has one; ``before`` leaves out later ones."""
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


def list_metrics(
    connection: Connection, namespace: str | None = None, name: str | None = None
) -> list[Metric]:
    """Give the metrics that have datapoints, by namespace, name and dimensions."""
    has_data = select(datapoint_table.c.id).where(datapoint_table.c.metric_id == metric_table.c.id)
    query = select(metric_table).where(has_data.exists())
    if namespace is not None:
        query = query.where(metric_table.c.namespace == namespace)
    if name is not None:
        query = query.where(metric_table.c.name == name)
    found = [
        Metric(row.namespace, row.name, dict(row.dimensions)) for row in connection.execute(query)
    ]
    return sorted(found, key=lambda one: (one.namespace, one.name, sorted(one.dimensions.items())))


def _check_range(points: Sequence[Datapoint], time_range: tuple[datetime, datetime] | None) -> None:
    if time_range is None:
        return
    start, end = time_range
    for point in points:
        if not start <= point.time < end:
            raise DatapointError(
                f'metric "{point.name}": time {point.time.isoformat()}; expected one in '
                f"[{start.isoformat()}, {end.isoformat()})"
            )


def _of_source(
    source: str, time_range: tuple[datetime, datetime] | None
) -> list[ColumnElement[bool]]:
    """Select what the source put before."""
    table = datapoint_table.c
    old = [table.source == source]
    if time_range is not None:
        old += [table.time >= time_range[0], table.time < time_range[1]]
    return old


def _lock_metrics(
    connection: Connection, old: Sequence[ColumnElement[bool]], ids: Iterable[int]
) -> None:
    """Lock the rows of all metrics that a put changes, in one order, so that puts only queue."""
    if connection.dialect.name != "postgresql":
        return
    touched = connection.scalars(select(datapoint_table.c.metric_id).where(*old).distinct())
    wanted = sorted({*touched, *ids})
    if wanted:
        table = metric_table.c
        query = select(table.id).where(table.id.in_(wanted)).order_by(table.id)
        connection.execute(query.with_for_update(key_share=True))


def _clear(connection: Connection, old: Sequence[ColumnElement[bool]]) -> None:
    """Remove what was put before, and let alarms on those metrics look again."""
    table = datapoint_table.c
    touched = select(table.metric_id).where(*old)
    connection.execute(
        update(metric_table)
        .where(metric_table.c.id.in_(touched))
        .values(revision=metric_table.c.revision + 1)
    )
    connection.execute(delete(datapoint_table).where(*old))


def _metric_ids(connection: Connection, wanted: Mapping[str, Datapoint]) -> dict[str, int]:
    """Find the ids of metrics by key; metrics that are new are stored first."""
    ids = _known_ids(connection, list(wanted))
    missing = [
        {
            "key": key,
            "namespace": point.namespace,
            "name": point.name,
            "dimensions": dict(sorted(point.dimensions.items())),
            "revision": 0,
        }
        for key, point in wanted.items()
        if key not in ids
    ]
    if missing:
        # Another process may put the first datapoint of the same metric at the same moment.
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(metric_table).on_conflict_do_nothing(index_elements=["key"])
        # In one order, or two that insert the same ones would wait for each other.
        connection.execute(new, sorted(missing, key=lambda row: str(row["key"])))
        ids |= _known_ids(connection, [str(row["key"]) for row in missing])
    return ids


def _known_ids(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for first in range(0, len(keys), _KEYS_PER_QUERY):
        some = keys[first : first + _KEYS_PER_QUERY]
        query = select(metric_table.c.key, metric_table.c.id).where(metric_table.c.key.in_(some))
        found.update((row.key, row.id) for row in connection.execute(query))
    return found


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


def _is_unitless() -> ColumnElement[bool]:
    return or_(datapoint_table.c.unit.is_(None), datapoint_table.c.unit == "None")


def _newest_notes(
    notes: Sequence[Mapping[str, object] | None], edges: np.ndarray
) -> list[Mapping[str, object] | None]:
    """Give, for each run of rows that begins at an edge, the last note that is there."""
    stops = [*edges[1:].tolist(), len(notes)]
    return [
        next((note for note in reversed(notes[first:stop]) if note is not None), None)
        for first, stop in zip(edges.tolist(), stops, strict=True)
    ]
