"""Sends the flights to the live endpoint, and moves the installation's clock behind them.

Scheduler, alarms and pages read the time from a file. It moves on when the table holds every
request of a day, the labels that are known by then are loaded, and no monitor has more than one
window waiting: so they see complete days in order, as they would over a year.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import httpx

from driftline.app.client.client import Client
from driftline.app.demo.bug import Planted
from driftline.app.demo.flights import LABEL, Request
from driftline.app.demo.home import ClockFile
from driftline.app.demo.resources import (
    ALARMS,
    DAY,
    ENDPOINT,
    LABELS_KNOWN_AFTER,
    Cadence,
    monitor_of,
)
from driftline.errors import DriftlineError, UnavailableError

SENDERS = 16
TIMEOUT_S, RETRY_FOR_S, RETRY_PAUSE_S, POLL_S = 30.0, 30.0, 0.5, 0.05
# Waiting goes on as long as something moves; it ends when nothing has for so long.
PATIENCE_S = 60.0
# To count what is stored, the server reads the table: so it is asked a tenth of the time at most.
COUNTING_PAUSE_S, COUNTING_SHARE = 0.5, 0.1
BUSY = (503, 504)
UNDELIVERED = ("pending", "sending")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the demo sends, and when the windows of its monitors are due."""

    start: datetime
    end: datetime
    requests: Sequence[Request]
    planted: Planted
    cadences: Sequence[Cadence]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint said to one attempt of one request."""

    request: int
    event_id: str
    status: int


class Replay:
    """One replay; its answers are the client's own account, apart from what driftline counts."""

    def __init__(self, client: Client, clock: ClockFile, traffic: Traffic) -> None:
        self.answers: list[Answer] = []  # A request that was refused and asked again has several.
        self.lost: list[int] = []  # Requests of attempts without an answer: captured or not.
        self.labels_until = traffic.start  # All labels of earlier flights are loaded.
        self._client, self._clock, self._traffic = client, clock, traffic
        self._days: list[list[int]] = [[] for _ in range((traffic.end - traffic.start) // DAY)]
        for index, request in enumerate(traffic.requests):
            self._days[(request.event_time - traffic.start) // DAY].append(index)
        self._event_ids: dict[int, str] = {}
        # By day that is answered: how many requests a table holds that has all of it.
        self._needed: list[int] = []
        self._judged = {one.monitor: one.first for one in traffic.cadences}
        self._stored, self._count_again_s = 0, 0.0
        self._stop = threading.Event()
        self._failure: Exception | None = None

    def run(self, check: Callable[[], None], advance: Callable[[int, int | None], None]) -> str:
        """Send everything, wait until all of it is judged and reported; return what is not."""
        sender = threading.Thread(target=self._send_all)
        sender.start()
        before, until = "", time.monotonic() + PATIENCE_S
        try:
            while left := self._unfinished():
                check()
                if self._failure is not None:
                    raise self._failure
                advance(self._passed_days, len(self._days))
                if left != before:
                    before, until = left, time.monotonic() + PATIENCE_S
                elif time.monotonic() > until:
                    return left
                self._stop.wait(POLL_S)
        finally:
            self._stop.set()
            sender.join()
        return ""

    @property
    def _passed_days(self) -> int:
        return (self._clock.time - self._traffic.start) // DAY

    def _unfinished(self) -> str:
        """Name the first stage that is not done, with how far it is; later ones depend on it."""
        self._follow()
        if self._passed_days < len(self._days):
            counts = f"{len(self.answers)} answered, {self._stored} stored"
            return f"{self._passed_days} days passed, {counts}"
        ends = {one.monitor: one.ends(self._traffic.end) for one in self._traffic.cadences}
        for monitor, due in ends.items():
            if due and self._judged_until(monitor) < due[-1]:
                return f"{monitor} has judged until {self._judged[monitor]}"
        for alarm in self._client.list("Alarm"):
            due = ends[monitor_of(ALARMS[alarm["name"]][0])]
            until = alarm["status"].get("evaluated_until")
            reached = self._traffic.start if until is None else datetime.fromisoformat(until)
            if due and reached < due[-1] - timedelta(seconds=1):
                return f"{alarm['name']} is evaluated until {until}"
        waiting = [one["id"] for one in self._deliveries() if one["status"] in UNDELIVERED]
        return f"{len(waiting)} messages are not delivered" if waiting else ""

    def _follow(self) -> None:
        """Move the clock on as far as everything has followed."""
        self._count()
        whole = sum(needed <= self._stored for needed in tuple(self._needed))
        target = self._traffic.start + whole * DAY
        # Only the monitor that is furthest behind holds the clock back: the others are not asked.
        slowest = min(self._traffic.cadences, key=self._limit)
        if self._limit(slowest) < target:
            self._judged_until(slowest.monitor)
        target = min(target, *map(self._limit, self._traffic.cadences))
        # Windows are run when their end has passed, so the clock stands a moment after midnight.
        target += timedelta(minutes=1)
        if target > self._clock.time:
            self._load_labels(target - LABELS_KNOWN_AFTER)
            self._clock.advance(target)

    def _limit(self, one: Cadence) -> datetime:
        """Return how far the clock may go for one monitor.

        One window may be due and a day more: an alarm waits a day for a missing datapoint.
        """
        return self._judged[one.monitor] + one.length + one.delay + DAY

    def _count(self) -> None:
        now = time.monotonic()
        if self._stored < len(self.answers) and now >= self._count_again_s:
            self._stored = self._client.capture_stats(ENDPOINT)["requests"]
            took = time.monotonic() - now
            self._count_again_s = now + max(COUNTING_PAUSE_S, took / COUNTING_SHARE)

    def _judged_until(self, monitor: str) -> datetime:
        """Return the end of the last window that a monitor has judged; they are judged in order."""
        for newest in self._client.executions(monitor, limit=1):
            self._judged[monitor] = datetime.fromisoformat(newest["window_end"])
        return self._judged[monitor]

    def _load_labels(self, until: datetime) -> None:
        """Load the labels of days that have ended; a flight that never arrived has none."""
        late = self._traffic.planted.table[LABEL]
        while (end := self.labels_until + DAY) <= min(until, self._traffic.end):
            lines = ["id,row_index,label"]
            for index in self._days[(self.labels_until - self._traffic.start) // DAY]:
                request = self._traffic.requests[index]
                lines += [
                    f"{self._event_ids[index]},{row},{value}"
                    for row, value in enumerate(late[request.first : request.last].to_pylist())
                    if value is not None
                ]
            if lines[1:]:
                body = "\n".join([*lines, ""]).encode()
                self._client.put_truth(ENDPOINT, body, content_type="text/csv")
            self.labels_until = end

    def _send_all(self) -> None:
        """Send day after day, each answered before the next."""
        http = httpx.Client(
            base_url=self._client.server, headers=self._client.shown, timeout=TIMEOUT_S
        )
        try:
            with http, ThreadPoolExecutor(SENDERS) as senders:
                for day in self._days:
                    list(senders.map(partial(self._send, http), day))
                    if self._stop.is_set():
                        return
                    # The table takes what is answered in its order.
                    self._needed.append(len(self.answers))
        except (DriftlineError, httpx.HTTPError) as error:
            self._failure = error

    def _send(self, http: httpx.Client, index: int) -> None:
        """Ask until there is an answer with predictions."""
        request = self._traffic.requests[index]
        headers = {
            "Content-Type": "text/csv",
            "X-Driftline-Event-Time": request.event_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        until = time.monotonic() + RETRY_FOR_S
        while not self._stop.is_set():
            try:
                path = f"/endpoints/{ENDPOINT}/invocations"
                response = http.post(path, content=request.body, headers=headers)
            except httpx.TransportError as error:
                self.lost.append(index)
                problem = f"no answer ({type(error).__name__})"
            else:
                event_id = response.headers.get("x-amzn-RequestId", "")
                self.answers.append(Answer(index, event_id, response.status_code))
                if response.is_success:
                    self._event_ids[index] = event_id
                    return
                problem = f"answer {response.status_code} {response.text[:300]}"
                if response.status_code not in BUSY:
                    until = 0.0
            if time.monotonic() > until:
                raise UnavailableError(f"request {index}: {problem}")
            self._stop.wait(RETRY_PAUSE_S)

    def _deliveries(self) -> Sequence[Mapping[str, object]]:
        return self._client.deliveries(limit=None)
