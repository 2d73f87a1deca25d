"""Keyed locks on resources, and bounded waits for work that may never end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Set
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar, cast
from weakref import WeakValueDictionary

from driftline.serving.provisioning.plan import Key

T = TypeVar("T")


class Turns:
    """Changes of the same resource one after another; lives inside one event loop."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._since: dict[object, float] = {}  # Changes that are under way.

    @property
    def busy_s(self) -> float:
        """For how many seconds one change has been under way."""
        now = time.monotonic()
        return now - min(self._since.values(), default=now)

    @asynccontextmanager
    async def of(self, keys: Set[Key]) -> AsyncIterator[None]:
        """Wait until nobody else changes any of these resources; others may change meanwhile."""
        change = object()
        locks = [self._locks.setdefault(key, asyncio.Lock()) for key in sorted(keys)]
        async with AsyncExitStack() as stack:
            for lock in locks:  # In one order for all, so that nobody waits for who waits for them.
                await stack.enter_async_context(lock)
            self._since[change] = time.monotonic()
            stack.callback(self._since.pop, change)
            yield


async def within(seconds: float, work: Callable[[], T]) -> T:
    """Run what may never end in a thread of its own; raise TimeoutError when it takes longer.

    The thread ends with the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # Nobody waits any more.
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("T", result))

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for.
            failure = error
        with suppress(RuntimeError):  # The loop has ended.
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="look", daemon=True).start()
    return await asyncio.wait_for(future, seconds)
