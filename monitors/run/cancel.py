"""Cancels windows: stops the running ones soon, and drops the waiting ones.

A requested window is withdrawn. One without a result gets "Stopped" at once, which schedulers skip,
so the cancellation outlives the process that ran it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import ConflictError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import STOPPED, Overtaken, current, find, record
from driftline.monitors.run.described import describe
from driftline.monitors.run.planning import pending
from driftline.monitors.run.window_queue import list_runs, stop, withdraw

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """One window that was cancelled."""

    monitor: str
    window_start: datetime
    window_end: datetime
    status: str  # "Stopping" while it is being judged, "Stopped" at once if it was not.


def cancel(
    engine: Engine, definition: MonitorDefinition, window: Window | None, *, by: str, now: datetime
) -> list[Cancelled]:
    """Cancel one window of a monitor, or those being judged; ConflictError when there is none."""
    if window is not None:
        return [_cancel(engine, definition, window, by=by, now=now)]
    with read_connection(engine) as connection:
        begun = list_runs(connection, definition.name)
    windows = [Window(one.window_start, one.window_end) for one in begun]
    with engine.begin() as connection:
        asked = withdraw(connection, definition.name, None)
    if not (windows or asked):
        windows = pending(engine, definition, now)
    if not (windows or asked):
        raise ConflictError(f'monitor "{definition.name}": no window is being judged or waits')
    cancelled = [
        Cancelled(definition.name, one.start, one.end, STOPPED)
        for one in asked
        if one not in windows
    ]
    refused = None
    for one in windows:
        try:
            cancelled.append(_cancel(engine, definition, one, by=by, now=now))
        except ConflictError as error:
            refused = error  # It has ended meanwhile; the others may not have.
    if not cancelled and refused is not None:
        raise refused
    return cancelled


def _cancel(
    engine: Engine, definition: MonitorDefinition, window: Window, *, by: str, now: datetime
) -> Cancelled:
    name, reason = definition.name, f"stopped by {by}"
    with engine.begin() as connection:
        was_asked = withdraw(connection, name, window)
        is_running = stop(connection, name, window)
        standing = current(connection, name, window)
        known = None if standing is None else find(connection, standing)
    if was_asked and not is_running:  # Only the wish is taken back, whatever stands.
        log.info("monitor=%s window=%s withdrawn", name, window.stamp)
        return Cancelled(name, window.start, window.end, STOPPED)
    if known is not None and not is_running:
        if known.status == STOPPED:
            return Cancelled(name, window.start, window.end, STOPPED)
        raise ConflictError(
            f'monitor "{name}": window {window} has ended as {known.status}; expected one that '
            "is being judged or waits"
        )
    if window.end > now and not is_running:
        raise ConflictError(
            f'monitor "{name}": window {window} is not over yet, so it waits for nothing'
        )
    if known is None and window.end <= now:  # Else it is still to be judged once it is over.
        stopped = describe(definition, window, "", "", reason, status=STOPPED, finished=now)
        try:
            record(engine, stopped, [], timetable=definition.timetable, before=None)
        except Overtaken as error:
            raise ConflictError(
                f'monitor "{name}": window {window} has just ended; expected one that is being '
                "judged or waits"
            ) from error
    log.info("monitor=%s window=%s cancelled", name, window.stamp)
    return Cancelled(name, window.start, window.end, "Stopping" if is_running else STOPPED)
