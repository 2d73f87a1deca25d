"""One request and its response on their way through the tap. Standard library only."""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic_ns

from driftline.capture.spool.frame import Flag
from driftline.capture.tap.asgi import (
    BEFORE_ANSWERS,
    CAME_KEY,
    REQUEST_ID_HEADER,
    REQUEST_ID_KEY,
    BeforeAnswers,
    HeaderList,
    Message,
    Receive,
    Scope,
    Send,
    is_chosen,
    telling,
    without_bypasses,
)
from driftline.capture.tap.recorder import KnownTarget, Recorder
from driftline.capture.tap.target import CaptureTarget, new_id
from driftline.formats.media_types import may_hold_rows

_MAX_CHUNKS = 256
_CLIENT_CLOSED = 499  # nginx's code for a client that left before the answer.
_SERVER_FAILED = 500  # What the server above makes of an app that does not answer.
# Plain numbers: an enum's own operators cost more than all the rest of noting a chunk.
_REQUEST_CUT = int(Flag.REQUEST_TRUNCATED)
_RESPONSE_CUT = int(Flag.RESPONSE_TRUNCATED)
_STREAMED = int(Flag.STREAMED)

_LENGTH = b"content-length"
_TYPE, _ANSWERED_TYPE = b"content-type", b"response_content_type"
_TENSORS = b"inference-header-content-length"
_ANSWERED_TENSORS = b"response_inference_header_length"
# What is looked at of a response's headers: names of columns, and two that are for the tap itself.
_ANSWERED = {
    _TYPE: _ANSWERED_TYPE,
    b"content-encoding": b"response_encoding",
    _TENSORS: _ANSWERED_TENSORS,
    _LENGTH: _LENGTH,
    REQUEST_ID_HEADER: REQUEST_ID_HEADER,
}

Chunks = list[bytes | bytearray]


def begin(
    recorder: Recorder, target: CaptureTarget, scope: Scope, receive: Receive, send: Send
) -> tuple[Exchange | None, Scope, Send]:
    """Decide whether to record a request; return its exchange, scope and send.

    The exchange does not keep the scope, which may refer back to it.
    """
    if not recorder.is_able:
        recorder.pass_by(target.endpoint)
        return None, scope, send
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
    headers = scope["headers"]
    if not known.is_all and not is_chosen(known.threshold, headers, request_id):
        return None, scope, telling(request_id, send)
    words[at + 1] += 1
    recorder.sampled += 1
    wall_ns = (known.flags and scope.get(CAME_KEY)) or recorder.now_ns()
    exchange = Exchange(
        recorder, known, receive, send, request_id, headers, wall_ns, scope.get(BEFORE_ANSWERS)
    )
    seen = without_bypasses(scope) if "extensions" in scope else scope
    return exchange, seen, exchange.send


