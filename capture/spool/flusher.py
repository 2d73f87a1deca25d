"""Group commit: one ``fdatasync`` for all who wait at that moment.

Loaded only with ``durability = "request"``. Standard library only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

log = logging.getLogger(__name__)

Done = Callable[[bool], None]


class Flusher:
    """Syncs files in its own thread, whenever a caller waits.

    ``take_files``: gives descriptors of all that was written since it was asked last; they are
    synced, closed, and only then are those told who began to wait before it was asked.
    """

    def __init__(self, take_files: Callable[[], Sequence[int]]) -> None:
        self._take_files = take_files
        self._waiting: list[Done] = []
        self._condition = threading.Condition()
        self._is_failing = False
        threading.Thread(target=self._run, name="capture-flusher", daemon=True).start()

    def wait(self) -> bool:
        """Block until what was written is on the disk; False when the disk did not take it."""
        outcome: list[bool] = []
        event = threading.Event()

        def done(is_safe: bool) -> None:
            outcome.append(is_safe)
            event.set()

        self._ask(done)
        event.wait()
        return outcome[0]

    async def wait_async(self) -> bool:
        """Wait as ``wait`` does, while the event loop goes on with other requests."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()

        def tell(is_safe: bool) -> None:
            if not future.done():  # The request may have been cancelled meanwhile.
                future.set_result(is_safe)

        def done(is_safe: bool) -> None:
            with suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(tell, is_safe)

        self._ask(done)
        return await future

    def _ask(self, done: Done) -> None:
        with self._condition:
            self._waiting.append(done)
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting:
                    self._condition.wait()
                waiting, self._waiting = self._waiting, []
            is_safe = self._sync()
            for done in waiting:
                done(is_safe)

    def _sync(self) -> bool:
        try:
            files = self._take_files()
        except OSError as error:
            return self._failed(error)
        is_safe = True
        for file in files:
            try:
                os.fdatasync(file)
            except OSError as error:
                is_safe = self._failed(error)
            finally:
                os.close(file)
        self._is_failing = self._is_failing and not is_safe
        return is_safe

    def _failed(self, error: OSError) -> bool:
        if not self._is_failing:
            self._is_failing = True
            log.error("capture answers before records are on the disk error=%s", error)
        return False
