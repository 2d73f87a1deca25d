"""Maintenance of notifications: sends groups, ends silences, deletes old rows.

Every step is bounded and may run in two processes at once: locked rows are skipped, and one process
at a time sends groups.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    delete,
    or_,
    select,
    update,
)

from driftline.alerts import tables
from driftline.alerts.notify.grouping import due_groups, queue_group, waits_for_group
from driftline.alerts.notify.rows import OutboxRow, is_past
from driftline.alerts.notify.silences import Silences
from driftline.alerts.tables import attempts, groups
from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection

log = logging.getLogger(__name__)

RETENTION_DAYS = 90  # CloudWatch keeps history for 14 or 30 days; a review needs more.
_STEP_ROWS = 1_000
_RELEASED_ROWS = 200
_FORGET_EVERY = timedelta(minutes=10)
_OVER = ("delivered", "failed", "superseded", "muted")


class NotificationMaintenance:
    """Does what has to happen without a change of state; one call of :meth:`step` is one pass."""

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        retention_days: float = RETENTION_DAYS,  # Of history and finished messages.
        poll_s: float = 1.0,
    ) -> None:
        self._engine = engine
        self._now = now
        self._retention = timedelta(days=retention_days)
        self._poll_s = poll_s
        self._forgot_at: datetime | None = None
        self.failures = FailedPasses(log, "policy")

    def run(self, stop: threading.Event) -> None:
        """Keep up until stopped; a failed pass is counted, logged and tried again."""
        while not stop.is_set():
            # What stops it would hold back messages.
            with self.failures.noted(Exception):
                self.step()
            stop.wait(self._poll_s)

    def step(self) -> int:
        """Do what is due; return how many rows and groups moved on."""
        now = self._now()
        done = 0
        if self._has_held(now):
            with self._engine.begin() as connection:
                done += release_muted(connection, now)
            done += self._queue_due(now)
        if is_past(self._forgot_at, _FORGET_EVERY, now):
            with self._engine.begin() as connection:
                gone = forget(connection, now - self._retention)
            # With more to do than one step's worth, the next pass goes on.
            self._forgot_at = now if gone < _STEP_ROWS else None
            done += gone
        return done

    def _has_held(self, now: datetime) -> bool:
        """Whether anything is held back, or any group is to be looked at."""
        table = tables.outbox.c
        held = or_(
            waits_for_group(),
            (table.status == "muted") & table.finished_at.is_(None),
        )
        with read_connection(self._engine) as connection:
            if connection.execute(select(table.id).where(held).limit(1)).first() is not None:
                return True
            query = select(groups.c.channel).where(groups.c.due_at <= now).limit(1)
            return connection.execute(query).first() is not None

    def _queue_due(self, now: datetime) -> int:
        with read_connection(self._engine) as connection:
            due = due_groups(connection, now)
        for channel, key in due:
            with self._engine.begin() as connection:
                message_id = queue_group(connection, channel, key, now)
            if message_id is not None:
                log.info("group_told channel=%s key=%r id=%s", channel, key, message_id)
        return len(due)


def release_muted(connection: Connection, now: datetime) -> int:
    """Check notifications whose silence is over; return how many moved on.

    As CloudWatch does after a mute window: the action of the alarm's current state is sent, once,
    if it was held back; all others stay muted for good.
    """
    table, alarms, channels = tables.outbox.c, tables.alarms.c, tables.channels
    query = (
        select(tables.outbox, alarms.state_seq.label("now_seq"), channels.c.enabled)
        .outerjoin(tables.alarms, alarms.id == table.alarm_id)
        .outerjoin(channels, channels.c.name == table.channel)
        .where(table.status == "muted", table.finished_at.is_(None), table.next_attempt_at <= now)
        .order_by(table.next_attempt_at, table.id)
        .limit(_RELEASED_ROWS)
        .with_for_update(of=tables.outbox, skip_locked=True)
    )
    rows = connection.execute(query).all()
    silences = Silences(connection)
    for row in rows:
        values = _after_silence(silences, row, now)
        connection.execute(update(tables.outbox).where(table.id == row.id).values(**values))
    return len(rows)


def _after_silence(silences: Silences, row: OutboxRow, now: datetime) -> dict[str, object]:
    muted = silences.muting(row.facts.get("labels", {}), now)
    if row.now_seq is None or row.now_seq != row.state_seq:
        gone = "the alarm was deleted" if row.now_seq is None else "the state changed again"
        return {"finished_at": now, "reason": f'muted by silence "{row.silence}"; {gone}'}
    if muted is not None:
        return muted.columns
    if not row.enabled:
        return {"status": "failed", "last_error": "channel disabled or gone", "finished_at": now}
    return {
        "status": "pending",
        "next_attempt_at": now,
        "reason": f'sent after silence "{row.silence}": the alarm is still in {row.state}',
    }


def forget(connection: Connection, before: datetime, *, limit: int = _STEP_ROWS) -> int:
    """Remove what is older than a time: history and finished messages."""
    outbox = tables.outbox
    finished = outbox.c.status.in_(_OVER) & outbox.c.finished_at.is_not(None)
    old = [
        (tables.history, tables.history.c.id, tables.history.c.time < before),
        (attempts, attempts.c.id, attempts.c.time < before),
        (outbox, outbox.c.id, (outbox.c.created_at < before) & finished),
    ]
    return max(_remove(connection, *one, limit) for one in old)


def _remove(
    connection: Connection, table: Table, key: Column[Any], where: ColumnElement[bool], limit: int
) -> int:
    keys = list(connection.scalars(select(key).where(where).limit(limit)))
    connection.execute(delete(table).where(key.in_(keys)))
    return len(keys)
