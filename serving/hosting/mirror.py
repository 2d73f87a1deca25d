"""Copies requests to a shadow, as many at once as its bounds allow.

A copy is made when the caller has its answer, and nobody waits for it. Copies for a shadow that is
slow, hangs or is gone are dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)

# Copies that a shadow has not answered yet, and the bytes of their bodies.
MAX_OPEN = 100
MAX_OPEN_BYTES = 64 << 20


class Mirror:
    """Copies requests to one shadow and counts the copies; lives inside one event loop."""

    def __init__(self) -> None:
        self.mirrored = self.dropped = 0
        self._open: set[asyncio.Task[None]] = set()
        self._open_bytes = 0

    def offer(self, ask: Callable[[], Coroutine[None, None, None]], size_bytes: int) -> bool:
        """Send a copy in the background, unless too many are open; return whether it was sent."""
        # One alone may be larger than the bound: the server has let it in.
        is_large = self._open_bytes + size_bytes > MAX_OPEN_BYTES and bool(self._open)
        if is_large or len(self._open) >= MAX_OPEN:
            self.dropped += 1
            return False
        self.mirrored += 1
        self._open_bytes += size_bytes
        task = asyncio.create_task(ask())
        self._open.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._open.discard(task)
            self._open_bytes -= size_bytes
            if not task.cancelled() and (error := task.exception()) is not None:
                # Without its words: they may quote the body.
                log.error("event=copy-failed error=%s", type(error).__name__)

        task.add_done_callback(end)
        return True

    def drop(self) -> None:
        """Count a copy that nobody can answer now."""
        self.dropped += 1
