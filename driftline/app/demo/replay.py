"""Sends the flights through the live endpoint, each request at its own event time.

It keeps its own ledger of what was answered, and knows from it how many whole days a table holds.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from driftline.app.demo.flights import Request
from driftline.errors import DriftlineError, UnavailableError

DAY = timedelta(days=1)
SENDER_COUNT = 16
POLL_S = 0.05
RETRY_FOR_S = 30.0
RETRY_PAUSE_S = 0.5
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint said to one request."""

    request_index: int
    event_id: str
    status: int


@dataclass(slots=True)
class Ledger:
    """The client's own account of the replay, kept apart from everything that driftline counts."""

    # In the order of coming; a request that was refused and asked again has several.
    answers: list[Answer] = field(default_factory=list)
    lost_count: int = 0  # Attempts without an answer: captured or not.

    def served(self) -> list[Answer]:
        """Return the answers with predictions."""
        return [answer for answer in self.answers if answer.status == http.HTTPStatus.OK]


class Replay:
    """One replay of requests against one endpoint."""

    def __init__(
        self,
        server_url: str,
        endpoint: str,
        requests: Sequence[Request],
        *,
        start: datetime,
        headers: Mapping[str, str] | None = None,  # Such as say who asks.
    ) -> None:
        self.ledger = Ledger()
        # What each request was answered under, by its index.
        self.event_ids: dict[int, str] = {}
        self._address = urlsplit(server_url).netloc
        self._path = f"/endpoints/{endpoint}/invocations"
        self._headers = dict(headers or {})
        self._requests = requests
        self._lock = threading.Lock()
        self._next: Iterator[int] = iter(range(len(requests)))
        self._in_flight_count = 0
        self._stop = threading.Event()
        self._failures: list[DriftlineError] = []
        days = [(request.event_time - start) // DAY for request in requests]
        self._day_of = days
        self.day_count = days[-1] + 1 if days else 0
        self._open = [0] * self.day_count
        for day in days:
            self._open[day] += 1
        # For each day that is answered: how many requests the table must hold to have all of it.
        self._needed: list[int | None] = [None if count else 0 for count in self._open]

    def run(
        self, advance: Callable[[int, int | None], None], meanwhile: Callable[[], None]
    ) -> None:
        """Send everything, and return when it is answered."""
        senders = [threading.Thread(target=self._send_all) for _ in range(SENDER_COUNT)]
        for sender in senders:
            sender.start()
        try:
            while any(sender.is_alive() for sender in senders):
                meanwhile()
                advance(len(self.ledger.answers), len(self._requests))
                self._stop.wait(POLL_S)
        finally:
            self._stop.set()
            for sender in senders:
                sender.join()
        if self._failures:
            raise self._failures[0]

    def whole_days(self, stored_requests: int) -> int:
        """Return how many days, from the first on, a table of so many requests holds whole."""
        with self._lock:
            whole = 0
            for needed in self._needed:
                if needed is None or stored_requests < needed:
                    break
                whole += 1
        return whole

    def _send_all(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            while not self._stop.is_set():
                with self._lock:
                    index = next(self._next, None)
                if index is None:
                    return
                self._send(connection, index)
        except DriftlineError as error:
            self._failures.append(error)
            self._stop.set()
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, index: int) -> None:
        """Ask until there is an answer with predictions."""
        until = time.monotonic() + RETRY_FOR_S
        while True:
            problem = self._attempt(connection, index)
            if problem is None:
                return
            if time.monotonic() > until:
                raise UnavailableError(f"request {index}: {problem}, for {RETRY_FOR_S:.0f} s")
            if self._stop.wait(RETRY_PAUSE_S):
                return

    def _attempt(self, connection: http.client.HTTPConnection, index: int) -> str | None:
        """Ask once; gives what is wrong when asking again can help."""
        request = self._requests[index]
        headers = {
            **self._headers,
            "Content-Type": "text/csv",
            "X-Driftline-Event-Time": request.event_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        with self._lock:
            self._in_flight_count += 1
        try:
            connection.request("POST", self._path, request.body, headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with self._lock:
                self._in_flight_count -= 1
                self.ledger.lost_count += 1
            return f"no answer ({type(error).__name__})"
        event_id = response.headers.get("x-amzn-RequestId", "")
        self._note(Answer(index, event_id, response.status))
        if response.status == http.HTTPStatus.OK:
            lines = body.count(b"\n") + (not body.endswith(b"\n"))
            if lines != request.row_count:
                raise UnavailableError(
                    f"request {index}: {lines} predictions; expected {request.row_count}"
                )
            return None
        text = f"answer {response.status} {body[:300].decode(errors='replace')}"
        if response.status in (
            http.HTTPStatus.SERVICE_UNAVAILABLE,
            http.HTTPStatus.GATEWAY_TIMEOUT,
        ):
            return text
        raise UnavailableError(f"request {index}: {text}")

    def _note(self, answer: Answer) -> None:
        with self._lock:
            self._in_flight_count -= 1
            self.ledger.answers.append(answer)
            if answer.status != http.HTTPStatus.OK:
                return
            self.event_ids[answer.request_index] = answer.event_id
            day = self._day_of[answer.request_index]
            self._open[day] -= 1
            if self._open[day] == 0:
                # What is answered stands in the spool, and the table takes the spool in its order:
                # a table with all that may stand there by now has all of this day.
                self._needed[day] = len(self.ledger.answers) + self._in_flight_count
