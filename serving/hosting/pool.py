"""The worker processes of one model: keep them alive, share out requests, bound time and number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from driftline.errors import DriftlineError, UnavailableError
from driftline.serving.hosting.child import (
    NOTHING_MORE,
    Child,
    LateError,
    Launch,
    LoadError,
    Reply,
    UnansweredError,
    WorkerLostError,
)
from driftline.serving.hosting.log_file import LogFile

log = logging.getLogger(__name__)

# A worker that lived this long did not fail because of how it was started.
STABLE_AFTER_S = 60.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
# How long a worker that is no longer wanted may take to answer what it was asked.
DRAIN_S = 25.0

# Of the time that a request may take: a worker that was silent for this share of it is stuck. The
# rest may have passed before it was asked.
STUCK_SHARE = 0.9

# Of requests whose worker ended one line is logged in this time.
_TOLD_EVERY_S = 60.0

# Lost without being the oldest request says nothing about the request; this bounds bad luck.
MAX_ATTEMPTS = 5


class BusyError(UnavailableError):
    """More requests are open than the limit allows."""


class NoWorkerError(WorkerLostError):
    """No worker runs that could be asked."""

    was_asked = False


class TimedOutError(UnansweredError):
    """The model did not answer in time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a pool."""

    workers: int = 1
    open_requests: int = 256
    timeout_s: float = 60.0
    start_timeout_s: float = 120.0
    wait_s: float = 10.0  # While no worker runs at all.


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one worker: who is in it, and whether it is to be given up."""

    number: int
    child: Child | None = None
    is_leaving: bool = False
    # Its worker could not be started, for a reason that may pass.
    has_failed: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class _Count:
    """How many blocks are open: those of contextlib cost a request more than what they hold."""

    def __init__(self) -> None:
        self.now = 0

    def __enter__(self) -> None:
        self.now += 1

    def __exit__(self, *_: object) -> None:
        self.now -= 1


