"""Runs one stored processing job in a process of its own: our analyzers, SageMaker's documents."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from pyarrow import fs
from sqlalchemy import Engine, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.baseline.clarify import answers_of_config, headers_of_config, roles_of_config
from driftline.baseline.scripting import script_in
from driftline.baseline.store import ANALYSIS, CONSTRAINTS, STATISTICS, Baseline
from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError, UndecidedError
from driftline.formats.location import locate
from driftline.formats.source import Files, open_source
from driftline.monitors.check import CheckOptions, check_roles
from driftline.monitors.executions import COMPLETED, VIOLATED
from driftline.monitors.kind import DEFAULT_KIND, kind_named
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.catalog import QUALITY, complete, require_answerable
from driftline.monitors.report.report import REPORT
from driftline.serving.hosting.asked_models import AskedModel, AskedModels
from driftline.serving.hosting.child import WorkerLostError
from driftline.serving.processing.definition import ProcessingJobSpec, prefixed
from driftline.serving.processing.jobs import get_job
from driftline.serving.resources import store
from driftline.serving.resources.artifacts import ModelStore
from driftline.serving.resources.reach import Reach
from driftline.serving.resources.worker_spec import WorkerSpec
from driftline.serving.tables import processing_jobs, processing_queue

log = logging.getLogger(__name__)

# How long a job waits for a disk, a bucket or the database that is away.
_PAUSE = timedelta(seconds=10)
NONE_VIOLATED = f"{COMPLETED}: Job completed successfully with no violations."
Documents = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run of a job needs from outside."""

    engine: Engine
    owner: str  # Of the job's lease.
    now: Callable[[], datetime]  # By which leases end.
    reach: Reach
    scripts_dir: str
    models: ModelStore
    trust_pickle: bool = False


def run_job(name: str, around: Surroundings) -> None:
    """Work on a job until it ends; where a store is away, another process begins it again."""
    key, jobs = name.casefold(), processing_jobs
    with around.engine.begin() as connection:
        job = get_job(connection, name)
        began = update(jobs).where(jobs.c.key == key, jobs.c.started_at.is_(None))
        connection.execute(began.values(started_at=around.now()))
    status, reason, message = "Completed", None, None
    try:
        with _within(job.spec.max_runtime_in_seconds):
            documents, message = analyze(job.spec, around)
            # Before the status: who waits for that reads them next.
            for file, text in documents.items():
                (locate(job.spec.output) / file).write(text.encode())
    except (InputError, UndecidedError, WorkerLostError) as error:
        status, reason = "Failed", str(error)
    except (UnavailableError, OSError, SQLAlchemyError) as error:
        said = "the database" if isinstance(error, SQLAlchemyError) else str(error)
        with around.engine.begin() as connection:
            processing_queue.retry(
                connection, around.owner, [key], around.now() + _PAUSE, counts=True,
                failure_reason=f"tried again, as it could not go on: {said}",
            )  # fmt: skip
        raise
    # Not why: a reason may quote a record.
    log.info("job=%s event=%s", job.name, status.lower())
    with around.engine.begin() as connection:
        processing_queue.finish(
            connection, around.owner, key, status, around.now(), reason, exit_message=message
        )


def analyze(spec: ProcessingJobSpec, around: Surroundings) -> tuple[Documents, str]:
    """Return the documents of a job, and how it ends in SageMaker's words."""
    for one in spec.processing_inputs:
        around.reach.check_data(one.s3_uri)
    around.reach.check_output(spec.output)
    if spec.analyzer == "clarify":
        return _clarified(spec, around), NONE_VIOLATED
    data = Files(prefixed(spec.place("dataset_source")), header=spec.has_header)
    kind = kind_named(QUALITY if spec.is_of_quality else DEFAULT_KIND)
    script = _script(spec, "record_preprocessor_script", around)
    if spec.environment.get("baseline_constraints"):
        with TemporaryDirectory(prefix="driftline-baseline-") as folder:
            for variable, name in (
                ("baseline_constraints", CONSTRAINTS), ("baseline_statistics", STATISTICS),
            ):  # fmt: skip
                if spec.environment.get(variable):
                    text = locate(spec.place(variable)).read()
                    (Path(folder) / name).write_bytes(text)
            known = Baseline.load(folder)
        options = CheckOptions(compat=True, preprocess=script)
        report = check_roles(data, known, spec.roles, kind=kind.name, options=options)
        documents = {name: text for name, text in report.documents().items() if name != REPORT}
        count = len(report.violations)
        message = f"{VIOLATED}: Job completed successfully with {count} violations."
        return documents, message if count else NONE_VIOLATED
    fitted = Baseline.of(data, spec.roles, preprocess=script, compat=True)
    if kind.name == DEFAULT_KIND:
        assert fitted.statistics is not None
        found = {
            STATISTICS: fitted.statistics.to_json(), CONSTRAINTS: fitted.constraints.to_json(),
        }  # fmt: skip
        return found, NONE_VIOLATED
    require_answerable(fitted, kind)
    suggested = kind.suggest(fitted, compat=True)
    if not suggested:
        raise InputError(f"{kind.name}: {kind.needs}")
    return {name.rpartition("/")[2]: text for name, text in suggested.items()}, NONE_VIOLATED


def _clarified(spec: ProcessingJobSpec, around: Surroundings) -> Documents:
    """Return analysis.json, of the groups and of the model that Clarify's configuration names."""
    place = locate(spec.input("analysis_config"))
    if place.kind == fs.FileType.Directory:
        place /= "analysis_config.json"
    config = place.read()
    rows = Files(prefixed(spec.input("dataset")), names=headers_of_config(config))
    roles = roles_of_config(config)
    if not roles.has_predictions:
        roles = roles.over(answers_of_config(config, lambda: tuple(open_source(rows).schema.names)))
    fitted = Baseline.of(rows, roles, compat=True)
    if (model := _explaining_model(config)) is not None:
        with _asked(model, roles.positives, around) as predict:
            fitted = explain_reference(open_source(rows), fitted, predict)
    found = complete(replace(fitted, documents={}), compat=True).documents.get(ANALYSIS)
    if found is None:
        raise InputError(
            "analysis_config: expected a label and a facet, or the method shap with a predictor"
        )
    return {ANALYSIS: found}


def _explaining_model(config: bytes) -> str | None:
    """Return the model that Clarify's method ``shap`` asks."""
    import json

    found = json.loads(config)
    if "shap" not in (found.get("methods") or {}):
        return None
    name = (found.get("predictor") or {}).get("model_name")
    if not isinstance(name, str):
        raise InputError("analysis_config: methods shap without predictor.model_name")
    return name


@contextmanager
def _asked(name: str, positives: tuple[str, ...], around: Surroundings) -> Iterator[AskedModel]:
    with read_connection(around.engine) as connection:
        made = store.get_ready(connection, "Model", name).made
    if "file" not in made:
        raise InputError(f'model "{name}" stands for many models; expected one by itself')
    worker = WorkerSpec(
        str(around.models.fetch(made["file"])),
        trust_pickle=around.trust_pickle and made["trust_pickle"],
        positive=positives[0] if positives else None,
    )
    with AskedModels() as models:
        yield AskedModel(models, worker, made["digest"])


def _script(spec: ProcessingJobSpec, variable: str, around: Surroundings) -> Path | None:
    """Return the installation's own script of a name: no other code of users runs."""
    path = spec.environment.get(variable)
    return script_in(around.scripts_dir, PurePosixPath(path).name) if path else None


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """End what takes longer."""

    def end(*_: object) -> None:
        raise InputError(f"it took longer than MaxRuntimeInSeconds, {seconds}")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
