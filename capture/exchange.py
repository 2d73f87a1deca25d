"""One request and its response on their way through the tap. Standard library only."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from driftline.capture.frame import Flag, pack_meta, unpack_meta
from driftline.capture.spool import SpoolWriter
from driftline.capture.target import CaptureTarget, is_sampled, new_id, parse_event_time

__all__ = [
    "REQUEST_ID_KEY",
    "App",
    "Exchange",
    "Message",
    "Receive",
    "Recorder",
    "Scope",
    "Send",
]

log = logging.getLogger(__name__)

# ASGI's own loose types.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID_KEY = "driftline.request_id"
REQUEST_ID_HEADER = b"x-amzn-requestid"
_MAX_FAULTS = 100  # In a row; then this process captures no more, and counts what it leaves out.
_MAX_DESCRIBED = 1_000
_MAX_INFLIGHT_BYTES = 64 << 20
_CLIENT_CLOSED = 499  # nginx's code for a client that left before the answer.
_SERVER_FAILED = 500  # What the server above makes of an app that does not answer.
# They hand over bytes past the tap: a file by its path, or after the body.
_BYPASSES = ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")


class Recorder:
    """What all exchanges of a process share: the spool, the limits, the counters.

    Parameters
    ----------
    spool
        Where frames go.
    max_body_bytes
        Bytes kept of each body.
    is_before
        Whether a frame is written before the response is completed, or after.
    now_ns
        Wall clock, in nanoseconds.
    """

    def __init__(
        self, spool: SpoolWriter, *, max_body_bytes: int, is_before: bool, now_ns: Callable[[], int]
    ) -> None:
        self.spool = spool
        self.max_body_bytes = max_body_bytes
        self.is_before = is_before
        self.now_ns = now_ns
        self.inflight_bytes = 0
        self.counters = {"requests": 0, "sampled": 0, "stored": 0, "dropped": 0, "faults": 0}
        self._faults_in_a_row = 0
        self._described: dict[CaptureTarget, bytes] = {}

    @property
    def is_able(self) -> bool:
        """Whether to record at all: not after a hundred faults in a row."""
        return self._faults_in_a_row < _MAX_FAULTS

    def described(self, target: CaptureTarget) -> bytes:
        """Pack what all records of a target share, and the name of the id that follows it."""
        packed = self._described.get(target)
        if packed is None:
            pairs = {
                "endpoint": target.endpoint,
                "variant": target.variant,
                "model": target.model,
                "rate": repr(target.sampling_percentage / 100),
            }
            packed = pack_meta(pairs) + b"\0event_id"
            if len(self._described) < _MAX_DESCRIBED:
                self._described[target] = packed
        return packed

    def fault(self, error: Exception, endpoint: str) -> None:
        """Count a fault of the tap itself, and the record that it cost."""
        if self.is_able:
            self.counters["faults"] += 1
            self._faults_in_a_row += 1
            log.error("capture fault=%r in_a_row=%d", error, self._faults_in_a_row, exc_info=error)
        self.spool.count_drop("tap_error", endpoint)

    def pass_by(self, endpoint: str) -> None:
        """Count a record that is not made because the tap has given up."""
        self.counters["dropped"] += 1
        self.spool.count_drop("tap_off", endpoint)

    def outcome(self, *, is_stored: bool) -> None:
        """Count what became of a record."""
        self._faults_in_a_row = 0
        self.counters["stored" if is_stored else "dropped"] += 1


class Exchange:
    """One request and its response on their way through the tap."""

    __slots__ = (
        "_expected",
        "_first_ns",
        "_flags",
        "_headers",
        "_inflight",
        "_is_written",
        "_mono_ns",
        "_receive",
        "_recorder",
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
        "_target",
        "_wall_ns",
        "is_sampled",
        "request_id",
        "scope",
    )

    def __init__(
        self, recorder: Recorder, target: CaptureTarget, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._recorder = recorder
        self._target = target
        self._receive = receive
        self._send = send
        self._wall_ns = recorder.now_ns()
        self._mono_ns = time.monotonic_ns()
        self._headers = dict(scope["headers"])
        self.request_id = _given_id(scope) or new_id()
        scope[REQUEST_ID_KEY] = self.request_id
        self.scope = _without_bypasses(scope)
        inference_id = self._headers.get(b"x-amzn-sagemaker-inference-id")
        key = inference_id or self.request_id.encode()
        self.is_sampled = is_sampled(key, target.sampling_percentage / 100)
        recorder.counters["requests"] += 1
        recorder.counters["sampled"] += self.is_sampled
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
                self._fault(error)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Hand a message of the response on; write the frame before the one that completes it."""
        try:
            if message["type"] == "http.response.start":
                message = self._note_start(message)
            elif message["type"] == "http.response.body" and not self._is_written:
                self._note_body(message)
                if self._is_complete(message):
                    if self._recorder.is_before:
                        self._write()
                    else:
                        return self._send_then_write(message)
        except Exception as error:  # noqa: BLE001 - capture must never fail a request.
            self._fault(error)
        return self._send(message)

    def fail(self, error: BaseException) -> None:
        """Note that the app raised, or was cancelled because the client left."""
        if isinstance(error, Exception):
            self._flags |= Flag.APP_ERROR
            self._status = self._status or _SERVER_FAILED
        else:
            self._flags |= Flag.CLIENT_GONE
            self._status = self._status or _CLIENT_CLOSED

    def finish(self) -> None:
        """Write the frame of a response that was never completed."""
        if not self._is_written:
            self._flags |= Flag.INCOMPLETE
            # Nothing was answered: without a status it would be taken for an answered request.
            self._status = self._status or (
                _CLIENT_CLOSED if self._flags & Flag.CLIENT_GONE else _SERVER_FAILED
            )
            try:
                self._write()
            except Exception as error:  # noqa: BLE001 - capture must never fail a request.
                self._fault(error)
        self._recorder.inflight_bytes -= self._inflight
        self._inflight = 0

    def _fault(self, error: Exception) -> None:
        """Give this record up, and count it."""
        self._is_written = True
        self._recorder.fault(error, self._target.endpoint)

    async def _send_then_write(self, message: Message) -> None:
        await self._send(message)
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - capture must never fail a request.
            self._fault(error)

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
        if not has_id:
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
        room = self._recorder.max_body_bytes - kept
        if self._recorder.inflight_bytes > _MAX_INFLIGHT_BYTES:
            self._flags |= Flag.BODY_SHED
            room = 0
        if len(body) > room:
            self._flags |= truncated
            body = body[:room]
        self._inflight += len(body)
        self._recorder.inflight_bytes += len(body)
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
        self._recorder.outcome(
            is_stored=self._recorder.spool.append(
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

    def _meta(self) -> bytes:
        """Pack what describes the request: names and values, parted by NUL."""
        given = self._headers
        parts = [self._recorder.described(self._target), self.request_id.encode()]
        for name, header in _KEPT_HEADERS:
            if value := given.get(header):
                parts += (name, value)
        if self._response_type:
            parts += (b"response_content_type", self._response_type)
        if self._response_encoding:
            parts += (b"response_encoding", self._response_encoding)
        if self._target.trust_event_time and (value := given.get(b"x-driftline-event-time")):
            time_us = parse_event_time(_text(value))
            if time_us is None:
                self._flags |= Flag.EVENT_TIME_MALFORMED
            else:
                self._flags |= Flag.EVENT_TIME_GIVEN
                parts += (b"event_time_us", b"%d" % time_us)
        packed = b"\0".join(parts)
        is_plain = packed.isascii() and len(packed) < _PLAIN_META_BYTES
        if is_plain and packed.count(b"\0") == len(parts) - 1 + _DESCRIBED_NULS:
            return packed
        described = unpack_meta(parts[0])
        texts = ["event_id", *map(_text, parts[1:])]
        return pack_meta({**described, **dict(zip(texts[::2], texts[1::2], strict=True))})


_PLAIN_META_BYTES = 60_000
# Everything else, credentials above all, is not recorded.
_KEPT_HEADERS = (
    (b"request_content_type", b"content-type"),
    (b"request_encoding", b"content-encoding"),
    (b"inference_id", b"x-amzn-sagemaker-inference-id"),
    (b"custom_attributes", b"x-amzn-sagemaker-custom-attributes"),
)
# Four pairs of a target and the name of the id that follows: eight separators.
_DESCRIBED_NULS = 8


def _given_id(scope: Scope) -> str | None:
    found = scope.get(REQUEST_ID_KEY)
    if found is None and (state := scope.get("state")) is not None:
        found = state.get(REQUEST_ID_KEY)
    return found if isinstance(found, str) and found else None


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
