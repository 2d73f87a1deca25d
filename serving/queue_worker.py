"""Works on the rows of a queue in a server; when one dies, its leases run out."""

from __future__ import annotations

import asyncio
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import FailedPasses
from driftline.database.leases import renewing
from driftline.database.queue import RENEW_S, Queue
from driftline.errors import DriftlineError
from driftline.serving.context import ServerContext

log = logging.getLogger(__name__)

# For rows of other servers; who adds one here says so at once.
LOOK_S = 1.0
# Before a row is tried again whose work failed for a reason that may pass.
PAUSE_S = 5.0
UPKEEP_S = 10.0


class QueueWorker(ABC):
    """Lives inside one event loop; subclasses say what there is room for, and do the work."""

    def __init__(self, queue: Queue, context: ServerContext, name: str, *, kept: timedelta) -> None:
        self._queue, self._context, self._name, self._kept = queue, context, name, kept
        self._owner = str(uuid.uuid4())
        # By their keys, the rows that are under way, each with its task.
        self._running: dict[str, tuple[Row[Any], asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @abstractmethod
    async def _look(self) -> None:
        """Take rows that there is room for."""

    @abstractmethod
    async def _work(self, row: Row[Any]) -> None:
        """Work on a row until it is finished or given back; cancelled when the server stops."""

    def look(self) -> None:
        """Look for rows now, since one was added; may be called in any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Work on what waits, for ever; what is under way at the end goes back to the queue."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work_off())
            group.create_task(self._look_after())

    async def _work_off(self) -> None:
        failures = FailedPasses(log, self._name)
        try:
            with renewing(self._renew, RENEW_S, self._name):
                while True:
                    with failures.noted(SQLAlchemyError, OSError):
                        await self._look()
                    self._wake.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), LOOK_S)
        finally:
            await asyncio.shield(self._leave())

    async def _look_after(self) -> None:
        # Beside the work, so that a slow bucket keeps no row waiting.
        failures = FailedPasses(log, f"{self._name} upkeep")
        while True:
            await asyncio.sleep(UPKEEP_S)
            with failures.noted(SQLAlchemyError, DriftlineError, OSError):
                await asyncio.to_thread(self._upkeep)

    def _upkeep(self) -> None:
        """Forget what is old."""
        with self._context.engine.begin() as connection:
            self._queue.drop_ended(connection, self._now() - self._kept)

    async def _take(self, limit: int, *where: ColumnElement[bool]) -> int:
        """Begin to work on rows that are free, at most so many; return how many there were."""
        if limit <= 0:
            return 0
        is_new = self._queue.key.not_in(list(self._running))
        rows = await asyncio.to_thread(self._claim, limit, is_new, *where)
        for row in rows:
            key = getattr(row, self._queue.key.name)
            self._running[key] = row, asyncio.create_task(self._attend(key, row))
        return len(rows)

    def _claim(self, limit: int, *where: ColumnElement[bool]) -> list[Row[Any]]:
        return self._queue.claim(self._context.engine, self._owner, self._now(), limit, *where)

    async def _attend(self, key: str, row: Row[Any]) -> None:
        try:
            await self._work(row)
        except (DriftlineError, OSError, SQLAlchemyError) as error:
            # A disk, a bucket, the database: as if nobody had begun.
            log.warning("%s=%s event=later error=%s", self._name, key, type(error).__name__)
            await asyncio.to_thread(self._give_back, [key], PAUSE_S)
        finally:
            del self._running[key]
            self._wake.set()

    def _renew(self) -> None:
        if keys := list(self._running):
            with self._context.engine.begin() as connection:
                self._queue.renew(connection, self._owner, keys, self._now())

    def _give_back(self, keys: Sequence[str], pause_s: float, *, counts: bool = False) -> None:
        at = self._now() + timedelta(seconds=pause_s)
        with suppress(SQLAlchemyError), self._context.engine.begin() as connection:
            self._queue.retry(connection, self._owner, keys, at, counts=counts)

    async def _leave(self) -> None:
        running = {key: task for key, (_, task) in self._running.items()}
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
        await asyncio.to_thread(self._give_back, list(running), 0.0)

    def _now(self) -> datetime:
        """Return the time of leases; it may ask the database."""
        return self._context.lease_clock()
