"""A transform job without a server: a model file, files of data, and an output folder.

The job's state is a small database beside the outputs, deleted when the job has ended; the same
call resumes at the file of a killed one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete

from driftline.database.engine import read_connection, using_database
from driftline.serving.hosting.child import Launch
from driftline.serving.tables import transform_files, transform_jobs
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.jobs import (
    JobCounts,
    OwnedJob,
    claim_jobs,
    count_files,
    create_job,
    described,
    get_job,
)
from driftline.serving.transform.run import Surroundings, run_job
from driftline.storage import is_remote, open_uri

STATE = ".driftline-transform"


def start_transform(settings_file: Path | None, job: str, owner: str) -> subprocess.Popen[bytes]:
    """Start the process of a server's job; it ends with this one, by its standard input."""
    command = [sys.executable, "-P", "-m", "driftline.app.transform_process", job, owner]
    if settings_file is not None:
        command += ["--settings", str(settings_file)]
    return subprocess.Popen(  # noqa: S603 - our own module, with our own arguments
        command, stdin=subprocess.PIPE, start_new_session=True
    )


def transform_files_of(
    spec: TransformJobSpec,
    launch: Launch,
    *,
    local_dir: Path,
    stop: threading.Event,
    moved: Callable[[JobCounts], None],
) -> dict[str, Any]:
    """Run a job in this process; files that an earlier run of its spec has done stay."""
    where = spec.transform_output.s3_output_path
    folder = Path(open_uri(where)[1]) / STATE
    if is_remote(where):
        folder = local_dir / "transform" / blake2b(where.encode(), digest_size=8).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    with using_database(f"sqlite:///{(folder / 'jobs.sqlite').absolute()}") as engine:
        owner = str(uuid.uuid4())
        _begin(engine, spec, owner)
        owned = OwnedJob(engine, spec.transform_job_name, owner)
        around = Surroundings(
            folder, lambda: datetime.now(UTC), stop,
            moved=lambda: moved(_counts(engine, spec.transform_job_name)),
        )  # fmt: skip
        run_job(owned, lambda _job: launch, around)
        with read_connection(engine) as connection:
            job = get_job(connection, spec.transform_job_name)
        found = described(job, _counts(engine, job.name))
    if job.ended_at is not None:
        _remove(folder)
    return found


def _begin(engine: Engine, spec: TransformJobSpec, owner: str) -> None:
    """Take the unfinished job of this spec, or a new one."""
    for table in (transform_jobs, transform_files):
        table.create(engine, checkfirst=True)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        row = connection.execute(transform_jobs.select()).one_or_none()
        if row is not None and row.spec == spec.model_dump(mode="json") and row.ended_at is None:
            # Whoever had it is gone, or will notice that it lost the job.
            connection.execute(
                transform_jobs.update().values(lease_until=None, attempts=0, next_attempt_at=now)
            )
        else:
            connection.execute(delete(transform_files))
            connection.execute(delete(transform_jobs))
            create_job(connection, spec, by="", now=now)
        claim_jobs(connection, owner, now, 1)


def _counts(engine: Engine, name: str) -> JobCounts:
    with read_connection(engine) as connection:
        return count_files(connection, [name]).get(name.casefold(), JobCounts(0, 0, 0, 0, 0))


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
