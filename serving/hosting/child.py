"""One worker process as the server sees it: start it, send it requests, notice when it is gone."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from driftline.errors import InputError, UnavailableError
from driftline.serving.hosting.frames import FrameError, FrameReader, pack
from driftline.serving.hosting.own_folders import remove_unused_folders
from driftline.serving.hosting.worker_output import LogFile, OutputReader
from driftline.serving.hosting.worker_process import STOP_GRACE_S, WorkerProcess, ended
from driftline.serving.resources.worker_spec import WorkerSpec

log = logging.getLogger(__name__)

# Of what a worker says before it ends: its model is foreign code.
_SAID_SIGNS = 300
# How often it is looked for answers that are late: a timer for each would cost a row a percent.
_LOOK_S = 0.05

NO_HEADERS: Mapping[str, Any] = MappingProxyType({})


class LoadError(InputError):
    """The worker cannot serve this model; starting it again cannot help."""


class UnansweredError(UnavailableError):
    """A model has not answered."""

    was_asked = True
    # Of several containers, those that were asked: hostname, seconds, and status.
    containers: tuple[tuple[str, float, int], ...] = ()


class WorkerLostError(UnansweredError):
    """The worker ended before it answered.

    ``was_first``: this is the oldest request that the worker held, and perhaps the cause;
    ``is_settled``: the worker has refused the requests that it ended over.
    """

    def __init__(self, message: str, *, was_first: bool = False, is_settled: bool = False) -> None:
        super().__init__(message)
        self.was_first, self.is_settled = was_first, is_settled


class LateError(TimeoutError):
    """The worker did not answer before the deadline."""

    def __init__(self, *, was_first: bool) -> None:
        super().__init__()
        self.was_first = was_first  # If not, the worker had an older request to answer.


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
    # What a command said of its answer: SageMaker's custom attributes.
    attributes: str = ""

    @property
    def model_status(self) -> int:
        """The status that the model itself answered with; 500 where it raised."""
        if self.original is not None:
            return self.original[0]
        return 500 if self.status == 424 else self.status


class Child(asyncio.Protocol):
    """One running worker process; made by ``Child.start``."""

    def __init__(self, spec: WorkerSpec, log_file: LogFile | None = None) -> None:
        self.gone = asyncio.Event()
        self.changed = asyncio.Event()  # When it is gone, or is to leave.
        self.is_leaving = False
        self.when_gone: Callable[[], None] = lambda: None
        self.description: dict[str, Any] = {}  # The model's, of itself.
        self.has_answered = False
        self.last_heard = 0.0  # Or when it was asked, where it had nothing left to answer.
        self.number = 0  # Of its slot in the pool.
        self.model_count = 1
        self._spec, self._log_file = spec, log_file
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._next = 0
        # Requests without a reply in the order of their sending, until when each is waited for;
        # those included for which nobody waits any more.
        self._owed: dict[int, tuple[asyncio.Future[Reply], float]] = {}
        self._is_looking = False
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._process: WorkerProcess | None = None
        self._why_ended = ""  # What it said, or what it was killed for.
        self._is_settled = False  # See WorkerLostError.

    @classmethod
    async def start(
        cls, spec: WorkerSpec, *, timeout_s: float, log_file: LogFile | None = None
    ) -> Child:
        """Start a process and have it load its model; LoadError: it cannot be served."""
        child = cls(spec, log_file)
        try:
            await child._connect()
            async with asyncio.timeout(timeout_s):
                child.description = await child._ready
        except BaseException as error:
            has_ended = child.gone.is_set()
            await child.stop()
            if isinstance(error, TimeoutError):
                error = WorkerLostError(f"the model was not loaded after {timeout_s:g} s")
            if isinstance(error, WorkerLostError):
                await child.report(f"{child.ending} while it loaded" if has_ended else str(error))
            raise error from None
        log.info("worker=%d event=ready", child.process_id)
        return child

    async def _connect(self) -> None:
        ours, theirs = socket.socketpair()
        # The first start waits for imports.
        forking = asyncio.create_task(asyncio.to_thread(self._fork, theirs))
        try:
            await asyncio.shield(forking)
            await self._loop.create_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            await forking
            raise

    def _fork(self, theirs: socket.socket) -> None:
        with theirs:
            self._process = WorkerProcess(self._spec, theirs)
        output = OutputReader(self._spec, self.process_id, self._log_file)
        output.start(self._process.output)

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
        """How many requests this worker has yet to answer."""
        return len(self._owed)

    async def report(self, how: str) -> None:
        """Add how it ended to its lines, where they are kept."""
        if (file := self._log_file) is not None:
            where = self._spec.container
            await asyncio.to_thread(file.write, self.process_id, [how], where)

    async def ask(
        self,
        form: str,
        answer: str,
        body: bytes,
        deadline: float,
        *,
        exclusive: bool = False,
        extra_headers: Mapping[str, Any] = NO_HEADERS,
    ) -> Reply:
        """Send one request and wait for its reply; LateError: there is none at the deadline."""
        if self.gone.is_set():
            raise WorkerLostError("the worker has ended")
        number = self._next = self._next + 1
        future: asyncio.Future[Reply] = self._loop.create_future()
        if not self._owed:
            self.last_heard = self._loop.time()
        self._owed[number] = future, deadline
        # Sent together with all requests that have just come.
        if not self._unsent:
            self._loop.call_soon(self._flush)
        head = {"id": number, "form": form, "answer": answer, "exclusive": exclusive}
        self._unsent.append(pack({**head, **extra_headers}, body))
        if not self._is_looking:
            self._look()
        return await future

    def let_go(self) -> None:
        """Take no more requests; the pool ends it once it has answered."""
        self.is_leaving = True
        self.changed.set()

    def kill(self, why: str = "") -> None:
        """End the process at once; every waiting request learns that it is lost."""
        self._why_ended = self._why_ended or why
        if self._transport is not None:
            self._transport.abort()
        if self._process is not None:
            self._process.end()

    async def stop(self) -> None:
        """Close the socket, which ends the process, and collect it; kill it if it does not end."""
        if not self._ready.done() or self._ready.cancelled():
            self.kill()  # It is loading and would look at its socket much later.
        if self._transport is not None:
            self._transport.abort()
        if self._process is not None:
            await asyncio.to_thread(self._process.collect, STOP_GRACE_S)
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
        except (
            FrameError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:  # Of a model that writes there.
            log.error("worker=%d event=bad-frame error=%r", self.process_id, error)
            self.kill("the worker was ended: it sent what is no answer")

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify all who wait that the process is gone (asyncio calls this)."""
        self.gone.set()
        self.when_gone()
        self.changed.set()
        self._end_load(WorkerLostError("the model's process ended while it loaded the model"))
        oldest = None if self._is_settled else next(iter(self._owed), None)
        for number, (future, _) in self._owed.items():
            if not future.done():
                future.set_exception(WorkerLostError(
                    "the worker ended before it answered",
                    was_first=number == oldest, is_settled=self._is_settled,
                ))  # fmt: skip

    def _receive(self, header: Mapping[str, Any], body: bytes) -> None:
        self.last_heard = self._loop.time()
        if "id" in header:
            note = header.get("note")
            if note is not None:
                self.model_count = note["count"]
            future, _ = self._owed.pop(header["id"])
            if not future.done():  # Else nobody waits any more.
                self.has_answered = True
                future.set_result(_reply(header, body, note))
        elif "ready" in header:
            if warning := header.get("warning"):
                log.warning("worker=%d %s", self.process_id, warning)
            if not self._ready.done():
                self._ready.set_result(header["ready"])
        elif "refused" in header:
            self._end_load(LoadError(header["refused"]))
        else:
            self._why_ended = str(header["lost"])[:_SAID_SIGNS]
            self._is_settled = "settled" in header
            where = f"; what it printed is in {to.path}" if (to := self._log_file) else ""
            self._end_load(WorkerLostError(header["lost"] + where))

    def _end_load(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # Seen: nobody may be waiting for it any more.

    def _look(self) -> None:
        """Wait no longer for the oldest late answer; its worker may be ended over it."""
        waiting = [one for one in self._owed.values() if not one[0].done()]
        for future, end in waiting:
            if end <= self._loop.time():
                future.set_exception(LateError(was_first=future is waiting[0][0]))
                break
        self._is_looking = bool(waiting)
        if self._is_looking:
            self._loop.call_later(_LOOK_S, self._look)

    def _flush(self) -> None:
        assert self._transport is not None
        frames, self._unsent = self._unsent, []
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))


def _reply(header: Mapping[str, Any], body: bytes, note: Mapping[str, Any] | None) -> Reply:
    if header["status"] == 200:
        attributes = header.get("attributes", "")
        return Reply(200, header["type"], body, note=note, attributes=attributes)
    original = tuple(header["original"]) if "original" in header else None
    return Reply(header["status"], "", b"", header["code"], header["message"], note, original)
