"""A reverse proxy that records: the tap in front of an HTTP server that cannot load it.

Bytes are forwarded as they come, both ways: nothing is buffered, unpacked or followed. Headers of
one connection only (RFC 9110, 7.6.1) stay on it. When the client leaves, the upstream request is
cancelled; when the server breaks off, so does the answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from driftline.capture.tap.asgi import App, Message, Receive, Scope, Send
from driftline.capture.tap.target import new_id
from driftline.errors import InputError
from driftline.loopback import LocalOnly

log = logging.getLogger(__name__)

CONNECT_S = 5.0
TIMEOUT_S = 60.0
# Below the five seconds after which uvicorn closes an idle connection, so that none is used then.
KEEP_ALIVE_S = 2.0

Header = tuple[bytes, bytes]

# Of one connection, not of the message (RFC 9110, 7.6.1; proxy-connection is of old clients).
_HOP_BY_HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip
# The server above us answers `expect` itself; the host is the one behind.
_NOT_SENT = _HOP_BY_HOP | {b"expect", b"host"}
# The server above us dates the answer; the request id that is told is that of the record.
_NOT_ANSWERED = _HOP_BY_HOP | {b"date", b"x-amzn-requestid"}


def proxy_app(tap: App) -> App:
    """Return the whole ASGI app of a proxy: quiet on broken answers, for this machine only."""

    async def quietly(scope: Scope, receive: Receive, send: Send) -> None:
        # The server above closes the connection of an answer that does not end, and says so.
        with suppress(_BrokenOffError):
            await tap(scope, receive, send)

    return LocalOnly(quietly)


class _BrokenOffError(Exception):
    """The upstream server broke off its answer; ours must not seem whole."""


class _ClientGoneError(Exception):
    """The client left; nobody reads an answer."""


class ReverseProxy:
    """Forwards requests to a server, and its answers back.

    ``upstream``: address of the server, such as ``http://127.0.0.1:8000``; a path in it goes before
    each request's own; ``timeout_s``: longest time that it may send nothing.
    """

    def __init__(self, upstream: str, *, timeout_s: float = TIMEOUT_S) -> None:
        # By this name it knows its own requests when they come back (RFC 9110, 7.6.3).
        self._name = f"driftline-{new_id()[:8]}".encode()
        self._upstream = upstream
        self._url, self._host, self._prefix = _address(upstream)
        self._timeout_s = timeout_s
        # The transport alone: a client would keep cookies, follow redirects and read HTTP_PROXY.
        self._transport = httpx.AsyncHTTPTransport(
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_S),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request, and its answer."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1011, "reason": "HTTP only"})
        elif problem := self._problem(scope):
            await _tell(send, *problem)
        else:
            await self._exchange(scope, receive, send)

    def _problem(self, scope: Scope) -> tuple[int, str, str] | None:
        """Return why a request is refused: status, code and sentence; None for most."""
        if any(name == b"via" and self._name in value for name, value in scope["headers"]):
            message = f"upstream {self._upstream} leads back here; give another --upstream"
            log.error("proxy status=508 error=%s", message)
            return 508, "loop_detected", message
        # CONNECT, whole addresses and the rest of what is meant for proxies that go anywhere.
        if scope["method"] == "CONNECT" or not _path_of(scope).startswith(b"/"):
            return 400, "bad_request", "the request's target is no path; expected one such as /"
        return None

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._transport.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves first: then cancel the upstream request."""
        body = _Body(receive)
        answering = asyncio.create_task(self._answer(scope, body, send))
        leaving = asyncio.create_task(body.client_gone())
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if body.is_answered:
                await asyncio.wait((answering,))
            if answering.done():
                with suppress(_ClientGoneError):
                    answering.result()
        finally:
            # Also when the server above cancels us, as it does when it stops.
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, scope: Scope, body: _Body, send: Send) -> None:
        request = self._request(scope, body)
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            await self._refuse(error, body, send)
            return
        try:
            await self._pass_on(response, body, send)
        finally:
            await response.aclose()

    async def _pass_on(self, response: httpx.Response, body: _Body, send: Send) -> None:
        headers = _kept(response.headers.raw, _NOT_ANSWERED)
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        try:
            async for chunk in response.stream:  # type: ignore[union-attr] # of this transport
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.TransportError as error:
            log.warning(
                "proxy answer broken off upstream=%s error=%s", self._upstream, _told(error)
            )
            raise _BrokenOffError from error
        body.is_answered = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _refuse(self, error: httpx.TransportError, body: _Body, send: Send) -> None:
        """Answer that the upstream server did not respond."""
        if isinstance(error, httpx.TimeoutException):
            status, code = 504, "upstream_timed_out"
            limit = CONNECT_S if isinstance(error, httpx.ConnectTimeout) else self._timeout_s
            message = f"upstream {self._upstream} has not answered within {limit:g} s"
        else:
            status, code = 502, "upstream_failed"
            message = (
                f"upstream {self._upstream} does not answer ({_told(error)}); start it, or give "
                "another --upstream"
            )
        log.warning("proxy status=%d error=%s", status, message)
        body.is_answered = True
        await _tell(send, status, code, message)

    def _request(self, scope: Scope, body: _Body) -> httpx.Request:
        given: list[Header] = list(scope["headers"])
        names = {name for name, _ in given}
        # With both, the length is not that of the body (RFC 9112, 6.1).
        is_chunked = b"transfer-encoding" in names
        left_out = _NOT_SENT | {b"content-length"} if is_chunked else _NOT_SENT
        headers: list[Header] = [(b"host", self._host), *_kept(given, left_out)]
        headers += [*_forwarded(scope, given), (b"via", b"1.1 " + self._name)]
        has_body = is_chunked or b"content-length" in names
        if not has_body:
            body.end()
        elif not any(name == b"content-length" for name, _ in headers):
            headers.append((b"transfer-encoding", b"chunked"))
        query = scope.get("query_string", b"")
        limits = dict.fromkeys(("read", "write"), self._timeout_s)
        return httpx.Request(
            scope["method"],
            self._url,
            headers=headers,
            stream=body if has_body else httpx.ByteStream(b""),
            extensions={
                # As it was sent: an address of httpx would be written its own way.
                "target": self._prefix + _path_of(scope) + (b"?" + query if query else b""),
                "timeout": {**limits, "connect": CONNECT_S, "pool": None},
            },
        )


