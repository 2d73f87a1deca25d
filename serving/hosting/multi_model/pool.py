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
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from driftline.capture.tap.target import hash_of
from driftline.serving.hosting.child import Child, Launch, Reply, WorkerLostError
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pool import Limits, NoWorkerError, Pool

log = logging.getLogger(__name__)

# What a worker says to a request for a model that it would need the file of, and to those who wait
# for one that has been loading for too long.
NOT_LOADED, TOO_SLOW = "not_loaded", "too_slow_to_load"
# A worker's queue may be a quarter longer than the mean, and by some requests in any case: loading
# a model elsewhere costs more than these.
_ABOVE_MEAN, _ALWAYS = 1.25, 4


# For so long nobody is asked to load a model over which workers ended: others pay for it.
REFUSED_S = 60.0
# Lost so often while a model was loaded, it is the cause: those that only came along are done by
# then, as what is tried again is tried alone.
_LOSSES = 3
# Of the time that a request has left: who waits for a model that takes longer can still be told.
_LOAD_SHARE = 0.9


class MultiModelPool(Pool):
    """Workers that hold many models each; made, started and stopped inside one event loop."""

    def __init__(
        self,
        name: str,
        launch: Launch,
        limits: Limits,
        files: FileCache,
        *,
        prints: LogFile | None = None,
    ) -> None:
        super().__init__(name, launch, limits, prints=prints)
        self.files = files
        self._one_suspect = asyncio.Lock()
        self._refused: dict[str, float] = {}  # Until when, by the loop's time.

    async def invoke(
        self,
        form: str,
        answer: str,
        body: bytes,
        target_model: str | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Have one request answered by a model, which is loaded if it is not yet.

        Raises
        ------
        NotFoundError
            When there is no such model.
        """
        assert target_model is not None  # `Route.target_model` sees to it.
        with self._opened():
            deadline = self._deadline(timeout_s)
            more: dict[str, Any] = {"target": target_model}
            self.files.touch(target_model)
            reply = await self._answered(form, answer, body, deadline, more)
            if reply.code != NOT_LOADED:
                return reply
            if self._is_refused(target_model):
                return self._refusal(target_model)
            began_s = time.perf_counter()
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout_at(deadline):
                        copy = await stack.enter_async_context(self.files.copy(target_model))
                except TimeoutError:
                    raise self._late(timeout_s or self.limits.timeout_s) from None
                copied_s = time.perf_counter() - began_s
                left_s = deadline - asyncio.get_running_loop().time()
                load_s = min(self.limits.start_timeout_s, _LOAD_SHARE * left_s)
                more["file"] = [str(copy.path), copy.size, load_s]
                reply = await self._loaded_and_answered(form, answer, body, deadline, more)
        note = dict(reply.note or {})
        note["wait_s"] = note.get("wait_s", 0.0) + copied_s
        if copy.download_s is not None:
            note["download_s"] = copy.download_s
        return replace(reply, note=note)

    async def _loaded_and_answered(
        self, form: str, answer: str, body: bytes, deadline: float, more: Mapping[str, Any]
    ) -> Reply:
        """Have a model loaded that may end its worker, which others are asked of, too."""
        target = more["target"]
        for attempt in range(_LOSSES):
            async with AsyncExitStack() as stack:
                try:
                    if attempt:  # At most one that may be the cause is loaded at a time.
                        async with asyncio.timeout_at(deadline):
                            await stack.enter_async_context(self._one_suspect)
                        if self._is_refused(target):
                            break
                    reply = await self._answered(form, answer, body, deadline, more, attempts=1)
                except NoWorkerError:
                    raise
                except WorkerLostError:
                    continue
                except TimeoutError:
                    raise self._late(self.limits.timeout_s) from None
                if reply.code != TOO_SLOW:
                    return reply
                break
        if not self._is_refused(target):
            now = asyncio.get_running_loop().time()
            self._refused = {name: end for name, end in self._refused.items() if end > now}
            self._refused[target] = now + REFUSED_S
            log.error("endpoint=%s model=%s event=load-refused", self.name, target)
        return self._refusal(target)

    def _is_refused(self, target: str) -> bool:
        return self._refused.get(target, 0.0) > asyncio.get_running_loop().time()

    @staticmethod
    def _refusal(target: str) -> Reply:
        message = (
            f'model "{target}" ends its worker, or does not come to an end, when it is loaded; it '
            f"is not tried again for {REFUSED_S:.0f} s; put a mended one below the prefix, under a "
            "new name"
        )
        return Reply(424, "", b"", "model_error", message)

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
