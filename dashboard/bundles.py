"""Script and style files, compressed once per process and kept by the browser.

plotly.js alone is 4.8 MB; compressing it for every visit would cost 0.1 s of a core each time.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass

from driftline.loopback import App, Message, Receive, Scope, Send

SUITES = "/_dash-component-suites/"
MIN_BYTES = 1_000
MAX_KEPT = 256
"""Paths kept at most; Dash has some sixty, and answers no others with 200."""

KEEP = b"public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent: its headers, and its compressed bytes."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Bundles:
    """ASGI layer that compresses answers and keeps those that never change.

    Files of Dash's packages carry a fingerprint or belong to one installed version, so they are
    compressed once, in a thread; other answers are compressed as they come.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.kept: dict[str, _File] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the kept files, or pass the call on and compress what comes back."""
        if scope["type"] != "http" or b"gzip" not in _header(scope, b"accept-encoding"):
            await self.app(scope, receive, send)
            return
        kept = self.kept.get(scope["path"]) if scope["method"] == "GET" else None
        if kept is None:
            answer = _Answer()
            await self.app(scope, receive, answer)
            kept = await asyncio.to_thread(_compressed, answer, scope["path"])
            is_suite = scope["path"].startswith(SUITES) and answer.status == 200 and answer.body
            if is_suite and len(self.kept) < MAX_KEPT:
                self.kept[scope["path"]] = kept
            status = answer.status
        else:
            status = 200
        head = {"type": "http.response.start", "status": status, "headers": list(kept.headers)}
        await send(head)
        await send({"type": "http.response.body", "body": kept.body})


class _Answer:
    """Collect an answer instead of sending it."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def __call__(self, message: Message) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")


def _compressed(answer: _Answer, path: str) -> _File:
    """Compress an answer where that pays, with headers that say so."""
    gone = {b"content-length", b"content-encoding"}
    headers = [(name, value) for name, value in answer.headers if name not in gone]
    body = answer.body
    if len(body) >= MIN_BYTES and answer.status == 200:
        body = gzip.compress(body, 6, mtime=0)
        headers.append((b"content-encoding", b"gzip"))
    if path.startswith(SUITES):
        # Only fingerprinted paths may be kept for good: others change with the installed version.
        lasting = b".v" in path.encode()
        headers = [(name, value) for name, value in headers if name != b"cache-control"]
        headers.append((b"cache-control", KEEP if lasting else b"public, max-age=3600"))
    headers += [(b"vary", b"accept-encoding"), (b"content-length", str(len(body)).encode())]
    return _File(tuple(headers), body)


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")
