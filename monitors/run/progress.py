"""Progress of a run: its stage, rows, log, and whether it is to stop.

A thread stores it every two seconds, so a shorter run costs nothing. Time limit and cancellation
are checked between stages and at each batch.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    case,
    delete,
    null,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from driftline.capture.windows.window import Window
from driftline.database.clock import database_time
from driftline.database.dialects import upsert
from driftline.database.leases import repeating
from driftline.errors import UndecidedError
from driftline.monitors.tables import executions, runs

log = logging.getLogger(__name__)

WRITE_EVERY_S = 2.0
# A process that has written nothing for so long has died.
GONE_AFTER = timedelta(minutes=1)
LOG_LINES = 100
LINE_CHARACTERS = 300


class OverTimeError(UndecidedError):
    """A run has taken longer than its monitor allows."""


class Stopped(Exception):  # noqa: N818 - no error: somebody wished it.
    """Somebody has cancelled the run."""


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


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Progress:
    """A run, as its own process reports it. Times are real, also in a replay.

    The heartbeat, by which others tell whether it has died, is the database's time.
    """

    engine: Engine
    monitor: str
    window: Window
    timeout_s: float
    timer: Callable[[], float]
    clock: Callable[[], datetime] = _now
    stage: str = "reading"
    rows_read: int = 0
    is_stopped: bool = False
    lines: list[dict[str, str]] = field(default_factory=list)
    inputs: dict[str, object] | None = None
    _owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    _is_written: bool = False
    _begun_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._begun_s = self.timer()

    @property
    def lasted(self) -> timedelta:
        """How long the run has taken, in real time."""
        return timedelta(seconds=self.timer() - self._begun_s)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write it down every two seconds, and take it away at the end."""
        try:
            with repeating(self.tick, WRITE_EVERY_S, "progress"):
                yield
        finally:
            self._remove()

    def begin(self, stage: str) -> None:
        """Enter a stage, unless the run is to end."""
        self.check()
        self.stage = stage
        self.note(stage)

    def note(self, text: str) -> None:
        """Add a line to the log: numbers and our own words, never rows."""
        if len(self.lines) < LOG_LINES:
            self.lines.append({"at": self.clock().isoformat(), "text": text[:LINE_CHARACTERS]})

    def check(self) -> None:
        """End a run that was cancelled (Stopped) or has taken too long (OverTimeError)."""
        if self.is_stopped:
            raise Stopped
        if self.timer() - self._begun_s >= self.timeout_s:
            raise OverTimeError(
                f"ended after {self.timeout_s:,g} s; give the monitor a longer timeout_s or "
                "shorter windows"
            )

    def pass_on(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Count a batch that is judged, unless the run is to end."""
        self.check()
        self.rows_read += batch.num_rows
        return batch

    def explained(self, done: int, rows: int | None) -> None:
        """Report how many rows a model was asked to explain, unless the run is to end."""
        self.check()
        self.stage = f"explaining: {done:,} of {rows or done:,} rows"

    def tick(self) -> None:
        """Write down where the run is, and learn whether somebody has cancelled it."""
        lasted = self.lasted
        try:
            with self.engine.begin() as connection:
                moment = database_time(connection)
                values = {
                    "owner": self._owner, "stage": self.stage, "rows_read": self.rows_read,
                    "log": list(self.lines), "seen_at": moment, "started_at": moment - lasted,
                }  # fmt: skip
                # Whoever cancelled a run that has died meant that one; not one that stood still.
                is_dead = and_(runs.c.owner != self._owner, runs.c.seen_at < moment - GONE_AFTER)
                wish = case((is_dead, null()), else_=runs.c.stopped_by)
                stopped_by = connection.scalar(
                    upsert(connection, runs)
                    .values(**_key(self.monitor, self.window), **values)
                    .on_conflict_do_update(
                        index_elements=[*_key(self.monitor, self.window)],
                        set_={**values, "stopped_by": wish},
                    )
                    .returning(runs.c.stopped_by)
                )
        except SQLAlchemyError as error:  # The next time, or whoever runs the window tells it.
            log.warning("monitor=%s progress_not_written error=%s", self.monitor, error)
            return
        self._is_written = True
        self.is_stopped = self.is_stopped or stopped_by is not None

    def _remove(self) -> None:
        if not self._is_written:
            return
        own = and_(_is(self.monitor, self.window), runs.c.owner == self._owner)
        try:
            with self.engine.begin() as connection:
                connection.execute(delete(runs).where(own))
        except SQLAlchemyError as error:  # It is taken for dead after a minute.
            log.warning("monitor=%s progress_not_removed error=%s", self.monitor, error)


def list_runs(connection: Connection, monitor: str | None) -> list[RunState]:
    """Return the windows being judged, of one monitor or of all, for at least two seconds."""
    query = (
        select(runs)
        .where(runs.c.seen_at > database_time(connection) - GONE_AFTER)
        .order_by(runs.c.window_start)
    )
    if monitor is not None:
        query = query.where(runs.c.monitor == monitor)
    return [
        RunState(
            monitor=row.monitor,
            window_start=row.window_start,
            window_end=row.window_end,
            status="InProgress" if row.stopped_by is None else "Stopping",
            stage=row.stage,
            rows_read=row.rows_read,
            started_at=row.started_at,
            seen_at=row.seen_at,
            log=row.log,
        )
        for row in connection.execute(query)
    ]


def log_of(connection: Connection, execution: str) -> list[dict[str, str]]:
    """Return the log of an execution: time and text of each line; empty where none was kept."""
    return connection.scalar(select(executions.c.log).where(executions.c.id == execution)) or []


def ask_to_stop(connection: Connection, monitor: str, window: Window, by: str) -> bool:
    """Note that a run is to end; False when none is known of that window."""
    done = connection.execute(
        update(runs)
        .where(_is(monitor, window), runs.c.seen_at > database_time(connection) - GONE_AFTER)
        .values(stopped_by=by)
    )
    return done.rowcount > 0


def _key(monitor: str, window: Window) -> dict[str, object]:
    return {"monitor": monitor, "window_start": window.start, "window_end": window.end}


def _is(monitor: str, window: Window) -> ColumnElement[bool]:
    return and_(*(runs.c[name] == value for name, value in _key(monitor, window).items()))
