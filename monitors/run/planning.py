"""Plans the windows of monitors: which are due, and which late records and labels have changed.

A monitor's position says up to where its windows are queued, and up to which versions of its tables
changes were considered. It moves by compare-and-set, in the transaction that queues the windows.

Schedulers ask every few seconds, for thousands of monitors: one statement reads the positions, and
only changed definitions and positions are parsed again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    delete,
    exists,
    select,
    update,
)

from driftline.alerts.metrics.identity import chunks
from driftline.capture.windows.changes import Changes, Position, changes
from driftline.capture.windows.window import Window
from driftline.database.dialects import upsert
from driftline.database.engine import read_connection
from driftline.monitors.definitions import MonitorDefinition, from_row, read_all
from driftline.monitors.executions import current, set_aside_open
from driftline.monitors.external.changes import external_changes
from driftline.monitors.external.source import Access
from driftline.monitors.run import window_queue
from driftline.monitors.schedule import Schedule, due_windows, touched_windows, windows_from
from driftline.monitors.tables import (
    CHANGED,
    REQUESTED,
    SCHEDULED,
    definitions,
    executions,
    positions,
    windows,
)

log = logging.getLogger(__name__)

# A scheduler that keeps up has long run a window by then, its delay counted.
OVERDUE_AFTER = timedelta(minutes=10)
# By how much clocks of several machines may differ: what one has run, another leaves.
CLOCKS_DIFFER = timedelta(minutes=1)
# What tells one definition of a monitor from another.
_STAMP = (definitions.c.name, definitions.c.created_at, definitions.c.updated_at)


@dataclass(frozen=True, slots=True)
class MonitorState:
    """One monitor, and its position."""

    definition: MonitorDefinition
    # End of the last window that was queued, else start of the first; None: the schedule never
    # fired.
    begin: datetime | None
    is_stored: bool = False  # Whether `begin` is stored.
    position: Position | None = None  # Up to where changes were considered; None: never.
    once: Window | None = None  # The only window, where the schedule has one.
    first: datetime | None = None  # What `begin` was before any window was queued.

    def next_window(self) -> Window | None:
        """Return the window that comes next, over or not; None where none comes any more."""
        if self.begin is None:
            return None
        if self.once is not None:
            return self.once if self.begin < self.once.end else None
        return _next_window(self.definition.timetable, self.begin)

    def due_windows(self, until: datetime) -> Iterator[Window]:
        """Return the windows to run that are over at a moment, in order."""
        window = self.next_window()
        if window is None or window.end > until:
            return iter(())
        if self.once is not None:
            return iter([window])
        begin = self.begin_at(until)
        assert begin is not None
        return due_windows(self.definition.timetable, begin, until)

    def begin_at(self, until: datetime) -> datetime | None:
        """Return where the monitor goes on: behind those windows that it does not catch up."""
        definition, timetable = self.definition, self.definition.timetable
        if definition.catch_up == "all" or self.begin is None or not timetable.is_recurring:
            return self.begin
        end = timetable.fired_before(until)
        begin = end and timetable.fired_before(end - timedelta(microseconds=1))
        return self.begin if begin is None else max(self.begin, begin)

    def set_back(self, now: datetime) -> datetime | None:
        """Return where a monitor goes on that is past windows that have not ended; else None."""
        if self.begin is None or self.first is None:
            return None
        if self.begin <= max(now + CLOCKS_DIFFER, self.first):
            return None
        ended = self.definition.timetable.fired_before(now) if self.once is None else None
        return self.first if ended is None else max(self.first, ended)


@dataclass(frozen=True, slots=True)
class Overdue:
    """A window that should have been judged by now."""

    monitor: str
    endpoint: str
    window: Window
    due_at: datetime  # The window's end and the monitor's delay.
    failure: str | None  # Why it could not be run, where that was tried.


def plan(engine: Engine, state: MonitorState, due: Sequence[Window], now: datetime) -> None:
    """Queue the windows of a monitor that are due, unless another scheduler has done so."""
    name = state.definition.name
    with engine.begin() as connection:
        _store(connection, state)
        moved = update(positions).where(
            positions.c.monitor == name, positions.c.planned_until == state.begin
        )
        if connection.execute(moved.values(planned_until=due[-1].end)).rowcount:
            window_queue.put(connection, name, due, SCHEDULED, at=now)


def look(
    engine: Engine, root: str, state: MonitorState, access: Access, *, at: datetime, now: datetime
) -> bool:
    """Queue the windows that were run and have changed since, to be run again from a time on.

    Returns whether there are any. While a window of the monitor is being run nothing is done: what
    it has read is not known.
    """
    found = _changes(root, state, access)
    if found.position == state.position and not found.hours:
        return False
    seen, name = state.position, state.definition.name
    columns = positions.c
    before = (None, None) if seen is None else (seen.capture, seen.truth)
    values = {
        "seen_capture": found.position.capture, "seen_truth": found.position.truth,
        "seen_files": found.position.files or None,
    }  # fmt: skip
    is_run = exists().where(windows.c.monitor == name, window_queue.is_run(now))
    with engine.begin() as connection:
        _store(connection, state)
        moved = update(positions).where(
            columns.monitor == name,
            columns.seen_capture.is_not_distinct_from(before[0]),
            columns.seen_truth.is_not_distinct_from(before[1]),
            ~is_run,
        )
        if not connection.execute(moved.values(values)).rowcount:
            return False
        touched = _run_before(connection, state, found)
        window_queue.put(connection, name, touched, CHANGED, at=at)
    return bool(touched)


def set_back(engine: Engine, state: MonitorState, now: datetime) -> MonitorState:
    """Set back a monitor that a clock which was ahead moved past windows that have not ended.

    Their executions are superseded; they run when they have ended.
    """
    begin = state.set_back(now)
    if begin is None:
        return state
    name = state.definition.name
    with engine.begin() as connection:
        moved = update(positions).where(
            positions.c.monitor == name, positions.c.planned_until == state.begin
        )
        if not connection.execute(moved.values(planned_until=begin)).rowcount:
            return state  # Another scheduler has moved it since.
        is_ahead = windows.c.monitor == name, windows.c.window_end > begin
        connection.execute(delete(windows).where(*is_ahead, windows.c.reason != REQUESTED))
        count = set_aside_open(connection, name, now)
    log.warning("monitor=%s event=clock-was-ahead windows=%d", name, count)
    return replace(state, begin=begin)


def overdue(connection: Connection, now: datetime, states: Sequence[MonitorState]) -> list[Overdue]:
    """Return which of the monitors should have judged their next window by now, and did not."""
    found = []
    queued = window_queue.first_scheduled(connection)
    for state in states:
        definition = state.definition
        if definition.paused:
            continue
        delay = timedelta(seconds=definition.delay_s)
        waiting = queued.get(definition.name)
        window = waiting.window if waiting else next(state.due_windows(now - delay), None)
        if window is not None and window.end + delay + OVERDUE_AFTER < now:
            failure = waiting.failure_reason if waiting else None
            due_at = window.end + delay
            found.append(Overdue(definition.name, definition.endpoint, window, due_at, failure))
    return found


def pending(engine: Engine, definition: MonitorDefinition, now: datetime) -> list[Window]:
    """Return the window of a monitor that is over and comes next, unless it was cancelled."""
    with read_connection(engine) as connection:
        queued = window_queue.first_scheduled(connection).get(definition.name)
        due = state_of(connection, definition.name).due_windows(now)
        window = queued.window if queued else next(due, None)
        if window is None or current(connection, definition.name, window) is not None:
            return []
    return [window]


def _store(connection: Connection, state: MonitorState) -> None:
    if not state.is_stored:
        row = {"monitor": state.definition.name, "planned_until": state.begin}
        statement = upsert(connection, positions).values(row)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["monitor"]))


def _changes(root: str, state: MonitorState, access: Access) -> Changes:
    definition, begin = state.definition, state.begin
    assert begin is not None
    labels, after = definition.kind_value.uses_labels, definition.start
    if (source := definition.external) is not None:
        return external_changes(
            source, access, state.position, before=begin, labels=labels, after=after
        )
    return changes(
        root, definition.endpoint, state.position, before=begin, labels=labels, after=after
    )


def _run_before(connection: Connection, state: MonitorState, found: Changes) -> list[Window]:
    """Return the windows of changed hours that were run."""
    assert state.begin is not None
    touched = touched_windows(state.definition.timetable, found.hours, state.begin)
    if not touched:
        return []
    table = executions.c
    query = select(table.window_start, table.window_end).where(
        table.monitor == state.definition.name,
        table.window_start >= touched[0].start,
        table.window_start <= touched[-1].start,
    )
    run = {Window(row.window_start, row.window_end) for row in connection.execute(query)}
    return [window for window in touched if window in run]


class MonitorStates:
    """States of all monitors, updated at each read; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        # By name: the row as it was, and what was made of it; None where it cannot be read.
        self._states: dict[str, tuple[Row[Any], MonitorState | None]] = {}

    def read(self, connection: Connection) -> list[MonitorState]:
        """Return all monitors by name; an unchanged one is the same object."""
        query = _states(*_STAMP).order_by(definitions.c.name)
        with self._lock:
            rows = {row.name: row for row in connection.execute(query)}
            same = {name: one for name, one in self._states.items() if rows.get(name) == one[0]}
            read = {
                one.definition.name: one
                for some in chunks([name for name in rows if name not in same])
                for one in states_of(connection, some)
            }
            self._states = {
                name: same.get(name, (row, read.get(name))) for name, row in rows.items()
            }
            return [state for _, state in self._states.values() if state is not None]


