"""HTTP on a connection: uvicorn's protocol on httptools, with a bound on what it keeps unread."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from driftline.serving.http.responses import BODY_CAME

# Line and headers of a request together, or what stands unread after them.
MOST_HEAD_BYTES = 1 << 16
_SAID = b"the line and headers of a request take more than 65536 bytes"
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_SAID), _SAID)
)

# More than this is sent at once: whoever writes much is told to wait by the transport.
_HELD_BYTES = 1 << 16


class _HeadTooLargeError(Exception):
    """Ends the parser's work on a request."""


class JoinedWrites:
    """A transport that sends all writes of one turn of the loop together.

    uvicorn writes the head of an answer and its body apart: two system calls, two packets and two
    wake-ups of the client.
    """

    # Of each loop those that hold something: one call for all of a turn.
    _holding: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, list[JoinedWrites]]] = (
        WeakKeyDictionary()
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._others = self._holding.setdefault(loop, [])
        self._held: list[bytes] = []
        self._held_bytes = 0
        # What uvicorn asks of a transport besides.
        self.get_extra_info = transport.get_extra_info
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading
        self.set_protocol = transport.set_protocol
        self.abort, self.is_closing = transport.abort, transport.is_closing

    def write(self, data: bytes) -> None:
        """Send data with what else is written in this turn."""
        if not self._held:
            if not self._others:
                self._loop.call_soon(self._flush_all)
            self._others.append(self)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _HELD_BYTES:
            self._flush()

    def close(self) -> None:
        """Close once all is sent."""
        self._flush()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return self._held_bytes + self._transport.get_write_buffer_size()

    def _flush_all(self) -> None:
        try:
            while self._others:
                self._others.pop()._flush()
        finally:
            if self._others:  # One failed, for whatever reason.
                self._loop.call_soon(self._flush_all)

    def _flush(self) -> None:
        if self._held:
            data = b"".join(self._held)
            self._held, self._held_bytes = [], 0
            self._transport.write(data)


class HTTPProtocol(HttpToolsProtocol):
    """Answers 431 and closes where the head of a request is too large; ignores trailers.

    httptools keeps a header until it is whole, however large it becomes. uvicorn takes trailers for
    headers, which would bypass a proxy that removes headers.
    """

    _pending = 0  # Bytes since the parser last gave a head, a part of a body or an end.
    _has_large_head = False
    is_between_requests = False  # One was read, and nothing of the next.

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn has it
        """Take a connection."""
        joined = JoinedWrites(transport, self.loop)
        super().connection_made(joined)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin with a request."""
        self.is_between_requests = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > MOST_HEAD_BYTES:
            self._has_large_head = True
            raise _HeadTooLargeError
        self._pending = 0
        super().on_headers_complete()
        self.headers = []  # What comes from now on are trailers, which nobody is told.

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._pending, self.is_between_requests = 0, True
        self.scope[BODY_CAME] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on after an answer as uvicorn does, without its timer (Connections.sweep)."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - as uvicorn has it
        # uvicorn's own has the loop call back once more for each.
        self.tasks.add(self.loop.create_task(self._answer(cycle, app)))

    async def _answer(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - as above
        try:
            await cycle.run_asgi(app)
        finally:
            self.tasks.discard(asyncio.current_task())

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one whose head is too large, and close."""
        before = self.cycle
        if (
            before
            and not before.response_complete
            and (before.response_started or not before.more_body)
        ):
            # What came before is not answered to its end: nothing can be said behind it.
            self.transport.close()
        elif self._has_large_head or self._pending > MOST_HEAD_BYTES:
            self.transport.write(_REFUSAL)
            self.transport.close()
        else:
            super().send_400_response(msg)
