"""One worker process as the server sees it: start it, send it requests, notice when it is gone."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, cast

from driftline.errors import InputError, UnavailableError
from driftline.formats.body_limits import MAX_REQUEST_ROWS
from driftline.serving.hosting.command.process import TERM_S, ended
from driftline.serving.hosting.frames import FrameError, FrameReader, pack
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.own_folders import remove_unused_folders
from driftline.serving.hosting.prints import Prints
from driftline.serving.hosting.worker_process import STOP_GRACE_S, WorkerProcess, start_worker
from driftline.serving.resources.endpoints import ManyModels

log = logging.getLogger(__name__)

# Of what a worker says before it ends: its model is foreign code.
_SAID_SIGNS = 300

NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})


class LoadError(InputError):
    """The worker cannot serve this model; starting it again cannot help."""


class UnansweredError(UnavailableError):
    """A model has not answered."""

    was_asked = True
    # Of several containers, those that were asked: hostname, seconds, and status.
    containers: tuple[tuple[str, float, int], ...] = ()


class WorkerLostError(UnansweredError):
    """The worker ended before it answered."""

    def __init__(
        self,
        message: str,
        *,
        was_first: bool = False,
        is_settled: bool = False,
    ) -> None:
        super().__init__(message)
        # The worker has refused the requests that it ended over: this one is not among them.
        self.is_settled = is_settled
        # The oldest request that the worker held is perhaps the cause.
        self.was_first = was_first


class LateError(TimeoutError):
    """The worker did not answer before the deadline."""

    def __init__(self, *, was_first: bool) -> None:
        super().__init__()
        self.was_first = was_first  # If not, the worker had an older request to answer.


@dataclass(frozen=True, slots=True)
class Launch:
    """The parameters of a worker process; equal ones are interchangeable."""

    path: str
    trust_pickle: bool = False
    signature: str | None = None  # The endpoint's, as JSON.
    # The class whose probability is answered when there are two; or several names of it.
    positive: str | tuple[str, ...] | None = None
    max_rows: int = MAX_REQUEST_ROWS  # Of one request.
    name: str = ""  # The model's, for the log.
    many: ManyModels | None = None  # Then ``path`` is the prefix below which they lie.
    # A model that is a program: what is run beside the file or folder of ``path``.
    command: tuple[str, ...] | None = None
    trust_commands: bool = False
    # Of a variant of several containers: what each of them is started with, by its hostname.
    containers: tuple[tuple[str, Launch], ...] = ()
    is_serial: bool = False  # Whether they are asked one after another.
    container: str = ""  # Its hostname, of one of several.
    memory_bytes: int | None = None  # Of data, of each process of the command or the worker.
    # So that a variant that becomes one, or is one no longer, gets another pool.
    is_serverless: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The worker's answer to one request: a body, or a code and a sentence."""

    status: int
    media_type: str
    body: bytes
    code: str = ""
    message: str = ""
    # Of a worker that holds many models: what this request had to wait for (multi_model/models.py).
    note: Mapping[str, Any] | None = None
    # What the model's own code or server said, where it refused: its status and its first line.
    original: tuple[int, str] | None = None

    @property
    def model_status(self) -> int:
        """The status that the model itself answered with; 500 where it raised."""
        if self.original is not None:
            return self.original[0]
        return 500 if self.status == 424 else self.status