_KEPT = WeakKeyDictionary[Engine, MonitorStates]()


def list_states(connection: Connection) -> list[MonitorState]:
    """Return all monitors by name, with their positions; only changed ones are read again."""
    return _KEPT.setdefault(connection.engine, MonitorStates()).read(connection)


def state_of(connection: Connection, name: str) -> MonitorState:
    """Return the state of one monitor, as the scheduler would find it."""
    (state,) = states_of(connection, [name])
    return state


def states_of(connection: Connection, names: Sequence[str]) -> list[MonitorState]:
    """Return where some monitors stand; those that do not exist or cannot be read are left out."""
    query = _states(*definitions.c).where(definitions.c.name.in_(names))
    return list(read_all(connection.execute(query), _state))


def _states(*of_definition: ColumnElement[Any]) -> Select[tuple[object, ...]]:
    position = [column for column in positions.c if column.name != "monitor"]
    joined = definitions.outerjoin(positions, positions.c.monitor == definitions.c.name)
    return select(*of_definition, *position).select_from(joined)


def _state(row: Row[tuple[object, ...]]) -> MonitorState:
    """Make a monitor of the row of its definition and its position."""
    definition, stored = from_row(row), row._mapping
    timetable, once = definition.timetable, None
    if timetable.is_once:
        once = timetable.window_once(row.created_at, start=definition.start)
    begin = definition.start if once is None else once.start
    if begin is None and timetable.is_recurring:
        begin = timetable.fired_before(row.created_at)
    state = MonitorState(definition, begin, once=once, first=begin)
    until, capture, truth, files = (
        stored[column] for column in positions.c if column.name != "monitor"
    )
    if until is None:
        return state
    is_seen = capture is not None and truth is not None
    seen = Position(capture, truth, files or b"") if is_seen else None
    return replace(state, begin=until, is_stored=True, position=seen)


@lru_cache(maxsize=1 << 16)
def _next_window(schedule: Schedule, begin: datetime) -> Window | None:
    """Find a window once: every look needs it until it is over."""
    return next(windows_from(schedule, begin), None)
