"""The process of one transform job: ``python -m driftline.app.transform_process``.

The server starts it and holds the job's lease; when the server ends, it gives the job back and
ends.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from driftline.app.exit_codes import exit_code
from driftline.app.logs import configure_logging
from driftline.app.processes import prepare, redactor
from driftline.app.reach import reach
from driftline.app.stopping import stop_on_signals, stop_with_parent
from driftline.database.clock import DatabaseClock
from driftline.database.engine import using_database
from driftline.ending import ending_at_once
from driftline.errors import DriftlineError
from driftline.serving.hosting.worker_spec import WorkerSpec
from driftline.serving.resources.artifacts import ModelStore
from driftline.serving.transform.capture import JobCapture
from driftline.serving.transform.jobs import TransformJob
from driftline.serving.transform.run import Surroundings, run_job
from driftline.settings.settings import Settings, load

log = logging.getLogger(__name__)


def run_stored_job(settings: Settings, name: str, owner: str, stop: threading.Event) -> None:
    """Work on a job of the settings' database until it has ended, or this process is to stop."""
    prepare(settings)
    models = ModelStore(settings.root, settings.local_dir)

    def find_model(job: TransformJob) -> WorkerSpec:
        return WorkerSpec(
            str(models.fetch(job.model.file)),
            trust_pickle=settings.serving.trust_pickle and job.model.trust_pickle,
            signature=job.signature,
            positive=job.model.positive,
            name=job.name,
        )

    with using_database(settings.database_url) as engine:
        around = Surroundings(
            engine, owner, settings.local_dir / "transform", DatabaseClock(engine), stop,
            find_model, partial(JobCapture, settings.root, redactor(settings)), reach(settings),
        )  # fmt: skip
        run_job(name, around)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one job; exit 0 when it has ended or was given back, else as exit_codes.py says."""
    parser = argparse.ArgumentParser(prog="driftline.app.transform_process")
    parser.add_argument("job")
    parser.add_argument("owner")
    parser.add_argument("--settings", type=Path)
    asked = parser.parse_args(arguments)
    configure_logging(process="transform")
    stop_with_parent(0)
    try:
        settings = load(asked.settings, environment=os.environ)
        configure_logging(settings.log.format, process="transform")
        run_stored_job(settings, asked.job, asked.owner, stop_on_signals())
    except (DriftlineError, OSError) as error:
        log.error("job=%s event=interrupted error=%s", asked.job, error)
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001 - the process ends
        # Its kind and place only: what a bug says may quote a record.
        steps = traceback.extract_tb(error.__traceback__)
        log.error(
            "job=%s event=failed error=%s at=%s", asked.job, type(error).__name__,
            " ".join(f"{step.name}:{step.lineno}" for step in steps),
        )  # fmt: skip
        sys.exit(exit_code(error))


if __name__ == "__main__":
    with ending_at_once():
        main()
