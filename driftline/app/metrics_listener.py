"""``/metrics`` and ``/healthz`` of a process that answers nothing else: sidecar, sink, scheduler.

A thread of its own beside the loops. A port that is taken costs the metrics, never the work: what
captures must not stop because somebody else listens there.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from driftline.app.listener import listen
from driftline.errors import UnavailableError
from driftline.loopback import LocalOnly, require_loopback

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STOP_S = 5.0

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@contextmanager
def exposed(
    registry: CollectorRegistry,
    *,
    name: str,
    host: str,
    port: int,
) -> Iterator[None]:
    """Answer scrapes as long as the context lasts."""
    require_loopback("metrics", host)
    if not port:
        yield
        return
    try:
        listener = listen("metrics", host, port, mend=f"set [metrics] {name}_port, 0 for none")
    except UnavailableError as error:
        log.warning("process=%s goes without its metrics: %s", name, error)
        yield
        return
    config = uvicorn.Config(
        LocalOnly(_app(registry)),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # Only the main thread may be told by signals, and it has its own way to stop.
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_S)
        listener.close()


def _app(registry: CollectorRegistry) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    async def answer(scope: Message, _receive: Receive, send: Send) -> None:
        """Return the metrics, or say that the process lives."""
        if scope["type"] != "http":
            return
        status, kind, body = 200, b"application/json", b'{"status": "ok"}'
        if scope["path"] == "/metrics":
            # In a thread: folders are measured and files read for it.
            body = await asyncio.to_thread(generate_latest, registry)
            kind = CONTENT_TYPE.encode()
        elif scope["path"] != "/healthz":
            status, body = 404, b'{"error": {"code": "not_found", "message": "see /metrics"}}'
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer
