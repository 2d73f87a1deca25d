"""Operations on processing jobs: baselines and checks of files, made in the background."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Body
from sqlalchemy import Connection

from driftline.serving.operations.authorization import withheld
from driftline.serving.operations.registry import Latest, Page, operation
from driftline.serving.operations.services import Services
from driftline.serving.processing import jobs
from driftline.serving.processing.definition import ProcessingJobSpec
from driftline.serving.processing.jobs import ProcessingJob
from driftline.serving.transform.definition import JobStatus

Name = Annotated[str, "The job's name; `driftline processing list` shows it."]


class DescribedProcessingJob(ProcessingJobSpec):
    """What a processing job was asked, and how it fares."""

    processing_job_status: JobStatus
    failure_reason: str | None
    exit_message: str | None
    creation_time: datetime
    processing_start_time: datetime | None
    processing_end_time: datetime | None


@operation("POST /processing-jobs", role="operator", command="processing create")
def create_processing_job(
    services: Services,
    spec: Annotated[ProcessingJobSpec, Body(description="What is analyzed, and how.")],
) -> DescribedProcessingJob:
    """Make a baseline of files, or check files against one, in the background.

    `environment` is what SageMaker's images `sagemaker-model-monitor-analyzer` and
    `sagemaker-clarify-processing` take; the documents are those that they write.

    Example: driftline processing create baseline.yaml
    """
    context = services.context
    for one in spec.processing_inputs:
        context.reach.check_data(one.s3_uri)
    context.reach.check_output(spec.output)
    with context.engine.begin() as connection:
        jobs.create_job(connection, spec, context.lease_clock())
        job = jobs.get_job(connection, spec.processing_job_name)
    services.processing.look()
    return _shown(job)


@operation(
    "GET /processing-jobs", role="viewer", command="processing list",
    columns="name=processing_job_name status=processing_job_status analyzer created=creation_time"
    " message=exit_message reason=failure_reason",
)  # fmt: skip
def processing_jobs(
    connection: Connection,
    page: Latest,
    status: Annotated[JobStatus | None, "Only those in this status."] = None,
) -> Page[DescribedProcessingJob]:
    """List processing jobs, the newest first; all, or those in a status.

    Example: driftline processing list
    """
    found = jobs.list_jobs(
        connection, status=status, after=page.after(datetime, str), limit=page.count
    )
    return page.of(found, lambda one: (one.created_at, one.name.casefold()), _shown)


@operation("GET /processing-jobs/{name}", role="viewer", command="processing get")
def processing_job(connection: Connection, name: Name) -> DescribedProcessingJob:
    """Return a processing job: what it was asked, its status, and how it ended.

    Example: driftline processing get baseline-1
    """
    return _shown(jobs.get_job(connection, name))


@operation("POST /processing-jobs/{name}/stop", role="operator", command="processing stop")
def stop_processing_job(services: Services, name: Name) -> DescribedProcessingJob:
    """Stop a processing job within seconds.

    Example: driftline processing stop baseline-1
    """
    with services.context.engine.begin() as connection:
        job = jobs.stop_job(connection, name)
    services.processing.look()
    return _shown(job)


def _shown(job: ProcessingJob) -> DescribedProcessingJob:
    return DescribedProcessingJob.model_construct(
        **dict(job.spec),
        processing_job_status=job.status,
        failure_reason=withheld(job.failure_reason),
        exit_message=job.exit_message,
        creation_time=job.created_at,
        processing_start_time=job.started_at,
        processing_end_time=job.ended_at,
    )
