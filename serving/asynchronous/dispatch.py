"""Answers asynchronous invocations: takes them from the queue, asks the endpoint, writes files.

When a server dies, its lease runs out; the next one asks the model again and writes the same file.
A file gets its name when it is whole, before the request is closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import FailedPasses
from driftline.database.leases import renewing
from driftline.database.queue import RENEW_S
from driftline.errors import DriftlineError, InputError
from driftline.formats.location import locate
from driftline.loopback import App, Message
from driftline.serving.asynchronous.erasing import remove_files
from driftline.serving.asynchronous.outcome import measure, measure_backlogs, notify
from driftline.serving.asynchronous.queue import (
    KEPT,
    MAX_ATTEMPTS,
    AsyncRequest,
    AsyncStatus,
)
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.hosting.routing import ServedEndpoint
from driftline.serving.http.invocations import LATER
from driftline.serving.tables import async_queue, async_requests

log = logging.getLogger(__name__)

LOOK_S = 0.5
# Between two looks at what waits too long, at the length of queues, and at what was erased.
EXPIRE_S = 10.0
PAUSE_S = 5.0
_EXPIRED_AT_ONCE = 20
_OK, _AGAIN = 200, (429, 503)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ends."""

    status: AsyncStatus
    reason: str | None = None
    content: bytes | None = None
    variant: str = ""


