"""Runs one stored job in a process of its own, whose lease the server holds, until it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, func
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError
from driftline.serving.hosting.child import WorkerLostError
from driftline.serving.jobs.store import Job, JobKind, JobStatus, get_job
from driftline.serving.resources.artifacts import ModelStore
from driftline.serving.resources.reach import Reach
from driftline.serving.tables import job_queue, jobs

log = logging.getLogger(__name__)

# How long a job waits for a disk, a bucket or the database that is away.
_PAUSE = timedelta(seconds=10)
# Of places that cannot be written to, which waiting does not mend.
_FAULTS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


class _LeaseLostError(DriftlineError):
    """Another process has the job."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run of a job needs from outside."""

    engine: Engine
    owner: str  # Of the job's lease.
    now: Callable[[], datetime]  # By which leases end.
    reach: Reach
    models: ModelStore
    trust_pickle: bool
    work_dir: Path  # Of outputs that grow, where they are for a bucket.
    scripts_dir: str


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job as it was when this process began to work on it."""

    job: Job
    around: Surroundings

    def keep(self, **values: object) -> None:
        """Store values of the job; an error, and nothing stored, when another process has it."""
        owner, now = self.around.owner, self.around.now()
        with self.around.engine.begin() as connection:
            if not job_queue.renew(connection, owner, [self.job.key], now, **values):
                raise _LeaseLostError

    def give_back(self, pause: timedelta = timedelta(), **values: object) -> None:
        """Let another process go on with the job."""
        owner, at = self.around.owner, self.around.now() + pause
        with self.around.engine.begin() as connection:
            job_queue.retry(connection, owner, [self.job.key], at, counts=False, **values)


def run_job(
    kind: JobKind, name: str, around: Surroundings, work: Callable[[HeldJob], str | None]
) -> None:
    """Work on a job until it ends, is given back, or another process has it.

    ``work`` returns the job's exit message; it is cancelled where the job is to stop.
    """
    with read_connection(around.engine) as connection:
        held = HeldJob(get_job(connection, kind, name), around)
    status: JobStatus = "Completed"
    reason = message = None
    try:
        held.keep(started_at=func.coalesce(jobs.c.started_at, around.now()))
        message = work(held)
    except asyncio.CancelledError:
        held.give_back()
        return
    except _LeaseLostError:
        log.warning("job=%s event=lease-lost", held.job.name)
        return
    except (InputError, UndecidedError, WorkerLostError, *_FAULTS) as error:
        status, reason = "Failed", str(error)
    except (UnavailableError, OSError, SQLAlchemyError) as error:
        # What is done stands, the next process goes on. What the database says may quote a
        # statement's values.
        said = "the database" if isinstance(error, SQLAlchemyError) else str(error)
        held.give_back(_PAUSE, failure_reason=f"tried again, as it could not go on: {said}")
        raise
    # Not why: a reason quotes a record.
    log.info("job=%s event=%s", held.job.name, status.lower())
    with around.engine.begin() as connection:
        job_queue.finish(
            connection, around.owner, held.job.key, status, around.now(), reason,
            exit_message=message,
        )  # fmt: skip
