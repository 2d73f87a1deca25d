"""The evaluator: judges every alarm when it is due, and queues the notifications.

One transaction holds new states, their history and their notifications; the old state is compared
and set, so that two evaluators cannot both notify. Alarms on monitors follow their datapoints; all
others are judged by the clock, as CloudWatch does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.evaluation import composites
from driftline.alerts.evaluation.due import next_tick
from driftline.alerts.evaluation.on_arrival import OnArrival
from driftline.alerts.evaluation.reading import BandsOf
from driftline.alerts.evaluation.scheduled import Scheduled
from driftline.database.disconnects import FailedPasses

log = logging.getLogger(__name__)

_GRACE_MAX_S = 900
_SHORTEST_CADENCE_S = 10


class Evaluator:
    """Judges all alarms; one call of :meth:`step` is one pass."""

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        dashboard_url: str = "",
        grace_s: int = _GRACE_MAX_S,  # For overdue datapoints, at most.
        poll_s: float = 1.0,
        settle_s: float = 0.0,  # How long after a tick of the clock its alarms are judged.
        bands: BandsOf | None = None,  # None: alarms beside a band have no data.
        lease_clock: Callable[[], datetime] | None = None,  # ``now`` when not given.
    ) -> None:
        self._engine = engine
        self._dashboard_url = dashboard_url
        self._now = now
        self._poll_s = poll_s
        self._settle_s = settle_s
        self._scheduled = Scheduled(
            engine,
            dashboard_url=dashboard_url,
            settle_s=settle_s,
            failed=self._failed,
            lease_clock=lease_clock or now,
            bands=bands,
        )
        self._on_arrival = OnArrival(
            engine,
            dashboard_url=dashboard_url,
            grace_s=grace_s,
            failed=self._failed,
            bands=bands,
        )
        self.failures = FailedPasses(log, "evaluator")

    def run(self, stop: threading.Event) -> None:
        """Evaluate until told to stop; a failed pass is counted, logged and tried again."""
        while not stop.is_set():
            wait_s = self._poll_s
            # What stops it would silence every alarm.
            with self.failures.noted(Exception):
                self.step()
                wait_s = self._wait_s()
            stop.wait(wait_s)

    def step(self) -> list[StateChange]:
        """Judge all that is due; return the changes in the order found."""
        now = self._now()
        changes = [*self._scheduled.step(now), *self._on_arrival.step(now)]
        composites.release(self._engine, now, dashboard_url=self._dashboard_url)
        for change in changes:
            log.info(
                "alarm_state_changed alarm=%r seq=%d old=%s new=%s period_end=%s",
                change.alarm_name,
                change.seq,
                change.old,
                change.new,
                change.period_end.isoformat(),
            )
        return changes

    def _wait_s(self) -> float:
        """Return the time until the next pass: a tick of the clock is not slept over."""
        settled = self._now() - timedelta(seconds=self._settle_s)
        left = (next_tick(settled, _SHORTEST_CADENCE_S) - settled).total_seconds()
        return min(self._poll_s, max(left, 0.0) + 0.001)

    def _failed(self, name: str, error: Exception) -> None:
        self.failures.failed(error, f"alarm={name!r}")
