"""States of an installation's monitors: what each has done, and what comes next.

Schedulers ask every few seconds, for thousands of monitors: one statement reads the states, and
only changed definitions and leases are parsed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, literal, select

from driftline.alerts.metrics.identity import chunks
from driftline.baseline.times import EPOCH
from driftline.capture.windows.changes import Position
from driftline.capture.windows.window import Window
from driftline.database.columns import UtcDateTime
from driftline.monitors.definitions import MonitorDefinition, from_row, read_all
from driftline.monitors.schedule import Schedule, due_windows, windows_from
from driftline.monitors.tables import asked_windows, definitions, leases

# A scheduler that keeps up has long run a window by then, its delay counted.
OVERDUE_AFTER = timedelta(minutes=10)
# By how much clocks of several machines may differ: what one has run, another leaves.
CLOCKS_DIFFER = timedelta(minutes=1)
# Between two attempts to run a window.
LONGEST_REST = timedelta(minutes=5)
# When the first of the windows that somebody asked for may be run: one that was not tried, always.
_ASKED_FOR = (
    select(func.min(func.coalesce(asked_windows.c.retry_at, literal(EPOCH, UtcDateTime))))
    .where(asked_windows.c.monitor == definitions.c.name)
    .scalar_subquery()
    .label("asked_for")
)
# What tells one definition of a monitor from another.
_STAMP = (definitions.c.name, definitions.c.created_at, definitions.c.updated_at)


@dataclass(frozen=True, slots=True)
class MonitorState:
    """One monitor, and its position."""

    definition: MonitorDefinition
    # End of the last window that was run, else start of the first; None: the schedule never
    # fired.
    begin: datetime | None
    is_stored: bool = False  # Whether `begin` is stored.
    owner: str | None = None
    expires_at: datetime | None = None
    position: Position | None = None  # Up to where changes were considered; None: never.
    touched: Sequence[datetime] = ()  # Starts of windows to run again.
    revisited_at: datetime | None = None  # In real time.
    attempts: int = 0  # How often the next window could not be run.
    failure: str | None = None  # Why, the last time.
    retry_at: datetime | None = None  # In real time.
    once: Window | None = None  # The only window, where the schedule has one.
    first: datetime | None = None  # What `begin` was before any window was run.
    # From when on a window is to be run that somebody asked for, in real time; None: none is.
    asked_for: datetime | None = None

    def next_window(self) -> Window | None:
        """Return the window that comes next, over or not; None where none comes any more."""
        if self.begin is None:
            return None
        if self.once is not None:
            return self.once if self.begin < self.once.end else None
        return _next_window(self.definition.timetable, self.begin)

    def due_windows(self, until: datetime) -> Iterator[Window]:
        """Return the windows to run that are over at a moment, in order."""
        if self.once is None:
            assert self.begin is not None
            return due_windows(self.definition.timetable, self.begin, until)
        window = self.next_window()
        return iter([window] if window is not None and window.end <= until else [])

    def without_missed(self, until: datetime) -> MonitorState:
        """Return the monitor behind those windows that its policy does not catch up."""
        definition, timetable = self.definition, self.definition.timetable
        if definition.catch_up == "all" or self.begin is None or not timetable.is_recurring:
            return self
        end = timetable.fired_before(until)
        if end is None or end <= self.begin:
            return self
        begin = timetable.fired_before(end - timedelta(microseconds=1))
        if begin is None or (definition.catch_up == "none" and until - end > OVERDUE_AFTER):
            begin = end
        return replace(self, begin=max(self.begin, begin))

    def set_back(self, now: datetime) -> MonitorState:
        """Return the monitor before those windows that it is past, and that have not ended."""
        if self.begin is None or self.first is None:
            return self
        if self.begin <= max(now + CLOCKS_DIFFER, self.first):
            return self
        ended = self.definition.timetable.fired_before(now) if self.once is None else None
        begin = self.first if ended is None else max(self.first, ended)
        return replace(self, begin=begin, touched=[one for one in self.touched if one < begin])

    def rests(self, moment: datetime) -> bool:
        """Return whether the next window waits to be tried again, in real time."""
        # One that lies further ahead was written by a clock that has been set back since.
        return self.retry_at is not None and moment < self.retry_at <= moment + LONGEST_REST

    def is_asked(self, moment: datetime) -> bool:
        """Return whether a window that somebody asked for may be run at a moment."""
        return self.asked_for is not None and self.asked_for <= moment

    def is_leased(self, owner: str, moment: datetime) -> bool:
        """Return whether another than this owner has the lease at a moment."""
        if self.owner in (None, owner) or self.expires_at is None:
            return False
        return self.expires_at > moment


class MonitorStates:
    """States of all monitors, updated at each read; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        # By name: the times that tell a definition, and the monitor before any window was run;
        # no monitor where it cannot be read.
        self._unrun: dict[str, tuple[tuple[object, ...], MonitorState | None]] = {}
        # By name: the row as it was, and what was made of it.
        self._states: dict[str, tuple[Row[tuple[object, ...]], MonitorState]] = {}

    def read(self, connection: Connection) -> list[MonitorState]:
        """Return all monitors by name; an unchanged one is the same object."""
        with self._lock:
            return self._read(connection)

    def _read(self, connection: Connection) -> list[MonitorState]:
        query = _states(*_STAMP, _ASKED_FOR).order_by(definitions.c.name)
        rows = {row.name: row for row in connection.execute(query)}
        stamps = {name: tuple(row[: len(_STAMP)]) for name, row in rows.items()}
        self._unrun = {
            name: found for name, found in self._unrun.items() if stamps.get(name) == found[0]
        }
        for some in chunks([name for name in rows if name not in self._unrun]):
            of_some = select(definitions).where(definitions.c.name.in_(some))
            read = {
                one.definition.name: one for one in read_all(connection.execute(of_some), _unrun)
            }
            for name in some:
                self._unrun[name] = stamps[name], read.get(name)
                self._states.pop(name, None)
        known, self._states = self._states, {}
        for name, row in rows.items():
            unrun = self._unrun[name][1]
            if unrun is None:
                continue
            before = known.get(name)
            if before is None or before[0] != row:
                state = unrun if row.done_until is None else with_state(unrun, row)
                before = row, replace(state, asked_for=row.asked_for)
            self._states[name] = before
        return [state for _, state in self._states.values()]


