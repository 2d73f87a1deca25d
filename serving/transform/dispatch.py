"""Runs stored transform jobs, each in a process of its own, so many at a time as a server may.

Whoever comes first of several servers has a job, by its lease. When a job's process dies, the job
is free at once; when the server dies with it, as soon as the lease has run out.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from subprocess import Popen, TimeoutExpired

from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.serving.context import ServerContext
from driftline.serving.transform.jobs import (
    RUNNING,
    OwnedJob,
    TransformJob,
    drop_ended,
    free_jobs,
    get_job,
)

log = logging.getLogger(__name__)

LOOK_S = 1.0
DROP_EVERY = timedelta(hours=1)
# How long a process that is told to stop may take to note how far it is.
GRACE_S = 8.0
_LONGEST_PAUSE_S = 30.0


class TransformJobs:
    """The transform jobs that this server runs; lives inside one event loop.

    ``ended`` is told the file of a model that a job no longer needs.
    """

    def __init__(self, context: ServerContext, ended: Callable[[str], None]) -> None:
        self._context, self._ended = context, ended
        self._running: dict[str, tuple[Popen[bytes], asyncio.Task[None]]] = {}
        self._failures: dict[str, int] = {}  # In a row, of jobs whose process fails.
        self._not_before: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._drop_at: datetime | None = None

    def look(self) -> None:
        """Look for jobs now: one was created."""
        self._wake.set()

    async def run(self) -> None:
        """Start processes for jobs that are free, for ever."""
        if self._context.start_transform is None:
            return
        failures = FailedPasses(log, "transforms")
        while True:
            with failures.noted(SQLAlchemyError, OSError):
                await self._fill()
                await asyncio.to_thread(self._drop)
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)

    async def stop(self) -> None:
        """Have all processes give their jobs back, for another server, or for the next start."""
        running = list(self._running.values())
        for process, _ in running:
            process.terminate()
        await asyncio.gather(*(asyncio.to_thread(_wait, process) for process, _ in running))
        await asyncio.gather(*(task for _, task in running))

    async def _fill(self) -> None:
        if len(self._running) >= self._context.max_transform_jobs:
            return
        now_s = asyncio.get_running_loop().time()
        for job in await asyncio.to_thread(self._free):
            if len(self._running) >= self._context.max_transform_jobs:
                return
            if job.name in self._running or self._not_before.get(job.name, 0.0) > now_s:
                continue
            owned = OwnedJob(self._context.engine, job.name, str(uuid.uuid4()))
            if await asyncio.to_thread(owned.reserve, self._context.lease_clock()):
                assert self._context.start_transform is not None
                process = self._context.start_transform(job.name, owned.owner)
                task = asyncio.create_task(self._attend(job, owned, process))
                self._running[job.name] = process, task

    def _drop(self) -> None:
        """Once an hour, forget jobs that ended before what is captured now is kept since."""
        now = self._context.lease_clock()
        if self._drop_at is not None and now < self._drop_at:
            return
        before = now - timedelta(days=self._context.retention_days)
        is_over = False
        while not is_over:
            with self._context.engine.begin() as connection:
                is_over = drop_ended(connection, before) == 0
        self._drop_at = now + DROP_EVERY

    def _free(self) -> list[TransformJob]:
        with read_connection(self._context.engine) as connection:
            return free_jobs(connection, self._context.lease_clock())

    async def _attend(self, job: TransformJob, owned: OwnedJob, process: Popen[bytes]) -> None:
        """Wait for a job's process; free the job if it has not ended."""
        log.info("job=%s process=%d event=started", job.name, process.pid)
        code = await asyncio.to_thread(process.wait)
        if process.stdin is not None:
            process.stdin.close()
        log.log(
            logging.WARNING if code else logging.INFO,
            "job=%s process=%d event=process-ended code=%d", job.name, process.pid, code,
        )  # fmt: skip
        failures = self._failures.pop(job.name, 0) + 1 if code else 0
        if failures:
            self._failures[job.name] = failures
            pause_s = min(2.0 ** (failures - 1), _LONGEST_PAUSE_S)
            self._not_before[job.name] = asyncio.get_running_loop().time() + pause_s
        else:
            self._not_before.pop(job.name, None)
        try:
            if await asyncio.to_thread(self._settle, owned, job.name) and job.model is not None:
                self._ended(job.model.file)
        except SQLAlchemyError as error:
            # It is free all the same when its lease has run out.
            log.warning("job=%s event=not-freed error=%s", job.name, error)
        finally:
            del self._running[job.name]
            self._wake.set()

    def _settle(self, owned: OwnedJob, name: str) -> bool:
        """Free a job; whether it has ended."""
        owned.abandon()
        with read_connection(self._context.engine) as connection:
            return get_job(connection, name).status not in RUNNING


def _wait(process: Popen[bytes]) -> None:
    try:
        process.wait(GRACE_S)
    except TimeoutExpired:
        log.warning("process=%d event=killed", process.pid)
        process.kill()
