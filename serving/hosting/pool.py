"""The worker processes of one model: keep them alive, share out requests, bound time and number.

``Limits.minimum`` workers run always. Where the maximum is above it, each request has a worker to
itself: an idle one, or one that it starts and waits for; such workers end when idle. So a real-time
variant has n of n, a serverless one from its provisioned to its most concurrent, a job and the
models that monitors ask none of n.

A pool of many models is asked for one by its name: workers are ordered by a hash of model and
worker (rendezvous hashing), and the first one whose queue is within a bound gets the request, so
that each worker holds other models. A model over which workers ended several times in a row is
quarantined for a while.

References
----------
SageMaker developer guide, "Deploy models with Amazon SageMaker Serverless Inference".
Thaler and Ravishankar (1998), Using name-based mappings to increase hit rates, IEEE/ACM ToN 6(1).
Mirrokni, Thorup and Zadimoghaddam (2018), Consistent hashing with bounded loads, SODA.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from driftline.capture.tap.target import hash_of
from driftline.errors import DriftlineError
from driftline.serving.hosting.admission import Gate, Limits
from driftline.serving.hosting.child import (
    NOTHING_MORE,
    Child,
    LateError,
    Launch,
    LoadError,
    Reply,
    WorkerLostError,
)
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.multi_model.asking import ask_copy
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.multi_model.quarantine import Quarantine, refusal

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
# Of many models: each may take this share, so that another worker can answer what waits behind it.
_MODEL_SHARE = 0.9

# Of requests whose worker ended one line is logged in this time.
_TOLD_EVERY_S = 60.0

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


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one worker: who is in it, and whether it is to be given up."""

    number: int
    child: Child | None = None
    is_leaving: bool = False
    # Its worker could not be started, for a reason that may pass.
    has_failed: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Pool(Gate):
    """Workers that hold the same model, or many; lives inside one event loop.

    ``prints``: where the workers' output goes; ``files``: where the files of many models come from;
    ``noun``: what has the name, in sentences.
    """

    def __init__(
        self,
        name: str,
        launch: Launch,
        limits: Limits,
        *,
        prints: LogFile | None = None,
        files: FileCache | None = None,
        noun: str = "endpoint",
    ) -> None:
        super().__init__(name, launch, limits, noun)
        self._problem: str | None = None
        self._children: list[Child] = []
        self._any_ready = asyncio.Event()
        # Those of ``limits.minimum``, in the order of their making, and those that still leave.
        self._keepers: dict[asyncio.Task[None], Slot] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(max(1, limits.maximum))
        self._prints = prints
        self._files = files
        self._quarantine = Quarantine(name)
        self._is_started = False
        # Requests whose worker ended, since the last line about them, and when the next one is due.
        self._lost = 0
        self._next_line: asyncio.Handle | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a request can be answered now, if need be by a worker that it starts."""
        return bool(self._children) or (self._is_started and self.limits.is_elastic)

    @property
    def model_counts(self) -> list[int]:
        """How many models each worker that can answer now has in memory."""
        return [child.model_count for child in self._children]

    @property
    def problem(self) -> str | None:
        """Why a worker does not run."""
        return self._problem

    @property
    def instance_count(self) -> int:
        """How many workers can answer now."""
        return len(self._children)

    @property
    def parts(self) -> Mapping[str, Pool]:
        """The pools of its containers, by hostname; itself where it has none."""
        return {"": self}

    @property
    def process_ids(self) -> list[int]:
        """The process numbers of the workers that can answer now."""
        return [child.process_id for child in self._children]

    async def start(self) -> None:
        """Start the workers that always run, and return when one is ready; the rest follow.

        Without such it is seen once that the model can be loaded. A process that ends while it
        loads is started again, so this may wait for ever.
        """
        self._has_ended = False
        try:
            if self.limits.minimum:
                first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._fill(first)
                await first
            else:
                await self._try()
        except BaseException:
            await self.stop()
            raise
        self._is_started = True
        self._fill()  # What was asked for meanwhile.

    async def _try(self) -> None:
        try:
            child = await self._loaded()
        except WorkerLostError as error:
            raise LoadError(str(error)) from error
        await child.stop()

    def resize(self, limits: Limits) -> None:
        """Take on other limits: start more workers, or let the youngest go once they have answered.

        Requests go on meanwhile; a new worker gets some when it has loaded the model.
        """
        if limits.maximum != self.limits.maximum:
            self._turns = asyncio.Semaphore(max(1, limits.maximum))
        self.limits = limits
        if not (self._is_started or self._keepers):
            return  # ``start`` will see to it.
        for task, slot in list(self._keepers.items())[limits.minimum :]:
            del self._keepers[task]
            self._let_go(task, slot)
        self._fill()

    def _let_go(self, task: asyncio.Task[None], slot: Slot) -> None:
        """Stop a worker once it has answered."""
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        if slot.child is None:
            task.cancel()
        else:
            slot.is_leaving = True
            slot.changed.set()

    def _fill(self, first: asyncio.Future[None] | None = None) -> None:
        """Start workers to meet the limits; ``first`` is told of the first that runs."""
        for number in range(len(self._keepers), self.limits.minimum):
            slot = Slot(number)
            self._keepers[asyncio.create_task(self._keep(slot, first))] = slot

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all workers; first wait up to ``drain_s`` for requests that are open or coming."""
        await self._drain(drain_s)
        self._is_started = False
        tasks = [*self._keepers, *self._others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Of tasks that were cancelled before their first step.
        await asyncio.gather(*(child.stop() for child in self._children))
        self._keepers = {}
        if self._next_line is not None:
            self._next_line.cancel()
            self._tell_lost()
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
        more: Mapping[str, Any] = NOTHING_MORE,
    ) -> Reply:
        """Have a worker answer one request; retry on another one if it is lost.

        ``target_model``: which of many models is asked; None where there is one; ``timeout_s``: in
        place of the limit of all; ``deadline``: where a part of it has passed; ``more``: what else
        the worker is told of the request.
        """
        if deadline is None:
            deadline = self._deadline(timeout_s)
        limit_s = timeout_s or self.limits.timeout_s
        ask = partial(self._answered, form, answer, body, deadline, limit_s)
        with self._opened():
            try:
                if self._files is not None and target_model is not None:
                    return await ask_copy(self._files, target_model, deadline, ask)
                if not self.limits.is_elastic:
                    return await ask(more)
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout_at(deadline):
                        await stack.enter_async_context(self._turns)
                    return await ask(more)
            except TimeoutError:
                raise self._late(limit_s) from None

    async def _answered(
        self,
        form: str,
        answer: str,
        body: bytes,
        deadline: float,
        limit_s: float,
        more: Mapping[str, Any],
    ) -> Reply:
        model: str | None = more.get("target")
        attempt, setup_s = 0, 0.0
        while attempt < self.limits.attempts:
            if model is not None and self._quarantine.holds(model):
                return Reply(424, "", b"", "model_error", refusal(model))
            child = self._chosen(model)
            if child is None:
                began_s = asyncio.get_running_loop().time()
                child = await self._next_ready(deadline)
                if self.limits.is_elastic:
                    took_s = asyncio.get_running_loop().time() - began_s
                    # None of the request's time: a worker is ended when that is over.
                    setup_s, deadline = setup_s + took_s, deadline + took_s
            is_shared = model is not None and attempt == 0
            until = deadline - (1 - _MODEL_SHARE) * limit_s if is_shared else deadline
            try:
                reply = await child.ask(form, answer, body, until, alone=attempt > 0, more=more)
            except LateError as late:
                # Behind an older request it has not been silent over this one, whatever its limit.
                if late.was_first and self._end_if_stuck(child, limit_s):
                    self._quarantine.count_loss(model)
                if late.was_first or not is_shared:
                    raise
                attempt += 1  # What it waited behind has all of its time; this one has the rest.
            except WorkerLostError as error:
                self._note_lost(error, model, is_new=attempt == 0)
                if error.was_first and attempt > 0:
                    break
                attempt += not error.is_settled
            else:
                self._quarantine.forget(model)
                return replace(reply, note={"setup_s": setup_s}) if setup_s else reply
        name = f', model "{model}"' if model else ""
        raise WorkerLostError(f"{self._title}{name}: its worker ended over this request")

    def _note_lost(self, error: WorkerLostError, model: str | None, *, is_new: bool) -> None:
        """Note that a request was lost; it is one, however often it is tried."""
        if error.was_first:
            self._quarantine.count_loss(model)
        if not is_new:
            return
        self._lost += 1
        if self._next_line is None:  # After all that were lost at this moment.
            self._next_line = asyncio.get_running_loop().call_soon(self._tell_lost)

    def _tell_lost(self) -> None:
        """Log how many requests were lost, and what else is within a minute at its end."""
        self._next_line = None
        if self._lost:
            log.warning("endpoint=%s event=lost requests=%d", self.name, self._lost)
            self._lost = 0
            loop = asyncio.get_running_loop()
            self._next_line = loop.call_later(_TOLD_EVERY_S, self._tell_lost)

    def _chosen(self, model: str | None = None) -> Child | None:
        """Return the worker to ask; None while none runs, or none is idle that has to be."""
        children = self._children
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

    async def _next_ready(self, deadline: float) -> Child:
        """Wait for a worker while none runs, until the deadline at most, unless none will ever.

        An elastic pool starts one, however long that takes.
        """
        if self.limits.is_elastic:
            return await self._start_one()
        # Right after the server has started nobody keeps any yet.
        have_failed = self._keepers and all(
            keeper.done() or slot.has_failed for keeper, slot in self._keepers.items()
        )
        if self._has_ended or have_failed:
            problem = self.problem or "it was stopped"
            raise NoWorkerError(f"{self._title} cannot be served ({problem})")
        try:
            end = asyncio.get_running_loop().time() + self.limits.wait_s
            async with asyncio.timeout_at(min(end, deadline)):
                while True:
                    await self._any_ready.wait()
                    if child := self._chosen():
                        return child
        except TimeoutError:
            raise NoWorkerError(
                f"{self._title} has no running worker"
                + (f" ({self.problem})" if self.problem else "")
            ) from None

    async def _start_one(self) -> Child:
        """Start a worker beyond the minimum."""
        try:
            child = await self._loaded()
        except (DriftlineError, OSError) as error:
            self._problem = str(error)
            log.error("endpoint=%s event=not-started error=%s", self.name, error)
            raise NoWorkerError(f"{self._title} could not start a worker ({error})") from error
        if self._has_ended:
            await child.stop()
            raise NoWorkerError(f"{self._title} is being stopped")
        slot = Slot(-1)
        self._admit(slot, child)
        task = asyncio.create_task(self._while_used(slot, child))
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return child

    async def _while_used(self, slot: Slot, child: Child) -> None:
        asyncio.get_running_loop().call_later(self.limits.idle_s, self._expire, slot, child)
        event = "left" if await self._attend(slot, child) else "ended"
        log.info("endpoint=%s worker=%d event=%s", self.name, child.process_id, event)

    def _expire(self, slot: Slot, child: Child) -> None:
        """Stop a worker that was idle for long enough; check any other again later."""
        if slot.child is not child:
            return
        loop, idle_s = asyncio.get_running_loop(), self.limits.idle_s
        left_s = idle_s if child.waiting_count else child.last_heard + idle_s - loop.time()
        if left_s > 0:
            loop.call_later(left_s, self._expire, slot, child)
        else:
            slot.is_leaving = True
            slot.changed.set()

    def _end_if_stuck(self, child: Child, limit_s: float) -> bool:
        """End a worker that was silent as long as a request may take; a slow queue is no reason."""
        silent_s = asyncio.get_running_loop().time() - child.last_heard
        is_stuck = self.limits.is_elastic or silent_s >= STUCK_SHARE * limit_s
        if child.gone.is_set() or not is_stuck:
            return False
        log.warning("endpoint=%s worker=%d event=stuck", self.name, child.process_id)
        child.kill(f"the worker did not answer within {limit_s:g} s and was ended")
        return True

    async def _keep(self, slot: Slot, first: asyncio.Future[None] | None = None) -> None:
        """Keep one worker running until it is to leave; start it again with growing pauses.

        ``first``: who starts the pool waits for it, until a worker runs or none can.
        """
        loop = asyncio.get_running_loop()
        name, number = self.name, slot.number
        short_lives = 0
        while True:
            # The first time at once, for a worker that was killed; then with growing pauses.
            if short_lives > 1:
                await asyncio.sleep(min(FIRST_PAUSE_S * 2.0**short_lives, LONGEST_PAUSE_S))
            started, was_sound = loop.time(), False
            try:
                child = await self._loaded()
                if first is not None and not first.done():
                    first.set_result(None)
                self._admit(slot, child)
                if await self._attend(slot, child):
                    log.info("endpoint=%s slot=%d event=left", name, number)
                    return
                # What answers others may be ended by one request again and again: no crash loop.
                was_sound = child.left or child.has_answered
                log.warning("endpoint=%s slot=%d event=ended", name, number)
            except Exception as error:
                self._problem = str(error)
                is_ours = not isinstance(error, DriftlineError | OSError)
                text = "endpoint=%s slot=%d event=not-started error=%s"
                log.error(text, name, number, error, exc_info=is_ours)
                slot.has_failed = is_ours or isinstance(error, LoadError)
                # Final for who would wait for it for ever; later the disk may have been full.
                if slot.has_failed and first is not None and not first.done():
                    first.set_exception(error)
                    return
            was_short = not was_sound and loop.time() - started < STABLE_AFTER_S
            short_lives = short_lives + 1 if was_short else 0

    async def _loaded(self) -> Child:
        """Return a process that has the model."""
        child = await Child.start()
        try:
            await child.load(
                self.launch, timeout_s=self.limits.start_timeout_s, prints=self._prints
            )
        except WorkerLostError as error:
            has_ended = child.gone.is_set()
            await child.stop()
            await self._tell_of(
                child, f"{child.ending} while it loaded" if has_ended else str(error)
            )
            raise
        except BaseException:
            await child.stop()
            raise
        return child

    async def _tell_of(self, child: Child, how: str) -> None:
        """Count a worker that is lost, where its lines are kept."""
        if self._prints is not None:
            where = self.launch.container
            await asyncio.to_thread(self._prints.lose, child.process_id, how, where)

    def _admit(self, slot: Slot, child: Child) -> None:
        """Let a worker that has loaded the model answer from now on."""
        self._problem = None

        def gone() -> None:
            # Before those who wait learn of the loss, so that none of them asks this worker again.
            self._forget(child)
            slot.changed.set()

        child.when_gone = gone
        if not child.gone.is_set():
            slot.child, slot.has_failed, child.number = child, False, slot.number
            self._children = [*self._children, child]
            self._any_ready.set()

    async def _attend(self, slot: Slot, child: Child) -> bool:
        """Wait until an admitted worker is gone, or has answered and leaves: True."""
        try:
            if not child.gone.is_set():
                await slot.changed.wait()
            slot.changed.clear()
        finally:
            slot.child = None
            self._forget(child)
            if slot.is_leaving:
                await _answered(child)
            await child.stop()
        if not (slot.is_leaving or child.left):
            await self._tell_of(child, child.ending)
        return slot.is_leaving

    def _forget(self, child: Child) -> None:
        self._children = [other for other in self._children if other is not child]
        if not self._children:
            self._any_ready.clear()


async def _answered(child: Child) -> None:
    """Wait until a worker that gets no more requests has answered those it has."""
    loop = asyncio.get_running_loop()
    end = loop.time() + DRAIN_S
    while child.waiting_count and not child.gone.is_set() and loop.time() < end:
        await asyncio.sleep(0.02)


async def describe_model(
    launch: Launch, *, timeout_s: float, prints: LogFile | None = None
) -> tuple[dict[str, Any], Child]:
    """Load a model; return its description, and the process, which the caller uses or stops."""
    child = await Child.start()
    try:
        return await child.load(launch, timeout_s=timeout_s, prints=prints), child
    except WorkerLostError as error:
        await child.stop()
        raise LoadError(str(error)) from error
    except BaseException:
        await child.stop()
        raise
