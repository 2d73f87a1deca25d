"""Taking a port and answering on it: what every process with a listener does alike."""

from __future__ import annotations

import resource
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import uvicorn

from driftline.app.http_protocol import HTTPProtocol
from driftline.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Shorter than the supervisor waits: slow clients must not turn a stop into a kill.
GRACE_S = 5
# For which a connection is kept after an answer. Load balancers keep theirs
# for 60 s: one that is closed just as the next request comes is a request that failed.
KEPT_S = 75
_MOST_CONNECTIONS = 4096


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


class Server(uvicorn.Server):
    """Answers on a port that was taken: without logs and names of uvicorn's own, within limits."""

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        lifespan: Literal["on", "off"] = "on",
        grace_s: int = GRACE_S,
        ready: Callable[[], None] = lambda: None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        certificate, key = tls or (None, None)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
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
            limit_concurrency=min(
                files // 2 if files >= 0 else _MOST_CONNECTIONS, _MOST_CONNECTIONS
            ),
            timeout_keep_alive=KEPT_S,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def check_tls(section: str, certificate: Path, key: Path) -> None:
    """Refuse a certificate and key that no listener could use."""
    try:
        for file in (certificate, key):
            file.open("rb").close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Never asked for at a terminal: nobody sits there when it starts again.
        context.load_cert_chain(certificate, key, lambda: "")
    except OSError as error:
        raise InputError(
            f"[{section}] tls_cert_file {certificate}, tls_key_file {key}: {error}; expected a "
            "certificate and its own key in PEM, the key without a password"
        ) from error


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
    server.run(sockets=[listener])
    if not server.started:
        raise UnavailableError(
            "the application did not start; the reason stands in the lines above"
        )
