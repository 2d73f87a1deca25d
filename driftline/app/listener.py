"""Taking a port and answering on it: what every process with a listener does alike."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import uvicorn

from driftline.errors import UnavailableError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Shorter than the supervisor waits: slow clients must not turn a stop into a kill.
GRACE_S = 5


def listen(section: str, host: str, port: int, *, mend: str = "") -> socket.socket:
    """Take the port before anything else is built, so that a taken one is one clear sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's delay on: 40 ms for an answer in two parts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UnavailableError(
            f"[{section}] {host}:{port}: {error.strerror}; "
            f"stop what uses it, or {mend or f'set [{section}] port'}"
        ) from error
    return listener


def listener_config(
    app: Callable[..., Any], *, lifespan: Literal["on", "off"], grace_s: int
) -> uvicorn.Config:
    """Return how a process answers: without logs and names of uvicorn's own."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan=lifespan,
        timeout_graceful_shutdown=grace_s,
    )


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Answer with an ASGI application until a signal comes."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                ready()

    server = Server(listener_config(app, lifespan="on", grace_s=GRACE_S))
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops in order, then raises the signal once more, which would end the process
        # before the caller has closed what the application used.
        signal.signal(number, server.handle_exit)
    server.run(sockets=[listener])
    if not server.started:
        raise UnavailableError(
            "the application did not start; the reason stands in the lines above"
        )
