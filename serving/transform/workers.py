"""The model's processes of one job, each asked for one mini-batch at a time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from driftline.formats.media_types import TextFormat
from driftline.serving.hosting.child import Child, Launch, Reply, WorkerLostError
from driftline.serving.hosting.pool import TimedOutError, describe_model
from driftline.serving.transform.definition import ModelClientConfig

log = logging.getLogger(__name__)

START_TIMEOUT_S = 600.0
_FIRST_PAUSE_S = 0.1
# What the model says of rows that it is sent again is the same again: not so its own failures.
_FAILED = 424
# A mini-batch is bounded by its bytes; a job waits for no other request behind it.
_MAX_ROWS = 1 << 26


class Workers:
    """So many processes that hold the model; made, started and stopped inside one event loop."""

    def __init__(self, launch: Launch, count: int, client: ModelClientConfig) -> None:
        self._launch = replace(launch, max_rows=_MAX_ROWS)
        self._client = client
        self._idle: asyncio.Queue[Child | None] = asyncio.Queue()
        for _ in range(count):
            self._idle.put_nowait(None)  # Started when it is first needed.

    async def describe(self) -> dict[str, Any]:
        """Start a process; return the model's description of itself."""
        await self._idle.get()
        found, child = await describe_model(self._launch, timeout_s=START_TIMEOUT_S)
        self._idle.put_nowait(child)
        return found

    async def sign(self, signature: str) -> None:
        """Set the signature by which the processes read rows from now on."""
        self._launch = replace(self._launch, signature=signature)
        await self.stop()

    async def stop(self) -> None:
        """End all processes that are not asked anything."""
        for _ in range(self._idle.qsize()):
            if (child := self._idle.get_nowait()) is not None:
                await child.stop()
            self._idle.put_nowait(None)

    async def ask(
        self, form: TextFormat, answer: TextFormat, body: bytes, *, retries: int | None = None
    ) -> Reply:
        """Return the answer to a mini-batch; failures of model and process are retried."""
        left = self._client.invocations_max_retries if retries is None else retries
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                reply = await self._ask(form, answer, body)
                if reply.status < _FAILED or not left:
                    return reply
            except (WorkerLostError, TimedOutError) as error:
                if not left:
                    raise
                log.warning(
                    "model=%s event=retry error=%s", self._launch.name, type(error).__name__
                )
            left -= 1
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _ask(self, form: TextFormat, answer: TextFormat, body: bytes) -> Reply:
        child = await self._idle.get()
        timeout_s = self._client.invocations_timeout_in_seconds
        try:
            if child is None or child.gone.is_set():
                if child is not None:
                    await child.stop()
                child = None
                _, child = await describe_model(self._launch, timeout_s=START_TIMEOUT_S)
            deadline = asyncio.get_running_loop().time() + timeout_s
            return await child.ask(form, answer, body, deadline, alone=True)
        except TimeoutError:
            assert child is not None
            child.kill()
            raise TimedOutError(f"the model did not answer within {timeout_s} s") from None
        finally:
            self._idle.put_nowait(child)
