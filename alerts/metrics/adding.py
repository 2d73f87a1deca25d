"""Adds datapoints, as PutMetricData does: what is there stays, the new comes on top.

Plain metrics become samples: small rows that are only ever appended; the metric's row changes once
in ten minutes. Metrics that alarms follow as they arrive go where monitors put theirs. A request
that comes again under its id within the hour adds nothing: clients repeat what timed out, and
CloudWatch itself counts that twice. Another body under that id is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import ARRAY, Connection, bindparam, func, insert, or_, select, update

from driftline.alerts.documents import iso
from driftline.alerts.errors import DatapointError, RequestChanged
from driftline.alerts.metrics.datapoint import UNIT_CODES, Datapoint, is_on_arrival, metric_key
from driftline.alerts.metrics.distribution import merged_bytes
from driftline.alerts.metrics.identity import chunks, ids_of
from driftline.alerts.metrics.putting import append
from driftline.alerts.tables import SLOT_S, requests, samples
from driftline.alerts.tables import metrics as metric_table
from driftline.database.dialects import upsert

# How long the id of a request is known; it is forgotten at the next upkeep after that.
REQUEST_KEPT: Final = timedelta(hours=1)

_REQUEST_ID_MAX = 128
_ACTIVE_BEHIND = timedelta(minutes=10)
_SOURCE = "add"

# Id of the metric, time, resolution, unit: what points must share to become one row.
_Place = tuple[int, int, int, int]


def add(
    connection: Connection,
    datapoints: Iterable[Datapoint],
    request_id: str | None = None,
    *,
    digest: str | None = None,
    now: datetime | None = None,
) -> int:
    """Store datapoints beside what is there."""
    points = list(datapoints)
    if not points:
        return 0
    received_at = now or max(point.time for point in points)
    if request_id is not None and not _is_new(connection, request_id, digest, received_at):
        return 0
    keys = [metric_key(point.namespace, point.name, point.dimensions) for point in points]
    ids = ids_of(connection, dict(zip(keys, points, strict=True)))
    followed = [one for one in zip(keys, points, strict=True) if is_on_arrival(one[1].namespace)]
    if followed:
        append(connection, [(ids[key], point) for key, point in followed], source=_SOURCE)
    plain: dict[_Place, list[Datapoint]] = defaultdict(list)
    newest: dict[int, int] = {}
    for key, point in zip(keys, points, strict=True):
        if is_on_arrival(point.namespace):
            continue
        resolution_s = 1 if point.period_s < 60 else 60
        seconds = int(point.time.timestamp() // resolution_s) * resolution_s
        unit = UNIT_CODES[point.unit or "None"]
        plain[ids[key], seconds, resolution_s, unit].append(point)
        newest[ids[key]] = max(newest.get(ids[key], seconds), seconds)
    if plain:
        _insert(connection, [_row(place, some) for place, some in plain.items()])
        _note_activity(connection, newest)
    return len(points)


def _is_new(
    connection: Connection, request_id: str, digest: str | None, received_at: datetime
) -> bool:
    """Note a request; a second one of the same id waits here until the first is stored or not."""
    if not 1 <= len(request_id) <= _REQUEST_ID_MAX:
        raise DatapointError(
            f"request id {request_id[:80]!r}; expected 1 to {_REQUEST_ID_MAX} characters"
        )
    table = requests.c
    values = {"received_at": received_at, "digest": digest}
    statement = upsert(connection, requests).values(id=request_id, **values)
    # An id that is older than the hour counts as new, whether or not upkeep has been there.
    statement = statement.on_conflict_do_update(
        index_elements=["id"],
        set_=values,
        where=table.received_at < received_at - REQUEST_KEPT,
    )
    if connection.scalar(statement.returning(table.id)) is not None:
        return True
    # None when upkeep forgets it at this very moment.
    first = connection.execute(select(requests).where(table.id == request_id)).one_or_none()
    if digest is not None and first is not None and first.digest not in (None, digest):
        at = iso(first.received_at.replace(microsecond=0))
        raise RequestChanged(
            f'request id "{request_id}" came at {at} with another body; expected the same body '
            "again, or a new id"
        )
    return False


def _row(place: _Place, points: Sequence[Datapoint]) -> dict[str, Any]:
    metric_id, seconds, resolution_s, unit = place
    if len(points) == 1:
        count, total, low, high = points[0].statistics
        spread = points[0].spread
    else:
        numbers = np.array([point.statistics for point in points], dtype=np.float64)
        count, total = float(numbers[:, 0].sum()), float(numbers[:, 1].sum())
        low, high = float(numbers[:, 2].min()), float(numbers[:, 3].max())
        spread = merged_bytes(numbers, [point.spread for point in points])
    is_single = count == 1 and low == high == total
    return {
        "slot": seconds // SLOT_S,
        "metric_id": metric_id,
        "time": seconds,
        "resolution_s": resolution_s,
        "unit": unit,
        "sample_count": count,
        "sum": total,
        "minimum": None if is_single else low,
        "maximum": None if is_single else high,
        "distribution": spread,
    }


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if connection.dialect.name != "postgresql":
        connection.execute(insert(samples), rows)
        return
    # One statement of columns in place of one a row: three times as fast there.
    names = list(rows[0])
    columns = [
        bindparam(name, [row[name] for row in rows], type_=ARRAY(samples.c[name].type))
        for name in names
    ]
    taken = func.unnest(*columns).table_valued(*names).render_derived()
    connection.execute(insert(samples).from_select(names, select(*taken.c)))


def _note_activity(connection: Connection, newest: Mapping[int, int]) -> None:
    """Raise the times of the newest samples, where they are behind by more than ten minutes."""
    by_time: dict[int, list[int]] = defaultdict(list)
    for metric_id, seconds in newest.items():
        by_time[seconds].append(metric_id)
    table = metric_table.c
    for seconds, metric_ids in sorted(by_time.items()):
        time = datetime.fromtimestamp(seconds, UTC)
        is_behind = or_(table.active_at.is_(None), table.active_at < time - _ACTIVE_BEHIND)
        for some in chunks(sorted(metric_ids)):
            query = select(table.id).where(table.id.in_(some), is_behind)
            # Who finds a row held leaves it: another request is raising the same time.
            behind = connection.scalars(query.with_for_update(skip_locked=True)).all()
            if behind:
                raised = update(metric_table).where(table.id.in_(behind))
                connection.execute(raised.values(active_at=time))
