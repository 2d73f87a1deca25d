"""The workers of a multi-model endpoint: who is asked for which model, and files where one lacks.

A model's requests go to the same worker as long as that is no busier than others, so that each
worker holds other models: the workers in the order of a hash of model and worker (rendezvous
hashing), the first one whose queue is within a bound.

References
----------
Thaler and Ravishankar (1998), Using name-based mappings to increase hit rates, IEEE/ACM ToN 6(1).
Mirrokni, Thorup and Zadimoghaddam (2018), Consistent hashing with bounded loads, SODA.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from driftline.capture.tap.target import hash_of
from driftline.serving.hosting.child import Child, Launch, Reply
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pool import Limits, Pool

log = logging.getLogger(__name__)

# What a worker says to a request for a model that it would need the file of.
NOT_LOADED = "not_loaded"
# A worker's queue may be a quarter longer than the mean, and by some requests in any case: loading
# a model elsewhere costs more than these.
_ABOVE_MEAN, _ALWAYS = 1.25, 4


class MultiModelPool(Pool):
    """Workers that hold many models each; made, started and stopped inside one event loop."""

    def __init__(self, name: str, launch: Launch, limits: Limits, files: FileCache) -> None:
        super().__init__(name, launch, limits)
        self.files = files

    async def invoke(
        self, form: str, answer: str, body: bytes, target_model: str | None = None
    ) -> Reply:
        """Have one request answered by a model, which is loaded if it is not yet.

        Raises
        ------
        NotFoundError
            When there is no such model.
        """
        assert target_model is not None  # `Route.target_model` sees to it.
        with self._opened() as deadline:
            more: dict[str, Any] = {"target": target_model}
            self.files.touch(target_model)
            reply = await self._answered(form, answer, body, deadline, more)
            if reply.code != NOT_LOADED:
                return reply
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout_at(deadline):
                        copy = await stack.enter_async_context(self.files.copy(target_model))
                except TimeoutError:
                    raise self._late() from None
                more["file"] = [str(copy.path), copy.size]
                reply = await self._answered(form, answer, body, deadline, more)
        note = dict(reply.note or {})
        note["wait_s"] = note.get("wait_s", 0.0) + (copy.download_s or 0.0)
        if copy.download_s is not None:
            note["download_s"] = copy.download_s
        return replace(reply, note=note)

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all workers, after waiting for open requests, and remove the copies of models."""
        await super().stop(drain_s=drain_s)
        await self.files.close()

    def _chosen(self, more: Mapping[str, Any]) -> Child | None:
        if len(self._children) < 2:
            return self._least_loaded()
        target = more["target"]
        waiting = sum(child.waiting_count for child in self._children)
        most = _ALWAYS + _ABOVE_MEAN * waiting / len(self._children)
        by_hash = sorted(
            self._children,
            key=lambda child: hash_of(f"{child.number} {target}".encode()),
        )
        return next(child for child in by_hash if child.waiting_count <= most)
