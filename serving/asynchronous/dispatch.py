"""Answers asynchronous invocations: a file gets its name whole, before the request is closed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.errors import InputError
from driftline.formats.location import locate
from driftline.loopback import App, Message
from driftline.serving.asynchronous.erasing import remove_files
from driftline.serving.asynchronous.outcome import (
    AsyncRequest,
    AsyncStatus,
    measure,
    measure_backlogs,
    notify,
)
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.hosting.routing import ServedEndpoint
from driftline.serving.http.invocations import LATER
from driftline.serving.queue_worker import PAUSE_S, QueueWorker
from driftline.serving.tables import async_queue, async_requests

log = logging.getLogger(__name__)

# How long it is known what came of a request.
KEPT = timedelta(days=7)
# Servers that may end over one request before it is given up.
MAX_ATTEMPTS = 3
_EXPIRED_AT_ONCE = 20
_OK, _AGAIN = 200, (429, 503)
_table = async_requests.c


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ends."""

    status: AsyncStatus
    reason: str | None = None
    content: bytes | None = None
    variant: str = ""


class AsyncInvocations(QueueWorker):
    """Works on the queue of requests; ``app`` answers and records invocations."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler, app: App) -> None:
        super().__init__(async_queue, context, "asynchronous", kept=KEPT)
        self._reconciler, self._app = reconciler, app

    async def _look(self) -> None:
        # Those that waited too long, also where their endpoint has no room or is served no more.
        now = await asyncio.to_thread(self._now)
        begun = sum(row.expires_at <= now for row, _ in self._running.values())
        await self._take(_EXPIRED_AT_ONCE - begun, _table.expires_at <= now)
        for served in list(self._served()):
            begun = sum(row.endpoint == served.name for row, _ in self._running.values())
            await self._take(_at_once(served) - begun, _table.endpoint == served.name)

    def _upkeep(self) -> None:
        """Publish how long queues are, and forget what is old or was erased."""
        super()._upkeep()
        minute = self._now().replace(second=0, microsecond=0)
        with self._context.engine.begin() as connection:
            instances = {one.name: _instances(one) for one in self._served()}
            measure_backlogs(connection, instances, minute)
        remove_files(self._context.engine, self._now())

    def _served(self) -> Iterator[ServedEndpoint]:
        for name in self._reconciler.readiness:
            served = self._reconciler.endpoint(name)
            if served is not None and served.routes[0].desired.answers_later is not None:
                yield served

    async def _work(self, request: AsyncRequest) -> None:
        began_at = await asyncio.to_thread(self._now)
        outcome = await self._outcome(request, began_at)
        if outcome is None:
            await asyncio.to_thread(self._give_back, [request.id], PAUSE_S, counts=True)
        else:
            await asyncio.to_thread(self._end, request, outcome, began_at)

    async def _outcome(self, request: AsyncRequest, now: datetime) -> Outcome | None:
        """Return how a request ends; None: not yet, the endpoint has no room for it."""
        if request.expires_at <= now:
            return Outcome("Expired", f"nobody came to it before {request.expires_at.isoformat()}")
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
        """Ask the endpoint as a caller does; return the status, who answered, and the body."""
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

    def _end(self, request: AsyncRequest, outcome: Outcome, began_at: datetime) -> None:
        """Write the file, then close the request with its notification and metrics."""
        with self._context.engine.begin() as connection:
            if not self._queue.renew(connection, self._owner, [request.id], self._now()):
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
        channel = request.success_topic if status == "Completed" else request.error_topic
        now = self._now()
        with self._context.engine.begin() as connection:
            if not self._queue.finish(
                connection, self._owner, request.id, status, now, reason, content=None
            ):
                return  # As above; the files of one that was erased are looked for again.
            is_notified = channel is None or notify(
                connection, channel, request, status, now, reason
            )
            measure(
                connection, request, status, now, variant=outcome.variant or request.variant,
                began_at=began_at, is_notified=is_notified,
            )  # fmt: skip
        log.info("request=%s endpoint=%s event=%s", request.id, request.endpoint, status.lower())

    def _write(self, where: str, content: bytes) -> None:
        self._context.reach.check_output(where)
        locate(where).write(content)


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
