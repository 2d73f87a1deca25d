"""The least tap that could be, beside which the real one is measured.

It only keeps what passes and writes it with a checksum: no id, no headers, no sampling, no bound,
no count, no look for room, no lock, no care for streams or faults.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from driftline.capture.tap.asgi import App, Message, Receive, Scope, Send

HEADER = struct.Struct("<IIIBBHQQQIIQQIIHH")


class Least:
    """What no tap can do without: keep what passes, one checksum, one ``writev``."""

    def __init__(self, app: App, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._app, self.seq = app, 0
        self.file = os.open(folder / "least", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on by a tee."""
        tee = Tee(self, receive, send)
        await self._app(scope, tee.receive, tee.send)


class Tee:
    """One request through the least tap, and its answer of one chunk."""

    __slots__ = ("_began", "_receive", "_request", "_send", "_status", "_tap")

    def __init__(self, tap: Least, receive: Receive, send: Send) -> None:
        self._tap, self._receive, self._send = tap, receive, send
        self._request, self._status, self._began = b"", 0, time.monotonic_ns()

    async def receive(self) -> Message:
        """Hand a message on, and keep its body."""
        message = await self._receive()
        if body := message.get("body"):
            self._request = body
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Write when the body goes out."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            tap, asked, answered = self._tap, self._request, message["body"]
            tap.seq += 1
            both = len(asked), len(answered)
            checksum = zlib.crc32(answered, zlib.crc32(asked))
            times = self._began, time.monotonic_ns(), 0, 0
            head = HEADER.pack(1, 0, checksum, 1, 1, 0, tap.seq, *times, *both, *both, 200, 0)
            os.writev(tap.file, (head, asked, answered))
        return self._send(message)
