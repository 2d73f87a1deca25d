"""Sends the flights to the live endpoint, and moves the installation's clock behind them.

Scheduler, alarms and pages read the time from a file. It moves on when the table holds every
request of a day, the labels known by then are loaded, and the windows of the day before are judged:
so they see complete days in order, as they would over a year.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import httpx

from driftline.app.client.client import Client
from driftline.app.demo.bug import Planted
from driftline.app.demo.flights import LABEL, Request
from driftline.app.demo.home import ClockFile
from driftline.app.demo.resources import DAY, ENDPOINT, LABELS_KNOWN_AFTER, Cadence
from driftline.errors import UnavailableError

SENDERS = 16
TIMEOUT_S, RETRY_FOR_S, RETRY_PAUSE_S = 30.0, 30.0, 0.5
# How long one stage of one day may take; how often is asked whether it is done.
PATIENCE_S, POLL_S, COUNTING_PAUSE_S = 120.0, 0.05, 0.3
BUSY = (503, 504)
UNDELIVERED = ("pending", "sending")


@dataclass(frozen=True, slots=True)
class Traffic:
    """The demo's requests, and when the windows of its monitors are due."""

    start: datetime
    end: datetime
    requests: Sequence[Request]
    planted: Planted
    cadences: Sequence[Cadence]


@dataclass(frozen=True, slots=True)
class Answer:
    """The endpoint's answer to one attempt of one request."""

    request: int
    event_id: str
    status: int


class Replay:
    """One replay; its answers are the client's own account, apart from what driftline counts."""

    def __init__(
        self, client: Client, clock: ClockFile, traffic: Traffic, check: Callable[[], None]
    ) -> None:
        self.answers: list[Answer] = []  # A request that was refused and asked again has several.
        self.lost: list[int] = []  # Requests of attempts without an answer: captured or not.
        self.labels_until = traffic.start  # All labels of earlier flights are loaded.
        self._client, self._clock, self._traffic, self._check = client, clock, traffic, check
        self._days: list[list[int]] = [[] for _ in range((traffic.end - traffic.start) // DAY)]
        for index, request in enumerate(traffic.requests):
            self._days[(request.event_time - traffic.start) // DAY].append(index)
        self._event_ids: dict[int, str] = {}
        self._stop = threading.Event()

    def run(self, advance: Callable[[int, int | None], None]) -> None:
        """Send everything, and wait until all of it is judged and reported."""
        http = httpx.Client(
            base_url=self._client.server, headers=self._client.shown, timeout=TIMEOUT_S
        )
        try:
            with http, ThreadPoolExecutor(SENDERS) as senders:

                def send(number: int) -> list[Future[None]]:
                    days = self._days[number : number + 1]
                    return [
                        senders.submit(self._send, http, index) for day in days for index in day
                    ]

                sent = send(0)
                for number in range(len(self._days)):
                    for one in sent:
                        one.result()
                    needed = len(self.answers)
                    sent = send(number + 1)  # While this day is stored and judged.
                    self._pass_day(self._traffic.start + (number + 1) * DAY, needed)
                    advance(number + 1, len(self._days))
        finally:
            self._stop.set()
        self._wait_judged(self._traffic.end)
        self._wait_reported()

    def _pass_day(self, end: datetime, needed: int) -> None:
        """Move the clock to the end of a day that is stored, the day before being judged."""
        self._until(
            f"{needed} requests are stored",
            lambda: self._client.capture_stats(ENDPOINT)["requests"] >= needed,
            COUNTING_PAUSE_S,
        )
        self._load_labels(end - LABELS_KNOWN_AFTER)
        self._wait_judged(end - DAY)
        # Windows are run when their end has passed, so the clock stands a moment after midnight.
        self._clock.advance(end + timedelta(minutes=1))

    def _wait_judged(self, until: datetime) -> None:
        """Wait for the windows that are due; each monitor judges its own in order."""
        for cadence in self._traffic.cadences:
            if due := cadence.ends(until):
                self._until(
                    f"{cadence.monitor} has judged until {due[-1]}",
                    partial(self._is_judged, cadence.monitor, due[-1]),
                )

    def _is_judged(self, monitor: str, until: datetime) -> bool:
        newest = self._client.executions(monitor, limit=1)
        return any(datetime.fromisoformat(one["window_end"]) >= until for one in newest)

    def _wait_reported(self) -> None:
        """Wait until alarms have seen all windows and their messages are out."""
        ends = {one.monitor: one.ends(self._traffic.end) for one in self._traffic.cadences}

        def is_evaluated() -> bool:
            for alarm in self._client.list("Alarm"):
                due = ends[alarm["spec"]["dimensions"]["MonitoringSchedule"]]
                until = alarm["status"].get("evaluated_until")
                if due and (
                    until is None or datetime.fromisoformat(until) < due[-1] - timedelta(seconds=1)
                ):
                    return False
            return True

        self._until("all alarms are evaluated", is_evaluated)
        self._until(
            "all messages are delivered",
            lambda: all(
                one["status"] not in UNDELIVERED for one in self._client.deliveries(limit=None)
            ),
        )

    def _until(self, what: str, is_done: Callable[[], bool], pause_s: float = POLL_S) -> None:
        """Wait until something is done; not for ever."""
        end = time.monotonic() + PATIENCE_S
        while not is_done():
            self._check()
            if time.monotonic() > end:
                raise UnavailableError(f"waited {PATIENCE_S:.0f} s in vain until {what}")
            self._stop.wait(pause_s)

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