class AsyncInvocations:
    """Works on the queue; lives inside one event loop. ``app`` answers and records invocations."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler, app: App) -> None:
        self._context, self._reconciler, self._app = context, reconciler, app
        self._owner = str(uuid.uuid4())
        # The endpoint and the task of each request that is under way.
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Look for requests now: one was accepted. From any thread of the server's loop."""
        self._wake.set()

    async def run(self) -> None:
        """Answer what waits, and look after what nobody comes to, for ever.

        What is under way at the end goes back to the queue.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._answer())
            group.create_task(self._upkeep())

    async def _answer(self) -> None:
        failures = FailedPasses(log, "asynchronous")
        try:
            with renewing(self._renew, RENEW_S, "asynchronous"):
                while True:
                    with failures.noted(SQLAlchemyError):
                        for one in list(self._served()):
                            await self._take(one)
                    self._wake.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), LOOK_S)
        finally:
            await asyncio.shield(self._leave())

    async def _upkeep(self) -> None:
        """End what waits too long, tell how long queues are, and forget what is old.

        Beside the answering, so that a slow bucket keeps no request waiting.
        """
        failures = FailedPasses(log, "asynchronous upkeep")
        while True:
            # First, since a server that begins has not read yet whom to notify.
            await asyncio.sleep(EXPIRE_S)
            with failures.noted(SQLAlchemyError, DriftlineError, OSError):
                await asyncio.to_thread(self._look_after, list(self._served()))

    def _renew(self) -> None:
        if ids := list(self._running):
            with self._context.engine.begin() as connection:
                async_queue.renew(connection, self._owner, ids, self._now())

    async def _leave(self) -> None:
        running = dict(self._running)
        for _, task in running.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in running.values()), return_exceptions=True)
        await asyncio.to_thread(self._give_back, list(running), 0.0)

    def _give_back(self, ids: Sequence[str], pause_s: float, *, counts: bool = False) -> None:
        at = self._now() + timedelta(seconds=pause_s)
        with suppress(SQLAlchemyError), self._context.engine.begin() as connection:
            async_queue.retry(connection, self._owner, ids, at, counts=counts)

    def _served(self) -> Iterator[ServedEndpoint]:
        for name in self._reconciler.readiness:
            served = self._reconciler.endpoint(name)
            if served is not None and served.routes[0].desired.answers_later is not None:
                yield served

    async def _take(self, served: ServedEndpoint) -> None:
        """Begin the work of as many requests as the endpoint has room for."""
        room = _at_once(served) - sum(name == served.name for name, _ in self._running.values())
        found = await asyncio.to_thread(self._claim, served, room) if room > 0 else ()
        for request in found:
            if request.id not in self._running:  # Else its lease ran out, as nobody could renew it.
                task = asyncio.create_task(self._work(request, served))
                self._running[request.id] = served.name, task

    def _claim(self, served: ServedEndpoint, count: int) -> list[AsyncRequest]:
        now, table = self._now(), async_requests.c
        which = table.endpoint == served.name, table.expires_at > now
        with self._context.engine.begin() as connection:
            return async_queue.claim(connection, self._owner, now, count, *which)

    async def _work(self, request: AsyncRequest, served: ServedEndpoint) -> None:
        began_at = self._now()
        try:
            outcome = await self._outcome(request)
            if outcome is None:
                await asyncio.to_thread(self._give_back, [request.id], PAUSE_S, counts=True)
            else:
                await asyncio.to_thread(self._end, request, served, outcome, began_at)
        except (DriftlineError, OSError, SQLAlchemyError) as error:
            # A disk, a bucket, the database: as if nobody had begun.
            log.warning("request=%s event=later error=%s", request.id, type(error).__name__)
            await asyncio.to_thread(self._give_back, [request.id], PAUSE_S)
        finally:
            del self._running[request.id]
            self._wake.set()

    async def _outcome(self, request: AsyncRequest) -> Outcome | None:
        """Return how a request ends; None: not yet, the endpoint has no room for it."""
        if request.attempts > MAX_ATTEMPTS:
            reason = f"{MAX_ATTEMPTS} attempts ended without an answer; the server's log says why"
            return Outcome("Failed", reason)
        try:
            body = await asyncio.to_thread(self._read, request)
            status, variant, content = await self._ask(request, body)
        except InputError as error:
            return Outcome("Failed", str(error))
        if status in _AGAIN and request.attempts < MAX_ATTEMPTS:
            return None
        if status == _OK:
            return Outcome("Completed", None, content, variant)
        reason = f"the endpoint answered {status}"
        with suppress(ValueError, KeyError, TypeError):
            reason = str(json.loads(content)["error"]["message"])
        return Outcome("Failed", reason, None, variant)

    def _read(self, request: AsyncRequest) -> bytes:
        """Return the body of a request."""
        if request.content is not None:
            return bytes(request.content)
        self._context.reach.check_object(request.input_location, request.endpoint)
        place = locate(request.input_location)
        size = place.system.get_file_info([place.path])[0].size or 0
        if size > (most := self._context.settings.serving.max_request_bytes):
            raise InputError(
                f"{request.input_location}: {size} bytes; the limit is {most} "
                "([serving] max_request_bytes)"
            )
        return place.read()

    async def _ask(self, request: AsyncRequest, body: bytes) -> tuple[int, str, bytes]:
        """Ask the endpoint as a caller does, so that it is captured and counted as ever.

        Returns the status, the variant that answered, and the body.
        """
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
        variant = dict(sent[0]["headers"]).get(b"x-amzn-invoked-production-variant", b"").decode()
        return sent[0]["status"], variant, b"".join(one.get("body", b"") for one in sent[1:])

    def _end(
        self,
        request: AsyncRequest,
        served: ServedEndpoint | None,
        outcome: Outcome,
        began_at: datetime,
    ) -> None:
        """Write the file, then close the request with its notification and metrics."""
        with self._context.engine.begin() as connection:
            if not async_queue.renew(connection, self._owner, [request.id], self._now()):
                return  # Another server has it, or it was erased.
        status, reason = outcome.status, outcome.reason
        if outcome.content is not None:
            try:
                self._write(request.output_location, outcome.content)
            except InputError as error:
                status, reason = "Failed", str(error)
        if status != "Completed":
            text = json.dumps({"inference_id": request.inference_id, "reason": reason})
            try:
                self._write(request.failure_location, text.encode())
            except InputError as error:
                log.warning("request=%s event=failure-not-written error=%s", request.id, error)
        channel, variant, now = None, outcome.variant, self._now()
        if served is not None:
            desired = served.routes[0].desired
            assert desired.answers_later is not None
            topics = desired.answers_later["output_config"]["notification_config"]
            channel = topics["success_topic" if status == "Completed" else "error_topic"]
            variant = variant or desired.name
        with self._context.engine.begin() as connection:
            if not async_queue.finish(
                connection, self._owner, request.id, status, now, reason, content=None
            ):
                return  # As above; the files of one that was erased are looked for again.
            is_notified = channel is None or notify(
                connection, channel, request, status, now, reason
            )
            measure(
                connection, request, status, now,
                variant=variant, began_at=began_at, is_notified=is_notified,
            )  # fmt: skip
        log.info("request=%s endpoint=%s event=%s", request.id, request.endpoint, status.lower())

    def _write(self, where: str, content: bytes) -> None:
        self._context.reach.check_output(where)
        locate(where).write(content)

    def _look_after(self, served: Sequence[ServedEndpoint]) -> None:
        now, engine = self._now(), self._context.engine
        minute = now.replace(second=0, microsecond=0)
        with engine.begin() as connection:
            measure_backlogs(connection, {one.name: _instances(one) for one in served}, minute)
            async_queue.drop_ended(connection, now - KEPT)
            # Also while their endpoint has no room for them, or nobody serves it any more.
            is_late = async_requests.c.expires_at <= now
            late = async_queue.claim(connection, self._owner, now, _EXPIRED_AT_ONCE, is_late)
        endpoints = {one.name: one for one in served}
        for one in late:
            reason = f"nobody came to it before {one.expires_at.isoformat()}"
            try:
                self._end(one, endpoints.get(one.endpoint), Outcome("Expired", reason), now)
            except (DriftlineError, OSError) as error:  # Tried again when its lease has run out.
                log.warning("request=%s event=later error=%s", one.id, type(error).__name__)
        remove_files(engine, now)

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
