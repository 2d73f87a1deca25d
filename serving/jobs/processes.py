"""Starts the processes of stored jobs, within a server's limit."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from subprocess import Popen
from typing import Any, get_args

from sqlalchemy import Row, select

from driftline.database.engine import read_connection
from driftline.serving.context import ServerContext
from driftline.serving.jobs.store import JobKind
from driftline.serving.queue_worker import PAUSE_S, QueueWorker
from driftline.serving.tables import job_queue, jobs

log = logging.getLogger(__name__)

# A job whose processes end so often over one piece of work is at fault itself.
MAX_ATTEMPTS = 5
# How long a process that is told to stop may take.
GRACE_S = 8.0


class JobProcesses(QueueWorker):
    """The jobs that this server runs."""

    def __init__(self, context: ServerContext) -> None:
        kept = timedelta(days=context.settings.capture.retention_days)
        super().__init__(job_queue, context, "job", kept=kept)

    async def _look(self) -> None:
        if self._context.start_job is None:
            return
        asked = await asyncio.to_thread(self._stopping) if self._running else ()
        for key, (_, task) in self._running.items():
            if key in asked and not task.cancelling():
                task.cancel()
        while True:  # One of each kind at once.
            kinds = {row.kind for row, _ in self._running.values()}
            free = [kind for kind in get_args(JobKind) if kind not in kinds]
            if not await self._take(bool(free), jobs.c.kind.in_(free)):
                return

    def _stopping(self) -> list[str]:
        """Return the jobs under way that somebody has asked to stop."""
        is_asked = jobs.c.status == "Stopping", jobs.c.key.in_(list(self._running))
        with read_connection(self._context.engine) as connection:
            return list(connection.scalars(select(jobs.c.key).where(*is_asked)))

    async def _work(self, row: Row[Any]) -> None:
        if row.status == "Stopping":
            await asyncio.to_thread(self._end, row.key, "Stopped")
        elif row.attempts > MAX_ATTEMPTS:
            reason = (
                f"its process ended {MAX_ATTEMPTS} times over the same work; see the server's log: "
                "a model that needs more memory than there is?"
            )
            await asyncio.to_thread(self._end, row.key, "Failed", reason)
        else:
            assert self._context.start_job is not None
            process = self._context.start_job(row.kind, row.name, self._owner)
            log.info("job=%s process=%d event=started", row.name, process.pid)
            code = await _end_of(process)
            log.log(
                logging.WARNING if code else logging.INFO,
                "job=%s process=%d event=process-ended code=%d", row.name, process.pid, code,
            )  # fmt: skip
            # Unless the process has ended the job, or given it back.
            await asyncio.to_thread(self._give_back, [row.key], PAUSE_S, counts=True)

    def _end(self, key: str, status: str, reason: str | None = None) -> None:
        with self._context.engine.begin() as connection:
            job_queue.finish(connection, self._owner, key, status, self._now(), reason)


async def _end_of(process: Popen[bytes]) -> int:
    """Wait for the end of a process; cancelled, have it stop, so that it gives its job back."""
    ending = asyncio.create_task(asyncio.to_thread(process.wait))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        process.terminate()
        done, _ = await asyncio.wait([ending], timeout=GRACE_S)
        if not done:
            log.warning("process=%d event=killed", process.pid)
            process.kill()
    if process.stdin is not None:
        process.stdin.close()
    return await ending
