"""Runs one stored transform job to its end, or until its process is to stop.

A process that takes a job over scores the file anew that was under way, so nothing is stored twice
or lost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import read_connection
from driftline.database.leases import repeating
from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError
from driftline.serving.hosting.child import WorkerLostError
from driftline.serving.resources.reach import Reach
from driftline.serving.resources.worker_spec import WorkerSpec
from driftline.serving.tables import transform_jobs, transform_queue
from driftline.serving.transform.capture import JobCapture
from driftline.serving.transform.definition import JobStatus
from driftline.serving.transform.jobs import TransformJob, get_job
from driftline.serving.transform.scoring import Assembly, InputFile, Scoring, find_files
from driftline.serving.transform.text import Batch

log = logging.getLogger(__name__)

# A job whose processes end so often over one file is at fault itself.
MAX_ATTEMPTS = 5
# Between two renewals of the lease, which also ask whether to stop.
_KEEP_S = 1.0
# How long a job waits for a disk, a bucket or the database that is away.
_PAUSE = timedelta(seconds=10)
# Of places that cannot be written to, which waiting does not mend.
_FAULTS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
_jobs = transform_jobs.c


class _StoppedError(DriftlineError):
    """Somebody has asked the job to stop."""


class _EndingError(DriftlineError):
    """Somebody has asked the process to stop."""


class _LeaseLostError(DriftlineError):
    """Another process has the job."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run of a job needs from outside."""

    engine: Engine
    owner: str  # Of the job's lease.
    work_dir: Path  # Of outputs that grow, where they are for a bucket.
    now: Callable[[], datetime]  # By which leases end.
    stop: threading.Event  # Set: give the job back, for another process to go on with.
    find_model: Callable[[TransformJob], WorkerSpec]
    capture_of: Callable[[TransformJob], JobCapture]
    reach: Reach


def run_job(name: str, around: Surroundings) -> JobStatus | None:
    """Work on a job until it ends; None when another process has it, or it was given back.

    A job whose needs are out of reach is given back with UnavailableError.
    """
    owner, key = around.owner, name.casefold()
    with around.engine.begin() as connection:
        now = around.now()
        begun = {"started_at": func.coalesce(_jobs.started_at, now)}
        if not transform_queue.renew(connection, owner, [key], now, **begun):
            return None
        job = get_job(connection, name)

    def give_back(pause: timedelta = timedelta(), **values: object) -> None:
        with around.engine.begin() as connection:
            at = around.now() + pause
            transform_queue.retry(connection, owner, [key], at, counts=False, **values)

    status: JobStatus = "Completed"
    reason = None
    try:
        asyncio.run(_Run(job, around).run())
    except _StoppedError:
        status = "Stopped"
    except _EndingError:
        give_back()
        return None
    except _LeaseLostError:
        log.warning("job=%s event=lease-lost", job.name)
        return None
    except (InputError, UndecidedError, WorkerLostError, *_FAULTS) as error:
        status, reason = "Failed", str(error)
    except (UnavailableError, OSError, SQLAlchemyError) as error:
        # A disk, a bucket, the database: what is done stands, the next process goes on.
        # What the database says may quote a statement's values.
        said = "the database" if isinstance(error, SQLAlchemyError) else str(error)
        give_back(_PAUSE, failure_reason=f"tried again, as it could not go on: {said}")
        raise
    # Not why: a reason quotes a record.
    log.info("job=%s event=%s", job.name, status.lower())
    with around.engine.begin() as connection:
        transform_queue.finish(connection, owner, key, status, around.now(), reason)
    return status


class _Run(Scoring):
    """One process at one job: keeps the job, captures it, and stores which files are done."""

    def __init__(self, job: TransformJob, around: Surroundings) -> None:
        super().__init__(job.spec, around.work_dir, around.reach)
        self._job, self._around, self._key = job, around, job.name.casefold()
        self.records, self._files_done = job.record_count, job.files_done
        self._capture = around.capture_of(job)

    async def run(self) -> None:
        """Score every file whose output is not there."""
        job = self._job
        if job.status == "Stopping":
            raise _StoppedError
        if job.attempts > MAX_ATTEMPTS:
            raise UndecidedError(
                f"its process ended {MAX_ATTEMPTS} times over one file; see the server's log: a "
                "model that needs more memory than there is?"
            )
        files, worker = self._files(), self._around.find_model(job)
        scoring = self.score(files, worker, job.model.description, job.files_done)
        loop, work = asyncio.get_running_loop(), asyncio.create_task(scoring)
        ended: list[DriftlineError] = []

        def keep() -> None:
            try:
                self._keep()
            except SQLAlchemyError as error:  # Tried again; the lease lasts longer.
                log.warning("job=%s lease_not_renewed error=%s", job.name, error)
            except DriftlineError as error:
                ended.append(error)
                loop.call_soon_threadsafe(work.cancel)

        with repeating(keep, _KEEP_S, "transform"):
            try:
                await work
            except asyncio.CancelledError:
                if ended:
                    raise ended[0] from None
                raise

    def _files(self) -> list[InputFile]:
        """Return the files as the job's first process found them: none of its outputs is among."""
        with read_connection(self._around.engine) as connection:
            query = select(_jobs.inputs).where(_jobs.key == self._key)
            stored: list[list[str]] | None = connection.scalar(query)
        if stored is not None:
            files = [InputFile(*one) for one in stored]
            for file in files[self._files_done :]:
                self._around.reach.check_data(file.path)
            return files
        files = find_files(self.spec, self._around.reach)
        inputs = [[one.path, one.output_key] for one in files]
        self._keep(file_count=len(files), inputs=inputs)
        return files

    def _keep(self, **values: Any) -> None:  # noqa: ANN401 - of a row
        """Keep the job, with values; an error when it, or this process, is to stop."""
        owner, now = self._around.owner, self._around.now()
        with self._around.engine.begin() as connection:
            if not transform_queue.renew(connection, owner, [self._key], now, **values):
                raise _LeaseLostError
            status = connection.scalar(select(_jobs.status).where(_jobs.key == self._key))
        if status == "Stopping":
            raise _StoppedError
        if self._around.stop.is_set():
            raise _EndingError

    def scored(self, file: InputFile, batch: Batch, assembly: Assembly, answer: bytes) -> None:
        """Count and capture records."""
        super().scored(file, batch, assembly, answer)
        self._capture.add(file.output_key, batch, assembly, answer)

    def completing(self) -> None:
        """Store what was captured; a process that has lost the job writes no output."""
        self._capture.store()
        self._keep()

    def done(self) -> None:
        """Store that the output of a file is there."""
        self._files_done += 1
        self._keep(
            files_done=self._files_done, record_count=self.records, attempts=1, failure_reason=None
        )
