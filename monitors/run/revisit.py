"""Finds the windows of a monitor that late records and labels change.

A monitor keeps its position in the tables of its endpoint. Later data touch hours of event time,
and so windows that were run; the lease keeps these until they were run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine, select

from driftline.capture.windows.changes import Changes, changes
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.monitors.external.changes import external_changes
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.run import lease
from driftline.monitors.run.status import MonitorState
from driftline.monitors.schedule import touched_windows, windows_from
from driftline.monitors.tables import executions


def has_changed(engine: Engine, root: str, state: MonitorState, access: Access = UNLIMITED) -> bool:
    """Whether anything came for hours before the next window; needs no lease.

    If nothing did, the position moves to now: else the next look would read everything since the
    last window again.
    """
    found = _changes(root, state, access)
    if found.hours:
        return True
    if found.position != state.position:
        lease.move(engine, state, found.position)
    return False


def look(
    engine: Engine,
    root: str,
    state: MonitorState,
    owner: str,
    moment: datetime,
    access: Access = UNLIMITED,
) -> MonitorState:
    """Move the monitor's position to now, and note the windows touched since."""
    assert state.begin is not None
    found = _changes(root, state, access)
    touched: list[datetime] = []
    if found.hours:
        timetable = state.definition.timetable
        windows = touched_windows(timetable, found.hours, state.begin)
        run = _run_before(engine, state.definition.name, windows)
        touched = [window.start for window in windows if window in run]
    if found.position != state.position:
        lease.keep(
            engine,
            state.definition.name,
            owner,
            moment,
            seen_capture=found.position.capture,
            seen_truth=found.position.truth,
            seen_files=found.position.files or None,
            touched=noted(touched),
        )
    return replace(state, position=found.position, touched=tuple(touched))


def windows_of(state: MonitorState) -> list[Window]:
    """Return the windows that are to be run again; those of an older schedule are left out."""
    timetable = state.definition.timetable
    found = (next(windows_from(timetable, start), None) for start in state.touched)
    return [
        window
        for window, start in zip(found, state.touched, strict=True)
        if window is not None and window.start == start
    ]


def noted(touched: Iterable[Window | datetime]) -> Sequence[str] | None:
    """Return windows in the form in which the lease keeps them."""
    starts = (one.start if isinstance(one, Window) else one for one in touched)
    return [start.isoformat() for start in starts] or None


def _changes(root: str, state: MonitorState, access: Access) -> Changes:
    definition = state.definition
    assert state.begin is not None
    if (source := definition.external) is not None:
        return external_changes(
            source, access, state.position, before=state.begin,
            labels=definition.kind_value.uses_labels, after=definition.start,
        )  # fmt: skip
    return changes(
        root,
        definition.endpoint,
        state.position,
        before=state.begin,
        labels=definition.kind_value.uses_labels,
        after=definition.start,
    )


def _run_before(engine: Engine, monitor: str, windows: Sequence[Window]) -> set[Window]:
    """Return those of some windows that were run."""
    if not windows:
        return set()
    table = executions.c
    query = select(table.window_start, table.window_end).where(
        table.monitor == monitor,
        table.window_start >= windows[0].start,
        table.window_start <= windows[-1].start,
    )
    with read_connection(engine) as connection:
        return {Window(row.window_start, row.window_end) for row in connection.execute(query)}
