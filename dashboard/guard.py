"""What stands between the network and Dash: paths, methods, callback bodies, security headers.

Dash answers every unknown GET with its page and every malformed callback with a 500. Here each
page's path gives the page, an unknown one gives the page that says so with status 404, anything
malformed gives a 4xx with one sentence, and every answer carries a strict content security policy.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from driftline.dashboard.address import is_page
from driftline.loopback import App, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
"""A callback of these pages sends a path and a query: a few hundred bytes."""

CALL_PATH = "/_dash-update-component"
ACTIONS = "/actions/"
FILES = ("/assets/", "/_dash-component-suites/")
FACTS = ("/_dash-layout", "/_dash-dependencies", "/_favicon.ico")

_INLINE = re.compile(rb"<script(?![^>]*\bsrc=)(?P<kind>[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
_CODES = {
    403: "forbidden", 404: "not_found", 405: "method_not_allowed", 409: "conflict",
    503: "unavailable",
}  # fmt: skip
_HEADERS = {
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
    [("url", "pathname"), …]}``): any other call is refused before Dash sees it. ``is_there`` is
    asked for a path as it came, percent-encoded, and a query.
    """

    def __init__(
        self,
        app: App,
        callbacks: Mapping[str, list[tuple[str, str]]],
        act: Callable[[str, object], tuple[int, str]] | None = None,
        is_there: Callable[[str, str], bool] = is_page,
    ) -> None:
        self.app = app
        self.callbacks = callbacks
        self.act = act
        self.is_there = is_there

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
        if path == "/healthz":
            await PlainTextResponse("ok", headers=_HEADERS)(scope, receive, send)
        elif path == CALL_PATH:
            body = await _call_body(Request(scope, receive))
            check_call(body, self.callbacks)
            await self.app(scope, _replay(body, receive), _Finish(send, 200))
        elif path.startswith(ACTIONS) and self.act is not None:
            given = _json(await _call_body(Request(scope, receive)))
            status, said = await asyncio.to_thread(self.act, path.removeprefix(ACTIONS), given)
            answer = refused(status, said)
            if status == 200:
                answer = JSONResponse({"said": said}, headers=_HEADERS)
            await answer(scope, receive, send)
        elif method not in ("GET", "HEAD"):
            raise Refusal(405, f"{method} {path}: pages are read with GET; changes go to the API")
        elif path.startswith(FILES) or path in FACTS:
            await self.app({**scope, "method": "GET"}, receive, _Finish(send, None, method))
        else:
            # The page is one document: which page it shows is told by the address in the browser.
            # As it came: a slash of a name is told from one of the path only before decoding.
            asked = scope.get("raw_path") or quote(path).encode()
            query = scope.get("query_string", b"").decode("latin-1")
            page = asked.decode("latin-1").partition("?")[0]
            is_there = await asyncio.to_thread(self.is_there, page, query)
            status = 200 if is_there else 404
            index = {**scope, "method": "GET", "path": "/", "raw_path": b"/"}
            await self.app(index, receive, _Finish(send, status, method))


def policy(page: bytes) -> bytes:
    """Write the content security policy of a page: this host only, inline scripts by hash.

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
    value: str | int | None = None


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
        call = _Call.model_validate_json(body)
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
    if any(isinstance(one.value, int) != (one.property == "n_intervals")
           for one in given if one.value is not None):  # fmt: skip
        raise Refusal(400, "inputs: a value of another type than the page's")
    # The outputs once more, as their name has them: ``..a.x...b.y..``.
    many = call.outputs if isinstance(call.outputs, list) else [call.outputs]
    joined = "...".join(f"{one.id}.{one.property}" for one in many)
    if call.output != (f"..{joined}.." if isinstance(call.outputs, list) else joined):
        raise Refusal(400, "outputs: expected the id and property that output names")


def refused(status: int, message: str) -> Response:
    """Return the answer that says in one sentence what is wrong."""
    error = {"code": _CODES.get(status, "bad_request"), "message": message}
    return JSONResponse({"error": error}, status, headers=_HEADERS)


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "body: not JSON; expected what a page sends") from None


async def _call_body(request: Request) -> bytes:
    """Read a callback's body after checking method, sender and type."""
    if request.method != "POST":
        raise Refusal(405, f"{request.method} {request.scope['path']}: expected POST")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refusal(403, "the call comes from another site")
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refusal(415, "content-type: expected application/json")
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


class _Finish:
    """Send an answer on with our headers; a page is held back until its policy is known."""

    def __init__(self, send: Send, page_status: int | None, method: str = "GET") -> None:
        self.send = send
        self.page_status = page_status
        self.method = method
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        assert self.start is not None, "a body came before its head"
        self.body += message.get("body", b"")
        if message.get("more_body", False):
            return
        status, headers = self.start["status"], list(self.start["headers"])
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        html = kind.startswith(b"text/html")
        if html and status == 200 and self.page_status is not None:
            status = self.page_status
            headers.append((b"cache-control", b"no-cache"))
        headers += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        headers.append((b"content-security-policy", policy(self.body if html else b"")))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if self.method == "HEAD" else self.body
        await self.send({"type": "http.response.body", "body": body})
