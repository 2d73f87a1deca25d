"""Runs one stored transform job; a file under way when it stops is scored anew by the next."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError
from driftline.serving.hosting.child import WorkerLostError
from driftline.serving.resources.reach import Reach
from driftline.serving.resources.worker_spec import WorkerSpec
from driftline.serving.tables import transform_jobs, transform_queue
from driftline.serving.transform.definition import JobStatus
from driftline.serving.transform.jobs import TransformJob, get_job
from driftline.serving.transform.scoring import InputFile, Scoring, find_files

log = logging.getLogger(__name__)

# How long a job waits for a disk, a bucket or the database that is away.
_PAUSE = timedelta(seconds=10)
# Of places that cannot be written to, which waiting does not mend.
_FAULTS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
_jobs = transform_jobs.c


class _LeaseLostError(DriftlineError):
    """Another process has the job."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run of a job needs from outside."""

    engine: Engine
    owner: str  # Of the job's lease.
    work_dir: Path  # Of outputs that grow, where they are for a bucket.
    now: Callable[[], datetime]  # By which leases end.
    find_model: Callable[[TransformJob], WorkerSpec]
    reach: Reach


def run_job(name: str, around: Surroundings) -> JobStatus | None:
    """Work on a job until it ends; None when another has it, or it was given back."""
    with read_connection(around.engine) as connection:
        job = get_job(connection, name)
    run = _Run(job, around)
    status: JobStatus = "Completed"
    reason = None
    try:
        asyncio.run(run.run())
    except asyncio.CancelledError:
        run.give_back()
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
        run.give_back(_PAUSE, failure_reason=f"tried again, as it could not go on: {said}")
        raise
    # Not why: a reason quotes a record.
    log.info("job=%s event=%s", job.name, status.lower())
    with around.engine.begin() as connection:
        key, now = name.casefold(), around.now()
        transform_queue.finish(connection, around.owner, key, status, now, reason)
    return status


class _Run(Scoring):
    """One process at one job, which stores which of its files are done."""

    def __init__(self, job: TransformJob, around: Surroundings) -> None:
        super().__init__(job.spec, around.work_dir, around.reach)
        self._job, self._around, self._key = job, around, job.name.casefold()
        self.records, self._files_done = job.record_count, job.files_done

    async def run(self) -> None:
        """Score every file whose output is not there; cancelled by SIGTERM."""
        job, task = self._job, asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        self._keep(started_at=func.coalesce(_jobs.started_at, self._around.now()))
        files, worker = self._files(), self._around.find_model(job)
        await self.score(files, worker, job.model.description, job.files_done)

    def give_back(self, pause: timedelta = timedelta(), **values: object) -> None:
        """Let another process go on with the job."""
        with self._around.engine.begin() as connection:
            at, owner = self._around.now() + pause, self._around.owner
            transform_queue.retry(connection, owner, [self._key], at, counts=False, **values)

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

    def _keep(self, **values: object) -> None:
        """Store values of the job; an error when another process has it."""
        owner, now = self._around.owner, self._around.now()
        with self._around.engine.begin() as connection:
            if not transform_queue.renew(connection, owner, [self._key], now, **values):
                raise _LeaseLostError

    def completing(self) -> None:
        """Fail where another process has the job: this one writes no output."""
        self._keep()

    def done(self) -> None:
        """Store that the output of a file is there."""
        self._files_done += 1
        self._keep(
            files_done=self._files_done, record_count=self.records, attempts=1, failure_reason=None
        )
