"""The worker processes of one model: keep them alive, share out requests, bound time and number.

``Limits.minimum`` workers run always. Where the maximum is above it, each request has a worker to
itself: an idle one, or one that it starts and waits for; such workers end when idle. So a real-time
variant has n of n, a serverless one from its provisioned to its most concurrent, a job and the
models that monitors ask none of n.

A pool of many models is asked for one by its name: workers are ordered by a hash of model and
worker (rendezvous hashing, Thaler and Ravishankar 1998), and the first one whose queue is within a
bound (Mirrokni, Thorup and Zadimoghaddam 2018) gets the request. A model over which workers ended
several times in a row is quarantined for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from driftline.capture.tap.target import hash_of
from driftline.errors import DriftlineError
from driftline.serving.hosting.admission import Gate, Limits
from driftline.serving.hosting.child import (
    NO_HEADERS,
    Child,
    LateError,
    LoadError,
    Reply,
    UnansweredError,
    WorkerLostError,
)
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.resources.worker_spec import WorkerSpec

log = logging.getLogger(__name__)

# A worker that lived this long did not fail because of how it was started.
STABLE_AFTER_S = 60.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
# How long a worker that is no longer wanted may take to answer what it was asked.
DRAIN_S = 25.0

# Of the time that a request may take: a worker that was silent for this share of it is stuck. The
# rest may have passed before it was asked.
STUCK_SHARE = 0.8

# A model is refused after so many losses of workers in a row, for so long.
_LOSSES, QUARANTINE_S = 3, 60.0

# A worker's queue may be a quarter longer than the mean, and by some requests in any case: loading
# a model elsewhere costs more than these.
_ABOVE_MEAN, _ALWAYS = 1.25, 4


class NoWorkerError(WorkerLostError):
    """No worker runs that could be asked."""

    was_asked = False

    @property
    def original(self) -> Exception:
        """Why, where no worker can ever be started; else this error."""
        return self.__cause__ if isinstance(self.__cause__, LoadError) else self


class Pool(Gate):
    """Workers that hold the same model, or many; lives inside one event loop."""

    def __init__(
        self,
        name: str,
        spec: WorkerSpec,
        limits: Limits,
        *,
        log_file: LogFile | None = None,
        files: FileCache | None = None,
        noun: str = "endpoint",
    ) -> None:
        super().__init__(name, spec, limits, noun)
        self.problem: str | None = None
        """Why a worker does not run."""
        self.children: list[Child] = []
        """The workers that can answer now."""
        self.parts: Mapping[str, Pool] = {"": self}
        """The pools of its containers, by hostname; itself where it has none."""
        # Set when a worker is ready, and when none comes: they cannot be started, or it has ended.
        self._settled = asyncio.Event()
        # Of those that always run, by number; all are in ``_tasks``, with those that end when idle.
        self._kept: dict[int, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns = asyncio.Semaphore(max(1, limits.maximum))
        self._log_file = log_file
        self._files = files
        # Of many models, those that workers ended over: how often in a row, and until when each is
        # refused.
        self._losses: dict[str, tuple[int, float]] = {}
        self._is_started = False

    @property
    def is_ready(self) -> bool:
        """Whether a request can be answered now, if need be by a worker that it starts."""
        rests = self.limits.is_elastic or not self.limits.minimum
        return bool(self.children) or (self._is_started and rests)

    @property
    def instance_count(self) -> int:
        """How many workers can answer now."""
        return len(self.children)

    async def start(self) -> None:
        """Start the workers that always run, once, and return when one is ready."""
        if self.limits.minimum:
            self._fill()
            await self._settled.wait()
        else:
            await describe_model(self.spec, timeout_s=self.limits.start_timeout_s)
        if self._has_ended or (self._settled.is_set() and not self.children):
            raise NoWorkerError(self.problem or "it was stopped")
        self._is_started = True
        self.resize(self.limits)  # As was asked for meanwhile.

    def resize(self, limits: Limits) -> None:
        """Start more workers, or let the youngest go once they have answered; requests go on."""
        if limits.maximum != self.limits.maximum:
            self._turns = asyncio.Semaphore(max(1, limits.maximum))
        self.limits = limits
        if not self._is_started:
            return  # ``start`` will see to it.
        for number in [one for one in self._kept if one >= limits.minimum]:
            task = self._kept.pop(number)
            child = next((one for one in self.children if one.number == number), None)
            if child is None:
                task.cancel()
            else:
                child.let_go()
        self._fill()

    def _fill(self) -> None:
        """Start the workers that are missing of those that always run."""
        for number in range(self.limits.minimum):
            if number not in self._kept or self._kept[number].done():
                self._kept[number] = self._spawn(self._run(number))

    def _spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all workers; first wait up to ``drain_s`` for requests that are open or coming."""
        await self._drain(drain_s)
        self._is_started = False
        tasks = {*self._tasks, *self._kept.values()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._kept.clear()
        self._settled.set()
        if self._files is not None:
            await self._files.close()

    async def invoke(
        self,
        form: str,
        answer: str,
        body: bytes,
        target_model: str | None = None,
        timeout_s: float | None = None,
        *,
        deadline: float | None = None,
        extra_headers: Mapping[str, Any] = NO_HEADERS,
    ) -> Reply:
        """Have a worker answer one request; retry on another one if it is lost."""
        limit_s = timeout_s or self.limits.timeout_s
        with self._opened():
            ask = partial(self._answered, form, answer, body, limit_s)
            deadline = deadline or self._deadline(timeout_s)
            if self._has_ended:
                raise self._no_worker()
            try:
                if self.limits.is_elastic:
                    # Without its caller, too, its worker is busy, and ended when it is late.
                    asked = asyncio.create_task(self._in_turn(ask, deadline, extra_headers))
                    asked.add_done_callback(lambda one: one.cancelled() or one.exception())
                    return await asyncio.shield(asked)
                if self._files is None or target_model is None:
                    return await ask(deadline, extra_headers)
                return await _ask_copy(self._files, target_model, deadline, partial(ask, deadline))
            except TimeoutError:
                raise self._late(limit_s) from None

    async def _in_turn(
        self,
        ask: Callable[[float, Mapping[str, Any]], Awaitable[Reply]],
        deadline: float,
        headers: Mapping[str, Any],
    ) -> Reply:
        async with asyncio.timeout_at(deadline) as waiting, self._turns:
            waiting.reschedule(None)
            return await ask(deadline, headers)

    async def _answered(
        self,
        form: str,
        answer: str,
        body: bytes,
        limit_s: float,
        deadline: float,
        headers: Mapping[str, Any],
    ) -> Reply:
        model = headers.get("target")
        attempt, setup_s = 0, 0.0
        while attempt < self.limits.attempts:
            began_s = monotonic()
            if model is not None and self._losses.get(model, (0, 0.0))[1] > began_s:
                message = (
                    f'model "{model}" ends its worker, or does not come to an end; it is not asked '
                    f"again for {QUARANTINE_S:.0f} s; put a mended one under a new name"
                )
                return Reply(424, "", b"", "model_error", message)
            if (child := self._chosen(model)) is None:
                child = await self._child(model, deadline)
                if self.limits.is_elastic:  # To start a worker takes none of the request's time.
                    took_s = monotonic() - began_s
                    setup_s, deadline = setup_s + took_s, deadline + took_s
            try:
                reply = await child.ask(
                    form, answer, body, deadline, exclusive=attempt > 0, extra_headers=headers
                )
            except LateError as late:
                # Behind an older request it has not been silent over this one, whatever its limit.
                if late.was_first and self._end_if_stuck(child, limit_s):
                    self._count_loss(model)
                raise
            except WorkerLostError as error:
                if error.was_first:
                    self._count_loss(model)
                    if attempt > 0:
                        break
                else:
                    deadline = max(deadline, monotonic() + limit_s)
                attempt += not error.is_settled
            else:
                if model is not None:
                    self._losses.pop(model, None)
                return replace(reply, note={"setup_s": setup_s}) if setup_s else reply
        name = f', model "{model}"' if model else ""
        raise WorkerLostError(f"{self._title}{name}: its worker ended over this request")

    def _count_loss(self, model: str | None) -> None:
        """Count a worker that was lost over one of many models; None: over the only one."""
        if model is None:
            return
        count, until = self._losses.get(model, (0, 0.0))[0] + 1, 0.0
        if count >= _LOSSES:
            until = asyncio.get_running_loop().time() + QUARANTINE_S
            log.error("endpoint=%s model=%s event=quarantined", self.name, model)
        self._losses[model] = count, until

    def _chosen(self, model: str | None = None) -> Child | None:
        """Return the worker to ask; None while none runs, or none is idle that has to be."""
        children = self.children
        if self.limits.is_elastic:
            idle = (child for child in children if not child.waiting_count)
            # One that always runs, or else the one that was asked last, so that others can end.
            return max(idle, key=lambda one: (one.number >= 0, one.last_heard), default=None)
        if len(children) < 2:
            return children[0] if children else None
        if model is None:
            return min(children, key=lambda child: child.waiting_count)
        waiting = sum(child.waiting_count for child in children)
        most = _ALWAYS + _ABOVE_MEAN * waiting / len(children)
        by_hash = sorted(children, key=lambda child: hash_of(f"{child.number} {model}".encode()))
        return next(child for child in by_hash if child.waiting_count <= most)

    async def _child(self, model: str | None, deadline: float) -> Child:
        """Return the worker to ask: wait until one runs or, in an elastic pool, start one."""
        while (child := self._chosen(model)) is None:
            if self._has_ended:
                raise self._no_worker()
            if self.limits.is_elastic:
                try:
                    child = await self._started(-1)
                except (DriftlineError, OSError) as error:
                    self.problem = str(error)
                    text = f"{self._title} could not start a worker ({error})"
                    raise NoWorkerError(text) from error
                self._spawn(self._attend(child))
                return child
            if self._settled.is_set():
                raise self._no_worker()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._settled.wait()
            except TimeoutError:
                raise self._no_worker() from None
        return child

    def _no_worker(self) -> NoWorkerError:
        why = f" ({self.problem})" if self.problem else ""
        return NoWorkerError(f"{self._title} has no running worker{why}")

    async def _started(self, number: int) -> Child:
        """Start a worker, which can be asked from now on; ``_attend`` has to be called."""
        child = await Child.start(
            self.spec, timeout_s=self.limits.start_timeout_s, log_file=self._log_file
        )
        if self._has_ended:
            await child.stop()
            raise NoWorkerError(f"{self._title} is being stopped")
        child.number, self.problem = number, None
        # Before those who wait learn of the loss, so that none of them asks this worker again.
        child.when_gone = partial(self._forget, child)
        if not child.gone.is_set():
            self.children = [*self.children, child]
            self._settled.set()
        return child

    def _end_if_stuck(self, child: Child, limit_s: float) -> bool:
        """End a worker that was silent as long as a request may take; a slow queue is no reason."""
        silent_s = asyncio.get_running_loop().time() - child.last_heard
        is_stuck = self.limits.is_elastic or silent_s >= STUCK_SHARE * limit_s
        if child.gone.is_set() or not is_stuck:
            return False
        log.warning("endpoint=%s worker=%d event=stuck", self.name, child.process_id)
        child.kill(f"the worker did not answer within {limit_s:g} s and was ended")
        return True

    async def _run(self, number: int) -> None:
        """Run a worker that always runs: start it again with growing pauses."""
        loop = asyncio.get_running_loop()
        short_lives = 0
        while True:
            # The first time at once, for a worker that was killed; then with growing pauses.
            if short_lives > 1:
                await asyncio.sleep(min(FIRST_PAUSE_S * 2.0**short_lives, LONGEST_PAUSE_S))
            started, was_sound = loop.time(), False
            try:
                child = await self._started(number)
                await self._attend(child)
                if child.is_leaving:
                    return
                # What answers others may be ended by one request again and again: no crash loop.
                was_sound = child.has_answered
            except Exception as error:
                self.problem = str(error)
                is_ours = not isinstance(error, DriftlineError | OSError)
                text = "endpoint=%s worker=%d event=not-started error=%s"
                log.error(text, self.name, number, error, exc_info=is_ours)
                if not isinstance(error, WorkerLostError):  # It was not killed.
                    short_lives = max(short_lives, 1)
                if short_lives:
                    self._settled.set()
            was_short = not was_sound and loop.time() - started < STABLE_AFTER_S
            short_lives = short_lives + 1 if was_short else 0

    async def _attend(self, child: Child) -> None:
        """Let a worker answer until it is gone or is to leave."""
        loop = asyncio.get_running_loop()
        try:
            while not child.changed.is_set():
                left_s = None
                if child.number < 0:  # It leaves when it was idle for long enough.
                    idle_s = 0.0 if child.waiting_count else loop.time() - child.last_heard
                    if (left_s := self.limits.idle_s - idle_s) <= 0:
                        child.let_go()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await child.changed.wait()
        finally:
            self._forget(child)
            end = loop.time() + (DRAIN_S if child.is_leaving else 0.0)
            while child.waiting_count and not child.gone.is_set() and loop.time() < end:
                await asyncio.sleep(0.02)
            await child.stop()
        if child.is_leaving:
            log.info("endpoint=%s worker=%d event=left", self.name, child.process_id)
        else:
            log.warning("endpoint=%s worker=%d event=ended", self.name, child.process_id)
            await child.report(child.ending)

    def _forget(self, child: Child) -> None:
        self.children = [other for other in self.children if other is not child]
        if not self.children:
            self._settled.clear()


async def _ask_copy(
    files: FileCache,
    target: str,
    deadline: float,
    ask: Callable[[Mapping[str, Any]], Awaitable[Reply]],
) -> Reply:
    """Return the answer of one of many models, whose file is first copied to this machine."""
    began_s = asyncio.get_running_loop().time()
    async with files.copy(target, deadline) as (copy, download_s):
        copied_s = asyncio.get_running_loop().time() - began_s
        try:
            reply = await ask({"target": target, "file": [str(copy.path), copy.size]})
        except UnansweredError:
            files.drop(target)  # A mended one may lie there since.
            raise
    note = dict(reply.note or {})
    if download_s is not None:
        note["download_s"] = download_s
    if note:
        note["wait_s"] = note.get("wait_s", 0.0) + copied_s
    if reply.code == "not_loadable":
        files.drop(target)  # It may have become whole since it was copied.
        reply = replace(reply, code="model_error")
    return replace(reply, note=note or None)


async def describe_model(
    spec: WorkerSpec, *, timeout_s: float, log_file: LogFile | None = None
) -> dict[str, Any]:
    """Load a model in a process of its own, for a limited time; return its description."""
    try:
        child = await Child.start(spec, timeout_s=timeout_s, log_file=log_file)
    except WorkerLostError as error:
        raise LoadError(str(error)) from error
    await child.stop()
    return child.description
