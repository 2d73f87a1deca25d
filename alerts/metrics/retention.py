"""Retention of the metric store: CloudWatch's, in bounded steps.

Periods below a minute are kept for 3 hours, minutes for 15 days, five minutes for 63 days, hours
for 455 days; older ones exist at the next coarser one. Datapoints of monitors stay as they were
put, with their notes, for 455 days before the newest of their metric.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine, delete

from driftline.alerts.metrics import packing
from driftline.alerts.metrics.adding import REQUEST_KEPT
from driftline.alerts.tables import requests
from driftline.database.disconnects import FailedPasses

log = logging.getLogger(__name__)

# How long each period is kept before it is rolled up (CloudWatch User Guide, metrics retention).
KEPT: Final[Mapping[int, timedelta]] = {
    1: timedelta(hours=3),
    60: timedelta(days=15),
    300: timedelta(days=63),
}
LONGEST: Final = timedelta(days=455)

# An hour is packed when most of what comes late has come: later ones cost a look at its block.
_PACK_AFTER = timedelta(minutes=70)
_DROP_EVERY = timedelta(days=1)
# A part that takes longer makes room for others after it, for at least so long.
_SHORT_S = 0.03
_LET_IN_S = 0.12


@dataclass(frozen=True, slots=True)
class Done:
    """Counts of a step: samples packed, blocks rolled up, blocks and datapoints dropped."""

    packed: int = 0
    rolled_up: int = 0
    dropped: int = 0


class MetricRetention:
    """Looks after the metric store; one call of :meth:`step` does all there is to do.

    Several may run on one PostgreSQL: they take turns.
    """

    def __init__(
        self, engine: Engine, now: Callable[[], datetime], *, poll_s: float = 60.0
    ) -> None:
        self._engine = engine
        self._now = now
        self._poll_s = poll_s
        self._dropped_at: datetime | None = None
        self.failures = FailedPasses(log, "metric_upkeep")

    def run(self, stop: threading.Event) -> None:
        """Maintain the store until told to stop; a failed step is counted and retried."""
        while not stop.is_set():
            # What stops it would let the store grow.
            with self.failures.noted(Exception):
                self.step(stop)
            stop.wait(self._poll_s)

    def step(self, stop: threading.Event | None = None) -> Done:
        """Do what is due, a transaction for each part, so that nothing waits long."""
        now = self._now()
        ends = stop or threading.Event()
        packed = self._until_done(
            lambda connection: packing.pack_samples(connection, _seconds(now - _PACK_AFTER)), ends
        )
        rolled_up = 0
        for level, kept in KEPT.items():
            until_s = _seconds(now - kept)

            roll = partial(packing.roll_up, level=level, until_s=until_s)
            rolled_up += self._until_done(roll, ends)
        dropped = self._until_done(
            lambda connection: packing.drop_blocks(connection, _seconds(now - LONGEST)), ends
        )
        with self._engine.begin() as connection:
            oldest = requests.c.received_at < now - REQUEST_KEPT
            connection.execute(delete(requests).where(oldest))
        dropped += self._drop_datapoints(now, ends)
        done = Done(packed, rolled_up, dropped)
        if done != Done():
            log.info("metric_upkeep packed=%d rolled_up=%d dropped=%d", packed, rolled_up, dropped)
        return done

    def _until_done(self, part: Callable[[Connection], int], ends: threading.Event) -> int:
        total = 0
        while not ends.is_set():
            began_s = time.perf_counter()
            with self._engine.begin() as connection:
                count = part(connection)
            if not count:
                break
            total += count
            took_s = time.perf_counter() - began_s
            if took_s > _SHORT_S:
                # SQLite's writers do not queue, they try again after up to 0.1 s: let them in.
                ends.wait(max(took_s, _LET_IN_S))
        return total

    def _drop_datapoints(self, now: datetime, ends: threading.Event) -> int:
        """Go through all metrics once a day."""
        if self._dropped_at is not None and abs(now - self._dropped_at) < _DROP_EVERY:
            return 0
        total, after = 0, 0
        while not ends.is_set():
            with self._engine.begin() as connection:
                count, last = packing.drop_datapoints(connection, after, LONGEST, now)
            total += count
            if last is None:
                self._dropped_at = now
                break
            after = last
        return total


def _seconds(time: datetime) -> int:
    return int(time.timestamp() // 1)
