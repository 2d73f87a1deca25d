"""The process of one stored job. As a module: KIND JOB OWNER [SETTINGS]."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from driftline.app.processes import as_process, clock, prepare
from driftline.app.reach import reach
from driftline.database.clock import DatabaseClock
from driftline.database.engine import read_connection, using_database
from driftline.ending import run_and_end
from driftline.serving.context import ServerContext
from driftline.serving.jobs.run import HeldJob, run_job
from driftline.serving.jobs.store import get_job

if TYPE_CHECKING:
    from driftline.serving.jobs.store import JobKind
    from driftline.settings.settings import Settings


def run_stored_job(settings: Settings, kind: JobKind, name: str, owner: str) -> None:
    """Work on a job, whose lease the server holds, until it ends or is to stop."""
    # Imported here: each process loads only what it runs.
    work: Callable[[HeldJob], str | None]
    if kind == "transform":
        from driftline.serving.transform.run import score as work
    elif kind == "processing":
        from driftline.serving.processing.run import analyze as work
    else:
        from driftline.app.recommend.job import measure as work

    prepare(settings)
    with using_database(settings.database_url) as engine:
        context = ServerContext(
            settings=settings,
            engine=engine,
            now=clock(settings),
            lease_clock=DatabaseClock(engine),
            reach=reach(settings),
        )
        with read_connection(engine) as connection:
            job = get_job(connection, kind, name)
        run_job(HeldJob(job, context, owner), work)


def main() -> None:
    """Work on the job of the arguments."""
    kind, job, owner, *file = sys.argv[1:]
    with as_process(kind, Path(file[0]) if file else None, 0) as settings:
        run_stored_job(settings, cast("JobKind", kind), job, owner)


if __name__ == "__main__":
    run_and_end(main)
