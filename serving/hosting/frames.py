"""Frames between the server and a worker process: two lengths, a small header, a body.

::

    header length u32 · body length u32 · header (JSON) · body (bytes as they came by HTTP)

Both ends live on one machine and in one release, so there is no version; a frame that is longer
than the limit can only be a bug and ends the connection.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from driftline.errors import UnavailableError

_LENGTHS = struct.Struct("!II")

# Larger than every body limit that the server accepts, small enough to notice a desynchronised
# stream at once.
MAX_FRAME_BYTES = 1 << 30
# For a server to read a worker's last frame.
LAST_S = 10.0

Frame = tuple[dict[str, Any], bytes]


class FrameError(UnavailableError):
    """The stream holds something that is no frame: the other end has to be replaced."""


def pack(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Write one frame."""
    try:
        head = orjson.dumps(header)
    except TypeError:  # Half of a surrogate pair, as paths may hold, or a number of many digits.
        head = b" " + json.dumps(header).encode()
    return b"".join((_LENGTHS.pack(len(head), len(body)), head, body))


class FrameReader:
    """Cut a stream of bytes into frames, whatever the sizes in which it arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take more bytes and give header and body of every frame that is complete now."""
        if not self._buffer:  # Whole frames are cut from what came, as it came.
            frames, end = _cut(data)
            self._buffer += data[end:]
            return frames
        self._buffer += data
        with memoryview(self._buffer) as held:
            frames, end = _cut(held)
        del self._buffer[:end]
        return frames


def _cut(held: bytes | memoryview) -> tuple[list[Frame], int]:
    """Return the whole frames that bytes begin with, and where the last one ends."""
    start, frames = 0, []
    while len(held) - start >= _LENGTHS.size:
        head_size, body_size = _LENGTHS.unpack_from(held, start)
        if head_size + body_size > MAX_FRAME_BYTES:
            raise FrameError(f"frame of {head_size + body_size} bytes; expected a smaller one")
        middle = start + _LENGTHS.size + head_size
        end = middle + body_size
        if len(held) < end:
            break
        header = _header(bytes(held[start + _LENGTHS.size : middle]))
        frames.append((header, bytes(held[middle:end])))
        start = end
    return frames, start


def _header(text: bytes) -> dict[str, Any]:
    try:
        # What ``orjson`` could not write it would not read, or would round.
        found: dict[str, Any] = (json if text.startswith(b" ") else orjson).loads(text)
    except ValueError as error:
        raise FrameError(f"frame header is no JSON ({error})") from error
    return found


def send_last(link: socket.socket, frame: bytes) -> None:
    """Send a worker's last frame, and wait until the server has closed its end.

    The server may be sending more: closing a socket with unread data discards what the server has
    not read yet. A server that no longer reads does not keep the worker.
    """
    link.sendall(frame)
    link.shutdown(socket.SHUT_WR)
    link.settimeout(LAST_S)
    with suppress(TimeoutError):
        while link.recv(1 << 20):
            pass


def respond(header: Mapping[str, Any], body: bytes = b"", **fields: object) -> bytes:
    """Return the frame that answers a request, with the note that its worker made of it."""
    note = {"note": header["note"]} if "note" in header else {}
    return pack({"id": header["id"], **fields, **note}, body)


def refuse(header: Mapping[str, Any], status: int, code: str, message: str) -> bytes:
    """Return the frame that refuses a request."""
    return respond(header, status=status, code=code, message=message)


def received(header: Mapping[str, Any], status: int, said: str) -> bytes:
    """Return the frame that tells, as SageMaker does, what a model's own code or server refused."""
    side = "client" if 400 <= status < 500 else "server"
    said = (said.splitlines() or [""])[0][:300]
    message = f'Received {side} error ({status}) from the model with message "{said}"'
    return respond(header, status=424, code="model_error", message=message, original=[status, said])
