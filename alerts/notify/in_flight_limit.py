"""Sends under way: so many at once, not all of one channel, none in the way of the next pass."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine

# Programs take turns of eight: so many come to their end within a lease, three rounds of 15 s.
AT_ONCE = 20
CHANNEL_AT_ONCE = 8
# Receivers that are quick answer together; so their next messages are claimed together.
_TOGETHER_S = 0.02


class InFlight:
    """Keeps what is being sent; to be used within one event loop.

    Parameters
    ----------
    failed
        Is told of whatever ends a send other than its own outcome.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._pause: asyncio.Task[bool] | None = None

    @property
    def free(self) -> int:
        """How many more may begin."""
        return AT_ONCE - len(self._tasks)

    @property
    def by_channel(self) -> Counter[str]:
        """How many of each channel are under way."""
        return Counter(self._tasks.values())

    def begin(self, channel: str, send: Coroutine[object, object, None]) -> None:
        """Send while others go on."""
        self._tasks[asyncio.create_task(send)] = channel

    async def wait(self, stop: threading.Event, timeout_s: float) -> None:
        """Wait until a send has ended, the time is up, or the loop is told to stop."""
        if self._pause is None or self._pause.done():
            self._pause = asyncio.create_task(asyncio.to_thread(stop.wait, timeout_s))
        await asyncio.wait({*self._tasks, self._pause}, return_when=asyncio.FIRST_COMPLETED)
        if any(task.done() for task in self._tasks):
            await asyncio.wait(self._tasks, timeout=_TOGETHER_S)
        self._land()

    async def end(self) -> None:
        """Wait until all have come to their end."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._land()

    def _land(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            del self._tasks[task]
            if (error := task.exception()) is not None:
                self._failed(error)
