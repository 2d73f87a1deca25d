"""The tap: an ASGI layer that records requests and responses as they pass.

It keeps references to body chunks and hands every chunk on at once, save for one: with
``append="before"`` the frame is written before the chunk that completes the response is passed on,
so whatever was answered is in the spool. One ``writev`` a request, no network, no parsing, no await
of its own. Its own faults never reach the request. Standard library only.
"""

from __future__ import annotations

import logging
import os
import re
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from driftline.capture.frame import Flag
from driftline.capture.spool import Durability, SpoolWriter
from driftline.errors import InputError

__all__ = ["DEFAULT_SPOOL_DIR", "REQUEST_ID_KEY", "Capture", "CaptureTarget", "parse_event_time"]

log = logging.getLogger(__name__)

# The capture middleware takes whatever ASGI gives; these are the protocol's own loose types.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DEFAULT_SPOOL_DIR = ".driftline/spool"  # Where `driftline up` looks by default.
REQUEST_ID_KEY = "driftline.request_id"
REQUEST_ID_HEADER = b"x-amzn-requestid"
_MAX_FAULTS = 100  # In a row; then this process captures no more.
_MAX_INFLIGHT_BYTES = 64 << 20
_HASH_SPAN = 1 << 32
_CLIENT_CLOSED = 499  # nginx's code for a client that left before the answer.
# They hand over bytes past the tap: a file by its path, or after the body.
_BYPASSES = ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CaptureTarget:
    """What a request is recorded as.

    Parameters
    ----------
    endpoint, variant, model
        Names that go into the record.
    sampling_percentage
        Share of requests that is recorded, 0 to 100.
    trust_event_time
        Whether ``X-Driftline-Event-Time`` is taken for the time of the event.
    """

    endpoint: str
    variant: str = "AllTraffic"
    model: str = ""
    sampling_percentage: float = 100.0
    trust_event_time: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.sampling_percentage <= 100:
            raise InputError(
                f'capture of "{self.endpoint}": sampling_percentage {self.sampling_percentage}; '
                f"expected 0 to 100"
            )


Route = Callable[[Scope], CaptureTarget | None]


