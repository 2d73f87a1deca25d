"""Taking a port and answering on it: what every process with a listener does alike."""

from __future__ import annotations

import asyncio
import math
import resource
import signal
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from driftline.capture.tap.asgi import BEFORE_ANSWERS, BODY_CAME
from driftline.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Shorter than the supervisor waits: slow clients must not turn a stop into a kill.
GRACE_S = 5
# For which a connection is kept after an answer. Load balancers keep theirs
# for 60 s: one that is closed just as the next request comes is a request that failed.
KEPT_S = 75
# Line and headers of a request together, or what stands unread after them.
MOST_HEAD_BYTES = 1 << 16
_MOST_CONNECTIONS = 4096
_MOST_HELD_BYTES = 1 << 16  # Of an answer that waits for the end of its turn.


class _Turn:
    """Ends a turn of the loop: what has to come before its answers is called, then all are sent.

    uvicorn writes the head of an answer and its body apart: two system calls, two packets and two
    wake-ups of the client. And one that is woken at once takes turns with this process, which then
    finds one request a turn where it would find several: a fifth of what one row costs the server.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: dict[Callable[[], None], None] = {}
        self._writers: list[_JoinedWrites] = []
        self._is_due = False

    def before_answers(self, call: Callable[[], None]) -> None:
        """Call it, once, before any answer leaves that is written from now on."""
        self._pending[call] = None
        self._schedule_end()

    def schedule_send(self, writer: _JoinedWrites) -> None:
        """Send what a connection holds at the end of this turn."""
        self._writers.append(writer)
        self._schedule_end()

    def run_pending(self) -> None:
        """Make the calls that come before any answer."""
        while self._pending:
            self._pending.popitem()[0]()

    def _schedule_end(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self._is_due = False
        try:
            self.run_pending()
            while self._writers:
                self._writers.pop().flush()
        finally:
            if self._writers:  # One has failed, for whatever reason; the others have not.
                self._schedule_end()


class _JoinedWrites:
    """A transport that sends at the end of a turn what was written in it."""

    def __init__(self, transport: asyncio.Transport, turn: _Turn) -> None:
        self._transport, self._turn = transport, turn
        self.is_closing = transport.is_closing  # Asked for each request.
        self._held: list[bytes] = []
        self._held_bytes = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold it until the end of the turn, while that is little."""
        if not self._held:
            self._turn.schedule_send(self)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _MOST_HELD_BYTES:
            self.flush()

    def close(self) -> None:
        """Close once all is sent."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what is held."""
        self._turn.run_pending()
        if self._held:
            held, self._held, self._held_bytes = self._held, [], 0
            self._transport.write(b"".join(held))


class HTTPProtocol(HttpToolsProtocol):
    """Bounds the head of a request, in bytes (400) and in time; ignores trailers.

    httptools keeps a header until it is whole, however large it becomes. uvicorn takes trailers for
    headers, which would bypass a proxy that removes headers; and waits for a head for ever.
    """

    head_timeout_s = 10.0
    """Within which the first head must begin; and any be whole, counted from its first byte."""

    _pending = 0  # Bytes since the parser last gave a head, a part of a body or an end.
    _head_bytes_at_most = 0  # Of a head that is whole now: all that came since the last.
    _deadline = math.inf  # Of what the client sends next, by the loop's clock.

    def __init__(self, *args: Any, turn: _Turn, **options: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **options)
        self._turn = turn

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(_JoinedWrites(transport, self._turn))  # type: ignore[arg-type]
        self._deadline = self.loop.time() + self.head_timeout_s

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        is_begin = not self._pending
        self._pending += len(data)
        self._head_bytes_at_most = self._pending
        super().data_received(data)
        if self._pending > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("line and headers of a request are too long")
        elif self._deadline < math.inf and (is_begin or not self._pending):
            # A head begins, or there is more of a body that was answered before it was here.
            wait_s = self.head_timeout_s if self._pending else KEPT_S
            self._deadline = self.loop.time() + wait_s

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._pending, self._deadline = 0, math.inf
        if self._head_bytes_at_most > MOST_HEAD_BYTES:
            size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
            if size > MOST_HEAD_BYTES:
                raise ValueError(size)  # httptools makes it an error of the request.
        super().on_headers_complete()
        self.scope[BEFORE_ANSWERS] = self._turn.before_answers  # type: ignore[literal-required]
        self.headers = []  # What comes from now on are trailers, which nobody is told.

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._pending = 0
        self.scope[BODY_CAME] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on after an answer as uvicorn does, without a timer for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._deadline = self.loop.time() + KEPT_S

    def close_if_late(self, now: float) -> None:
        """Close the connection where the next request has not come in time."""
        if now > self._deadline:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, and close; nothing is said in the middle of an answer."""
        if self._is_idle():
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete


def listen(
    section: str, host: str, port: int, *, mend: str = "", tls: tuple[Path, Path] | None = None
) -> socket.socket:
    """Bind the port and read the certificate before all else is built, to fail in one sentence."""
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
        ready: Callable[[], object] = lambda: None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        certificate, key = tls or (None, None)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        config = uvicorn.Config(
            app,
            interface="asgi3",
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
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        turn = _Turn(asyncio.get_running_loop())
        self.config.http_protocol_class = partial(HTTPProtocol, turn=turn)  # type: ignore[assignment]
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Look for requests that have not come in time; uvicorn calls it ten times a second."""
        now = asyncio.get_running_loop().time()
        for connection in self.server_state.connections.copy():
            cast("HTTPProtocol", connection).close_if_late(now)
        return await super().on_tick(counter)


def check_tls(section: str, certificate: Path, key: Path) -> None:
    """Refuse a certificate and key that no listener could use."""
    try:
        # Never asked for a password at a terminal: nobody sits there when it starts again.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: "")
    except OSError as error:
        raise InputError(
            f"[{section}] tls_cert_file {certificate}, tls_key_file {key}: {error}; expected a "
            "certificate and its own key in PEM, the key without a password"
        ) from error


def serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], object],
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
