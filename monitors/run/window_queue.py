"""The queue of windows: scheduled, requested, or changed by late records and labels.

A row is there until its window has been run, whoever dies meanwhile. A scheduler claims one at a
time, and no two those of one monitor: each window is judged with the windows before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from driftline.capture.windows.window import Window
from driftline.database.clock import database_time
from driftline.database.dialects import upsert
from driftline.database.leases import Lease
from driftline.database.queue import LEASE, Queue
from driftline.monitors.tables import REQUESTED, SCHEDULED, windows

QUEUED, STOPPING = "Queued", "Stopping"
_COLUMNS = windows.c
_RANK = case((_COLUMNS.reason == SCHEDULED, 0), (_COLUMNS.reason == REQUESTED, 1), else_=2)
QUEUE = Queue(windows, _COLUMNS.id, (_RANK, _COLUMNS.window_start), (QUEUED, STOPPING))
_LEASE = Lease(_COLUMNS.lease_owner, _COLUMNS.lease_until, LEASE)
# A window may be asked for that is queued for another reason, too.
_IS_ASKED = or_(_COLUMNS.reason == REQUESTED, _COLUMNS.added_by != "")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedWindow:
    """One window that waits for a scheduler; ``failure_reason``: why it could not be run before."""

    monitor: str
    window_start: datetime
    window_end: datetime
    added_by: str
    added_at: datetime
    attempts: int
    failure_reason: str | None
    next_attempt_at: datetime

    @property
    def window(self) -> Window:
        """The window that waits."""
        return Window(self.window_start, self.window_end)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One window that is being judged, as other processes see it."""

    monitor: str
    window_start: datetime
    window_end: datetime
    status: str  # "InProgress", or "Stopping" once somebody has cancelled it.
    stage: str
    rows_read: int  # Counted in each pass over the rows.
    started_at: datetime
    seen_at: datetime
    log: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of a monitor: when the next attempt may begin, and the first window's start."""

    next_attempt_at: datetime
    start: datetime
    is_scheduled: bool  # Whether any of it is the schedule's own.
    is_asked: bool  # Whether somebody has asked for any of it.


def window_id(monitor: str, window: Window) -> str:
    """Return the key of a window in the queue."""
    return f"{monitor} {window.start.astimezone(UTC)} {window.end.astimezone(UTC)}"


def _key(monitor: str, window: Window) -> dict[str, Any]:
    key = {"monitor": monitor, "window_start": window.start, "window_end": window.end}
    return {"id": window_id(monitor, window), **key}


def put(
    connection: Connection, monitor: str, added: Iterable[Window], reason: str, *, at: datetime
) -> None:
    """Queue windows to be run from a time on; of those that are queued only a request gives way."""
    common = {
        "reason": reason, "status": QUEUED, "attempts": 0, "added_at": at, "next_attempt_at": at,
    }  # fmt: skip
    rows = [_key(monitor, one) | common for one in added]
    if rows:
        statement = upsert(connection, windows).on_conflict_do_update(
            index_elements=["id"], set_={"reason": reason}, where=_COLUMNS.reason == REQUESTED
        )
        connection.execute(statement, rows)


def request(
    connection: Connection, monitor: str, asked: Iterable[Window], *, by: str, now: datetime
) -> None:
    """Queue windows that somebody asks for; one that is queued already is tried at once."""
    common = {"status": QUEUED, "reason": REQUESTED}
    # Without an attempt, it is asked for since it was claimed: `remove` keeps it.
    wish = {"attempts": 0, "added_by": by, "added_at": now, "next_attempt_at": now}
    rows = [_key(monitor, one) | common | wish for one in asked]
    if rows:
        statement = upsert(connection, windows)
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=wish), rows)


def claim(
    engine: Engine, monitor: str, owner: str, now: datetime, *, only_asked: bool = False
) -> Row[Any] | None:
    """Take the window of a monitor that comes next, unless another of its windows is being run.

    A scheduled window that could not be run keeps back the scheduled ones behind it. Of a paused
    monitor only windows that somebody asked for are taken.
    """
    other = windows.alias()
    is_taken = ~Lease(other.c.lease_owner, other.c.lease_until, LEASE).is_free(now)
    is_before = and_(
        other.c.reason == SCHEDULED, _COLUMNS.reason == SCHEDULED,
        other.c.window_start < _COLUMNS.window_start,
    )  # fmt: skip
    keeps_back = exists().where(
        other.c.monitor == monitor, other.c.id != _COLUMNS.id, or_(is_taken, is_before)
    )
    chosen = [_COLUMNS.monitor == monitor, ~keeps_back, *[_IS_ASKED] * only_asked]
    rows = QUEUE.claim(engine, owner, now, 1, *chosen)
    return rows[0] if rows else None


def hold(
    connection: Connection, monitor: str, window: Window, owner: str, now: datetime,
    values: dict[str, object],
) -> str | None:  # fmt: skip
    """Note where a run is and keep its lease; return its status, None where another has it.

    A run that nobody claimed, as one by hand, comes into the queue with this.
    """
    held = {**values, **_LEASE.taken(owner, now)}
    added = {
        "reason": REQUESTED, "status": QUEUED, "attempts": 1, "added_at": now,
        "next_attempt_at": now,
    }  # fmt: skip
    statement = upsert(connection, windows).values(**_key(monitor, window), **added, **held)
    kept = statement.on_conflict_do_update(
        index_elements=["id"], set_=held, where=or_(_LEASE.is_free(now), _LEASE.is_owned(owner))
    )
    status: str | None = connection.scalar(kept.returning(_COLUMNS.status))
    return status


