"""The pool of one job's model: no worker at rest, and one for each mini-batch under way."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from driftline.formats.media_types import TextFormat
from driftline.serving.hosting.admission import Limits, TimedOutError
from driftline.serving.hosting.child import Launch, Reply, WorkerLostError
from driftline.serving.hosting.pool import NoWorkerError, Pool, describe_model
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
        # No retries but the job's own.
        self._limits = Limits(
            minimum=0, maximum=count, attempts=1, start_timeout_s=START_TIMEOUT_S,
            timeout_s=client.invocations_timeout_in_seconds,
        )  # fmt: skip
        self._pool: Pool | None = None

    async def describe(self) -> dict[str, Any]:
        """Load the model once; return its description of itself."""
        found, child = await describe_model(self._launch, timeout_s=START_TIMEOUT_S)
        await child.stop()
        self._pool = Pool(self._launch.name, self._launch, self._limits, noun="model")
        return found

    def sign(self, signature: str) -> None:
        """Set the signature by which the processes read rows, before they read any."""
        assert self._pool is not None
        self._pool.launch = replace(self._launch, signature=signature)

    async def stop(self) -> None:
        """End all processes."""
        if self._pool is not None:
            await self._pool.stop()

    async def ask(
        self, form: TextFormat, answer: TextFormat, body: bytes, *, retries: int | None = None
    ) -> Reply:
        """Return the answer to a mini-batch; failures of model and process are retried."""
        assert self._pool is not None
        left = self._client.invocations_max_retries if retries is None else retries
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                reply = await self._pool.invoke(form, answer, body)
                if reply.status < _FAILED or not left:
                    return reply
            except (WorkerLostError, TimedOutError) as error:
                if isinstance(error, NoWorkerError) and error.original is not error:
                    raise error.original from None
                if not left:
                    raise
                log.warning(
                    "model=%s event=retry error=%s", self._launch.name, type(error).__name__
                )
            left -= 1
            await asyncio.sleep(pause_s)
            pause_s *= 2
