"""Runs one stored job, in a process of its own, until it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError

from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.child import WorkerLostError
from driftline.serving.jobs.store import Job, JobStatus
from driftline.serving.tables import job_queue, jobs

log = logging.getLogger(__name__)

# How long a job waits for a disk, a bucket or the database that is away.
_PAUSE = timedelta(seconds=10)
# Of places that cannot be written to, which waiting does not mend.
_FAULTS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


class _LeaseLostError(DriftlineError):
    """Another process has the job."""


class _TooLongError(BaseException):
    """The time is over; work that goes on after an error does not catch this."""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job as it was when this process began to work on it."""

    job: Job
    context: ServerContext
    owner: str  # Of its lease, which the server renews.

    def keep(self, **values: object) -> None:
        """Store values of the job; an error, and nothing stored, when another process has it."""
        now = self.context.lease_clock()
        with self.context.engine.begin() as connection:
            if not job_queue.renew(connection, self.owner, [self.job.key], now, **values):
                raise _LeaseLostError

    def give_back(self, pause: timedelta = timedelta(), **values: object) -> None:
        """Let another process go on with the job."""
        keys, at = [self.job.key], self.context.lease_clock() + pause
        with self.context.engine.begin() as connection:
            job_queue.retry(connection, self.owner, keys, at, counts=False, **values)

    def finish(self, status: JobStatus, reason: str | None, message: str | None) -> None:
        """Store how the job ended."""
        # Not why: a reason quotes a record.
        log.info("job=%s event=%s", self.job.name, status.lower())
        key, now = self.job.key, self.context.lease_clock()
        with self.context.engine.begin() as connection:
            job_queue.finish(connection, self.owner, key, status, now, reason, exit_message=message)


def run_job(held: HeldJob, work: Callable[[HeldJob], str | None]) -> None:
    """Work on a job until it ends, is given back, or another process has it.

    ``work`` returns the job's exit message; it is cancelled where the job is to stop.
    """
    try:
        now = held.context.lease_clock()
        held.keep(started_at=func.coalesce(jobs.c.started_at, now))
        held.finish("Completed", None, work(held))
    except asyncio.CancelledError:
        held.give_back()
    except _LeaseLostError:
        log.warning("job=%s event=lease-lost", held.job.name)
    except (InputError, UndecidedError, WorkerLostError, *_FAULTS) as error:
        held.finish("Failed", str(error), None)
    except (UnavailableError, OSError, SQLAlchemyError) as error:
        # What is done stands, the next process goes on. What the database says may quote a
        # statement's values.
        said = "the database" if isinstance(error, SQLAlchemyError) else str(error)
        held.give_back(_PAUSE, failure_reason=f"tried again, as it could not go on: {said}")
        raise


@contextmanager
def interruptible(seconds: int) -> Iterator[None]:
    """End what takes longer, and what SIGTERM stops."""

    def end(number: int, _frame: object) -> None:
        raise asyncio.CancelledError if number == signal.SIGTERM else _TooLongError

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    except _TooLongError:
        raise InputError(f"it took longer than the job may run, {seconds} s") from None
    finally:
        signal.alarm(0)
