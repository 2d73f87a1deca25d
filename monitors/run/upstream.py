"""Monitors that wait for others (`depends_on`): which windows come first, and how those ended.

A monitor's windows run in order, so its position says which are done; schedulers read all positions
anyway. How windows ended is read when a window runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, func, select

from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import STOPPED, UNFINISHED
from driftline.monitors.run.status import MonitorState, states_of
from driftline.monitors.schedule import windows_from
from driftline.monitors.tables import executions

_NOT_RUN = 'not run: monitor "'


class Upstream:
    """Where monitors stood at one moment, for those that wait for them."""

    def __init__(self, connection: Connection, states: Iterable[MonitorState]) -> None:
        self.states = {state.definition.name: state for state in states}
        named = {name for one in self.states.values() for name in one.definition.depends_on}
        outside = [name for name in named if name in self.states and self._is_external(name)]
        self._ends = _last_ends(connection, outside) if outside else {}

    def first_unfinished(self, definition: MonitorDefinition, window: Window) -> str | None:
        """Return a monitor that has windows to run before this one; None where the way is free."""
        names = definition.depends_on
        return next((name for name in names if not self._has_run(name, window.end)), None)

    def _has_run(self, name: str, until: datetime) -> bool:
        """Whether a monitor has run all of its windows that end up to a moment, or passed by."""
        state = self.states.get(name)
        if state is None:  # One that this version cannot read: nobody here knows.
            return False
        if self._is_external(name):
            return name in self._ends and self._ends[name] >= until
        window = state.next_window()
        return window is None or window.end > until

    def _is_external(self, name: str) -> bool:
        timetable = self.states[name].definition.timetable
        return not (timetable.is_recurring or timetable.is_once)


def why_not_run(
    connection: Connection, definition: MonitorDefinition, window: Window
) -> tuple[str, str] | None:
    """Return the status and the reason of a window whose upstream has no result; None: it has."""
    states = {one.definition.name: one for one in states_of(connection, definition.depends_on)}
    for name in definition.depends_on:
        found: tuple[str, str] | None = (STOPPED, "cannot be read")
        if name in states:
            found = _without_result(connection, states[name], window)
        if found is not None:
            return found[0], f'{_NOT_RUN}{name}" {found[1]}; backfill it, then this one'
    return None


def _without_result(
    connection: Connection, state: MonitorState, window: Window
) -> tuple[str, str] | None:
    """Return how the first of a monitor's windows ended that end in a span and have no result."""
    timetable, table = state.definition.timetable, executions.c
    query = (
        select(table.window_start, table.window_end, table.status)
        .where(table.monitor == state.definition.name, table.is_current)
        .order_by(table.window_start, table.window_end)
    )
    if not timetable.is_recurring:
        query = query.where(table.window_start < window.end, table.window_end > window.start)
        ended = next((one for one in connection.execute(query) if one.status in UNFINISHED), None)
        return None if ended is None else _told(ended.window_start, ended.window_end, ended.status)
    until = timetable.fired_before(window.end)
    first = state.first and max(state.first, timetable.fired_before(window.start) or state.first)
    # Not where it begins: that may lie between two firings.
    begin = None if first is None else next(windows_from(timetable, first), None)
    if until is None or begin is None or begin.end > until:
        return None  # None of its windows ends here, or it began later.
    reach, unfinished = begin.start, {}
    in_span = query.where(table.window_start >= reach, table.window_end <= until)
    # Windows of an older schedule, or that somebody asked for, are results, too.
    for one in connection.execute(in_span):
        if one.status in UNFINISHED:
            unfinished[one.window_start] = one
        elif one.window_start <= reach:
            reach = max(reach, one.window_end)
    if reach >= until:
        return None
    if (ended := unfinished.get(reach)) is not None:
        return _told(ended.window_start, ended.window_end, ended.status)
    return STOPPED, f"passed by its windows from {reach.isoformat()} on"


def _told(start: datetime, end: datetime, status: str) -> tuple[str, str]:
    return status, f"has {status} for {Window(start, end)}"


def _last_ends(connection: Connection, names: list[str]) -> dict[str, datetime]:
    """Return up to when monitors have run that have no schedule of their own."""
    table = executions.c
    query = (
        select(table.monitor, func.max(table.window_end).label("end"))
        .where(table.monitor.in_(names), table.is_current)
        .group_by(table.monitor)
    )
    return {row.monitor: row.end for row in connection.execute(query)}