_KEPT = WeakKeyDictionary[Engine, MonitorStates]()


def list_states(connection: Connection) -> list[MonitorState]:
    """Return all monitors by name, with their positions."""
    return MonitorStates().read(connection)


def kept_states(connection: Connection) -> list[MonitorState]:
    """Return the same for repeated reads: only changed ones are read again."""
    return _KEPT.setdefault(connection.engine, MonitorStates()).read(connection)


def state_of(connection: Connection, name: str) -> MonitorState:
    """Return the state of one monitor, as the scheduler would find it."""
    return _state(
        connection.execute(_states(*definitions.c).where(definitions.c.name == name)).one()
    )


def states_of(connection: Connection, names: Sequence[str]) -> list[MonitorState]:
    """Return where some monitors stand; those that do not exist or cannot be read are left out."""
    query = _states(*definitions.c).where(definitions.c.name.in_(names))
    return list(read_all(connection.execute(query), _state))


def _state(row: Row[tuple[object, ...]]) -> MonitorState:
    unrun = _unrun(row)
    return unrun if row.done_until is None else with_state(unrun, row)


def with_state(state: MonitorState, row: Row[tuple[object, ...]]) -> MonitorState:
    """Return a monitor with the state of its lease as a row has it."""
    # By column, not by name: definitions have owners, too.
    of, table = row._mapping, leases.c
    capture, truth = of[table.seen_capture], of[table.seen_truth]
    files = of[table.seen_files] or b""
    return replace(
        state,
        begin=of[table.done_until],
        is_stored=True,
        owner=of[table.owner],
        expires_at=of[table.expires_at],
        position=None if capture is None or truth is None else Position(capture, truth, files),
        touched=tuple(datetime.fromisoformat(text) for text in of[table.touched] or ()),
        revisited_at=of[table.revisited_at],
        attempts=of[table.attempts],
        failure=of[table.failure],
        retry_at=of[table.retry_at],
    )


def _states(*of_definition: ColumnElement[Any]) -> Select[tuple[object, ...]]:
    states = [column for column in leases.c if column.name != "monitor"]
    joined = definitions.outerjoin(leases, leases.c.monitor == definitions.c.name)
    return select(*of_definition, *states).select_from(joined)


def _unrun(row: Row[tuple[object, ...]]) -> MonitorState:
    """Make a monitor of the row of its definition, before any window was run."""
    definition = from_row(row)
    timetable, once = definition.timetable, None
    if timetable.is_once:
        once = timetable.window_once(row.created_at, start=definition.start)
    begin = definition.start if once is None else once.start
    if begin is None and timetable.is_recurring:
        begin = timetable.fired_before(row.created_at)
    return MonitorState(definition, begin, once=once, first=begin)


@lru_cache(maxsize=1 << 16)
def _next_window(schedule: Schedule, begin: datetime) -> Window | None:
    """Find a window once: every look needs it until it is over."""
    return next(windows_from(schedule, begin), None)
