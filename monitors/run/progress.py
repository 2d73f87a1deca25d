"""Progress of a run: its stage, rows, log, and whether it is to stop.

A thread stores it every two seconds, which also keeps the lease of the window. Time limit and
cancellation are checked between stages and at each batch.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.clock import database_time
from driftline.database.leases import repeating
from driftline.errors import UndecidedError
from driftline.monitors.run import window_queue
from driftline.monitors.run.job import Job
from driftline.monitors.run.window_queue import STOPPING

log = logging.getLogger(__name__)

WRITE_EVERY_S = 2.0
LOG_LINES = 100
LINE_CHARACTERS = 300


class OverTimeError(UndecidedError):
    """A run has taken longer than its monitor allows."""


class Stopped(Exception):  # noqa: N818 - no error: somebody wished it.
    """Somebody has cancelled the run."""


class Progress:
    """A run, as its own process reports it. Times are real, also in a replay."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stage, self.rows_read, self.is_stopped = "reading", 0, False
        self.lines: list[dict[str, str]] = []
        self.inputs: dict[str, object] | None = None
        self._begun_s = job.timer()
        # A run by hand comes into the queue by its first tick.
        self._is_queued = job.claim is not None
        self._owner = uuid.uuid4().hex if job.claim is None else job.claim.owner

    @property
    def lasted(self) -> timedelta:
        """How long the run has taken, in real time."""
        return timedelta(seconds=self.job.timer() - self._begun_s)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write it down every two seconds, and take the window out of the queue at the end.

        A window that was claimed and could not be run stays: who claimed it says what comes next.
        """
        is_run = False
        if self.job.claim is None:
            # Before rows are read: what comes while a window is run is considered after it.
            self.tick()
        try:
            with repeating(self.tick, WRITE_EVERY_S, "progress"):
                yield
            is_run = True
        finally:
            if self._is_queued and (is_run or self.job.claim is None):
                self._remove()

    def finish(self, connection: Connection) -> None:
        """Take the window out of the queue, in the transaction that records the run."""
        if self._is_queued:
            window_queue.remove(connection, self.job.definition.name, self.job.window, self._owner)
            self._is_queued = False

    def begin(self, stage: str) -> None:
        """Enter a stage, unless the run is to end."""
        self.check()
        self.stage = stage
        self.note(stage)

    def note(self, text: str) -> None:
        """Add a line to the log: numbers and our own words, never rows."""
        if len(self.lines) < LOG_LINES:
            self.lines.append({"at": datetime.now(UTC).isoformat(), "text": text[:LINE_CHARACTERS]})

    def check(self) -> None:
        """End a run that was cancelled (Stopped) or has taken too long (OverTimeError)."""
        if self.is_stopped:
            raise Stopped
        limit_s = self.job.definition.timeout_s
        if self.job.timer() - self._begun_s >= limit_s:
            raise OverTimeError(
                f"ended after {limit_s:,g} s; give the monitor a longer timeout_s or shorter "
                "windows"
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
        name, claim, lasted = self.job.definition.name, self.job.claim, self.lasted
        try:
            with self.job.engine.begin() as connection:
                moment = database_time(connection) if claim is None else claim.clock()
                values = {
                    "stage": self.stage, "rows_read": self.rows_read, "log": list(self.lines),
                    "started_at": moment - lasted,
                }  # fmt: skip
                status = window_queue.hold(
                    connection, name, self.job.window, self._owner, moment, values
                )
        except SQLAlchemyError as error:  # The next time, or whoever runs the window tells it.
            log.warning("monitor=%s progress_not_written error=%s", name, error)
            return
        self._is_queued = self._is_queued or status is not None
        self.is_stopped = self.is_stopped or status == STOPPING

    def _remove(self) -> None:
        try:
            with self.job.engine.begin() as connection:
                self.finish(connection)
        except SQLAlchemyError as error:  # Its lease runs out, and it is run again.
            log.warning("monitor=%s progress_not_removed error=%s", self.job.definition.name, error)
