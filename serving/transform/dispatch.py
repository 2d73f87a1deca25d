"""Runs stored transform jobs, each in a process of its own, within a server's limit.

The server that claims a job has it. When the job's process dies, the server frees the job; when the
server dies, the job is free as soon as its lease has run out.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from datetime import timedelta
from subprocess import Popen

from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import FailedPasses
from driftline.serving.context import ServerContext
from driftline.serving.tables import transform_queue
from driftline.serving.transform.jobs import TransformJob, claim_jobs

log = logging.getLogger(__name__)

LOOK_S = 1.0
# How long a process that is told to stop may take.
GRACE_S = 8.0
_LONGEST_PAUSE_S = 30.0


class TransformJobs:
    """The transform jobs that this server runs; lives inside one event loop."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._owner = str(uuid.uuid4())
        self._running: dict[str, tuple[Popen[bytes], asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def look(self) -> None:
        """Look for jobs now, since one was created; may be called in any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Start processes for jobs that are free, for ever."""
        if self._context.start_transform is None:
            return
        self._loop = asyncio.get_running_loop()
        failures = FailedPasses(log, "transforms")
        while True:
            with failures.noted(SQLAlchemyError, OSError):
                for job in await asyncio.to_thread(self._claim):
                    process = self._context.start_transform(job.name, self._owner)
                    task = asyncio.create_task(self._attend(job, process))
                    self._running[job.name] = process, task
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)

    async def stop(self) -> None:
        """Have all processes give their jobs back, for another server, or for the next start."""
        running = list(self._running.values())
        for process, _ in running:
            process.terminate()
        tasks = [task for _, task in running]
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_S)
        for process, task in running:
            if not task.done():
                log.warning("process=%d event=killed", process.pid)
                process.kill()
        await asyncio.gather(*tasks)

    def _claim(self) -> list[TransformJob]:
        """Take free jobs while there is room; forget those that ended as long ago as rows are."""
        now = self._context.lease_clock()
        room = max(0, self._context.settings.serving.max_transform_jobs - len(self._running))
        kept = timedelta(days=self._context.settings.capture.retention_days)
        with self._context.engine.begin() as connection:
            transform_queue.drop_ended(connection, now - kept)
            return claim_jobs(connection, self._owner, now, room, list(self._running))

    async def _attend(self, job: TransformJob, process: Popen[bytes]) -> None:
        """Wait for a job's process; free the job if it has not ended."""
        log.info("job=%s process=%d event=started", job.name, process.pid)
        code = await asyncio.to_thread(process.wait)
        if process.stdin is not None:
            process.stdin.close()
        log.log(
            logging.WARNING if code else logging.INFO,
            "job=%s process=%d event=process-ended code=%d", job.name, process.pid, code,
        )  # fmt: skip
        try:
            await asyncio.to_thread(self._free, job)
        except SQLAlchemyError as error:
            # It is free all the same when its lease has run out.
            log.warning("job=%s event=not-freed error=%s", job.name, error)
        finally:
            del self._running[job.name]
            self._wake.set()

    def _free(self, job: TransformJob) -> None:
        """Free a job that its process left."""
        pause_s = min(2.0 ** (job.attempts - 1), _LONGEST_PAUSE_S)
        at, key = self._context.lease_clock() + timedelta(seconds=pause_s), job.name.casefold()
        with self._context.engine.begin() as connection:
            transform_queue.retry(connection, self._owner, [key], at, counts=True)
