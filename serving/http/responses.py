"""Answers of the HTTP border that are no prediction: errors in one form, bodies within limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from driftline.capture.tap.asgi import BODY_CAME
from driftline.database.disconnects import is_disconnect
from driftline.errors import (
    ConflictError,
    DriftlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
    UndecidedError,
)
from driftline.formats.body_limits import BodyError
from driftline.formats.content_encoding import ENCODINGS, InflatedError, unpack
from driftline.loopback import Receive, Scope, error_body
from driftline.serving.bodies.media_types import NotAcceptableError, UnsupportedMediaError
from driftline.serving.hosting.admission import BusyError, TimedOutError
from driftline.serving.resources.store import ChangedError
from driftline.validation import told

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]

# What servers log for a caller that did not wait: nothing was sent.
CLIENT_GONE = 499

# How long a client that finds nothing running should wait before it comes again.
RETRY_AFTER_S = 1

# What a page of another site may send without asking first (CORS-safelisted in the Fetch standard).
_FORMS = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
# The second is InvokeEndpointAsync's, which no page of another site may send without asking first.
_TYPES = (b"content-type", b"x-amzn-sagemaker-content-type")


class TooLargeError(InputError):
    """A body is longer than the limit."""


class BodyTimeoutError(InputError):
    """A client took too long to send a body."""


class ClientGoneError(Exception):
    """The client left before its body was complete; nobody reads an answer."""


# First match wins, so the narrow ones stand first.
_STATUS: tuple[tuple[type[DriftlineError], int, str], ...] = (
    (TooLargeError, 413, "too_large"),
    (BodyTimeoutError, 408, "too_slow"),
    (UnsupportedMediaError, 415, "unsupported_media_type"),
    (NotAcceptableError, 406, "not_acceptable"),
    (BusyError, 429, "throttled"),
    (TimedOutError, 504, "timed_out"),
    (ForbiddenError, 403, "forbidden"),
    (NotFoundError, 404, "not_found"),
    (ChangedError, 412, "changed"),
    (ConflictError, 409, "conflict"),
    (InputError, 400, "bad_request"),
    (UndecidedError, 409, "undecided"),
    (UnavailableError, 503, "unavailable"),
    (DriftlineError, 500, "internal"),
)


def status_of(error: DriftlineError) -> tuple[int, str, Headers]:
    """Return the HTTP status, the code word and extra headers for an error, from one table."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            retry = error.retriable and status in (429, 503)
            extra = [(b"retry-after", str(RETRY_AFTER_S).encode())] if retry else []
            return status, code, extra
    raise AssertionError(error)


async def read_body(scope: Scope, receive: Receive, *, limit: int, timeout_s: float) -> bytes:
    """Read a request's body, refusing it as soon as it is known to be too long."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise TooLargeError(f"the body has {int(value)} bytes; the limit is {limit}")
    if BODY_CAME in scope:
        return await _gathered(receive, limit)
    try:
        async with asyncio.timeout(timeout_s):
            return await _gathered(receive, limit)
    except TimeoutError:
        raise BodyTimeoutError(f"the body did not come within {timeout_s:g} s") from None


async def _gathered(receive: Receive, limit: int) -> bytes:
    """Gather a body, which may come in parts."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLargeError(f"the body has more than {limit} bytes, the limit")
        parts.append(part)
        if not message.get("more_body"):
            return part if len(parts) == 1 else b"".join(parts)


def is_packing(encoding: str) -> bool:
    """Whether a Content-Encoding packs a body; one that is not known is refused."""
    name = encoding.strip().lower()
    if name and name not in ("identity", *ENCODINGS):
        raise UnsupportedMediaError(
            f'Content-Encoding is "{encoding[:40]}"; expected gzip, deflate, zstd, br or none'
        )
    return name in ENCODINGS


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Return what is read of a packed body, by the same bounds as what is captured of it."""
    try:
        found = unpack(body, encoding)
    except InflatedError as error:
        raise TooLargeError(f"the body {error}") from None
    except BodyError as error:
        raise InputError(f"the body {error}") from None
    if len(found) > limit:
        raise TooLargeError(f"the body unpacks to {len(found)} bytes; the limit is {limit}")
    return found


def require_type(scope: Scope, body: bytes) -> None:
    """Refuse a body of a type, or without one, that any web page could have sent."""
    types = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in _TYPES]
    named = [value.partition(";")[0].strip().lower() for name, value in types if name == _TYPES[0]]
    if forms := _FORMS.intersection(named):
        problem = f'content type "{min(forms)}"'
    elif body and not any(value for _, value in types):
        problem = "a body without Content-Type"
    else:
        return
    raise UnsupportedMediaError(
        f'{problem}, which any web page can send; expected "application/json" '
        '(curl -H "Content-Type: application/json")'
    )


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an error of the programming interface in the one form."""
    place = f"{request.method} {request.url.path[:200]}"
    match error:
        case ClientGoneError():
            return Response(status_code=CLIENT_GONE)
        case RequestValidationError():
            error = InputError(told(error.errors()[0]))
        case HTTPException(status_code=400):  # FastAPI's, of JSON that Python's reader gives up.
            error = InputError("body: not readable; expected JSON in UTF-8, not so deep")
        case HTTPException(status_code=status):
            code = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
            return _error(status, code, f"{place}: {error.detail}; see /docs", error.headers)
    error = domain_error(error)
    if not isinstance(error, DriftlineError):
        log.error("status=500 asked=%s", place, exc_info=error)
        return _error(500, "internal", f"{place} failed; the server's log says why")
    status, code, headers = status_of(error)
    if status >= 500:
        log.warning("status=%d error=%s", status, error)
    return _error(status, code, str(error), {k.decode(): v.decode() for k, v in headers})


def domain_error(error: Exception) -> Exception:
    """Return an error of the database as one of ours; any other as it is."""
    if isinstance(error, DataError):
        # What no rule of ours forbids, and the database does: PostgreSQL knows no NUL in texts.
        return InputError(f"a value cannot be stored or looked for: {_reason(error)}")
    if isinstance(error, SQLAlchemyError) and is_disconnect(error):
        log.warning("database error=%s", _reason(error))
        return UnavailableError("the database does not answer; the server's log says why")
    return error


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", error)).partition("\n")[0]


def _error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(error_body(code, message), status, headers, media_type="application/json")