class _Body(httpx.AsyncByteStream):
    """A request's body as it comes in; afterwards, whether the client is still there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_read = asyncio.Event()
        self.is_answered = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks, each once the upstream server has taken the one before."""
        while True:
            message: Message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                self._is_read.set()
                return

    def end(self) -> None:
        """Note that nobody will read the body."""
        self._is_read.set()

    async def client_gone(self) -> None:
        """Return when the client has left; begins once the body is read."""
        await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _address(upstream: str) -> tuple[httpx.URL, bytes, bytes]:
    """Split an address: where to connect, the Host header, the prefix of paths."""
    try:
        parts = urlsplit(upstream)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_more = bool(parts.query or parts.fragment or "@" in parts.netloc)
        if is_http and not has_more:
            url = httpx.URL(f"{parts.scheme}://{parts.netloc}")
            return url, url.netloc, parts.path.rstrip("/").encode()
    except (ValueError, httpx.InvalidURL):
        pass
    shown = upstream.rpartition("@")[2]  # Without a password.
    raise InputError(
        f'upstream "{shown}": expected an address such as http://127.0.0.1:8000'
    ) from None


def _kept(headers: Sequence[Header], left_out: frozenset[bytes]) -> list[Header]:
    """Return the headers without these names and those that Connection lists."""
    lower = [(name.lower(), value) for name, value in headers]
    named = {
        part.strip().lower()
        for name, value in lower
        if name == b"connection"
        for part in value.split(b",")
    }
    return [(name, value) for name, value in lower if name not in left_out and name not in named]


def _forwarded(scope: Scope, given: Sequence[Header]) -> list[Header]:
    """Add the Forwarded headers, unless a proxy before us has."""
    headers = dict(given)
    address = str((scope.get("client") or ("",))[0]).encode()
    known = (
        (b"x-forwarded-proto", scope.get("scheme", "http").encode()),
        (b"x-forwarded-host", headers.get(b"host", b"")),
        (b"x-forwarded-for", address),
    )
    return [(name, value) for name, value in known if value and name not in headers]


def _path_of(scope: Scope) -> bytes:
    """Return the path as it was sent."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path


async def _tell(send: Send, status: int, code: str, message: str) -> None:
    """Answer with an error of our own."""
    content = json.dumps({"error": {"code": code, "message": message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _told(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
