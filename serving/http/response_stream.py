"""InvokeEndpointWithResponseStream: an invocation whose answer goes out as events of AWS's.

A model's answer comes whole; it is sent in parts as soon as it is there. Framing: Smithy's
``application/vnd.amazon.eventstream``, as botocore 1.44.5 (eventstream.py) reads it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Awaitable, Iterator

from driftline.loopback import App, Message, Receive, Scope, Send

PART_BYTES = 256 << 10
_PATH = re.compile(r"(/endpoints/[^/]+/invocations)-response-stream")
_STREAM = (b"content-type", b"application/vnd.amazon.eventstream")
# The operation has its own names for headers whose usual ones are the stream's.
_ACCEPT, _TYPE = b"x-amzn-sagemaker-accept", b"x-amzn-sagemaker-content-type"
_PART = {
    ":message-type": "event", ":event-type": "PayloadPart",
    ":content-type": "application/octet-stream",
}  # fmt: skip


class ResponseStream:
    """ASGI layer that hands such an invocation on as a plain one, and frames its answer."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the call on; errors are answered as of a plain invocation."""
        asked = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            return self.app(scope, receive, send)
        headers = [
            (b"accept" if name == _ACCEPT else name, value)
            for name, value in scope["headers"]
            if name != b"accept"
        ]
        is_stream = False

        async def framed(message: Message) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                is_stream = message["status"] == 200
                if is_stream:
                    message = {**message, "headers": _stream_headers(message["headers"])}
            elif is_stream:
                events = b"".join(_events(message.get("body", b"")))
                message = {**message, "body": events}
            await send(message)

        return self.app({**scope, "path": asked[1], "headers": headers}, receive, framed)


def _stream_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [one for one in headers if one[0] not in (b"content-length", b"content-type")]
    types = [(_TYPE, value) for name, value in headers if name == b"content-type"]
    return [*kept, *types, _STREAM]


def _events(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), PART_BYTES):
        yield event(_PART, body[at : at + PART_BYTES])


def event(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one message of an event stream, whose headers are texts."""
    head = b"".join(
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in headers.items()
    )
    start = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = start + struct.pack(">I", zlib.crc32(start)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))
