"""The process loop that runs monitors when their windows are due, in order, each window once.

Each look queues what is due, and the windows that late records and labels have changed, and then
claims and runs one window after the other. The lease of a dead process runs out, and another claims
its window. If two run the same window, its execution id makes them one.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from driftline.baseline.cache import BaselineCache
from driftline.capture.windows.window import Window
from driftline.database.disconnects import FailedPasses, is_disconnect
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.monitors.check_context import Predictor
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.executions import Execution
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.run import planning, window_queue
from driftline.monitors.run.captured_window import load_labels
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Claim, Job
from driftline.monitors.run.past_windows import RETENTION
from driftline.monitors.run.planning import MonitorState, MonitorStates
from driftline.monitors.run.window_queue import QUEUE, Waiting
from driftline.monitors.tables import REQUESTED
from driftline.signature import Signature

log = logging.getLogger(__name__)

# Windows of one monitor that are run before others get their turn.
WINDOWS_PER_TURN = 50
# Longer than records wait in the spool, as long as their app lives.
SPOOL_S = 15.0
REVISIT_S = 300.0
# Between two attempts to run a window.
LONGEST_REST = timedelta(minutes=5)

# Returns the model of an endpoint, by its name and, where one is named, variant; None has none.
Predictors = Callable[[str, str | None], Predictor | None]


class Scheduler:
    """Runs the monitors of one installation."""

    def __init__(
        self,
        engine: Engine,
        root: str,
        # None while an endpoint has no signature: its monitors wait.
        signatures: Callable[[str], Signature | None],
        *,
        now: Callable[[], datetime],
        poll_s: float = 5.0,
        # Real time for leases and `revisit_s`, also where `now` is replayed.
        lease_clock: Callable[[], datetime] | None = None,
        revisit_s: float = REVISIT_S,
        predictors: Predictors | None = None,
        scripts_dir: str = "",
        commands_dir: str = "",
        retention_days: float = RETENTION.days,
        access: Access = UNLIMITED,
        asks_models: bool | None = None,  # Only monitors that ask models, or only the others.
        baselines: BaselineCache | None = None,  # That others use as well.
    ) -> None:
        self.engine, self.root, self.signatures = engine, root, signatures
        self.now, self.poll_s = now, poll_s
        self.lease_clock = lease_clock or now
        self.revisit_after = timedelta(seconds=revisit_s)
        self.predictors = predictors
        self.scripts_dir, self.commands_dir, self.access = scripts_dir, commands_dir, access
        self.retention = timedelta(days=retention_days)
        self.asks_models = asks_models
        self.owner = uuid.uuid4().hex
        self.failures = FailedPasses(log, "scheduler")
        self._baselines = baselines or BaselineCache()
        self.drift_tests = DriftTestCache()
        self._states = MonitorStates()
        # When each monitor's windows were last looked through for changes.
        self._looked_at: dict[str, datetime] = {}

    def run(self, stop: threading.Event) -> None:
        """Run what is due until the event is set."""
        while not stop.is_set():
            try:
                ran = self.step(stop)
                self.failures.passed()
            except SQLAlchemyError as error:
                if not is_disconnect(error):
                    raise  # The supervisor starts the process anew.
                self.failures.failed(error)
                ran = []
            if not ran:
                stop.wait(self.poll_s)

    def step(self, stop: threading.Event | None = None) -> list[Execution]:
        """Run everything that is due now, and return the executions.

        Monitors of higher priority come first; the windows of each run in order.
        """
        stop = stop or threading.Event()
        with read_connection(self.engine) as connection:
            found = self._states.read(connection)
            waiting = window_queue.first_waiting(connection, self.lease_clock())
        found.sort(key=lambda one: -one.definition.priority)
        known = {one.definition.name for one in found}
        self._looked_at = {name: at for name, at in self._looked_at.items() if name in known}
        ran: list[Execution] = []
        for state in found:
            definition = state.definition
            is_other = self.asks_models not in (None, definition.kind_value.needs_model)
            queued = waiting.get(definition.name)
            is_asked = queued is not None and queued.is_asked
            if is_other or (definition.paused and not is_asked):
                continue
            try:
                ran.extend(self._take_turn(state, queued, stop))
            except Exception as error:  # One monitor's trouble must not stop the others.
                if isinstance(error, SQLAlchemyError) and is_disconnect(error):
                    raise
                self.failures.failed(error, f"monitor={definition.name!r}")
        return ran

    def _take_turn(
        self, state: MonitorState, waiting: Waiting | None, stop: threading.Event
    ) -> Iterator[Execution]:
        """Queue what is due of a monitor, or has changed, and run what waits."""
        definition, moment = state.definition, self.lease_clock()
        state = planning.set_back(self.engine, state, self.now())
        due: Sequence[Window] = ()
        if not definition.paused and (waiting is None or not waiting.is_scheduled):
            due = [*islice(state.due_windows(self._until(definition)), WINDOWS_PER_TURN)]
        is_waiting = waiting is not None and waiting.next_attempt_at <= moment
        looked_at = self._looked_at.get(definition.name)
        is_time = looked_at is None or not looked_at <= moment < looked_at + self.revisit_after
        is_time &= not definition.paused and (state.is_stored or definition.labels is not None)
        if not (due or is_waiting or is_time):
            return
        # A window that has changed is run again once in a while at most.
        again_at = moment if is_time or looked_at is None else looked_at + self.revisit_after
        if is_time:
            self._looked_at[definition.name] = moment
        if definition.labels is not None:
            starts = [one.start for one in (*due[:1], *[waiting] * is_waiting) if one]
            following = state.next_window()
            starts += [following.start] if following and not starts else []
            self._load_labels(definition, min(starts, default=moment))
        is_captured = definition.source is None
        signature = self.signatures(definition.endpoint) if is_captured else None
        if is_captured and signature is None:
            return
        # Changes before what is due: later data belong to windows that are not run yet.
        is_changed = (due or (is_time and state.is_stored)) and self._look(state, again_at, moment)
        if due:
            planning.plan(self.engine, state, due, moment)
        if not (due or is_waiting or is_changed):
            return
        predict = self._model(definition)
        # What was just planned is all there is: to look for more would cost a query a turn.
        count = len(due) if waiting is None and not is_changed else WINDOWS_PER_TURN
        for _ in range(count):
            if stop.is_set():
                return
            moment = self.lease_clock()
            row = window_queue.claim(
                self.engine, definition.name, self.owner, moment, only_asked=definition.paused
            )
            if row is None:
                return
            execution = self._judge(definition, row, signature, predict)
            if execution is None:
                return  # What keeps one from being run may keep the others, too.
            yield execution

    def _judge(
        self,
        definition: MonitorDefinition,
        row: Row[Any],
        signature: Signature | None,
        predict: Predictor | None,
    ) -> Execution | None:
        """Run a window that was claimed; one that cannot be run now is tried again later."""
        window = Window(row.window_start, row.window_end)
        job = Job(
            self.engine,
            self.root,
            definition,
            window,
            now=self.now,
            claim=Claim(self.owner, self.lease_clock, REQUESTED if row.added_by else row.reason),
            signature=signature,
            baselines=self._baselines.get,
            predict=predict,
            scripts_dir=self.scripts_dir,
            commands_dir=self.commands_dir,
            retention=self.retention,
            drift_tests=self.drift_tests,
            access=self.access,
        )
        try:
            return run(job)
        except (DriftlineError, OSError) as error:
            self._count(definition, error, window)
            rest = timedelta(seconds=self.poll_s * 2 ** min(row.attempts - 1, 16))
            at = self.lease_clock() + min(rest, LONGEST_REST)
            with self.engine.begin() as connection:
                QUEUE.retry(
                    connection, self.owner, [row.id], at, counts=True, failure_reason=str(error),
                    started_at=None,
                )  # fmt: skip
            return None

    def _load_labels(self, definition: MonitorDefinition, since: datetime) -> None:
        try:
            load_labels(self.root, definition, since, self.lease_clock)
        except DriftlineError as error:
            self._count(definition, error)

    def _look(self, state: MonitorState, at: datetime, moment: datetime) -> bool:
        """Queue the windows that have changed, to be run from a time on."""
        if state.once is not None:
            return False
        try:
            is_changed = planning.look(
                self.engine, self.root, state, self.access, at=at, now=moment
            )
        except (DriftlineError, OSError) as error:
            self._count(state.definition, error)
            return False
        if is_changed:
            self._looked_at[state.definition.name] = max(at, moment)
        return is_changed

    def _until(self, definition: MonitorDefinition) -> datetime:
        """Return the time up to which windows are complete, late records included."""
        # The one window of NOW ends with the newest rows: those may still be in the spool.
        least_s = SPOOL_S if definition.timetable.is_once else 0.0
        return self.now() - timedelta(seconds=max(definition.delay_s, least_s))

    def _model(self, definition: MonitorDefinition) -> Predictor | None:
        """Return the endpoint's model, where the kind has to ask it."""
        if not definition.kind_value.needs_model or self.predictors is None:
            return None
        return self.predictors(definition.endpoint, definition.variant)

    def _count(
        self, definition: MonitorDefinition, error: Exception, window: Window | None = None
    ) -> None:
        """Count and log a failure with its own message."""
        self.failures.count += 1
        log.warning(
            "monitor=%s window=%s failures=%d error=%s",
            definition.name,
            "" if window is None else window.stamp,
            self.failures.count,
            error,
        )
