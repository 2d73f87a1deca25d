"""The workers of a multi-model endpoint, and which of them gets a request.

Workers are ordered by a hash of model and worker (rendezvous hashing), and the first one whose
queue is within a bound gets the request, so that each worker holds other models.

A worker does one thing at a time. One that is silent for nine tenths of the time limit of a request
is ended, so that another can answer what waits behind it. A model that was loaded or asked when its
worker ended, several times in a row, is quarantined for a while.

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
from driftline.errors import DriftlineError
from driftline.serving.hosting.child import Child, Launch, Reply
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pool import STUCK_SHARE, Limits, Pool, Slot

log = logging.getLogger(__name__)

# What a worker says of a model whose file is none that can be loaded.
NOT_LOADABLE = "not_loadable"
# A worker's queue may be a quarter longer than the mean, and by some requests in any case: loading
# a model elsewhere costs more than these.
_ABOVE_MEAN, _ALWAYS = 1.25, 4
# After so many losses in a row, for so long.
_LOSSES, QUARANTINE_S = 3, 60.0
# How often it is looked whether a worker is stuck, as a share of the time that a request has.
_LOOK_SHARE = 0.01


class _QuarantineError(DriftlineError):
    """Workers ended over a model again and again."""


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
        # Of models over which workers ended: how often in a row, and until when they are refused.
        self._losses: dict[str, tuple[int, float]] = {}

    async def invoke(
        self,
        form: str,
        answer: str,
        body: bytes,
        target_model: str | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Return a model's answer to one request; load the model first if needed."""
        assert target_model is not None  # `Route.target_model` sees to it.
        loop = asyncio.get_running_loop()
        with self._opened():
            deadline, began_s = self._deadline(timeout_s), loop.time()
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout_at(deadline):
                        copy, download_s = await stack.enter_async_context(
                            self.files.copy(target_model)
                        )
                except TimeoutError:
                    raise self._late(timeout_s or self.limits.timeout_s) from None
                copied_s = loop.time() - began_s
                more = {"target": target_model, "file": [str(copy.path), copy.size]}
                try:
                    reply = await self._answered(
                        form, answer, body, deadline, more, timeout_s=timeout_s
                    )
                except _QuarantineError as error:
                    return Reply(424, "", b"", "model_error", str(error))
        if reply.code == NOT_LOADABLE:
            self.files.drop(target_model)  # It may have become whole since it was copied.
            reply = replace(reply, code="model_error")
        self._losses.pop(target_model, None)
        if reply.note is None and download_s is None:
            return reply
        note = dict(reply.note or {})
        note["wait_s"] = note.get("wait_s", 0.0) + copied_s
        if download_s is not None:
            note["download_s"] = download_s
        return replace(reply, note=note)

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all workers, after waiting for open requests, and remove the copies of models."""
        await super().stop(drain_s=drain_s)
        await self.files.close()

    def _chosen(self, more: Mapping[str, Any]) -> Child | None:
        target, children = more["target"], self._children
        if self._losses:
            self._require_sound(target)
        if len(children) < 2:
            return children[0] if children else None
        waiting = sum(child.waiting_count for child in children)
        most = _ALWAYS + _ABOVE_MEAN * waiting / len(children)
        by_hash = sorted(children, key=lambda child: hash_of(f"{child.number} {target}".encode()))
        return next(child for child in by_hash if child.waiting_count <= most)

    def _require_sound(self, target: str) -> None:
        _, until = self._losses.get(target, (0, 0.0))
        if until > asyncio.get_running_loop().time():
            raise _QuarantineError(
                f'model "{target}" ends its worker, or does not come to an end; it is not asked '
                f"again for {QUARANTINE_S:.0f} s; put a mended one below the prefix, under a new "
                "name"
            )

    def _admit(self, slot: Slot, child: Child) -> None:
        super()._admit(slot, child)
        forget = child.when_gone

        def gone() -> None:
            forget()
            if child.lost_over is not None:
                self._count_loss(child.lost_over)

        child.when_gone = gone
        self._end_if_stuck(child)

    def _count_loss(self, target: str) -> None:
        count, until = self._losses.get(target, (0, 0.0))[0] + 1, 0.0
        if count >= _LOSSES:
            until = asyncio.get_running_loop().time() + QUARANTINE_S
            log.error("endpoint=%s model=%s event=quarantined", self.name, target)
        self._losses[target] = count, until
        self.files.drop(target)

    def _end_if_stuck(self, child: Child) -> None:
        """End a worker that is silent for too long, and look at it again and again."""
        if child.gone.is_set():
            return
        loop, limit_s = asyncio.get_running_loop(), self.limits.timeout_s
        if loop.time() - child.silent_since >= STUCK_SHARE * limit_s:
            log.warning("endpoint=%s worker=%d event=stuck", self.name, child.process_id)
            child.kill_late(f"the worker did not answer within {limit_s:g} s and was ended")
        loop.call_later(_LOOK_SHARE * limit_s, self._end_if_stuck, child)
