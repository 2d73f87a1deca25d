"""Operations on transform jobs: files scored by a model in the background."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Annotated

from fastapi import Body
from sqlalchemy import Connection

from driftline.errors import InputError
from driftline.serving.operations.authorization import withheld
from driftline.serving.operations.registry import Latest, Page, operation
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import variants_of
from driftline.serving.resources.endpoints import models_of, running_endpoint
from driftline.serving.resources.model_specs import command_of, environment_of
from driftline.serving.transform import jobs
from driftline.serving.transform.definition import JobStatus, TransformJobSpec
from driftline.serving.transform.jobs import PinnedModel, TransformJob

Name = Annotated[str, "The job's name; `driftline job list` shows it."]


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
    context = services.context
    for place in spec.transform_input.data_source.s3_data_source.places:
        context.reach.check_data(place)
    context.reach.check_output(spec.transform_output.s3_output_path)
    now = context.lease_clock()
    with context.engine.begin() as connection:
        store.hold_all(connection)  # So that no model is removed that was just chosen.
        jobs.create_job(connection, spec, _pinned(connection, spec), now)
        job = jobs.get_job(connection, spec.transform_job_name)
    services.jobs.look()
    return _shown(job)


@operation(
    "GET /transform-jobs", role="viewer", command="job list",
    columns="name=transform_job_name status=transform_job_status records=progress.records"
    " done=progress.files_done files=progress.files created=creation_time reason=failure_reason",
)  # fmt: skip
def transform_jobs(
    connection: Connection,
    page: Latest,
    status: Annotated[JobStatus | None, "Only those in this status."] = None,
) -> Page[DescribedJob]:
    """List transform jobs, the newest first; all, or those in a status.

    Example: driftline job list
    """
    found = jobs.list_jobs(
        connection, status=status, after=page.after(datetime, str), limit=page.count
    )
    return page.of(found, lambda one: (one.created_at, one.name.casefold()), _shown)


@operation("GET /transform-jobs/{name}", role="viewer", command="job get")
def transform_job(connection: Connection, name: Name) -> DescribedJob:
    """Return a transform job: what it was asked, its status, and how far it is.

    Example: driftline job get march
    """
    return _shown(jobs.get_job(connection, name))


@operation("POST /transform-jobs/{name}/stop", role="operator", command="job stop")
def stop_transform_job(services: Services, name: Name) -> DescribedJob:
    """Stop a transform job within seconds; outputs that are whole stay.

    Example: driftline job stop march
    """
    with services.context.engine.begin() as connection:
        job = jobs.stop_job(connection, name)
    services.jobs.look()
    return _shown(job)


def _shown(job: TransformJob) -> DescribedJob:
    count = job.file_count
    return DescribedJob.model_construct(
        **dict(job.spec),
        transform_job_status=job.status,
        failure_reason=withheld(job.failure_reason),
        creation_time=job.created_at,
        transform_start_time=job.started_at,
        transform_end_time=job.ended_at,
        progress=None if count is None else JobProgress(count, job.files_done, job.record_count),
    )


def _pinned(connection: Connection, spec: TransformJobSpec) -> PinnedModel:
    """Return the model of a job, with the signature by which it reads records, if there is one."""
    signature = positive = None
    name = spec.model_name
    if spec.endpoint_name is not None:
        endpoint = running_endpoint(store.get_ready(connection, "Endpoint", spec.endpoint_name))
        variants = variants_of(endpoint.spec)
        if not variants:
            raise InputError(
                f'endpoint "{endpoint.name}" has no model, an app of its own answers for it; '
                "expected model_name"
            )
        # Several: the one that answers most requests.
        name = max(variants, key=itemgetter("initial_variant_weight"))["model_name"]
        signature, positive = endpoint.made.get("signature"), endpoint.made.get("positive")
        made = models_of(endpoint)[name.casefold()].made
    else:
        assert spec.model_name is not None
        made = store.get_ready(connection, "Model", spec.model_name).made
    if "file" not in made:
        raise InputError(f'model "{name}" stands for many models; expected one by itself')
    if command_of(made["spec"])[0] is not None:
        raise InputError(f'model "{name}" is a command; expected one of a file or folder')
    return PinnedModel(
        file=made["file"], trust_pickle=bool(made["trust_pickle"]), positive=positive,
        description=made["description"], signature=signature,
        environment=environment_of(made["spec"]),
    )  # fmt: skip
