"""Sends the flights to the live endpoint, and moves the installation's clock behind them.

Scheduler, alarms and pages read the time from a file. It moves on when the table holds every
request of a day, the labels known by then are loaded, and the windows of the day before are judged:
so they see complete days in order, as they would over a year.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from driftline.app.client.client import Client
from driftline.app.demo.flights import LABEL, requests_of
from driftline.errors import UnavailableError

ENDPOINT = "flights"
DAY, WEEK = timedelta(days=1), timedelta(days=7)
LABELS_KNOWN_AFTER = timedelta(days=2)
# A week's labels are all loaded a day after the last of them are known.
LABELLED_AFTER = LABELS_KNOWN_AFTER + DAY
# By monitor: the length of its windows, and how long after its end one is judged.
WINDOWS = {
    "flights-data-quality": (DAY, timedelta()),
    "flights-model-quality": (WEEK, LABELLED_AFTER),
    "flights-bias": (WEEK, LABELLED_AFTER),
    "flights-attribution": (WEEK, timedelta()),
}

# Statuses of windows that decided something, and of those that were run at all.
DECIDED: Final = ("Completed", "CompletedWithViolations")
RUN: Final = (*DECIDED, "InsufficientData")

SENDERS = 16
# How long one stage of one day may take; how often is asked whether it is done.
PATIENCE_S, POLL_S = 120.0, 0.3


class Replay:
    """One replay of a span of flights; it counts what it sent apart from what driftline counts."""

    def __init__(
        self, client: Client, root: Path, start: datetime, end: datetime, table: pa.Table,
        *, set_clock: Callable[[datetime], None], check: Callable[[], None],
    ) -> None:  # fmt: skip
        self.client, self.start, self.end, self.table = client, start, end, table
        self.requests = requests_of(table)
        self.event_ids: dict[int, str] = {}  # By request, from the header of its answer.
        self.labels_until = start  # All labels of earlier flights are loaded.
        self._judged_until = dict.fromkeys(WINDOWS, start)
        self._captured = str(root / "capture" / ENDPOINT)
        self._stored: DeltaTable | None = None
        self._set_clock, self._check = set_clock, check
        self._labels: list[int | None] = table[LABEL].to_pylist()
        self._days: list[list[int]] = [[] for _ in range((end - start) // DAY)]
        for index, request in enumerate(self.requests):
            self._days[(request.event_time - start) // DAY].append(index)

    def window_ends(self, monitor: str, until: datetime) -> list[datetime]:
        """Return the ends of a monitor's windows that are due by then; weeks are whole."""
        length, delay = WINDOWS[monitor]
        first = self.end - (self.end - self.start) // length * length
        count = max(0, (until - delay - first) // length)
        return [first + (index + 1) * length for index in range(count)]

    def run(self, advance: Callable[[int, int | None], None]) -> None:
        """Send everything, and wait until all of it is judged and reported."""
        with ThreadPoolExecutor(SENDERS) as senders:
            sent = senders.map(self._send, self._days[0])
            for number, following in enumerate([*self._days[1:], []], 1):
                deque(sent, maxlen=0)  # Waits, and raises what a sender raised.
                count = len(self.event_ids)
                sent = senders.map(self._send, following)  # While this day is stored and judged.
                self._pass_day(self.start + number * DAY, count)
                advance(number, len(self._days))
        self._until("all windows are judged", lambda: self._is_judged(self.end))
        self._until("all alarms are evaluated", self._is_evaluated)
        self._until(
            "all messages are delivered",
            lambda: not any(self.client.deliveries(status=one) for one in ("pending", "sending")),
        )

    def _send(self, index: int) -> None:
        request = self.requests[index]
        headers = {"X-Driftline-Event-Time": request.event_time.isoformat()}
        answer = self.client.invoke(
            ENDPOINT, request.body, content_type="text/csv", headers=headers
        )
        self.event_ids[index] = answer.headers["x-amzn-RequestId"]

    def _pass_day(self, end: datetime, count: int) -> None:
        rows = sum(one.last - one.first for one in self.requests[:count])
        self._until(f"{rows} rows are stored", lambda: self._row_count() >= rows)
        while self.labels_until + DAY <= end - LABELS_KNOWN_AFTER:
            self._load_labels(self._days[(self.labels_until - self.start) // DAY])
            self.labels_until += DAY
        self._until("the day before is judged", lambda: self._is_judged(end - DAY))
        # Windows are run when their end has passed, so the clock stands a moment after midnight.
        self._set_clock(end + timedelta(minutes=1))

    def _row_count(self) -> int:
        """Count the rows of the table by its log alone, as this is asked a thousand times."""
        try:
            self._stored = self._stored or DeltaTable(self._captured)
        except TableNotFoundError:
            return 0
        self._stored.update_incremental()
        return int(self._stored.count())

    def _load_labels(self, day: list[int]) -> None:
        """Load the labels of a day's flights; a flight that never arrived has none."""
        labels: list[dict[str, object]] = []
        for index in day:
            request = self.requests[index]
            labels += [
                {"id": self.event_ids[index], "row_index": row, "label": label}
                for row, label in enumerate(self._labels[request.first : request.last])
                if label is not None
            ]
        self.client.put_truth(ENDPOINT, labels)

    def _is_judged(self, until: datetime) -> bool:
        """Whether the windows that are due by then are judged; each monitor judges in order."""
        for monitor, known in self._judged_until.items():
            due = self.window_ends(monitor, until)
            if due and known < due[-1]:
                newest = self.client.executions(monitor, limit=1)
                if not newest or datetime.fromisoformat(newest[0]["window_end"]) < due[-1]:
                    return False
                self._judged_until[monitor] = due[-1]
        return True

    def _is_evaluated(self) -> bool:
        """Whether every alarm has seen the newest window that decided something.

        A window that could not be judged has no datapoint of violations (docs/data-quality.md).
        """
        for alarm in self.client.list("Alarm"):
            monitor = alarm["spec"]["dimensions"]["MonitoringSchedule"]
            decided = self.client.executions(monitor, status=DECIDED, limit=1)
            until = alarm["status"].get("evaluated_until")
            seen = datetime.fromisoformat(until) if until else self.start
            if decided and seen < datetime.fromisoformat(decided[0]["window_end"]):
                return False
        return True

    def _until(self, what: str, is_done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_done():
            self._check()
            if time.monotonic() > end:
                raise UnavailableError(f"waited {PATIENCE_S:.0f} s in vain until {what}")
            time.sleep(POLL_S)
