"""Operations on jobs in the background: on files, and on how a model is served best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Body
from sqlalchemy import Connection

from driftline.errors import InputError
from driftline.serving.jobs import store as stored_jobs
from driftline.serving.jobs.pinned_model import PinnedModel
from driftline.serving.jobs.store import Job, JobStatus
from driftline.serving.operations.authorization import withheld
from driftline.serving.operations.registry import Latest, Page, operation
from driftline.serving.operations.services import Services
from driftline.serving.processing.definition import ProcessingJobSpec
from driftline.serving.recommendation.definition import RecommendationJobSpec, Results
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import variants_of
from driftline.serving.resources.endpoints import models_of, running_endpoint
from driftline.serving.transform.definition import TransformJobSpec

Name = Annotated[str, "The job's name; `driftline job list` shows it."]
AnyName = Annotated[str, "The job's name."]
ProcessingName = Annotated[str, "The job's name; `driftline processing list` shows it."]
Status = Annotated[JobStatus | None, "Only those in this status."]


@dataclass(frozen=True)
class JobProgress:
    """How far a transform job is."""

    files: int
    files_done: int
    records: int


class DescribedJob(TransformJobSpec):
    """What a transform job was asked, and how far it is."""

    transform_job_status: JobStatus
    failure_reason: str | None
    creation_time: datetime
    transform_start_time: datetime | None
    transform_end_time: datetime | None
    progress: JobProgress | None


class DescribedProcessingJob(ProcessingJobSpec):
    """What a processing job was asked, and how it fares."""

    processing_job_status: JobStatus
    failure_reason: str | None
    exit_message: str | None
    creation_time: datetime
    processing_start_time: datetime | None
    processing_end_time: datetime | None


class DescribedRecommendationJob(RecommendationJobSpec):
    """What a recommendation job was asked, how it fares, and what it has measured so far."""

    status: JobStatus
    failure_reason: str | None
    exit_message: str | None
    creation_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    results: Results | None


Described = TypeVar("Described", DescribedJob, DescribedProcessingJob, DescribedRecommendationJob)


@operation("POST /transform-jobs", role="operator", command="job create")
def create_transform_job(
    services: Services,
    spec: Annotated[TransformJobSpec, Body(description="CreateTransformJob's fields.")],
) -> DescribedJob:
    """Score files by a model, or as an endpoint does, in the background.

    In CreateTransformJob's form, in snake case, and `endpoint_name` in place of `model_name` to
    score as an endpoint does. The model is the declared one of this moment: what is applied later
    changes nothing.

    Example: driftline job create march.yaml
    """
    return created(DescribedJob, services, spec)


@operation(
    "GET /transform-jobs", role="viewer", command="job list",
    columns="name=transform_job_name status=transform_job_status records=progress.records"
    " done=progress.files_done files=progress.files created=creation_time reason=failure_reason",
)  # fmt: skip
def transform_jobs(
    connection: Connection, page: Latest, status: Status = None
) -> Page[DescribedJob]:
    """List transform jobs, the newest first; all, or those in a status.

    Example: driftline job list
    """
    return _page(DescribedJob, connection, page, status)


@operation("GET /transform-jobs/{name}", role="viewer", command="job get")
def transform_job(connection: Connection, name: Name) -> DescribedJob:
    """Return a transform job: what it was asked, its status, and how far it is.

    Example: driftline job get march
    """
    return _job(DescribedJob, connection, name)


@operation("POST /transform-jobs/{name}/stop", role="operator", command="job stop")
def stop_transform_job(services: Services, name: Name) -> DescribedJob:
    """Stop a transform job within seconds; outputs that are whole stay.

    Example: driftline job stop march
    """
    return _stopped(DescribedJob, services, name)


@operation("POST /processing-jobs", role="operator", command="processing create")
def create_processing_job(
    services: Services,
    spec: Annotated[ProcessingJobSpec, Body(description="What is analyzed, and how.")],
) -> DescribedProcessingJob:
    """Make a baseline of files, or check files against one, in the background.

    `environment` is what SageMaker's images `sagemaker-model-monitor-analyzer` and
    `sagemaker-clarify-processing` take; the documents are those that they write. The model that
    Clarify's configuration names is the declared one of this moment.

    Example: driftline processing create baseline.yaml
    """
    return created(DescribedProcessingJob, services, spec)


@operation(
    "GET /processing-jobs", role="viewer", command="processing list",
    columns="name=processing_job_name status=processing_job_status analyzer created=creation_time"
    " message=exit_message reason=failure_reason",
)  # fmt: skip
def processing_jobs(
    connection: Connection, page: Latest, status: Status = None
) -> Page[DescribedProcessingJob]:
    """List processing jobs, the newest first; all, or those in a status.

    Example: driftline processing list
    """
    return _page(DescribedProcessingJob, connection, page, status)


@operation("GET /processing-jobs/{name}", role="viewer", command="processing get")
def processing_job(connection: Connection, name: ProcessingName) -> DescribedProcessingJob:
    """Return a processing job: what it was asked, its status, and how it ended.

    Example: driftline processing get baseline-1
    """
    return _job(DescribedProcessingJob, connection, name)


@operation("POST /processing-jobs/{name}/stop", role="operator", command="processing stop")
def stop_processing_job(services: Services, name: ProcessingName) -> DescribedProcessingJob:
    """Stop a processing job within seconds.

    Example: driftline processing stop baseline-1
    """
    return _stopped(DescribedProcessingJob, services, name)


@operation("POST /recommendation-jobs", role="operator")
def create_recommendation_job(
    services: Services,
    spec: Annotated[RecommendationJobSpec, Body(description="What is measured, and how.")],
) -> DescribedRecommendationJob:
    """Measure how a declared model is served best, as `driftline recommend` does."""
    return created(DescribedRecommendationJob, services, spec)


@operation("GET /recommendation-jobs", role="viewer")
def recommendation_jobs(
    connection: Connection, page: Latest, status: Status = None
) -> Page[DescribedRecommendationJob]:
    """List recommendation jobs, the newest first; all, or those in a status."""
    return _page(DescribedRecommendationJob, connection, page, status)


@operation("GET /recommendation-jobs/{name}", role="viewer")
def recommendation_job(connection: Connection, name: AnyName) -> DescribedRecommendationJob:
    """Return a recommendation job: what it was asked, its status, and what it measured."""
    return _job(DescribedRecommendationJob, connection, name)


@operation("POST /recommendation-jobs/{name}/stop", role="operator")
def stop_recommendation_job(services: Services, name: AnyName) -> DescribedRecommendationJob:
    """Stop a recommendation job within seconds."""
    return _stopped(DescribedRecommendationJob, services, name)


def created(
    described: type[Described], services: Services,
    spec: TransformJobSpec | ProcessingJobSpec | RecommendationJobSpec,
    said: Mapping[str, Any] | None = None,
) -> Described:  # fmt: skip
    """Create a job; ``said``: what a client of AWS gave, to be shown again."""
    context = services.context
    for place in spec.places:
        context.reach.check_data(place)
    if spec.output is not None:
        context.reach.check_output(spec.output)
    now, asked = context.lease_clock(), spec.asked()
    values: dict[str, object] = {"spec": spec.model_dump(mode="json"), "said": said or {}}
    with context.engine.begin() as connection:
        if asked is not None:
            values["model"] = _pinned(connection, *asked).model_dump()
        job = stored_jobs.create_job(connection, spec.kind, spec.name, now, **values)
    services.jobs.look()
    return shown(described, job)


def _stopped(described: type[Described], services: Services, name: str) -> Described:
    with services.context.engine.begin() as connection:
        job = stored_jobs.stop_job(connection, described.kind, name)
    services.jobs.look()
    return shown(described, job)


def _job(described: type[Described], connection: Connection, name: str) -> Described:
    return shown(described, stored_jobs.get_job(connection, described.kind, name))


def _page(
    described: type[Described], connection: Connection, page: Latest, status: JobStatus | None
) -> Page[Described]:
    found = stored_jobs.list_jobs(
        connection, described.kind, status=status, after=page.after(datetime, str), limit=page.count
    )
    return page.of(found, lambda one: (one.created_at, one.key), partial(shown, described))


def shown(described: type[Described], job: Job) -> Described:
    """Return a stored job as those see it who may look."""
    progress = None
    if job.file_count is not None:
        progress = JobProgress(job.file_count, job.files_done, job.record_count)
    document = job.spec | {
        "status": job.status,
        "start_time": job.started_at,
        "end_time": job.ended_at,
        "results": job.results,
        f"{job.kind}_job_status": job.status,
        "failure_reason": withheld(job.failure_reason),
        "exit_message": job.exit_message,
        "creation_time": job.created_at,
        f"{job.kind}_start_time": job.started_at,
        f"{job.kind}_end_time": job.ended_at,
        "progress": progress,
    }
    known = {key: one for key, one in document.items() if key in described.model_fields}
    return described.model_validate(known)


def _pinned(connection: Connection, kind: Literal["Model", "Endpoint"], name: str) -> PinnedModel:
    """Return the model of a job, with the signature by which it reads records, if there is one."""
    store.hold_all(connection)  # So that no model is removed that was just chosen.
    found = store.get_ready(connection, kind, name)
    if kind == "Model":
        return PinnedModel.of(name, found.made)
    endpoint = running_endpoint(found)
    variants = variants_of(endpoint.spec)
    if not variants:
        raise InputError(
            f'endpoint "{endpoint.name}" has no model, an app of its own answers for it; '
            "expected model_name"
        )
    # Several: the one that answers most requests.
    model = max(variants, key=itemgetter("initial_variant_weight"))["model_name"]
    answers = {key: endpoint.made.get(key) for key in ("signature", "positive")}
    return PinnedModel.of(model, models_of(endpoint)[model.casefold()].made, **answers)
