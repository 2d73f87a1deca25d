"""Requested windows: stored until a scheduler has run them.

A request only stores the wish, and survives a closed page or a restart. A window runs after those
that are due, once for all who request it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from driftline.capture.windows.window import Window
from driftline.database.dialects import upsert
from driftline.monitors.tables import asked_windows

_table = asked_windows.c
_KEY = ("monitor", "window_start", "window_end")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedWindow:
    """One window that waits for a scheduler; ``failure`` is why it could not be run last time."""

    monitor: str
    window_start: datetime
    window_end: datetime
    asked_at: datetime
    asked_by: str
    attempts: int
    failure: str | None
    retry_at: datetime | None

    @property
    def window(self) -> Window:
        """The window that is asked for."""
        return Window(self.window_start, self.window_end)


def ask(
    connection: Connection, monitor: str, windows: Iterable[Window], *, by: str, now: datetime
) -> None:
    """Note that windows are to be run; those that are asked for already are tried at once."""
    wish = {"asked_at": now, "asked_by": by, "retry_at": None}
    rows = [
        {"monitor": monitor, "window_start": one.start, "window_end": one.end, **wish}
        for one in windows
    ]
    if rows:
        statement = upsert(connection, asked_windows)
        connection.execute(statement.on_conflict_do_update(index_elements=[*_KEY], set_=wish), rows)


def list_asked(
    connection: Connection, monitor: str, moment: datetime, limit: int
) -> list[AskedWindow]:
    """Return the windows of a monitor that wait for a scheduler, oldest first."""
    query = select(asked_windows).where(_table.monitor == monitor, _may_run(moment))
    found = connection.execute(query.order_by(_table.window_start, _table.window_end).limit(limit))
    return [AskedWindow(**row) for row in found.mappings()]


def waiting(
    connection: Connection, monitors: Collection[str], limit: int, window: Window | None = None
) -> tuple[list[AskedWindow], int]:
    """Return the first windows of monitors that wait, and how many do; or one of them."""
    chosen: list[ColumnElement[bool]] = [_table.monitor.in_(monitors)]
    if window is not None:
        chosen += [_table.window_start == window.start, _table.window_end == window.end]
    query = select(asked_windows).where(*chosen).limit(limit)
    found = connection.execute(
        query.order_by(_table.asked_at, _table.monitor, _table.window_start, _table.window_end)
    )
    several = connection.scalar(select(func.count()).select_from(asked_windows).where(*chosen))
    return [AskedWindow(**row) for row in found.mappings()], several or 0


def settle(connection: Connection, asked: AskedWindow) -> None:
    """Note that a window has been run, unless it was asked for again meanwhile."""
    connection.execute(
        delete(asked_windows).where(
            _is(asked.monitor, asked.window), _table.asked_at == asked.asked_at
        )
    )


def put_off(connection: Connection, asked: AskedWindow, failure: str, retry_at: datetime) -> None:
    """Note why a window could not be run, and the time of the next attempt."""
    connection.execute(
        update(asked_windows)
        .where(_is(asked.monitor, asked.window))
        .values(attempts=asked.attempts + 1, failure=failure, retry_at=retry_at)
    )


def withdraw(connection: Connection, monitor: str, window: Window | None) -> list[Window]:
    """Take a window of a monitor back that waits, without one all of them; return which."""
    which = _table.monitor == monitor if window is None else _is(monitor, window)
    done = delete(asked_windows).where(which).returning(_table.window_start, _table.window_end)
    return sorted(
        (Window(row.window_start, row.window_end) for row in connection.execute(done)),
        key=lambda one: (one.start, one.end),
    )


def _may_run(moment: datetime) -> ColumnElement[bool]:
    return or_(_table.retry_at.is_(None), _table.retry_at <= moment)


def _is(monitor: str, window: Window) -> ColumnElement[bool]:
    return and_(
        _table.monitor == monitor,
        _table.window_start == window.start,
        _table.window_end == window.end,
    )
