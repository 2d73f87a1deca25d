"""Taking a port and answering on it: what every process with a listener does alike."""

from __future__ import annotations

import resource
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import uvicorn

from driftline.app.http_protocol import HTTPProtocol
from driftline.errors import InputError, UnavailableError
from driftline.mapped_files import release_at_rest

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn.server import Protocols

    Connection = Protocols
else:
    Connection = Any  # The name is of newer versions only.

# Shorter than the supervisor waits: slow clients must not turn a stop into a kill.
GRACE_S = 5
# For which a connection is kept after an answer. Load balancers keep theirs
# for 60 s: one that is closed just as the next request comes is a request that failed.
KEPT_S = 75
# Within which the head of a request must be whole, counted from the connection or its first byte.
IDLE_S = 10.0
_MOST_CONNECTIONS = 4096
# Of a core: a server takes up to 0.04 of a slow one by itself. Who answers some fifty requests a
# second takes more, and shall not wait for pages each few seconds.
_REST = 0.05


def listen(
    section: str, host: str, port: int, *, mend: str = "", tls: tuple[Path, Path] | None = None
) -> socket.socket:
    """Bind the port before anything else is built, so that a taken one is one clear sentence.

    The same goes for an unusable certificate or key.
    """
    if tls is not None:
        check_tls(section, *tls)
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


def most_connections() -> int:
    """Return how many connections there may be: half of the files that the process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if files < 0 else min(files // 2, _MOST_CONNECTIONS)


class Connections(set[Connection]):
    """The set that uvicorn adds each connection to; uvicorn keeps those that send nothing."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        super().__init__()
        self._idle_s = idle_s
        self._since: dict[Connection, float] = {}  # When each was last known to be at work.

    def sweep(self) -> None:
        """Close the connections that have not sent a whole head of a request for too long."""
        now, before, self._since = time.monotonic(), self._since, {}
        for connection in self:
            request: Any = getattr(connection, "cycle", None)
            # uvicorn's timer runs after an answer, until something comes.
            is_kept = getattr(connection, "timeout_keep_alive_task", None) is not None
            is_idle = not is_kept and (request is None or request.response_complete)
            self._since[connection] = before.get(connection, now) if is_idle else now
            if now - self._since[connection] > self._idle_s:
                connection.transport.abort()


class Server(uvicorn.Server):
    """Answers on a port that was taken: without logs and names of uvicorn's own, within limits."""

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        lifespan: Literal["on", "off"] = "on",
        grace_s: int = GRACE_S,
        ready: Callable[[], None] = lambda: None,
        idle_s: float = IDLE_S,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        certificate, key = tls or (None, None)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            # Else anybody on this machine could say which address they ask from.
            proxy_headers=False,
            lifespan=lifespan,
            timeout_graceful_shutdown=grace_s,
            ws="none",
            http=HTTPProtocol,
            loop="asyncio",
            limit_concurrency=most_connections(),
            timeout_keep_alive=KEPT_S,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        super().__init__(config)
        self._ready = ready
        self._connections = Connections(idle_s)
        self.server_state.connections = self._connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Look through the connections once a second; uvicorn calls it ten times."""
        if counter % 10 == 0:
            self._connections.sweep()
        return await super().on_tick(counter)


def check_tls(section: str, certificate: Path, key: Path) -> None:
    """Refuse a certificate and key that no listener could use."""
    try:
        for file in (certificate, key):
            file.open("rb").close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Never asked for at a terminal: nobody sits there when it starts again.
        context.load_cert_chain(certificate, key, lambda: "")
    except OSError as error:
        files = error.filename or f"{certificate} with {key}"
        raise InputError(
            f"[{section}] tls_cert_file, tls_key_file: {files}: {_tls_reason(error)}; expected a "
            "certificate and its own key in PEM, the key without a password"
        ) from error


def _tls_reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return (reason or error.strerror or "cannot be read").lower().replace("_", " ")


def serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], None],
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Answer with an ASGI application until a signal comes; by TLS with a certificate and key."""
    server = Server(app, ready=ready, tls=tls)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops in order, then raises the signal once more, which would end the process
        # before the caller has closed what the application used.
        signal.signal(number, server.handle_exit)
    stop = threading.Event()
    threading.Thread(target=release_at_rest, args=(stop, _REST), name="rest", daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
    if not server.started:
        raise UnavailableError(
            "the application did not start; the reason stands in the lines above"
        )
