"""The process loop that runs monitors when their windows are due, in order, each window once.

Where a monitor stands (``done_until``) is kept in its lease row. A scheduler takes the lease by
compare-and-set, runs what is due, and moves the position only while the lease is its own; one that
dies leaves a lease that runs out. Should two ever run the same window, the execution's id makes
them one.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import Engine, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.window import Window
from driftline.errors import DriftlineError
from driftline.monitors.cron import due_windows
from driftline.monitors.definitions import MonitorDefinition, list_definitions
from driftline.monitors.execution import Execution, run
from driftline.monitors.tables import definitions, leases
from driftline.signature import Signature

__all__ = ["Scheduler"]

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
# Windows of one monitor that are run before others get their turn.
WINDOWS_PER_TURN = 50
BASELINES_KEPT = 16


class Scheduler:
    """Runs the monitors of one installation.

    Parameters
    ----------
    engine, root
        Database and storage.
    signatures
        Gives an endpoint's signature; None while it has none, and its monitors then wait.
    now
        The clock that says which windows are over.
    watermark
        Says up to which event time an endpoint's records are stored; windows that end later wait.
        None from it means that nothing is known, and the clock alone decides.
    poll_s
        Seconds between two looks.
    lease_clock
        The clock of leases, real time also where `now` is replayed; `now` when missing.
    """

    def __init__(
        self,
        engine: Engine,
        root: str,
        signatures: Callable[[str], Signature | None],
        *,
        now: Callable[[], datetime],
        watermark: Callable[[str], datetime | None] | None = None,
        poll_s: float = 5.0,
        lease_clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.engine, self.root, self.signatures = engine, root, signatures
        self.now, self.watermark, self.poll_s = now, watermark, poll_s
        self.lease_clock = lease_clock or now
        self.owner = uuid.uuid4().hex
        self.failure_count = 0
        # A baseline takes longer to load than a window to judge; its version names its content.
        self._baseline = lru_cache(maxsize=BASELINES_KEPT)(store.get)

    def run(self, stop: threading.Event) -> None:
        """Run what is due until the event is set."""
        while not stop.is_set():
            try:
                ran = self.step(stop)
            except OperationalError:
                # The database is away: it comes back, or the supervisor is told.
                self.failure_count += 1
                log.exception("scheduler=%s failures=%d", self.owner, self.failure_count)
                ran = []
            if not ran:
                stop.wait(self.poll_s)

    def step(self, stop: threading.Event | None = None) -> list[Execution]:
        """Run everything that is due now, in order of windows, and give the executions."""
        with self.engine.connect() as connection:
            found = list_definitions(connection)
        ran: list[Execution] = []
        for definition in found:
            if not definition.timetable.is_recurring:
                continue
            try:
                ran.extend(self._run_monitor(definition, stop))
            except OperationalError:
                raise
            except Exception:  # One monitor's trouble must not stop the others.
                self.failure_count += 1
                log.exception("monitor=%s failures=%d", definition.name, self.failure_count)
        return ran

    def _run_monitor(
        self, definition: MonitorDefinition, stop: threading.Event | None
    ) -> Iterator[Execution]:
        signature = self.signatures(definition.endpoint)
        if signature is None:
            return
        until = self._until(definition)
        position = self._position(definition)
        if (
            position is None
            or next(due_windows(definition.timetable, position, until), None) is None
        ):
            return
        taken = self._take(definition)
        if taken is None:
            return
        try:
            windows = due_windows(definition.timetable, taken, until)
            for _, window in zip(range(WINDOWS_PER_TURN), windows, strict=False):
                if stop is not None and stop.is_set():
                    return
                execution = self._run_window(definition, window, signature)
                if execution is None or not self._advance(definition, window.end):
                    return
                yield execution
        finally:
            self._release(definition)

    def _until(self, definition: MonitorDefinition) -> datetime:
        """Say up to which moment windows are over, their late records waited for."""
        until = self.now() - timedelta(seconds=definition.delay_s)
        known = self.watermark(definition.endpoint) if self.watermark else None
        return until if known is None else min(until, known)

    def _run_window(
        self, definition: MonitorDefinition, window: Window, signature: Signature
    ) -> Execution | None:
        """Run one window; one that cannot be run stays due, and the others of its monitor wait."""
        try:
            return run(
                self.engine,
                self.root,
                definition,
                window,
                now=self.now,
                signature=signature,
                baselines=self._read_baseline,
            )
        except (DriftlineError, OSError) as error:
            self.failure_count += 1
            log.warning(
                "monitor=%s window=%s failures=%d error=%s",
                definition.name,
                window.stamp,
                self.failure_count,
                error,
            )
            return None

    def _read_baseline(self, root: str, name: str, version: str | None) -> Baseline:
        """Load a baseline, or take the loaded one when the newest version is still the same."""
        if version is None:
            known = store.versions(root, name)
            version = known[-1] if known else None
        return self._baseline(root, name, version)

    def _position(self, definition: MonitorDefinition) -> datetime | None:
        """Give the end of the last window that was run; a new monitor gets its first one here."""
        query = select(leases.c.done_until).where(leases.c.monitor == definition.name)
        with self.engine.connect() as connection:
            found: datetime | None = connection.scalar(query)
        if found is not None:
            return found
        start = definition.start or self._first(definition)
        if start is None:
            return None
        dialect = postgresql if self.engine.dialect.name == "postgresql" else sqlite
        with self.engine.begin() as connection:
            connection.execute(
                dialect.insert(leases)
                .values(monitor=definition.name, done_until=start)
                .on_conflict_do_nothing(index_elements=["monitor"])
            )
            stored: datetime | None = connection.scalar(query)
            return stored

    def _first(self, definition: MonitorDefinition) -> datetime | None:
        query = select(definitions.c.created_at).where(definitions.c.name == definition.name)
        with self.engine.connect() as connection:
            created = connection.scalar(query)
        return None if created is None else definition.timetable.fired_before(created)

    def _take(self, definition: MonitorDefinition) -> datetime | None:
        """Take the monitor's lease; gives where to go on, or None when another has it."""
        moment = self.lease_clock()
        free = or_(
            leases.c.owner.is_(None), leases.c.owner == self.owner, leases.c.expires_at <= moment
        )
        with self.engine.begin() as connection:
            found = connection.execute(
                update(leases)
                .where(leases.c.monitor == definition.name, free)
                .values(owner=self.owner, expires_at=moment + LEASE)
                .returning(leases.c.done_until)
            ).first()
        return None if found is None else found.done_until

    def _advance(self, definition: MonitorDefinition, end: datetime) -> bool:
        """Move the position and renew the lease; False when the lease has been lost."""
        with self.engine.begin() as connection:
            done = connection.execute(
                update(leases)
                .where(leases.c.monitor == definition.name, leases.c.owner == self.owner)
                .values(done_until=end, expires_at=self.lease_clock() + LEASE)
            )
            return done.rowcount == 1

    def _release(self, definition: MonitorDefinition) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                update(leases)
                .where(leases.c.monitor == definition.name, leases.c.owner == self.owner)
                .values(owner=None, expires_at=None)
            )
