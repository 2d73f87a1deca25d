"""The process loop that runs monitors when their windows are due, in order, each window once.

A monitor's position (``done_until``) is in its lease row. A scheduler takes the lease by
compare-and-set, runs what is due, and moves the position only while it holds the lease. The lease
of a dead process expires. If two run the same window, its execution id makes them one.

Late records and labels change windows that were run. The lease also holds the versions of their
tables considered so far; windows of newer ones are run again. Unchanged rows give the same
execution, changed ones a new one in its place.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Protocol

from sqlalchemy import Engine
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
from driftline.monitors.run import asked_windows, lease, revisit
from driftline.monitors.run.asked_windows import AskedWindow
from driftline.monitors.run.captured_window import load_labels
from driftline.monitors.run.execution import Job, run
from driftline.monitors.run.past_windows import RETENTION
from driftline.monitors.run.status import LONGEST_REST, MonitorState, MonitorStates
from driftline.signature import Signature

log = logging.getLogger(__name__)

# Windows of one monitor that are run before others get their turn.
WINDOWS_PER_TURN = 50
# Longer than records wait in the spool, as long as their app lives.
SPOOL_S = 15.0
REVISIT_S = 300.0

# Returns the model of an endpoint, by its name and, where one is named, variant; None has none.
Predictors = Callable[[str, str | None], Predictor | None]


class _Judge(Protocol):
    """Runs one window of a monitor whose turn it is; asked for, one that was cancelled, too."""

    def __call__(self, window: Window, *, is_asked: bool = False) -> Execution:
        """Return the execution."""


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
        self._has_lease = False  # That of the monitor whose turn it is.
        self.failures = FailedPasses(log, "scheduler")
        self._baselines = baselines or BaselineCache()
        self.drift_tests = DriftTestCache()
        self._states = MonitorStates()
        # When each monitor's tables were looked at last; only what is found is written down.
        self._looked_at: dict[str, datetime] = {}
        self._labelled_at: dict[str, datetime] = {}

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
        found.sort(key=lambda one: -one.definition.priority)
        known = {one.definition.name for one in found}
        self._looked_at = {name: at for name, at in self._looked_at.items() if name in known}
        self._labelled_at = {name: at for name, at in self._labelled_at.items() if name in known}
        ran: list[Execution] = []
        for state in found:
            definition = state.definition
            is_other = self.asks_models not in (None, definition.kind_value.needs_model)
            if is_other or definition.paused:
                continue
            try:
                ran.extend(self._run_monitor(state, stop))
            except Exception as error:  # One monitor's trouble must not stop the others.
                if isinstance(error, SQLAlchemyError) and is_disconnect(error):
                    raise
                self.failures.failed(error, f"monitor={state.definition.name!r}")
        return ran

    def _run_monitor(self, state: MonitorState, stop: threading.Event) -> Iterator[Execution]:
        definition = state.definition
        moment = self.lease_clock()
        if state.begin is None or state.is_leased(self.owner, moment):
            return
        state = lease.set_back(self.engine, state, self.now())
        is_over = not definition.timetable.is_recurring and state.next_window() is None
        if is_over and state.asked_for is None:
            return
        is_wanted = state.is_asked(moment) or self._is_due(state, moment)
        if is_wanted or not self._has_loaded(definition, moment):
            window = state.next_window()
            self._load_labels(definition, moment if window is None else window.start)
        if not is_wanted and not self._is_touched(state, moment):
            return
        is_captured = definition.source is None
        signature = self.signatures(definition.endpoint) if is_captured else None
        if is_captured and signature is None:
            return
        taken = lease.take(self.engine, state, self.owner, moment)
        if taken is None:
            return
        self._has_lease = True
        try:
            with ExitStack() as stack:
                stack.enter_context(
                    lease.renewed(self.engine, definition.name, self.owner, self.lease_clock)
                )
                predict = self._model(definition)

                def judge(window: Window, *, is_asked: bool = False) -> Execution:
                    return run(
                        Job(
                            self.engine,
                            self.root,
                            definition,
                            window,
                            now=self.now,
                            is_scheduled=not is_asked,
                            signature=signature,
                            baselines=self._baselines.get,
                            predict=predict,
                            scripts_dir=self.scripts_dir,
                            commands_dir=self.commands_dir,
                            retention=self.retention,
                            drift_tests=self.drift_tests,
                            access=self.access,
                        )
                    )

                yield from self._take_turn(taken, judge, stop)
        finally:
            if self._has_lease:
                lease.release(self.engine, definition.name, self.owner)

    def _has_loaded(self, definition: MonitorDefinition, moment: datetime) -> bool:
        """Return whether ground truth files were looked for a short while ago."""
        looked_at = self._labelled_at.get(definition.name)
        return looked_at is not None and looked_at <= moment < looked_at + self.revisit_after

    def _load_labels(self, definition: MonitorDefinition, since: datetime) -> None:
        self._labelled_at[definition.name] = self.lease_clock()
        try:
            load_labels(self.root, definition, since, self.lease_clock)
        except DriftlineError as error:
            self._count(definition, error)

    def _take_turn(
        self, state: MonitorState, judge: _Judge, stop: threading.Event
    ) -> Iterator[Execution]:
        """Run what is due, then what was touched, while the lease is held.

        Changes are looked up first: later data belong to windows not run yet, or are found the next
        time.
        """
        if state.once is None:
            state = self._look(state)
        yield from self._run_due(state, judge, stop)
        if state.is_asked(self.lease_clock()):
            yield from self._run_asked(state, partial(judge, is_asked=True), stop)
        if state.touched and self._may_revisit(state, self.lease_clock()):
            yield from self._run_touched(state, judge, stop)

    def _is_due(self, state: MonitorState, moment: datetime) -> bool:
        until = self._until(state.definition)
        window = state.next_window()
        if window is None or window.end > until:  # Then none was missed, either.
            return False
        window = state.without_missed(until).next_window()
        return window is not None and window.end <= until and not state.rests(moment)

    def _is_touched(self, state: MonitorState, moment: datetime) -> bool:
        """Return whether windows that were run are to be run again, without the lease."""
        if not state.is_stored or not self._may_revisit(state, moment):
            return False
        if state.touched:
            return True
        name = state.definition.name
        looked_at = self._looked_at.get(name)
        if looked_at is not None and looked_at <= moment < looked_at + self.revisit_after:
            return False
        self._looked_at[name] = moment
        return state.position is None or revisit.has_changed(
            self.engine, self.root, state, self.access
        )

    def _may_revisit(self, state: MonitorState, moment: datetime) -> bool:
        last = state.revisited_at
        return last is None or not last <= moment < last + self.revisit_after

    def _look(self, state: MonitorState) -> MonitorState:
        """Note the touched windows, unless older ones still wait to be run again."""
        if state.touched:
            return state
        try:
            return revisit.look(
                self.engine, self.root, state, self.owner, self.lease_clock(), self.access
            )
        except (DriftlineError, OSError) as error:
            self._count(state.definition, error)
            return state

    def _run_due(
        self, state: MonitorState, judge: Callable[[Window], Execution], stop: threading.Event
    ) -> Iterator[Execution]:
        """Run the windows that are over; one that cannot be run stays due, and the rest wait."""
        definition, until = state.definition, self._until(state.definition)
        if state.rests(self.lease_clock()):
            return
        windows = [*islice(state.without_missed(until).due_windows(until), WINDOWS_PER_TURN)]
        for window in windows:
            if stop.is_set():
                return
            execution = self._judge(definition, window, judge)
            if isinstance(execution, Exception):
                self._put_off(state, execution)
                return
            done = {"done_until": window.end, "attempts": 0, "failure": None, "retry_at": None}
            # One statement for both where nothing is left to do: half of what a turn writes.
            is_last = window == windows[-1] and not (state.touched or state.asked_for)
            if not self._keep(definition, is_last=is_last, **done):
                return
            state = replace(state, begin=window.end, attempts=0)
            yield execution

    def _put_off(self, state: MonitorState, error: Exception) -> None:
        """Retry a window later, with doubling delays."""
        retry_at = self.lease_clock() + self._rest(state.attempts)
        attempts = state.attempts + 1
        self._keep(state.definition, attempts=attempts, failure=str(error), retry_at=retry_at)

    def _rest(self, attempts: int) -> timedelta:
        return min(timedelta(seconds=self.poll_s * 2 ** min(attempts, 16)), LONGEST_REST)

    def _run_asked(
        self, state: MonitorState, judge: Callable[[Window], Execution], stop: threading.Event
    ) -> Iterator[Execution]:
        """Run the windows that somebody asked for; one that cannot be run is tried again later."""
        definition, moment = state.definition, self.lease_clock()
        with read_connection(self.engine) as connection:
            found = asked_windows.list_asked(connection, definition.name, moment, WINDOWS_PER_TURN)
        if found:  # The oldest comes first, and may begin before the schedule's next window.
            self._load_labels(definition, found[0].window_start)
        for asked in found:
            if stop.is_set():
                return
            execution = self._judge(definition, asked.window, judge)
            if not self._settle(asked, execution) or not self._keep(definition):
                return
            assert not isinstance(execution, Exception)
            yield execution

    def _settle(self, asked: AskedWindow, execution: Execution | Exception) -> bool:
        """Note what came of a window that was asked for; False where it could not be run."""
        with self.engine.begin() as connection:
            if not isinstance(execution, Exception):
                asked_windows.settle(connection, asked)
                return True
            retry_at = self.lease_clock() + self._rest(asked.attempts)
            asked_windows.put_off(connection, asked, str(execution), retry_at)
        return False

    def _run_touched(
        self, state: MonitorState, judge: Callable[[Window], Execution], stop: threading.Event
    ) -> Iterator[Execution]:
        """Run windows again, and rest when that is done or one cannot be run."""
        definition = state.definition
        windows = revisit.windows_of(state)
        rest = windows[WINDOWS_PER_TURN:]
        for number, window in enumerate(windows[:WINDOWS_PER_TURN]):
            if stop.is_set():
                return
            execution = self._judge(definition, window, judge)
            if isinstance(execution, Exception):
                rest = windows[number:]
                break
            if not self._keep(definition):
                return
            yield execution
        else:
            if rest:
                self._keep(definition, touched=revisit.noted(rest))
                return
        self._keep(definition, touched=revisit.noted(rest), revisited_at=self.lease_clock())

    def _until(self, definition: MonitorDefinition) -> datetime:
        """Return the time up to which windows are complete, late records included."""
        # The one window of NOW ends with the newest rows: those may still be in the spool.
        least_s = SPOOL_S if definition.timetable.is_once else 0.0
        return self.now() - timedelta(seconds=max(definition.delay_s, least_s))

    def _judge(
        self,
        definition: MonitorDefinition,
        window: Window,
        judge: Callable[[Window], Execution],
    ) -> Execution | DriftlineError | OSError:
        """Run one window; the error when that cannot be done now."""
        try:
            return judge(window)
        except (DriftlineError, OSError) as error:
            self._count(definition, error, window)
            return error

    def _keep(
        self, definition: MonitorDefinition, *, is_last: bool = False, **values: object
    ) -> bool:
        moment = self.lease_clock()
        kept = lease.keep(
            self.engine, definition.name, self.owner, moment, is_last=is_last, **values
        )
        self._has_lease = kept and not is_last
        return kept

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
