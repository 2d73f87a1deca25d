"""The workers of a multi-model endpoint: who is asked for which model, and files where one lacks.

A model's requests go to the same worker as long as that is no busier than others, so that each
worker holds other models: the workers in the order of a hash of model and worker (rendezvous
hashing), the first one whose queue is within a bound.

A worker predicts one thing at a time. While one model's prediction is long, its worker is asked
nothing else and what waits there is asked elsewhere; from then on such models have workers of
their own, the lanes, which also answer for others while no other worker can.

References
----------
Thaler and Ravishankar (1998), Using name-based mappings to increase hit rates, IEEE/ACM ToN 6(1).
Mirrokni, Thorup and Zadimoghaddam (2018), Consistent hashing with bounded loads, SODA.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from driftline.capture.tap.target import hash_of
from driftline.serving.hosting.child import Child, Launch, Reply, WorkerLostError
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pool import Limits, NoWorkerError, Pool, Slot

log = logging.getLogger(__name__)

# What a worker says to a request for a model that it would need the file of, and to those who wait
# for one whose file is none that can be loaded, or that has been loading for too long.
NOT_LOADED, NOT_LOADABLE, TOO_SLOW = "not_loaded", "not_loadable", "too_slow_to_load"
# A worker's queue may be a quarter longer than the mean, and by some requests in any case: loading
# a model elsewhere costs more than these.
_ABOVE_MEAN, _ALWAYS = 1.25, 4


# For so long nobody is asked to load a model over which workers ended: others pay for it.
REFUSED_S = 60.0
# Lost so often while a model was loaded, it is the cause: those that only came along are done by
# then, as what is tried again is tried alone.
_LOSSES = 3
# Of the time that a request has, however much is left of the first one's: others may wait as well,
# and those with all of it can still be told of a model that takes longer.
_LOAD_SHARE = 0.9
# A model whose prediction was long is asked in a lane for so long; then the lanes go.
SLOW_S = 600.0
# Their number, below those of the others, is one more wherever all there is predicts for long.
_LANES_MAX = 3


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
        # Models whose predictions are long, and what ends that.
        self._slow: dict[str, asyncio.TimerHandle] = {}
        self._aside: list[Child] = []  # Workers whose prediction is long.
        self._lanes: list[tuple[asyncio.Task[None], Slot]] = []
        self._is_stopping = False

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
            await self.files.require(target_model)
            more["version"] = self.files.version(target_model)
            losses: list[WorkerLostError] = []
            reply = await self._answered(
                form, answer, body, deadline, more, timeout_s=timeout_s, losses=losses
            )
            if reply.code != NOT_LOADED:
                return self._outcome(target_model, reply)  # Perhaps of another one's load.
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
                longest_s = max(timeout_s or 0.0, self.limits.timeout_s)
                load_s = min(self.limits.start_timeout_s, _LOAD_SHARE * longest_s)
                more["file"] = [str(copy.path), copy.size, load_s]
                reply = await self._loaded_and_answered(
                    form, answer, body, deadline, more, timeout_s=timeout_s, losses=losses
                )
        note = dict(reply.note or {})
        note["wait_s"] = note.get("wait_s", 0.0) + copied_s
        if copy.download_s is not None:
            note["download_s"] = copy.download_s
        return replace(reply, note=note)

    async def _loaded_and_answered(
        self,
        form: str,
        answer: str,
        body: bytes,
        deadline: float,
        more: Mapping[str, Any],
        *,
        timeout_s: float | None,
        losses: list[WorkerLostError],
    ) -> Reply:
        """Have a model loaded that may end its worker, which others are asked of, too."""
        target = more["target"]
        lost: WorkerLostError | None = None
        for attempt in range(_LOSSES):
            async with AsyncExitStack() as stack:
                try:
                    if attempt:  # At most one that may be the cause is loaded at a time.
                        async with asyncio.timeout_at(deadline):
                            await stack.enter_async_context(self._one_suspect)
                        if self._is_refused(target):
                            break
                    reply = await self._answered(
                        form, answer, body, deadline, more, 1, timeout_s=timeout_s, losses=losses
                    )
                except NoWorkerError:
                    raise
                except WorkerLostError as error:
                    lost = error if lost is None or lost.was_loaded else lost
                    continue
                except TimeoutError:
                    raise self._late(timeout_s or self.limits.timeout_s) from None
                return self._outcome(target, reply)
        else:
            if lost is not None and lost.was_loaded:
                raise lost  # All were over what it was asked, none over its loading.
        return self._refuse(target)

    def _outcome(self, target: str, reply: Reply) -> Reply:
        """Return a worker's reply in words for the caller, after what follows from it."""
        if reply.code == TOO_SLOW:
            return self._refuse(target)
        if reply.code == NOT_LOADABLE:
            self.files.drop(target)
            return replace(reply, code="model_error")
        return reply

    def _refuse(self, target: str) -> Reply:
        """Have nobody load a model for a while, and then anew from its file."""
        if not self._is_refused(target):
            self.files.drop(target)
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
        self._is_stopping = True
        for timer in self._slow.values():
            timer.cancel()
        await super().stop(drain_s=drain_s)
        await self.files.close()

    def _chosen(self, more: Mapping[str, Any]) -> Child | None:
        target, children = more["target"], self._children
        if self._slow:
            lanes = [child for child in children if child.number < 0]
            children = [child for child in children if child.number >= 0] or lanes
            is_coming = any(slot.child is None for _, slot in self._lanes)
            if target in self._slow:
                # Behind another slow one, rather than before those who are not; one stays for them.
                idle = [child for child in children if not child.waiting_count][1:]
                children = [child for child in lanes if not child.waiting_count] or idle or lanes
                children = children or ([] if is_coming else self._aside)
                return min(children, key=lambda child: child.waiting_count, default=None)
            if not children and len(self._lanes) == _LANES_MAX and not is_coming:
                return min(self._aside, key=lambda child: child.waiting_count, default=None)
        if len(children) < 2:
            return children[0] if children else None
        waiting = sum(child.waiting_count for child in children)
        most = _ALWAYS + _ABOVE_MEAN * waiting / len(children)
        by_hash = sorted(children, key=lambda child: hash_of(f"{child.number} {target}".encode()))
        return next(child for child in by_hash if child.waiting_count <= most)

    def _admit(self, slot: Slot, child: Child) -> None:
        super()._admit(slot, child)
        child.when_long = partial(self._set_aside, child)
        child.when_back = partial(self._take_back, child)

    def _forget(self, child: Child) -> None:
        super()._forget(child)
        self._aside = [other for other in self._aside if other is not child]

    def _set_aside(self, child: Child, target: str, is_awaited: bool) -> bool:
        """Ask a worker nothing more while its prediction is long; False: it is asked on.

        What was moved from it is predicted in vain when it comes to it, which says nothing.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - (child.long_since or math.inf) >= self.limits.timeout_s:
            self._forget(child)
            self._kill(child, self.limits.timeout_s)
            return True
        if not is_awaited:
            return False
        if timer := self._slow.pop(target, None):
            timer.cancel()
        else:
            log.warning("endpoint=%s model=%s event=long-prediction", self.name, target)
        self._slow[target] = loop.call_later(SLOW_S, self._forgive, target)
        if child not in self._children or self._is_stopping:
            return False
        self._forget(child)
        self._aside.append(child)
        if not self._lanes or (not self._children and len(self._lanes) < _LANES_MAX):
            slot = Slot(-1 - len(self._lanes))
            task = asyncio.create_task(self._keep(slot))
            self._lanes.append((task, slot))
            self._leaving.add(task)  # It is none of those that are wanted for ever.
        return True

    def _take_back(self, child: Child) -> None:
        """Ask a worker again whose long prediction has come to its end."""
        if child in self._aside:
            self._aside.remove(child)
            self._children = [*self._children, child]
            self._any_ready.set()

    def _forgive(self, target: str) -> None:
        """Ask a model as others are asked again; the lanes go when there is none left for them."""
        del self._slow[target]
        while self._lanes and not self._slow:
            self._let_go(*self._lanes.pop())