class Exchange:
    """One recorded request, and its response, on their way through the tap.

    ``is_open``: whether its frame is neither written nor given up; ``inflight_bytes``: the size of
    the bodies that it keeps.
    """

    __slots__ = (
        "_before_answers",
        "_first_ns",
        "_flags",
        "_given_count",
        "_is_app",
        "_known",
        "_left_out",
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
        "_seen",
        "_send",
        "_status",
        "_wall_ns",
        "inflight_bytes",
        "is_open",
    )

    def __init__(
        self,
        recorder: Recorder,
        known: KnownTarget,
        receive: Receive,
        send: Send,
        request_id: str,
        headers: HeaderList,
        wall_ns: int,
        before_answers: BeforeAnswers | None,
    ) -> None:
        self._recorder = recorder
        self._known = known
        self._receive = receive
        self._send = send
        self._request_id = request_id.encode("utf-8", "replace")
        self._seen: list[bytes] = []
        for name, value in headers:
            if name in recorder.interesting:
                self._seen += (name, value)
        self._given_count = len(self._seen)
        self._is_app = known.target.is_app
        is_rowless = self._is_app and _is_rowless(self._seen, _TYPE, _TENSORS)
        self._left_out = _REQUEST_CUT if is_rowless else 0
        self._request: Chunks = []
        self._response: Chunks = []
        self._request_bytes = self._request_kept = 0
        self._response_bytes = self._response_kept = 0
        self._length: bytes | None = None
        self._flags = known.flags
        self._status = self._first_ns = 0
        self._wall_ns = wall_ns
        self._before_answers = before_answers
        self._mono_ns = monotonic_ns()
        self.is_open = True
        self.inflight_bytes = 0

    async def receive(self) -> Message:
        """Hand a message of the request on, keeping a reference to its bytes."""
        message = await self._receive()
        if self.is_open:
            try:
                if body := message.get("body"):
                    self._request_bytes += len(body)
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
            elif kind == "http.response.body" and self.is_open:
                self._note_body(message.get("body", b""))
                # With Content-Length the client has all of it before the last message, if that
                # one is empty.
                if not message.get("more_body") or self._is_complete():
                    self._write()
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
        if self.is_open:
            self._flags |= Flag.INCOMPLETE
            # Nothing was answered: without a status it would be taken for an answered request.
            self._status = self._status or (
                _CLIENT_CLOSED if self._flags & Flag.CLIENT_GONE else _SERVER_FAILED
            )
            try:
                self._write()
            except Exception as error:  # noqa: BLE001 - capture must never fail a request.
                self._fault(error)
        self._recorder.inflight_bytes -= self.inflight_bytes
        self.inflight_bytes = 0

    def _fault(self, error: Exception) -> None:
        """Drop this record, and count it; what is written already is no loss."""
        if self.is_open:
            self.is_open = False
            self._recorder.fault(error, self._known.endpoint)

    def _note_start(self, message: Message) -> Message:
        if self._status:
            del self._seen[self._given_count :]  # Begun anew.
        self._status = message["status"]
        headers = [*message.get("headers", ())]
        answered = self._seen
        is_told = False
        find = _ANSWERED.get
        for name, value in headers:
            column = find(name)
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
                answered.append(column)
                answered.append(value)
        if self._is_app and _is_rowless(
            answered[self._given_count :], _ANSWERED_TYPE, _ANSWERED_TENSORS
        ):
            self._left_out |= _RESPONSE_CUT
        if not is_told:
            answer_id = self._request_id
            if not answer_id.isascii():
                answer_id = answer_id.decode().encode("latin-1", "replace")
            headers.append((REQUEST_ID_HEADER, answer_id))
        message = message.copy() if type(message) is dict else {**message}
        message["headers"] = headers
        return message

    def _is_complete(self) -> bool:
        """Whether as much was answered as the headers have announced."""
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
        """Keep as much of a chunk as the limits allow."""
        recorder = self._recorder
        room = recorder.max_body_bytes - kept
        size = len(body)
        if recorder.inflight_bytes > recorder.max_inflight_bytes:
            self._flags |= Flag.BODY_OMITTED
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
        self.inflight_bytes += size
        recorder.inflight_bytes += size
        return size

    def _write(self) -> None:
        ended_ns = monotonic_ns()
        began_ns = self._mono_ns
        recorder = self._recorder
        # Of what cannot hold rows nothing is kept, and so nothing is cut.
        left_out = self._left_out
        request = [] if left_out & _REQUEST_CUT else self._request
        response = [] if left_out & _RESPONSE_CUT else self._response
        meta, flag = recorder.meta(self._known, self._request_id, self._seen, self._given_count)
        recorder.spool.append(
            meta,
            # A bytearray is there only behind very many chunks.
            request if len(request) <= _MAX_CHUNKS else [b"".join(request)],  # type: ignore[arg-type]
            response if len(response) <= _MAX_CHUNKS else [b"".join(response)],  # type: ignore[arg-type]
            flags=(self._flags & ~left_out) | flag,
            wall_ns=self._wall_ns,
            mono_ns=began_ns,
            first_byte_us=((self._first_ns or ended_ns) - began_ns) // 1000,
            total_us=(ended_ns - began_ns) // 1000,
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
            status=self._status,
            later=self._before_answers,
        )
        self.is_open = False
        recorder.end_faults()


def _is_rowless(seen: list[bytes], name: bytes, tensors: bytes) -> bool:
    """Whether names and values of headers tell that a body holds neither rows nor tensors."""
    for at in range(0, len(seen), 2):
        if seen[at] == name:
            return not may_hold_rows(seen[at + 1]) and tensors not in seen
    return False
