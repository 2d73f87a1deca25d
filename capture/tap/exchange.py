"""One request and its response on their way through the tap. Standard library only."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from time import monotonic_ns
from typing import Any

from driftline.capture.spool.frame import Flag
from driftline.capture.tap.recorder import KnownTarget, Recorder
from driftline.capture.tap.target import CaptureTarget, hash_of, new_id

__all__ = [
    "REQUEST_ID_KEY",
    "App",
    "Exchange",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "begin",
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
_MAX_CHUNKS = 256
_CLIENT_CLOSED = 499  # nginx's code for a client that left before the answer.
_SERVER_FAILED = 500  # What the server above makes of an app that does not answer.
# They hand over bytes past the tap: a file by its path, or after the body.
_BYPASSES = ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")
# Plain numbers: an enum's own operators cost more than all the rest of noting a chunk.
_REQUEST_CUT = int(Flag.REQUEST_TRUNCATED)
_RESPONSE_CUT = int(Flag.RESPONSE_TRUNCATED)
_STREAMED = int(Flag.STREAMED)

_LENGTH = b"content-length"
# What is looked at of a response's headers: names of columns, and two that are for the tap itself.
_ANSWERED = {
    b"content-type": b"response_content_type",
    b"content-encoding": b"response_encoding",
    b"inference-header-content-length": b"response_inference_header_length",
    _LENGTH: _LENGTH,
    REQUEST_ID_HEADER: REQUEST_ID_HEADER,
}

HeaderList = Iterable[tuple[bytes, bytes]]
Chunks = list[bytes | bytearray]


def begin(
    recorder: Recorder, target: CaptureTarget, scope: Scope, receive: Receive, send: Send
) -> Exchange | Send:
    """Decide whether a request is recorded: give its exchange, or a ``send`` for its answer."""
    if not recorder.is_able:
        recorder.pass_by(target.endpoint)
        return send
    known = recorder.known.get(id(target)) or recorder.learn(target)
    words, at = recorder.traffic.words, known.at
    words[at] += 1
    recorder.requests += 1
    request_id = scope.get(REQUEST_ID_KEY)
    if request_id is None and (state := scope.get("state")):
        request_id = state.get(REQUEST_ID_KEY)
    if not request_id or not isinstance(request_id, str):
        request_id = new_id()
    scope[REQUEST_ID_KEY] = request_id
    if not known.is_all and not _is_chosen(known.threshold, scope["headers"], request_id):
        return _telling(request_id, send)
    words[at + 1] += 1
    recorder.sampled += 1
    return Exchange(recorder, known, scope, request_id, receive, send)


_TRACE_ID = slice(3, 35)  # Of 00-<32 digits>-<16 digits>-<2 digits> (W3C Trace Context).


def _is_chosen(threshold: float, headers: HeaderList, request_id: str) -> bool:
    """Choose by what retries and all parts of a chain have in common, if there is such an id."""
    if threshold <= 0:
        return False
    key = trace = b""
    for name, value in headers:
        if name == b"x-amzn-sagemaker-inference-id":
            key = value
        elif name == b"traceparent":
            trace = value
    return hash_of(key or trace[_TRACE_ID] or request_id.encode()) < threshold


def _telling(request_id: str, send: Send) -> Send:
    """Give a ``send`` that adds the request's id to the answer, and keeps nothing."""

    def telling(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            try:
                message = _with_id(message, request_id)
            except Exception as error:  # noqa: BLE001 - capture must never fail a request.
                log.debug("request id not told error=%r", error)
        return send(message)

    return telling


def _with_id(message: Message, request_id: str) -> Message:
    headers = list(message.get("headers", ()))
    for name, _ in headers:
        if name == REQUEST_ID_HEADER or (not name.islower() and name.lower() == REQUEST_ID_HEADER):
            break
    else:
        headers.append((REQUEST_ID_HEADER, request_id.encode("latin-1", "replace")))
    return {**message, "headers": headers}


class Exchange:
    """One request that is recorded, and its response, on their way through the tap."""

    __slots__ = (
        "_answered",
        "_first_ns",
        "_flags",
        "_given",
        "_inflight",
        "_is_written",
        "_known",
        "_length",
        "_mono_ns",
        "_receive",
        "_recorder",
        "_request",
        "_request_bytes",
        "_request_id",
        "_request_kept",
        "_response",
        "_response_bytes",
        "_response_kept",
        "_send",
        "_status",
        "_wall_ns",
        "scope",
    )

    def __init__(
        self,
        recorder: Recorder,
        known: KnownTarget,
        scope: Scope,
        request_id: str,
        receive: Receive,
        send: Send,
    ) -> None:
        self._recorder = recorder
        self._known = known
        self._receive = receive
        self._send = send
        self._wall_ns = recorder.now_ns()
        self._mono_ns = monotonic_ns()
        self._request_id = request_id.encode("utf-8", "replace")
        interesting = recorder.interesting
        given: list[bytes] = []
        self._given = given
        for name, value in scope["headers"]:
            if name in interesting:
                given += (name, value)
        self.scope = _without_bypasses(scope) if "extensions" in scope else scope
        self._is_written = False
        self._answered: Sequence[bytes] = _NOTHING
        self._length: bytes | None = None
        self._request: Chunks = []
        self._response: Chunks = []
        self._flags = self._status = self._first_ns = self._inflight = 0
        self._request_bytes = self._request_kept = 0
        self._response_bytes = self._response_kept = 0

    async def receive(self) -> Message:
        """Hand a message of the request on, keeping a reference to its bytes."""
        message = await self._receive()
        if not self._is_written:
            try:
                if body := message.get("body"):
                    size = len(body)
                    recorder = self._recorder
                    if (
                        type(body) is bytes
                        and not self._request_bytes
                        and size <= recorder.max_body_bytes
                        and recorder.inflight_bytes <= recorder.max_inflight_bytes
                    ):
                        # Nearly always a request comes at once; the same as ``_keep`` does.
                        self._request = [body]
                        self._request_bytes = self._request_kept = size
                        self._inflight += size
                        recorder.inflight_bytes += size
                    else:
                        self._request_bytes += size
                        kept = self._keep(self._request, body, self._request_kept, _REQUEST_CUT)
                        self._request_kept += kept
                elif message["type"] == "http.disconnect":
                    self._flags |= Flag.CLIENT_GONE
            except Exception as error:  # noqa: BLE001 - capture must never fail a request.
                self._fault(error)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Hand a message of the response on; write the frame before the one that completes it."""
        try:
            kind = message["type"]
            if kind == "http.response.start":
                message = self._note_start(message)
            elif kind == "http.response.body" and not self._is_written:
                recorder = self._recorder
                body = message.get("body", b"")
                is_last = not message.get("more_body")
                if (
                    is_last
                    and type(body) is bytes
                    and not self._first_ns
                    and len(body) <= recorder.max_body_bytes
                    and recorder.inflight_bytes <= recorder.max_inflight_bytes
                ):
                    # Nearly always an answer goes at once; it is never in flight.
                    self._response = [body]
                    self._response_bytes = len(body)
                else:
                    self._note_body(body)
                    # With Content-Length the client has all of it before the last message, if that
                    # one is empty.
                    is_last = is_last or self._is_complete()
                if is_last:
                    if not recorder.is_before:
                        return self._send_then_write(message)
                    if self._write() and recorder.waits_for_disk:
                        return self._send_when_safe(message)
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
        """Give this record up, and count it; what is written already is no loss."""
        if not self._is_written:
            self._is_written = True
            self._recorder.fault(error, self._known.endpoint)

    async def _send_then_write(self, message: Message) -> None:
        await self._send(message)
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - capture must never fail a request.
            self._fault(error)

    async def _send_when_safe(self, message: Message) -> None:
        """Answer once the disk has the record; other requests go on meanwhile."""
        await self._recorder.until_safe()
        await self._send(message)

    def _note_start(self, message: Message) -> Message:
        self._status = message["status"]
        headers = list(message.get("headers", ()))
        answered: list[bytes] = []
        self._answered = answered
        is_told = False
        for name, value in headers:
            column = _ANSWERED.get(name)
            if column is None:
                if name.islower():
                    continue
                column = _ANSWERED.get(name.lower())
            if column is None:
                continue
            if column is _LENGTH:
                self._length = value
            elif column is REQUEST_ID_HEADER:
                is_told = True
            else:
                answered += (column, value)
        if not is_told:
            told = self._request_id
            if not told.isascii():
                told = told.decode().encode("latin-1", "replace")
            headers.append((REQUEST_ID_HEADER, told))
        return {**message, "headers": headers}

    def _is_complete(self) -> bool:
        """Say whether as much was answered as the headers have announced."""
        length = self._length
        return length is not None and length.isdigit() and int(length) <= self._response_bytes

    def _note_body(self, body: bytes) -> None:
        if not self._first_ns:
            self._first_ns = monotonic_ns()
        elif self._response_bytes:
            self._flags |= _STREAMED
        if body:
            self._response_bytes += len(body)
            kept = self._keep(self._response, body, self._response_kept, _RESPONSE_CUT)
            self._response_kept += kept

    def _keep(self, chunks: Chunks, body: bytes, kept: int, cut: int) -> int:
        """Keep of a chunk what the body may still take, within what all bodies may take."""
        recorder = self._recorder
        room = recorder.max_body_bytes - kept
        size = len(body)
        if recorder.inflight_bytes > recorder.max_inflight_bytes:
            self._flags |= Flag.BODY_SHED
            room = 0
        if size > room:
            self._flags |= cut
            body, size = body[:room], room
            if not room:
                return 0
        if len(chunks) < _MAX_CHUNKS:
            # A server may hand its own buffer over and fill it again; only bytes are safe to keep.
            chunks.append(body if type(body) is bytes else bytes(body))
        else:
            # Each of very many small chunks would cost more as an object than by its bytes.
            if len(chunks) == _MAX_CHUNKS:
                chunks.append(bytearray())
            chunks[-1] += body
        self._inflight += size
        recorder.inflight_bytes += size
        return size

    def _write(self) -> bool:
        self._is_written = True
        ended_ns = monotonic_ns()
        began_ns = self._mono_ns
        recorder = self._recorder
        request, response = self._request, self._response
        meta, flag = recorder.meta(self._known, self._request_id, self._given, self._answered)
        is_stored = recorder.spool.append_packed(
            ended_ns,
            self._flags | flag,
            self._wall_ns,
            began_ns,
            ((self._first_ns or ended_ns) - began_ns) // 1000,
            (ended_ns - began_ns) // 1000,
            self._request_bytes,
            self._response_bytes,
            self._status,
            meta,
            # A bytearray is there only behind very many chunks.
            request if len(request) <= _MAX_CHUNKS else [b"".join(request)],  # type: ignore[arg-type]
            response if len(response) <= _MAX_CHUNKS else [b"".join(response)],  # type: ignore[arg-type]
        )
        recorder.count(is_stored)
        return is_stored


_NOTHING: Sequence[bytes] = ()


def _without_bypasses(scope: Scope) -> Scope:
    extensions = scope["extensions"]
    if not extensions or not any(name in extensions for name in _BYPASSES):
        return scope
    kept = {name: value for name, value in extensions.items() if name not in _BYPASSES}
    return {**scope, "extensions": kept}
