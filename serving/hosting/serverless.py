"""The workers of a serverless variant: none at rest, one for each open request, ended when idle.

A request that finds no idle worker starts one and waits for it, up to the variant's limit; further
requests are refused. Provisioned workers are kept running.

References
----------
SageMaker developer guide, "Deploy models with Amazon SageMaker Serverless Inference".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from driftline.errors import DriftlineError
from driftline.serving.hosting.child import (
    NOTHING_MORE,
    Child,
    Launch,
    LoadError,
    Reply,
    WorkerLostError,
)
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.pool import Limits, NoWorkerError, Pool, Slot

log = logging.getLogger(__name__)

# The number of a worker that is not provisioned, all of which are counted from 0.
_ON_DEMAND = -1


class ServerlessPool(Pool):
    """Workers that come with requests and go when idle; lives inside one event loop.

    Of the limits, ``workers`` are provisioned, and ``open_requests`` is how many may run at once.
    """

    def __init__(
        self,
        name: str,
        launch: Launch,
        limits: Limits,
        idle_s: float,
        *,
        prints: LogFile | None = None,
    ) -> None:
        super().__init__(name, launch, limits, prints=prints)
        self._idle_s = idle_s
        self._is_started = self._is_stopped = False
        self._on_demand: set[asyncio.Task[None]] = set()

    @property
    def is_ready(self) -> bool:
        """Whether a request can be answered now, if need be by a worker that it starts."""
        return self._is_started

    async def start(self) -> None:
        """Start what is provisioned, or see once that the model can be loaded in its memory."""
        if self.limits.workers:
            await super().start()
        else:
            try:
                child = await self._loaded()
            except WorkerLostError as error:
                raise LoadError(str(error)) from error
            await child.stop()
        self._is_started = True
        self._fill()  # What was provisioned meanwhile.

    def resize(self, limits: Limits) -> None:
        """Take on other limits; workers beyond them end when they are idle."""
        had_provisioned = bool(self._keepers)
        super().resize(limits)
        if self._is_started and not had_provisioned:
            self._fill()

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all workers; first wait up to ``drain_s`` for requests that are open or coming."""
        await super().stop(drain_s=drain_s)
        self._is_started, self._is_stopped = False, True
        tasks = list(self._on_demand)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Of tasks that were cancelled before their first step.
        await asyncio.gather(*(child.stop() for child in self._children))

    async def invoke(
        self,
        form: str,
        answer: str,
        body: bytes,
        target_model: str | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Return the answer of an idle worker, or of a new one."""
        assert target_model is None  # `plan` refuses many models.
        loop = asyncio.get_running_loop()
        with self._opened():
            deadline = self._deadline(timeout_s)
            if self._chosen(NOTHING_MORE) is not None:
                return await self._answered(form, answer, body, deadline, timeout_s=timeout_s)
            began_s = loop.time()
            await self._start_one()
            setup_s = loop.time() - began_s
            # Its start takes none of the request's time: a worker is ended when that is over.
            deadline += setup_s
            reply = await self._answered(form, answer, body, deadline, timeout_s=timeout_s)
        return replace(reply, note={"setup_s": setup_s})

    def _chosen(self, more: Mapping[str, Any]) -> Child | None:
        idle = (child for child in self._children if not child.waiting_count)
        # One that is provisioned, or else the one that was asked last, so that others can end.
        return max(
            idle, key=lambda child: (child.number != _ON_DEMAND, child.last_heard), default=None
        )

    async def _next_ready(self, deadline: float) -> Child:
        """Start a worker in place of one that was lost, in the time that its request has left."""
        async with asyncio.timeout_at(deadline):
            return await self._start_one()

    async def _start_one(self) -> Child:
        """Start a worker: as many requests are open as there are, and they may have one more."""
        try:
            child = await self._loaded()
        except (DriftlineError, OSError) as error:
            self._problem = str(error)
            log.error("endpoint=%s event=not-started error=%s", self.name, error)
            raise NoWorkerError(
                f'endpoint "{self.name}" could not start a worker ({error})'
            ) from error
        if self._is_stopped:
            await child.stop()
            raise NoWorkerError(f'endpoint "{self.name}" is being stopped')
        slot = Slot(_ON_DEMAND)
        self._admit(slot, child)
        task = asyncio.create_task(self._while_used(slot, child))
        self._on_demand.add(task)
        task.add_done_callback(self._on_demand.discard)
        return child

    async def _while_used(self, slot: Slot, child: Child) -> None:
        asyncio.get_running_loop().call_later(self._idle_s, self._expire, slot, child)
        event = "left" if await self._attend(slot, child) else "ended"
        log.info("endpoint=%s worker=%d event=%s", self.name, child.process_id, event)

    def _expire(self, slot: Slot, child: Child) -> None:
        """Stop a worker that was idle for long enough; check any other again later."""
        if slot.child is not child:
            return
        loop = asyncio.get_running_loop()
        left_s = child.last_heard + self._idle_s - loop.time()
        if child.waiting_count:
            left_s = self._idle_s
        if left_s > 0:
            loop.call_later(left_s, self._expire, slot, child)
        else:
            slot.is_leaving = True
            slot.changed.set()

    def _kill_if_stuck(self, child: Child | None, limit_s: float) -> None:
        """End a worker that did not answer in time: it would answer nobody else before."""
        if child is not None and not child.gone.is_set():
            self._kill(child, limit_s)
