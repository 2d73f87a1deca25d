"""ASGI types, sampling, and what the tap does to calls that are not recorded.

Standard library only.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from driftline.capture.tap.target import hash_of

log = logging.getLogger(__name__)

# ASGI's own loose types.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
BeforeAnswers = Callable[[Callable[[], None]], None]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID_KEY = "driftline.request_id"
# When a request came that a shadow is asked a copy of, in nanoseconds since 1970.
CAME_KEY = "driftline.came_ns"
# Set by our own listener when all of a request is here: reading its body waits for nobody.
BODY_CAME = "driftline.body_came"
# Set by our own listener, which sends all answers of a turn of the loop at its end: call it with
# what has to be done before any of them leaves, and must not fail.
BEFORE_ANSWERS = "driftline.before_answers"
REQUEST_ID_HEADER = b"x-amzn-requestid"
# They hand over bytes past the tap: a file by its path, or after the body.
_BYPASSES = ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")

HeaderList = Iterable[tuple[bytes, bytes]]
_TRACE_ID = slice(3, 35)  # Of 00-<32 digits>-<16 digits>-<2 digits> (W3C Trace Context).


def is_chosen(threshold: float, headers: HeaderList, request_id: str) -> bool:
    """Whether a request is sampled, by an id that retries and all parts of a trace share."""
    if threshold <= 0:
        return False
    key = trace = b""
    for name, value in headers:
        if name == b"x-amzn-sagemaker-inference-id":
            key = value
        elif name == b"traceparent":
            trace = value
    return hash_of(key or trace[_TRACE_ID] or request_id.encode()) < threshold


def telling(request_id: str, send: Send) -> Send:
    """Return a ``send`` that adds the request's id to the answer, and keeps nothing."""

    def tell(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            try:
                message = _with_id(message, request_id)
            except Exception as error:  # noqa: BLE001 - capture must never fail a request.
                log.debug("request id not told error=%r", error)
        return send(message)

    return tell


def _with_id(message: Message, request_id: str) -> Message:
    headers = list(message.get("headers", ()))
    for name, _ in headers:
        if name == REQUEST_ID_HEADER or (not name.islower() and name.lower() == REQUEST_ID_HEADER):
            break
    else:
        headers.append((REQUEST_ID_HEADER, request_id.encode("latin-1", "replace")))
    return {**message, "headers": headers}


def without_bypasses(scope: Scope) -> Scope:
    """Return a scope without the extensions that hand over bytes past the tap."""
    extensions = scope["extensions"]
    if not extensions or not any(name in extensions for name in _BYPASSES):
        return scope
    kept = {name: value for name, value in extensions.items() if name not in _BYPASSES}
    return {**scope, "extensions": kept}