def remove(connection: Connection, monitor: str, window: Window, owner: str) -> None:
    """Take a window that was run out of the queue, unless another has claimed it since.

    It stays where somebody has asked for it meanwhile: it was judged as things were before.
    """
    own = _COLUMNS.id == window_id(monitor, window), _LEASE.is_owned(owner)
    if not connection.execute(delete(windows).where(*own, _COLUMNS.attempts > 0)).rowcount:
        again = {"status": QUEUED, "started_at": None, **_LEASE.released()}
        connection.execute(update(windows).where(*own).values(**again))


def is_run(now: datetime) -> ColumnElement[bool]:
    """Select the windows that are being judged."""
    return ~_LEASE.is_free(now)


def first_waiting(connection: Connection, now: datetime) -> dict[str, Waiting]:
    """Return what waits or is being run, by monitor."""
    columns = _COLUMNS
    at = case((is_run(now), columns.lease_until), else_=columns.next_attempt_at)
    query = select(
        columns.monitor,
        func.min(at),
        func.min(columns.window_start),
        func.max(case((columns.reason == SCHEDULED, 1), else_=0)),
        func.max(case((_IS_ASKED, 1), else_=0)),
    ).group_by(columns.monitor)
    return {
        monitor: Waiting(next_attempt_at, start, bool(is_scheduled), bool(is_asked))
        for monitor, next_attempt_at, start, is_scheduled, is_asked in connection.execute(query)
    }


def first_scheduled(connection: Connection) -> dict[str, QueuedWindow]:
    """Return the first scheduled window of each monitor that is queued, being run or not."""
    query = select(windows).where(_COLUMNS.reason == SCHEDULED)
    found = connection.execute(query.order_by(_COLUMNS.window_start.desc()))
    return {row.monitor: _queued(row) for row in found}


def requested(
    connection: Connection, monitors: Collection[str], limit: int, window: Window | None = None
) -> tuple[list[QueuedWindow], int]:
    """Return the first requested windows of monitors that wait, and how many do; or one of them."""
    is_free = _LEASE.is_free(database_time(connection))
    chosen: list[ColumnElement[bool]] = [
        _COLUMNS.monitor.in_(monitors), _IS_ASKED, is_free,
    ]  # fmt: skip
    if window is not None:
        chosen += [_COLUMNS.window_start == window.start, _COLUMNS.window_end == window.end]
    order = _COLUMNS.added_at, _COLUMNS.monitor, _COLUMNS.window_start, _COLUMNS.window_end
    found = connection.execute(select(windows).where(*chosen).order_by(*order).limit(limit))
    count = connection.scalar(select(func.count()).select_from(windows).where(*chosen))
    return [_queued(row) for row in found], count or 0


def list_runs(connection: Connection, monitor: str | None) -> list[RunState]:
    """Return the windows being judged, of one monitor or of all, for at least two seconds."""
    is_shown = is_run(database_time(connection)), _COLUMNS.started_at.is_not(None)
    query = select(windows).where(*is_shown).order_by(_COLUMNS.window_start)
    if monitor is not None:
        query = query.where(_COLUMNS.monitor == monitor)
    return [
        RunState(
            monitor=row.monitor,
            window_start=row.window_start,
            window_end=row.window_end,
            status="InProgress" if row.status == QUEUED else STOPPING,
            stage=row.stage,
            rows_read=row.rows_read,
            started_at=row.started_at,
            seen_at=row.lease_until - LEASE,
            log=row.log,
        )
        for row in connection.execute(query)
    ]


def withdraw(connection: Connection, monitor: str, window: Window | None) -> list[Window]:
    """Take a requested window of a monitor back, without one all of them; return which.

    Those that are being run are none of them.
    """
    is_free = _LEASE.is_free(database_time(connection))
    chosen = [_COLUMNS.monitor == monitor, _IS_ASKED, is_free]
    if window is not None:
        chosen.append(_COLUMNS.id == window_id(monitor, window))
    spans = _COLUMNS.window_start, _COLUMNS.window_end
    only = delete(windows).where(*chosen, _COLUMNS.reason == REQUESTED).returning(*spans)
    also = update(windows).where(*chosen).values(added_by="").returning(*spans)
    rows = [*connection.execute(only), *connection.execute(also)]
    return sorted((Window(*row) for row in rows), key=lambda one: (one.start, one.end))


def stop(connection: Connection, monitor: str, window: Window) -> bool:
    """Ask a run to end; False when no window of this span is being run."""
    chosen = _COLUMNS.id == window_id(monitor, window), is_run(database_time(connection))
    return connection.execute(update(windows).where(*chosen).values(status=STOPPING)).rowcount > 0


def _queued(row: Row[Any]) -> QueuedWindow:
    names = QueuedWindow.__dataclass_fields__
    return QueuedWindow(**{name: getattr(row, name) for name in names})