class Capture:
    """Record what an ASGI app answers (outermost layer; ``app.add_middleware(Capture, …)``).

    Parameters
    ----------
    app
        The application; it sees every call unchanged, with ``driftline.request_id`` in its scope.
    endpoint
        Name under which every POST request is recorded; or give ``route``.
    spool_dir
        Folder of the host's spool, shared by all processes that record or ship.
    sampling_percentage
        Share of requests that is recorded. Requests with an inference id are chosen by it, so that
        retries and all parts of a chain agree.
    max_body_bytes
        Bytes kept of each body; the true length always is.
    append
        "before": the record is written before the bytes that complete the response are passed on;
        "after": afterwards, and a kill in between loses it.
    route
        Decides for each HTTP scope what it is recorded as; None = not at all. Wins over
        ``endpoint`` and ``sampling_percentage``.
    now_ns
        Wall clock, in nanoseconds.
    spool_max_bytes, durability
        See ``SpoolWriter``.

    Attributes
    ----------
    counters
        ``requests`` seen, ``sampled`` chosen, ``stored`` written, ``dropped`` not written,
        ``faults`` of the tap itself.
    """

    def __init__(
        self,
        app: App,
        *,
        endpoint: str | None = None,
        spool_dir: str | os.PathLike[str] = DEFAULT_SPOOL_DIR,
        sampling_percentage: float = 100.0,
        max_body_bytes: int = 1 << 20,
        append: Literal["before", "after"] = "before",
        route: Route | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        spool_max_bytes: int = 2 << 30,
        durability: Durability = "process",
    ) -> None:
        if append not in ("before", "after"):
            raise InputError(f'capture: append "{append}"; expected "before" or "after"')
        if route is None:
            if endpoint is None:
                raise InputError("capture: neither endpoint nor route; expected one of them")
            route = _every_post(
                CaptureTarget(endpoint, sampling_percentage=float(sampling_percentage))
            )
        self.app = app
        self.spool = SpoolWriter(
            Path(spool_dir), max_bytes=spool_max_bytes, durability=durability, now_ns=now_ns
        )
        self.counters = {"requests": 0, "sampled": 0, "stored": 0, "dropped": 0, "faults": 0}
        self.max_body_bytes = max_body_bytes
        self.is_before = append == "before"
        self.inflight_bytes = 0
        self.now_ns = now_ns
        self._route = route
        self._faults_in_a_row = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, and record it when it is one to be recorded."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._closing(send))
            return
        exchange = None
        if scope["type"] == "http" and self._faults_in_a_row < _MAX_FAULTS:
            exchange = self._begin(scope, receive, send)
        if exchange is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(exchange.scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.fail(error)
            raise
        finally:
            exchange.finish()

    def guard(self, error: Exception, endpoint: str = "") -> None:
        """Count a fault of the tap itself; after a hundred in a row it leaves the app alone."""
        self.counters["faults"] += 1
        self.spool.count_drop("tap_error", endpoint)
        self._faults_in_a_row += 1
        log.error("capture fault=%r in_a_row=%d", error, self._faults_in_a_row, exc_info=error)

    def store(self, is_stored: bool) -> None:
        """Count what became of a record."""
        self._faults_in_a_row = 0
        self.counters["stored" if is_stored else "dropped"] += 1

    def _begin(self, scope: Scope, receive: Receive, send: Send) -> _Exchange | None:
        try:
            target = self._route(scope)
            if target is None:
                return None
            return _Exchange(self, target, scope, receive, send)
        except Exception as error:  # noqa: BLE001 - capture must never fail a request.
            self.guard(error)
            return None

    def _closing(self, send: Send) -> Send:
        """End the spool when the app has shut down, so that its reader need not wait."""

        async def closing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                self.spool.close()
            await send(message)

        return closing


class _Exchange:
    """One request and its response on their way through the tap."""

    __slots__ = (
        "_append",
        "_expected",
        "_first_ns",
        "_flags",
        "_headers",
        "_inflight",
        "_is_written",
        "_mono_ns",
        "_receive",
        "_request",
        "_request_bytes",
        "_request_kept",
        "_response",
        "_response_bytes",
        "_response_encoding",
        "_response_kept",
        "_response_type",
        "_send",
        "_status",
        "_tap",
        "_target",
        "_wall_ns",
        "is_sampled",
        "request_id",
        "scope",
    )  # fmt: skip

    def __init__(
        self, tap: Capture, target: CaptureTarget, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._tap = tap
        self._target = target
        self._receive = receive
        self._send = send
        self._wall_ns = tap.now_ns()
        self._mono_ns = time.monotonic_ns()
        self._headers = dict(scope["headers"])
        self.request_id = _given_id(scope) or _new_id()
        scope[REQUEST_ID_KEY] = self.request_id
        self.scope = _without_bypasses(scope)
        inference_id = self._headers.get(b"x-amzn-sagemaker-inference-id")
        key = inference_id or self.request_id.encode()
        self.is_sampled = zlib.crc32(key) / _HASH_SPAN < target.sampling_percentage / 100
        tap.counters["requests"] += 1
        tap.counters["sampled"] += self.is_sampled
        self._flags = 0
        self._status = 0
        self._first_ns = 0
        self._expected: int | None = None
        self._is_written = not self.is_sampled
        self._inflight = 0
        self._request: list[bytes] = []
        self._response: list[bytes] = []
        self._request_bytes = self._request_kept = 0
        self._response_bytes = self._response_kept = 0
        self._response_type = self._response_encoding = b""

    async def receive(self) -> Message:
        """Hand a message of the request on, keeping a reference to its bytes."""
        message = await self._receive()
        if not self._is_written:
            try:
                self._note_request(message)
            except Exception as error:  # noqa: BLE001 - capture must never fail a request.
                self._tap.guard(error, self._target.endpoint)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Hand a message of the response on; write the frame before the one that completes it."""
        try:
            if message["type"] == "http.response.start":
                message = self._note_start(message)
            elif message["type"] == "http.response.body" and not self._is_written:
                self._note_body(message)
                if self._is_complete(message):
                    if self._tap.is_before:
                        self._write()
                    else:
                        return self._send_then_write(message)
        except Exception as error:  # noqa: BLE001 - capture must never fail a request.
            self._is_written = True
            self._tap.guard(error, self._target.endpoint)
        return self._send(message)

    def fail(self, error: BaseException) -> None:
        """Note that the app raised, or was cancelled because the client left."""
        if isinstance(error, Exception):
            self._flags |= Flag.APP_ERROR
            self._status = self._status or 500  # What the server above makes of it.
        else:
            self._flags |= Flag.CLIENT_GONE
            self._status = self._status or _CLIENT_CLOSED

    def finish(self) -> None:
        """Write the frame of a response that was never completed."""
        if not self._is_written:
            self._flags |= Flag.INCOMPLETE
            try:
                self._write()
            except Exception as error:  # noqa: BLE001 - capture must never fail a request.
                self._tap.guard(error, self._target.endpoint)
        self._tap.inflight_bytes -= self._inflight
        self._inflight = 0

    async def _send_then_write(self, message: Message) -> None:
        await self._send(message)
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - capture must never fail a request.
            self._tap.guard(error, self._target.endpoint)

    def _note_request(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._flags |= Flag.CLIENT_GONE
        elif body := message.get("body"):
            self._request_bytes += len(body)
            kept = self._keep(body, self._request_kept, Flag.REQUEST_TRUNCATED)
            if kept:
                self._request.append(kept)
                self._request_kept += len(kept)

    def _note_start(self, message: Message) -> Message:
        self._status = message["status"]
        has_id = False
        headers = list(message.get("headers", ()))
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-type":
                self._response_type = value
            elif lower == b"content-encoding":
                self._response_encoding = value
            elif lower == b"content-length" and value.isdigit():
                self._expected = int(value)
            elif lower == REQUEST_ID_HEADER:
                has_id = True
        if has_id:
            return message
        headers.append((REQUEST_ID_HEADER, self.request_id.encode("latin-1", "replace")))
        return {**message, "headers": headers}

    def _note_body(self, message: Message) -> None:
        if not self._first_ns:
            self._first_ns = time.monotonic_ns()
        elif self._response_bytes:
            self._flags |= Flag.STREAMED
        if body := message.get("body"):
            self._response_bytes += len(body)
            kept = self._keep(body, self._response_kept, Flag.RESPONSE_TRUNCATED)
            if kept:
                self._response.append(kept)
                self._response_kept += len(kept)

    def _keep(self, body: bytes, kept: int, truncated: Flag) -> bytes:
        """Cut a chunk to what the body may still take, within what all bodies may take."""
        room = self._tap.max_body_bytes - kept
        if self._tap.inflight_bytes > _MAX_INFLIGHT_BYTES:
            self._flags |= Flag.BODY_SHED
            room = 0
        if len(body) > room:
            self._flags |= truncated
            body = body[:room]
        self._inflight += len(body)
        self._tap.inflight_bytes += len(body)
        # A server may hand its own buffer over and fill it again; only bytes are safe to keep.
        return body if type(body) is bytes else bytes(body)

    def _is_complete(self, message: Message) -> bool:
        """Say whether the client has the whole response once this message is sent.

        With Content-Length that can be before the last ASGI message, which is then empty.
        """
        if not message.get("more_body", False):
            return True
        return self._expected is not None and self._response_bytes >= self._expected

    def _write(self) -> None:
        self._is_written = True
        ended_ns = time.monotonic_ns()
        first_ns = self._first_ns or ended_ns
        self._tap.store(
            self._tap.spool.append(
                self._meta(),
                self._request,
                self._response,
                flags=self._flags,
                wall_ns=self._wall_ns,
                mono_ns=self._mono_ns,
                first_byte_us=(first_ns - self._mono_ns) // 1000,
                total_us=(ended_ns - self._mono_ns) // 1000,
                request_bytes=self._request_bytes,
                response_bytes=self._response_bytes,
                status=self._status,
            )
        )

    def _meta(self) -> dict[str, str]:
        target, given = self._target, self._headers
        meta = {
            "endpoint": target.endpoint,
            "event_id": self.request_id,
            "variant": target.variant,
            "model": target.model,
            "rate": repr(target.sampling_percentage / 100),
        }
        for name, header in _KEPT_HEADERS:
            if value := given.get(header):
                meta[name] = _text(value)
        if self._response_type:
            meta["response_content_type"] = _text(self._response_type)
        if self._response_encoding:
            meta["response_encoding"] = _text(self._response_encoding)
        if target.trust_event_time and (value := given.get(b"x-driftline-event-time")):
            time_us = parse_event_time(_text(value))
            if time_us is None:
                self._flags |= Flag.EVENT_TIME_MALFORMED
            else:
                self._flags |= Flag.EVENT_TIME_GIVEN
                meta["event_time_us"] = str(time_us)
        return meta


# Everything else, credentials above all, is not recorded.
_KEPT_HEADERS = (
    ("request_content_type", b"content-type"),
    ("request_encoding", b"content-encoding"),
    ("inference_id", b"x-amzn-sagemaker-inference-id"),
    ("custom_attributes", b"x-amzn-sagemaker-custom-attributes"),
)


def parse_event_time(text: str) -> int | None:
    """Read an RFC 3339 time with its offset as microseconds since 1970 (UTC); None when it is none.

    Digits past microseconds are cut.
    """
    text = text.strip()
    if not _RFC3339.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text.upper())
        return (found - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def _every_post(target: CaptureTarget) -> Route:
    return lambda scope: target if scope["method"] == "POST" else None


def _given_id(scope: Scope) -> str | None:
    found = scope.get(REQUEST_ID_KEY)
    if found is None and (state := scope.get("state")) is not None:
        found = state.get(REQUEST_ID_KEY)
    return found if isinstance(found, str) and found else None


def _new_id() -> str:
    """Make the text of a UUIDv4; uuid.uuid4 takes three times as long."""
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def _without_bypasses(scope: Scope) -> Scope:
    extensions = scope.get("extensions")
    if not extensions or not any(name in extensions for name in _BYPASSES):
        return scope
    kept = {name: value for name, value in extensions.items() if name not in _BYPASSES}
    return {**scope, "extensions": kept}


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
