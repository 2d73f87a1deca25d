"""Models that answer for an endpoint on trial: asked by a replay, seen by no caller.

A pool of one process is started when it is first asked, and ended when nobody has asked for a
minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy import Engine

from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.serving.hosting.child import Child, LoadError, WorkerLostError
from driftline.serving.hosting.pool import Pool
from driftline.serving.resources.artifacts import ModelStore
from driftline.serving.resources.endpoints import DesiredVariant, desired_with

log = logging.getLogger(__name__)

KEEP_S = 60.0
DRAIN_S = 25.0
# Each holds a model in memory.
POOLS_MAX = 2
_Key = tuple[str, str, int]


class TrialPool(Pool):
    """Of a model that is refused when it ends its process or takes too long: others wait for it."""

    async def _loaded(self) -> Child:
        try:
            return await super()._loaded()
        except WorkerLostError as error:
            raise LoadError(f'model "{self.launch.name}": {error}') from error


class Rehearsals:
    """Pools of models on trial; lives inside one event loop."""

    def __init__(
        self,
        engine: Engine,
        models: ModelStore,
        make: Callable[[DesiredVariant], Pool],
        *,
        keep_s: float = KEEP_S,
    ) -> None:
        self._engine, self._models, self._make, self._keep_s = engine, models, make, keep_s
        self._pools: dict[_Key, Pool] = {}
        self._timers: dict[_Key, asyncio.TimerHandle] = {}
        self._starting: dict[_Key, asyncio.Task[Pool]] = {}
        self._room, self._loading = asyncio.Semaphore(POOLS_MAX), 0
        self._stopping: set[asyncio.Task[None]] = set()

    async def pool(self, endpoint: str, model: str) -> Pool:
        """Return a running pool of a declared model, by the signature of an endpoint."""
        desired = await asyncio.to_thread(self._read, endpoint, model)
        if desired.many is not None:
            raise InputError(f'model "{model}" is many models; expected one of a file')
        # A model that was applied anew meanwhile is another one.
        key = desired.endpoint, desired.model_file, desired.generation
        if key in self._pools:
            self._keep(key, self._pools[key])
            return self._pools[key]
        task = self._starting.get(key)
        if task is None:
            task = self._starting[key] = asyncio.create_task(self._start(key, desired))
            # Seen: who waited may be gone.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Who stops waiting does not stop it: others may wait for the same.
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """End all pools."""
        starting = list(self._starting.values())
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        for key in list(self._pools):
            self._end(key)
        await asyncio.gather(*self._stopping)

    async def _start(self, key: _Key, desired: DesiredVariant) -> Pool:
        """Start a pool in place of the one that was used longest ago, if there are too many."""
        try:
            async with self._room:
                pool = await self._made(desired)
                self._keep(key, pool)
        finally:
            del self._starting[key]
        log.info("endpoint=%s model=%s event=rehearsal", desired.endpoint, desired.model)
        return pool

    async def _made(self, desired: DesiredVariant) -> Pool:
        self._loading += 1
        try:
            while self._pools and len(self._pools) + self._loading > POOLS_MAX:
                self._end(next(iter(self._pools)))
            await asyncio.to_thread(self._models.fetch, desired.model_file)
            pool = self._make(desired)
            await pool.start()
        finally:
            self._loading -= 1
        return pool

    def _keep(self, key: _Key, pool: Pool) -> None:
        """Keep a pool that is used now."""
        self._pools.pop(key, None)
        self._pools[key] = pool  # The last used is the last to go.
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(self._keep_s, self._end, key)

    def _read(self, endpoint: str, model: str) -> DesiredVariant:
        with read_connection(self._engine) as connection:
            return desired_with(connection, endpoint, model)

    def _end(self, key: _Key) -> None:
        self._timers.pop(key).cancel()
        task = asyncio.create_task(self._pools.pop(key).stop(drain_s=DRAIN_S))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
