"""What stands between the network and Dash: paths, methods, callback bodies, security headers.

Dash answers every unknown GET with its page and every malformed callback with a 500. Here an
unknown path gives a page with status 404, malformed requests give a 4xx with one sentence, and
every answer carries a strict content security policy. Answers are compressed; plotly.js alone is
4.8 MB, and takes 0.1 s of a core each time.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from driftline.dashboard.words import ZONE
from driftline.local_time import find_zone
from driftline.loopback import App, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
"""A callback of these pages sends a path and a query: a few hundred bytes."""

CALL_PATH = "/_dash-update-component"
ACTIONS = "/actions/"
SUITES = "/_dash-component-suites/"
FILES = ("/assets/", SUITES)
FACTS = ("/_dash-layout", "/_dash-dependencies", "/_favicon.ico")
MIN_BYTES = 1_000
MAX_KEPT = 256
"""Paths kept at most; Dash has some sixty, and answers no others with 200."""

KEEP = "public, max-age=31536000, immutable"

_INLINE = re.compile(rb"<script(?![^>]*\bsrc=)(?P<kind>[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
_CODES = {
    401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 503: "unavailable",
}  # fmt: skip
SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """A request that is answered with a status of 4xx and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """ASGI layer around a Dash application that serves pages from the root path.

    ``callbacks`` are the inputs of each registered callback by its output (``{"page.children":
    [("url", "pathname"), …]}``): any other call is refused before Dash sees it. ``is_there`` gets a
    path as it came, percent-encoded, and a query.
    """

    def __init__(
        self, app: App, callbacks: Mapping[str, list[tuple[str, str]]],
        act: Callable[[str, object], tuple[int, str]], is_there: Callable[[str, str], bool],
    ) -> None:  # fmt: skip
        self.app, self.callbacks = app, callbacks
        self.act, self.is_there = act, is_there
        self.kept: dict[str, _Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is well formed, refuse the rest."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4404})
        else:
            try:
                await self._http(scope, receive, send)
            except Refusal as refusal:
                await refused(refusal.status, str(refusal))(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        ZONE.set(asked_zone(scope))
        if path == "/healthz":
            await PlainTextResponse("ok", headers=SAFE_HEADERS)(scope, receive, send)
        elif path == CALL_PATH:
            body = await _call_body(Request(scope, receive))
            check_call(body, self.callbacks)
            await self._pass(scope, _replay(body, receive), send)
        elif path.startswith(ACTIONS):
            given = read_json(await _call_body(Request(scope, receive)))
            status, said = await asyncio.to_thread(self.act, path.removeprefix(ACTIONS), given)
            answer = refused(status, said)
            if status == 200:
                answer = JSONResponse({"said": said}, headers=SAFE_HEADERS)
            await answer(scope, receive, send)
        elif method not in ("GET", "HEAD"):
            raise Refusal(405, f"{method} {path}: pages are read with GET; changes go to the API")
        elif path.startswith(FILES) or path in FACTS:
            await self._pass({**scope, "method": "GET"}, receive, send, method=method)
        else:
            # The page is one document: which page it shows is told by the address in the browser.
            is_there = await asyncio.to_thread(self.is_there, *asked_page(scope))
            index = {**scope, "method": "GET", "path": "/", "raw_path": b"/"}
            status = 200 if is_there else 404
            await self._pass(index, receive, send, page_status=status, method=method)

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, *, page_status: int | None = None,
        method: str = "GET",
    ) -> None:  # fmt: skip
        """Send Dash's answer with our headers, compressed where the browser accepts that.

        Files of Dash's packages belong to one installed version: they are compressed once, in a
        thread, and kept.
        """
        path = scope["path"]
        is_zipped = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        answer = self.kept.get(path) if is_zipped else None
        if answer is None:
            answer = _Answer()
            await self.app(scope, receive, answer)
            answer.secure(page_status)
            is_suite = path.startswith(SUITES) and answer.status == 200 and answer.body
            if is_zipped:
                await asyncio.to_thread(answer.compress, path)
                if is_suite and len(self.kept) < MAX_KEPT:
                    self.kept[path] = answer
        head = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        await send(head)
        await send({"type": "http.response.body", "body": answer.body * (method != "HEAD")})


def asked_zone(scope: Scope) -> tzinfo | None:
    """Return the zone in which a page asks for its times; None for UTC, or where it is none."""
    return find_zone(Headers(scope=scope).get("x-time-zone", "UTC"))


def is_page(scope: Scope) -> bool:
    """Whether a browser asks for something to show in its window."""
    takes = [value for name, value in scope["headers"] if name == b"accept"]
    return scope["method"] in ("GET", "HEAD") and any(b"text/html" in value for value in takes)


def asked_page(scope: Scope) -> tuple[str, str]:
    """Return path and query as they came: a slash of a name is told from one of the path so."""
    asked = scope.get("raw_path") or quote(scope["path"]).encode()
    query: str = scope.get("query_string", b"").decode("latin-1")
    return asked.decode("latin-1").partition("?")[0], query


def policy(page: bytes) -> bytes:
    """Return the content security policy of a page: this host only, inline scripts by hash.

    ``style-src`` allows inline styles because plotly.js and React set them; no script can run that
    is not a file of ours or one of Dash's own inline scripts.
    """
    hashes = sorted(
        "'sha256-" + base64.b64encode(hashlib.sha256(found["code"]).digest()).decode() + "'"
        for found in _INLINE.finditer(page)
        if b"application/json" not in found["kind"]
    )
    rules = (
        "default-src 'self'",
        f"script-src 'self' {' '.join(hashes)}".rstrip(),
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return "; ".join(rules).encode()


class _Named(BaseModel):
    """An input or output of a callback, with its value."""

    model_config = ConfigDict(strict=True)
    id: str
    property: str
    value: object = None  # Text of an address may hold what pydantic takes for no text.


class _Call(BaseModel):
    """The body of a callback, as Dash's page sends it."""

    model_config = ConfigDict(strict=True, extra="forbid")
    output: str
    outputs: _Named | list[_Named] = []
    inputs: list[_Named] = []
    state: list[_Named] = []
    changedPropIds: list[str] = []  # noqa: N815 - Dash's names.
    parsedChangedPropsIds: list[str] = []  # noqa: N815


def check_call(body: bytes, callbacks: Mapping[str, list[tuple[str, str]]]) -> None:
    """Refuse a callback body that no page of ours would send."""
    try:
        call = _Call.model_validate(read_json(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise Refusal(400, f"{place}: {first['msg']}; expected what a page sends") from None
    expected = callbacks.get(call.output)
    if expected is None:
        raise Refusal(404, f'output "{call.output[:100]}": no such callback')
    given = [*call.inputs, *call.state]
    if [(one.id, one.property) for one in given] != expected:
        raise Refusal(400, f"inputs: expected {expected} in this order")
    # The page counts its refreshes; all else that it sends is text.
    kinds = [int if one.id == "tick" else str for one in given]
    if not all(one.value is None or type(one.value) is kind
               for one, kind in zip(given, kinds, strict=True)):  # fmt: skip
        raise Refusal(400, "inputs: a value of another type than the page's")
    # The outputs once more, as their name has them: ``..a.x...b.y..``.
    many = call.outputs if isinstance(call.outputs, list) else [call.outputs]
    joined = "...".join(f"{one.id}.{one.property}" for one in many)
    if call.output != (f"..{joined}.." if isinstance(call.outputs, list) else joined):
        raise Refusal(400, "outputs: expected the id and property that output names")


def refused(status: int, message: str) -> Response:
    """Return the answer that says in one sentence what is wrong."""
    error = {"code": _CODES.get(status, "bad_request"), "message": message}
    return JSONResponse({"error": error}, status, headers=SAFE_HEADERS)


def read_json(body: bytes) -> object:
    """Read a body; refuse what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "body: not JSON; expected what a page sends") from None


async def _call_body(request: Request) -> bytes:
    """Read a callback's body after checking method and type."""
    if request.method != "POST":
        raise Refusal(405, f"{request.method} {request.scope['path']}: expected POST")
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refusal(415, "content-type: expected application/json")
    return await read_body(request)


async def read_body(request: Request) -> bytes:
    """Read a small body."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise Refusal(413, f"body: more than {MAX_BODY_BYTES} bytes")
    except ClientDisconnect:
        raise Refusal(400, "body: the connection ended before it was complete") from None
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a body that was read already once more, then whatever the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


@dataclass(slots=True)
class _Answer:
    """An answer of Dash, held back until it is whole."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def __call__(self, message: Message) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    def secure(self, page_status: int | None) -> None:
        """Add our headers; a page also gets its status, and its policy by its own scripts."""
        headers = MutableHeaders(raw=self.headers)
        is_page = headers.get("content-type", "").startswith("text/html")
        if is_page and self.status == 200 and page_status is not None:
            self.status = page_status
            headers["cache-control"] = "no-cache"
        own_policy = policy(self.body if is_page else b"").decode()
        headers.update({**SAFE_HEADERS, "content-security-policy": own_policy})

    def compress(self, path: str) -> None:
        """Compress it where that pays, with headers that say so."""
        headers = MutableHeaders(raw=self.headers)
        del headers["content-encoding"]
        if len(self.body) >= MIN_BYTES and self.status == 200:
            self.body = gzip.compress(self.body, 6, mtime=0)
            headers["content-encoding"] = "gzip"
        if path.startswith(SUITES):
            del headers["cache-control"]
        if path.startswith(SUITES) and self.status != 404:
            # Only fingerprinted paths may be kept for good: others change with the installed
            # version.
            headers["cache-control"] = KEEP if ".v" in path else "public, max-age=3600"
        headers.update({"vary": "accept-encoding", "content-length": str(len(self.body))})
