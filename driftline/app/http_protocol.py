"""HTTP on a connection: uvicorn's protocol on httptools, with a bound on what it keeps unread."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Line and headers of a request together, its trailers, or what stands beside a chunk's length.
MOST_HEAD_BYTES = 1 << 16
_SAID = b"the line and headers of a request take more than 65536 bytes"
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_SAID), _SAID)
)


class _HeadTooLargeError(Exception):
    """Ends the parser's work on a request."""


class HTTPProtocol(HttpToolsProtocol):
    """Answers 431 and closes where the head of a request is too large; ignores trailers.

    httptools gives a header when it is whole, and until then keeps it, however large it becomes.
    uvicorn takes trailers for headers: a proxy that removes a header need not look for it there.
    """

    _pending = 0  # Bytes since the parser last gave a head, a part of a body or an end.
    _head_bytes = 0
    _is_in_head = True
    is_between_requests = False  # One was read, and nothing of the next.

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin with a request."""
        self._head_bytes, self._is_in_head, self.is_between_requests = 0, True, False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; count a trailer and drop it."""
        self._count(len(name) + len(value))
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._pending, self._head_bytes, self._is_in_head = 0, 0, False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._pending, self.is_between_requests = 0, True
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
        elif max(self._pending, self._head_bytes) > MOST_HEAD_BYTES:
            self.transport.write(_REFUSAL)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            raise _HeadTooLargeError