class Pool:
    """Workers that hold the same model; created, started and stopped inside one event loop.

    ``first``: a process that has loaded the same file already, as the first worker; ``prints``:
    where the workers' output goes.
    """

    def __init__(
        self,
        name: str,
        launch: Launch,
        limits: Limits,
        *,
        first: Child | None = None,
        prints: LogFile | None = None,
    ) -> None:
        self.name = name
        self.launch = launch
        self.limits = limits
        self._problem: str | None = None
        self._children: list[Child] = []
        self._open = _Count()
        self._coming = _Count()
        self._any_ready = asyncio.Event()
        # Those of ``limits.workers``, in the order of their making, and those that still leave.
        self._keepers: dict[asyncio.Task[None], Slot] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._first = first
        self._prints = prints
        self._has_ended = False
        # Requests whose worker ended, since the last line about them, and when the next one is due.
        self._lost = 0
        self._next_line: asyncio.Handle | None = None

    @property
    def is_ready(self) -> bool:
        """Whether at least one worker can answer now."""
        return bool(self._children)

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
        """Start all workers and return when one is ready; the rest follow.

        A process that ends while it loads is started again, so this may wait for ever.
        """
        self._has_ended = False
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._fill(first)
        try:
            await first
        except BaseException:
            await self.stop()
            raise

    def resize(self, limits: Limits) -> None:
        """Take on other limits: start more workers, or let the youngest go once they have answered.

        Requests go on meanwhile; a new worker gets some when it has loaded the model.
        """
        self.limits = limits
        if not self._keepers:
            return  # ``start`` will see to it.
        for task, slot in list(self._keepers.items())[limits.workers :]:
            del self._keepers[task]
            self._let_go(task, slot)
        self._fill()

    def _let_go(self, task: asyncio.Task[None], slot: Slot) -> None:
        """Stop a worker once it has answered."""
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        if slot.child is None:
            task.cancel()
        else:
            slot.is_leaving = True
            slot.changed.set()

    def _fill(self, first: asyncio.Future[None] | None = None) -> None:
        """Start or stop workers to meet the limits; ``first`` is called for the first that runs."""
        for number in range(len(self._keepers), self.limits.workers):
            slot = Slot(number)
            self._keepers[asyncio.create_task(self._keep(slot, first))] = slot

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Stop all workers; first wait up to ``drain_s`` for requests that are open or coming."""
        loop = asyncio.get_running_loop()
        end = loop.time() + drain_s
        # Unless somebody else has stopped it meanwhile, with less time.
        while not self._has_ended and (self._open.now or self._coming.now) and loop.time() < end:
            await asyncio.sleep(0.02)
        self._has_ended = True
        keepers = [*self._keepers, *self._leaving]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        self._keepers = {}
        if self._next_line is not None:
            self._next_line.cancel()
            self._tell_lost()
        if self._first is not None:
            await self._first.stop()

    def expecting(self) -> _Count:
        """Announce a request that is still on its way, so that the pool does not stop before it."""
        return self._coming

    async def invoke(
        self,
        form: str,
        answer: str,
        body: bytes,
        target_model: str | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Have the least loaded worker answer one request; retry on another one if it is lost.

        ``target_model``: which of many models is asked; None where there is one; ``timeout_s``: in
        place of the limit of all.
        """
        assert target_model is None  # See MultiModelPool.
        return await self.invoke_until(form, answer, body, self._deadline(timeout_s), timeout_s)

    async def invoke_until(
        self, form: str, answer: str, body: bytes, deadline: float, timeout_s: float | None
    ) -> Reply:
        """Return the answer to one request by a deadline, part of which has passed."""
        with self._opened():
            return await self._answered(form, answer, body, deadline, timeout_s=timeout_s)

    def _opened(self) -> _Count:
        """Count a request as open, within the limit."""
        if self._open.now >= self.limits.open_requests:
            raise BusyError(
                f'endpoint "{self.name}" has {self._open.now} open requests, its limit; try again'
            )
        return self._open

    def _deadline(self, timeout_s: float | None = None) -> float:
        """Return when a request that comes now has to be answered."""
        return asyncio.get_running_loop().time() + (timeout_s or self.limits.timeout_s)

    async def _answered(
        self,
        form: str,
        answer: str,
        body: bytes,
        deadline: float,
        more: Mapping[str, Any] = NOTHING_MORE,
        *,
        timeout_s: float | None = None,
    ) -> Reply:
        limit_s = timeout_s or self.limits.timeout_s
        child: Child | None = None
        attempt = 0
        try:
            while attempt < MAX_ATTEMPTS:
                child = self._chosen(more) or await self._next_ready(deadline)
                try:
                    return await child.ask(
                        form, answer, body, deadline, alone=attempt > 0, more=more
                    )
                except WorkerLostError as error:
                    if attempt == 0:  # It is one request, however often it is tried.
                        self._count_lost()
                    if error.is_settled:
                        continue
                    if error.was_first and attempt > 0:
                        break
                    attempt += 1
        except TimeoutError as late:
            # Behind an older request it has not been silent over this one, whatever its limit.
            if isinstance(late, LateError) and late.was_first:
                self._kill_if_stuck(child, limit_s)
            raise self._late(limit_s) from None
        raise WorkerLostError(
            f'endpoint "{self.name}"{_model(more)}: its worker ended over this request'
        )

    def _count_lost(self) -> None:
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

    def _late(self, limit_s: float) -> TimedOutError:
        return TimedOutError(f'endpoint "{self.name}" did not answer within {limit_s:g} s')

    def _chosen(self, more: Mapping[str, Any]) -> Child | None:
        """Return the worker to ask; None while none runs."""
        return self._least_loaded()

    def _least_loaded(self) -> Child | None:
        if len(self._children) == 1:
            return self._children[0]
        return min(self._children, key=lambda child: child.waiting_count, default=None)

    async def _next_ready(self, deadline: float) -> Child:
        """Wait for a worker while none runs, until the deadline at most, unless none will ever."""
        # Right after the server has started nobody keeps any yet.
        have_failed = self._keepers and all(
            keeper.done() or slot.has_failed for keeper, slot in self._keepers.items()
        )
        if self._has_ended or have_failed:
            problem = self.problem or "it was stopped"
            raise NoWorkerError(f'endpoint "{self.name}" cannot be served ({problem})')
        try:
            end = asyncio.get_running_loop().time() + self.limits.wait_s
            async with asyncio.timeout_at(min(end, deadline)):
                while True:
                    await self._any_ready.wait()
                    if child := self._least_loaded():
                        return child
        except TimeoutError:
            raise NoWorkerError(
                f'endpoint "{self.name}" has no running worker'
                + (f" ({self.problem})" if self.problem else "")
            ) from None

    def _kill_if_stuck(self, child: Child | None, limit_s: float) -> None:
        """End a worker that was silent as long as a request may take; a slow queue is no reason."""
        if child is None or child.gone.is_set():
            return
        silent_s = asyncio.get_running_loop().time() - child.last_heard
        if silent_s >= STUCK_SHARE * limit_s:
            self._kill(child, limit_s)

    def _kill(self, child: Child, limit_s: float) -> None:
        log.warning("endpoint=%s worker=%d event=stuck", self.name, child.process_id)
        child.kill(f"the worker did not answer within {limit_s:g} s and was ended")

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
        child, self._first = self._first or await Child.start(), None
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


def _model(more: Mapping[str, Any]) -> str:
    """Name the one of many models that was asked."""
    return f', model "{target}"' if (target := more.get("target")) else ""


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
