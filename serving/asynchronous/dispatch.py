"""Answers asynchronous invocations: takes them from the queue, asks the endpoint, writes files.

When a server dies, its lease runs out; the next one asks the model again and writes the same file.
A file gets its name when it is whole, before the request is closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.database.leases import renewing
from driftline.database.queue import RENEW_S
from driftline.errors import DriftlineError, InputError
from driftline.formats.location import locate
from driftline.loopback import App, Message
from driftline.serving.asynchronous.erasing import remove_files, remove_files_of
from driftline.serving.asynchronous.outcome import measure, measure_backlogs, notify
from driftline.serving.asynchronous.queue import (
    MAX_ATTEMPTS,
    AsyncRequest,
    AsyncStatus,
    backlogs,
    claim,
    clean_up,
    is_erased,
)
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.hosting.routing import ServedEndpoint
from driftline.serving.http.invocations import LATER
from driftline.serving.tables import async_queue

log = logging.getLogger(__name__)

LOOK_S = 0.5
EXPIRE_S = 10.0
PAUSE_S = 5.0
_AGAIN = (429, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered."""

    status: int
    variant: str
    content: bytes


class AsyncInvocations:
    """Works on the queue; lives inside one event loop. ``app`` answers and records invocations."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler, app: App) -> None:
        self._context, self._reconciler, self._app = context, reconciler, app
        self._owner = str(uuid.uuid4())
        self._running: dict[str, asyncio.Task[None]] = {}
        self._endpoints: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._measured_of: tuple[datetime, frozenset[str]] | None = None
        self._expire_at_s = 0.0

    def look(self) -> None:
        """Look for requests now: one was accepted. From any thread of the server's loop."""
        self._wake.set()

    async def run(self) -> None:
        """Answer what waits, for ever; what is under way at the end goes back to the queue."""
        failures = FailedPasses(log, "asynchronous")
        try:
            with renewing(self._renew, RENEW_S, "asynchronous"):
                while True:
                    with failures.noted(SQLAlchemyError):
                        for served in self._served():
                            await self._take(served)
                        await self._expire()
                        await self._measure()
                    self._wake.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), LOOK_S)
        finally:
            await asyncio.shield(self._leave())

    def _renew(self) -> None:
        if ids := list(self._running):
            with self._context.engine.begin() as connection:
                async_queue.renew(connection, self._owner, ids, self._now())

    async def _expire(self) -> None:
        """End what waited too long, also while its endpoint has no room for it.

        One of each endpoint in turn: requests need the other threads.
        """
        if time.monotonic() < self._expire_at_s:
            return
        ended = [await self._claim(one, 1, is_expired=True) for one in self._served()]
        if not any(ended):
            self._expire_at_s = time.monotonic() + EXPIRE_S

    async def _leave(self) -> None:
        running = dict(self._running)
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
        with suppress(SQLAlchemyError):  # Their leases run out.
            await asyncio.to_thread(self._give_back, list(running), self._now(), counts=False)

    def _give_back(self, ids: list[str], at: datetime, *, counts: bool) -> None:
        with self._context.engine.begin() as connection:
            async_queue.retry(connection, self._owner, ids, at, counts=counts)

    def _served(self) -> Iterator[ServedEndpoint]:
        for name in self._reconciler.readiness:
            served = self._reconciler.endpoint(name)
            if served is not None and served.routes[0].desired.answers_later is not None:
                yield served

    async def _take(self, served: ServedEndpoint) -> None:
        room = _at_once(served) - self._endpoints[served.name]
        if room > 0:
            await self._claim(served, room)

    async def _claim(self, served: ServedEndpoint, count: int, *, is_expired: bool = False) -> int:
        """Take requests and begin their work; return how many."""
        found = await asyncio.to_thread(self._claimed, served.name, count, is_expired)
        for request in found:
            if request.id in self._running:  # Its lease ran out while nobody could renew it.
                continue
            # Who is too late asks no worker, and takes no room.
            self._endpoints[request.endpoint] += not is_expired
            work = self._work(request, served, is_asked=not is_expired)
            self._running[request.id] = asyncio.create_task(work)
        return len(found)

    def _claimed(self, endpoint: str, count: int, is_expired: bool) -> list[AsyncRequest]:
        now = self._now()
        with self._context.engine.begin() as connection:
            return claim(connection, self._owner, endpoint, count, now, is_expired=is_expired)

    async def _work(self, request: AsyncRequest, served: ServedEndpoint, *, is_asked: bool) -> None:
        try:
            await self._handle(request, served)
        except (DriftlineError, OSError, SQLAlchemyError) as error:
            # A disk, a bucket, the database: as if nobody had begun.
            log.warning("request=%s event=later error=%s", request.id, type(error).__name__)
            with suppress(SQLAlchemyError):
                await asyncio.to_thread(self._put_off, request, counts=False)
        finally:
            self._running.pop(request.id)
            self._endpoints[request.endpoint] -= is_asked
            self._wake.set()

    def _put_off(self, request: AsyncRequest, *, counts: bool) -> None:
        self._give_back([request.id], self._now() + timedelta(seconds=PAUSE_S), counts=counts)

    async def _handle(self, request: AsyncRequest, served: ServedEndpoint) -> None:
        began_at = self._now()
        reason: str | None
        if request.expires_at <= began_at:
            answer: Answer | None = None
            status: AsyncStatus = "Expired"
            reason = f"nobody came to it before {request.expires_at.isoformat()}"
        elif request.attempts > MAX_ATTEMPTS:
            answer, status = None, "Failed"
            reason = f"{MAX_ATTEMPTS} attempts ended without an answer; the server's log says why"
        else:
            try:
                body = await asyncio.to_thread(self._read, request)
                answer = await self._ask(request, body)
            except InputError as error:
                answer, status, reason = None, "Failed", str(error)
            else:
                if answer.status in _AGAIN and request.attempts < MAX_ATTEMPTS:
                    await asyncio.to_thread(self._put_off, request, counts=True)
                    return
                status, reason = _judged(answer)
        variant = served.routes[0].desired.name if answer is None else answer.variant
        content = answer.content if answer is not None and status == "Completed" else None
        await asyncio.to_thread(
            self._end, request, served, status, reason, content, variant, began_at
        )

    def _read(self, request: AsyncRequest) -> bytes:
        """Return the body of a request."""
        if request.content is not None:
            return request.content
        assert request.input_location is not None
        self._context.reach.check_object(request.input_location, request.endpoint)
        place = locate(request.input_location)
        size = place.system.get_file_info([place.path])[0].size or 0
        if size > self._context.settings.serving.max_request_bytes:
            raise InputError(
                f"{request.input_location}: {size} bytes; the limit is "
                f"{self._context.settings.serving.max_request_bytes} ([serving] max_request_bytes)"
            )
        return place.read()

    async def _ask(self, request: AsyncRequest, body: bytes) -> Answer:
        """Ask the endpoint as a caller does, so that it is captured and counted as ever."""
        path = f"/endpoints/{request.endpoint}/invocations"
        headers = [
            (name.encode(), value.encode("latin-1")) for name, value in request.headers.items()
        ]
        headers.append((b"x-amzn-sagemaker-inference-id", request.inference_id.encode("latin-1")))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "headers": headers, "client": None, "server": None, "state": {},
            LATER: float(request.timeout_s),
        }  # fmt: skip
        sent: list[Message] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start = dict(sent[0]["headers"])
        variant = start.get(b"x-amzn-invoked-production-variant", b"").decode()
        content = b"".join(one.get("body", b"") for one in sent[1:])
        return Answer(sent[0]["status"], variant, content)

    def _end(
        self, request: AsyncRequest, served: ServedEndpoint, status: AsyncStatus,
        reason: str | None, content: bytes | None, variant: str, began_at: datetime,
    ) -> None:  # fmt: skip
        """Write the file, then close the request with its notification and metrics."""
        with self._context.engine.begin() as connection:
            if not async_queue.renew(connection, self._owner, [request.id], self._now()):
                return  # Another server has it, or it was erased.
        if content is not None:
            try:
                self._write(request.output_location, content)
            except InputError as error:
                status, reason, content = "Failed", str(error), None
        if content is None:
            text = json.dumps({"inference_id": request.inference_id, "reason": reason})
            try:
                self._write(request.failure_location, text.encode())
            except InputError as error:
                log.warning("request=%s event=failure-not-written error=%s", request.id, error)
        config = served.routes[0].desired.answers_later or {}
        topics = config["output_config"]["notification_config"]
        channel = topics["success_topic" if status == "Completed" else "error_topic"]
        now = self._now()
        with self._context.engine.begin() as connection:
            if not async_queue.finish(
                connection, self._owner, request.id, status, now, reason, content=None
            ):
                if is_erased(connection, request):
                    remove_files_of(request)
                return
            is_notified = channel is None or notify(
                connection, channel, request, status, now, reason
            )
            measure(
                connection, request, status, now, variant=variant or "AllTraffic",
                began_at=began_at, is_notified=is_notified,
            )  # fmt: skip
        log.info("request=%s endpoint=%s event=%s", request.id, request.endpoint, status.lower())

    def _write(self, where: str, content: bytes) -> None:
        self._context.reach.check_output(where)
        locate(where).write(content)

    async def _measure(self) -> None:
        """Once a minute, tell how long the queues are, forget what ended long ago or was erased."""
        now = self._now()
        minute = now.replace(second=0, microsecond=0)
        instances = {served.name: _instances(served) for served in self._served()}
        if self._measured_of == (minute, frozenset(instances)):
            return
        self._measured_of = minute, frozenset(instances)
        await asyncio.to_thread(self._measured, instances, minute)

    def _measured(self, instances: dict[str, int], minute: datetime) -> None:
        with read_connection(self._context.engine) as connection:
            found = backlogs(connection)
        with self._context.engine.begin() as connection:
            measure_backlogs(connection, instances, found, minute)
            clean_up(connection, list(instances), minute)
        try:
            remove_files(self._context.engine, self._now())
        except (DriftlineError, OSError) as error:
            log.warning("event=erased-files-left error=%s", type(error).__name__)

    def _now(self) -> datetime:
        return self._context.lease_clock()


def _at_once(served: ServedEndpoint) -> int:
    """Return how many requests an endpoint may be asked at once."""
    desired = served.routes[0].desired
    if desired.serverless is not None:  # Requests start its workers.
        return desired.serverless.max_concurrency
    assert desired.answers_later is not None
    each: int = desired.answers_later["client_config"]["max_concurrent_invocations_per_instance"]
    return each * _instances(served)


def _instances(served: ServedEndpoint) -> int:
    return sum(route.pool.instance_count for route in served.routes)


def _judged(answer: Answer) -> tuple[AsyncStatus, str | None]:
    if answer.status == 200:
        return "Completed", None
    with suppress(ValueError, KeyError, TypeError):
        return "Failed", str(json.loads(answer.content)["error"]["message"])
    return "Failed", f"the endpoint answered {answer.status}"
