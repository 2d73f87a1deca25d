"""Which of the alarms that follow their datapoints have changed input and must be looked at.

To read all of them and their metrics takes a second for some fifty thousand. With many, that is
done now and then, and in between only those with new datapoints or a changed definition are looked
at. The full look finds what no datapoint shows (silence, a slow put, a clock that was set back).
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, func, literal_column, select

from driftline.alerts import tables
from driftline.alerts.alarms.records import LOOK_AGAIN
from driftline.alerts.evaluation.due import ON_ARRIVAL

# Written out, as the index of such alarms has it.
IS_CHANGED = tables.alarms.c.seen_revision == literal_column(str(LOOK_AGAIN))
# Alarms for which a look at all of them may take place once a second; fewer are all looked at.
ALARMS_A_SECOND = 1_000
# PostgreSQL numbers datapoints before they are stored: for so long others may overtake a put.
OVERTAKEN_S = 10.0


class News:
    """What changed since the last look at all alarms."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._all_at: datetime | None = None
        self._alarms: dict[str, set[int]] = defaultdict(set)  # By the digest of a metric.
        self._ids: set[int] = set()
        self._newest: deque[tuple[float, int]] = deque()  # When, and the newest datapoint's id.
        # Alarms that wait to be looked at again, and have nothing to judge: id and last change.
        self._idle: set[tuple[int, datetime, int]] = set()

    def begin(self, connection: Connection, now: datetime) -> set[int] | None:
        """Return the ids of the alarms to look at; None: all."""
        points, since = tables.datapoints.c, 0
        moment = self._timer()
        while len(self._newest) > 1 and self._newest[1][0] <= moment - OVERTAKEN_S:
            self._newest.popleft()
        if self._newest:
            since = self._newest[0][1]
        # Before anything else is read: what is stored meanwhile is news the next time.
        self._newest.append((moment, connection.scalar(select(func.max(points.id))) or 0))
        if self._is_for_all(now):
            self._all_at = now
            for known in (self._alarms, self._ids, self._idle):
                known.clear()
            return None
        arrived = select(points.metric_id).where(points.id > since)
        keys = connection.scalars(
            select(tables.metrics.c.key).where(tables.metrics.c.id.in_(arrived))
        )
        found = {id_ for key in keys for id_ in self._alarms.get(key, ())}
        table = tables.alarms.c
        changed = select(table.id, table.updated_at, table.state_seq).where(
            IS_CHANGED, table.cadence_s == ON_ARRIVAL
        )
        found.update(row.id for row in connection.execute(changed) if tuple(row) not in self._idle)
        return found

    def watch(self, row: Row[tuple[object, ...]], keys: Iterable[str], *, has_work: bool) -> None:
        """Remember an alarm that was looked at, and which metrics it waits for."""
        self._ids.add(row.id)
        for key in keys:
            self._alarms[key].add(row.id)
        standing = (row.id, row.updated_at, row.state_seq)
        if has_work:
            self._idle.discard(standing)
        elif row.seen_revision == LOOK_AGAIN:
            self._idle.add(standing)

    def _is_for_all(self, now: datetime) -> bool:
        if self._all_at is None or len(self._ids) < ALARMS_A_SECOND:
            return True
        rest = timedelta(seconds=len(self._ids) / ALARMS_A_SECOND)
        return not self._all_at <= now < self._all_at + rest