class Child(asyncio.Protocol):
    """One running worker process; made by ``Child.start``."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.when_gone: Callable[[], None] = lambda: None
        self.left = False  # It said that it ends, and is to be replaced.
        self.has_answered = False
        self.last_heard = 0.0  # Or when it was asked, where it had nothing left to answer.
        self.number = 0  # Of its place in the pool.
        self.model_count = 1
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._notes: dict[int, Mapping[str, Any]] = {}  # Of requests that wait.
        # Until when each is waited for, and who looks when: one timer for all of them.
        self._ends: dict[int, float] = {}
        self._look: asyncio.TimerHandle | None = None
        self._look_s = math.inf
        self._next = 0
        # Requests without a reply, in the order of their sending; those included for which nobody
        # waits any more.
        self._owed: dict[int, None] = {}
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._process: WorkerProcess | None = None
        self._prints = Prints()
        self._prints_to: LogFile | None = None
        self._runs_command = False
        self._why_ended = ""  # What it said, or what it was killed for.
        self._is_settled = False  # See WorkerLostError.

    @classmethod
    async def start(cls) -> Child:
        """Start a process that has no model yet."""
        ours, theirs = socket.socketpair()
        child = cls()
        # The first start waits for imports.
        starting = asyncio.create_task(asyncio.to_thread(_start, theirs, child._prints))
        try:
            try:
                child._process = await asyncio.shield(starting)
            except asyncio.CancelledError:
                child._process = await starting
                raise
            await child._loop.create_connection(lambda: child, sock=ours)
        except BaseException:
            ours.close()
            await child.stop()
            raise
        return child

    async def load(
        self, launch: Launch, *, timeout_s: float, prints: LogFile | None = None
    ) -> dict[str, Any]:
        """Have the process load a model; return the model's description of itself.

        LoadError: the model cannot be served. WorkerLostError: the process ended or took too long.
        """
        if self.gone.is_set():
            raise WorkerLostError("the worker has ended")
        self._ready = self._loop.create_future()
        self._runs_command = launch.command is not None
        self._prints_to = prints
        self._prints.keep(
            launch.name, lambda: self.process_id, prints,
            is_private=self._runs_command, container=launch.container,
        )  # fmt: skip
        self._write(asdict(launch), b"")
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._ready
        except TimeoutError:
            raise WorkerLostError(f"the model was not loaded after {timeout_s:g} s") from None
        log.info("worker=%d event=ready", self.process_id)
        return found

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        assert self._process is not None
        return self._process.process_id

    @property
    def ending(self) -> str:
        """How it ended, once it is stopped."""
        assert self._process is not None
        over = " over a request" if self._owed else ""
        return self._why_ended or f"the worker {ended(self._process.exit_code)}{over}"

    @property
    def waiting_count(self) -> int:
        """How many requests wait for this worker's answer."""
        return len(self._waiting)

    async def ask(
        self,
        form: str,
        answer: str,
        body: bytes,
        deadline: float,
        *,
        alone: bool,
        more: Mapping[str, Any] = NOTHING_MORE,
    ) -> Reply:
        """Send one request and wait for its reply; ``more``: which of many models is asked.

        LateError: there is none at the deadline, a time of the loop.
        """
        if self.gone.is_set():
            raise WorkerLostError("the worker has ended")
        number = self._next = self._next + 1
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[number] = future
        if not self._owed:
            self.last_heard = self._loop.time()
        self._owed[number] = None
        head = {"id": number, "form": form, "answer": answer, "alone": alone, **more}
        self._write(head, body)
        self._ends[number] = deadline
        if deadline < self._look_s:
            self._look_at(deadline)
        try:
            return await future
        finally:
            del self._waiting[number], self._ends[number]
            if self._notes:
                self._notes.pop(number, None)

    def kill(self, why: str = "") -> None:
        """End the process at once; every waiting request learns that it is lost."""
        self._why_ended = self._why_ended or why
        if self._transport is not None:
            # A command's worker then ends what the command has started, and then itself.
            self._transport.abort()
        if self._process is not None and not self._runs_command:
            self._process.end()

    async def stop(self) -> None:
        """Close the socket, which ends the process, and collect it; kill it if it does not end."""
        if self._ready is None or not self._ready.done() or self._ready.cancelled():
            self.kill()  # It is loading and would look at its socket much later.
        if self._transport is not None:
            self._transport.abort()
        if self._process is not None:
            grace_s = STOP_GRACE_S + (TERM_S if self._runs_command else 0.0)
            await asyncio.to_thread(self._process.collect, grace_s)
            await asyncio.to_thread(remove_unused_folders)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        # Not asked for by isinstance: the transports of uvloop are none of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand each reply to who waits for it (asyncio calls this)."""
        try:
            for header, body in self._reader.feed(data):
                self._receive(header, body)
        except FrameError as error:
            log.error("worker=%d event=bad-frame error=%s", self.process_id, error)
            self.kill(f"the worker was ended: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify all who wait that the process is gone (asyncio calls this)."""
        self.gone.set()
        self.when_gone()
        if self._look is not None:
            self._look.cancel()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(
                WorkerLostError("the model's process ended while it loaded the model")
            )
            self._ready.exception()  # Seen: load() may have stopped waiting for it.
        oldest = None if self._is_settled else next(iter(self._owed), None)
        for number, future in self._waiting.items():
            if not future.done():
                future.set_exception(WorkerLostError(
                    "the worker ended before it answered",
                    was_first=number == oldest, is_settled=self._is_settled,
                ))  # fmt: skip

    def _receive(self, header: Mapping[str, Any], body: bytes) -> None:
        self.last_heard = self._loop.time()
        if "ready" in header or "refused" in header or "lost" in header:
            self._end_load(header)
        elif "leaves" in header:
            self.left = True
        elif "notes" in header:
            self.model_count = header["count"]
            self._notes.update((one, note) for one, note in header["notes"] if one in self._waiting)
        else:
            number = header["id"]
            self._owed.pop(number, None)
            future = self._waiting.get(number)
            # Nobody waits any more for an answer that came after the time-out.
            if future is not None and not future.done():
                self.has_answered = True
                future.set_result(_reply(header, body, self._notes.get(number)))

    def _end_load(self, header: Mapping[str, Any]) -> None:
        if "lost" in header:
            self._why_ended = str(header["lost"])[:_SAID_SIGNS]
            self._is_settled = "settled" in header
        if self._ready is None or self._ready.done():
            return
        if "ready" in header:
            if warning := header.get("warning"):
                log.warning("worker=%d %s", self.process_id, warning)
            self._ready.set_result(header["ready"])
        elif "lost" in header:
            where = f"; what it printed is in {to.path}" if (to := self._prints_to) else ""
            self._ready.set_exception(WorkerLostError(header["lost"] + where))
        else:
            self._ready.set_exception(LoadError(header["refused"]))

    def _look_at(self, when_s: float) -> None:
        """Look at a time of the loop whether an answer is late."""
        if self._look is not None:
            self._look.cancel()
        self._look, self._look_s = self._loop.call_at(when_s, self._give_up), when_s

    def _give_up(self) -> None:
        """Wait no longer for answers that are late, and look again when the next one may be."""
        now, soonest = self._look_s, math.inf
        for number, end in self._ends.items():
            future = self._waiting[number]
            if end > now:
                soonest = min(soonest, end)
            elif not future.done():
                future.set_exception(LateError(was_first=number == next(iter(self._waiting))))
        self._look, self._look_s = None, math.inf
        if soonest < math.inf:
            self._look_at(soonest)

    def _write(self, header: Mapping[str, Any], body: bytes) -> None:
        """Send a frame together with those of all requests that have just come."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(pack(header, body))

    def _flush(self) -> None:
        assert self._transport is not None
        frames, self._unsent = self._unsent, []
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))


def _start(theirs: socket.socket, prints: Prints) -> WorkerProcess:
    with theirs:
        return start_worker(theirs, prints)


def _reply(header: Mapping[str, Any], body: bytes, note: Mapping[str, Any] | None) -> Reply:
    if header["status"] == 200:
        return Reply(200, header["type"], body, note=note)
    said = header.get("original")
    original = None if said is None else (said[0], said[1])
    return Reply(header["status"], "", b"", header["code"], header["message"], note, original)
