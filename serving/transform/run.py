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

from sqlalchemy.exc import SQLAlchemyError

from driftline.database.leases import repeating
from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError
from driftline.serving.hosting.child import Launch, WorkerLostError
from driftline.serving.transform.assembly import Assembly, Records
from driftline.serving.transform.capture import JobCapture
from driftline.serving.transform.definition import JobStatus
from driftline.serving.transform.jobs import (
    MAX_ATTEMPTS,
    LeaseLostError,
    OwnedJob,
    TransformJob,
)
from driftline.serving.transform.scoring import InputFile, Scoring, find_files

log = logging.getLogger(__name__)

# Between two renewals of the lease, which also ask whether to stop.
_KEEP_S = 1.0
# How long a job waits for a disk, a bucket or the database that is away.
_PAUSE = timedelta(seconds=10)
# Of places that cannot be written to, which waiting does not mend.
_FAULTS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


class _StoppedError(DriftlineError):
    """Somebody has asked the job to stop."""


class _EndingError(DriftlineError):
    """Somebody has asked the process to stop."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run of a job needs from outside."""

    work_dir: Path  # Of outputs that grow, where they are for a bucket.
    now: Callable[[], datetime]  # By which leases end.
    stop: threading.Event  # Set: give the job back, for another process to go on with.
    find_model: Callable[[TransformJob], Launch]
    capture_of: Callable[[TransformJob], JobCapture]
    # Refuse a file to be read, and one to be written, whatever links lead to it.
    check_input: Callable[[str], None] = lambda _path: None
    check_output: Callable[[str], None] = lambda _path: None


def run_job(owned: OwnedJob, around: Surroundings) -> JobStatus | None:
    """Work on a job until it ends; None when another process has it, or it was given back.

    A job whose needs are out of reach is given back with UnavailableError.
    """
    job = owned.begin(around.now())
    if job is None:
        return None
    status: JobStatus = "Completed"
    reason = None
    try:
        asyncio.run(_Run(owned, job, around).run())
    except _StoppedError:
        status = "Stopped"
    except _EndingError:
        owned.give_back(around.now(), counts=False)
        return None
    except LeaseLostError:
        log.warning("job=%s event=lease-lost", job.name)
        return None
    except (InputError, UndecidedError, WorkerLostError, *_FAULTS) as error:
        status, reason = "Failed", str(error)
    except (UnavailableError, OSError, SQLAlchemyError) as error:
        # A disk, a bucket, the database: what is done stands, the next process goes on.
        # What the database says may quote a statement's values.
        said = "the database" if isinstance(error, SQLAlchemyError) else str(error)
        reason = f"tried again, as it could not go on: {said}"
        owned.give_back(around.now() + _PAUSE, counts=False, failure_reason=reason)
        raise
    # Not why: a reason quotes a record.
    log.info("job=%s event=%s", job.name, status.lower())
    owned.end(status, around.now(), reason)
    return status


class _Run:
    """One process at one job: keeps the job, and stores which files are done."""

    def __init__(self, owned: OwnedJob, job: TransformJob, around: Surroundings) -> None:
        self._owned, self._job, self._around = owned, job, around
        self._files_done, self._records = job.files_done, job.record_count
        self._capture = around.capture_of(job)

    async def run(self) -> None:
        """Score every file whose output is not there."""
        job, around = self._job, self._around
        if job.status == "Stopping":
            raise _StoppedError
        if job.attempts > MAX_ATTEMPTS:
            raise UndecidedError(
                f"its process ended {MAX_ATTEMPTS} times over one file; see the server's log: a "
                "model that needs more memory than there is?"
            )
        files = self._files()
        scoring = Scoring(
            job.spec, around.find_model(job), self, around.work_dir,
            check_input=around.check_input, check_output=around.check_output,
        )  # fmt: skip
        loop, work = (
            asyncio.get_running_loop(),
            asyncio.create_task(scoring.run(files, job.files_done)),
        )
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
        if (stored := self._owned.inputs()) is not None:
            files = [InputFile(*one) for one in stored]
            for file in files[self._files_done :]:
                self._around.check_input(file.path)
            return files
        files = find_files(self._job.spec, self._around.check_input)
        self._owned.keep(
            self._around.now(), file_count=len(files),
            inputs=[[one.path, one.output_key] for one in files],
        )  # fmt: skip
        return files

    def _keep(self) -> None:
        """Keep the job; an error when it, or this process, is to stop."""
        if self._around.stop.is_set():
            raise _EndingError
        if self._owned.keep(self._around.now()):
            raise _StoppedError

    def scored(self, file: InputFile, batch: Records, assembly: Assembly, answer: bytes) -> None:
        """Count and capture records."""
        self._records += batch.count
        self._capture.add(file.output_key, batch, assembly, answer)

    def completing(self) -> None:
        """Store what was captured; a process that has lost the job writes no output."""
        self._capture.store()
        self._keep()

    def done(self, file: InputFile) -> None:
        """Store that the output of a file is there."""
        self._files_done += 1
        self._owned.keep(
            self._around.now(), files_done=self._files_done, record_count=self._records,
            attempts=1, failure_reason=None,
        )  # fmt: skip
