"""HTTP on a connection: uvicorn's protocol on httptools, with bounds on the head of a request."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from driftline.serving.http.responses import BODY_CAME

# Line and headers of a request together, or what stands unread after them.
MOST_HEAD_BYTES = 1 << 16
_SAID = b"the line and headers of a request take more than 65536 bytes"
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_SAID), _SAID)
)


class _HeadTooLargeError(Exception):
    """Ends the parser's work on a request."""


class HTTPProtocol(HttpToolsProtocol):
    """Bounds the head of a request, in bytes (431) and in time; ignores trailers.

    httptools keeps a header until it is whole, however large it becomes. uvicorn takes trailers for
    headers, which would bypass a proxy that removes headers; and waits for a head for ever.
    """

    head_timeout_s = 10.0
    """Within which a head must be whole, counted from the connection or from its first byte."""

    _pending = 0  # Bytes since the parser last gave a head, a part of a body or an end.
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._stop_waiting()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._pending += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._pending > MOST_HEAD_BYTES:
            self.send_400_response("")
        elif (
            self._pending
            and self._head_timer is None
            and (self.cycle is None or self.cycle.response_complete)
        ):
            self._await_head()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        self._pending = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._stop_waiting()
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > MOST_HEAD_BYTES:
            self._pending = size
            raise _HeadTooLargeError
        super().on_headers_complete()
        self.headers = []  # What comes from now on are trailers, which nobody is told.

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._stop_waiting()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._stop_waiting()
        self.scope[BODY_CAME] = True  # type: ignore[literal-required]
        super().on_message_complete()

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
        elif self._pending > MOST_HEAD_BYTES:
            self.transport.write(_REFUSAL)
            self.transport.close()
        else:
            super().send_400_response(msg)
