"""SageMaker's processing and transform jobs, over jobs of our own.

What a Describe answers is what the client gave, and how the job fares; of one that was created by
other means, what would have created it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import Connection, func

from driftline.alerts.documents import from_aws, to_aws
from driftline.errors import NotFoundError
from driftline.serving.aws.lists import Summary, read_page
from driftline.serving.aws.monitoring_definitions import ANALYZERS, analyzer_of
from driftline.serving.aws.ours import arn_of
from driftline.serving.aws.sagemaker_monitoring import EXECUTION, executed
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves_each
from driftline.serving.jobs.store import JobExistsError, get_job, job_of, select_jobs
from driftline.serving.operations import jobs
from driftline.serving.operations.jobs import DescribedJob, DescribedProcessingJob
from driftline.serving.operations.services import Services
from driftline.serving.processing.definition import LONGEST_S, Channel
from driftline.serving.tables import jobs as stored
from driftline.serving.transform.definition import TransformJobSpec

_table = stored.c
_COLUMNS = {
    "Name": _table.name,
    "Status": _table.status,
    "CreationTime": _table.created_at,
    "LastModifiedTime": func.coalesce(_table.ended_at, _table.started_at, _table.created_at),
}
_CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"}


def _processing_spec(given: Given) -> Answer:
    outputs = given.get("ProcessingOutputConfig", {}).get("Outputs", ())
    longest_s = given.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", LONGEST_S)
    return {
        "processing_job_name": given["ProcessingJobName"],
        "analyzer": analyzer_of(given["AppSpecification"]["ImageUri"]),
        "processing_inputs": [_channel(one, "Input") for one in given.get("ProcessingInputs", ())],
        "processing_outputs": [_channel(one, "Output") for one in outputs],
        "environment": given.get("Environment", {}),
        "max_runtime_in_seconds": min(longest_s, LONGEST_S),
    }


def _channel(given: Given, side: str) -> Answer:
    name, about = given[f"{side}Name"], given.get(f"S3{side}", {})
    if "LocalPath" not in about:
        text = f'{side} "{name}": expected S3{side}, with LocalPath'
        raise WireError("ValidationException", text)
    return {"name": name, "s3_uri": about["S3Uri"], "local_path": about["LocalPath"]}


def _processing_members(job: DescribedProcessingJob) -> Answer:
    return {
        "AppSpecification": {"ImageUri": f"driftline/sagemaker-{ANALYZERS[job.analyzer]}"},
        "ProcessingInputs": _members_of(
            job.processing_inputs, "Input", {"S3DataType": "S3Prefix", "S3InputMode": "File"}
        ),
        "ProcessingOutputConfig": {
            "Outputs": _members_of(job.processing_outputs, "Output", {"S3UploadMode": "EndOfJob"})
        },
        "ProcessingResources": {"ClusterConfig": {**_CLUSTER, "VolumeSizeInGB": 30}},
        "Environment": job.environment,
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime_in_seconds},
    }


def _members_of(channels: Sequence[Channel], side: str, more: Given) -> list[Answer]:
    return [
        {
            f"{side}Name": one.name,
            f"S3{side}": {"S3Uri": one.s3_uri, "LocalPath": one.local_path, **more},
        }
        for one in channels
    ]


# Of a transform job, what would be done otherwise than asked.
_REFUSED = {
    "DataCaptureConfig": "the files that a transform job reads and writes stay where they are, and "
    "no manifests of them are written; have a Monitor watch its output as a table "
    "(docs/sources.md)",
    "Environment": "a model has the same variables wherever it answers; give them to CreateModel",
}


def _transform_spec(given: Given) -> Answer:
    for name, why in _REFUSED.items():
        if given.get(name):
            raise WireError("ValidationException", f"{name}: {why}")
    spec = {
        key: one for key, one in from_aws(given).items() if key in TransformJobSpec.model_fields
    }
    spec["transform_output"].pop("kms_key_id", None)
    return spec


def _transform_members(job: DescribedJob) -> Answer:
    source = {"S3DataType": "S3Prefix", "S3Uri": job.places[0]}
    files = to_aws(job.transform_input.model_dump())
    return {
        "TransformInput": {**files, "DataSource": {"S3DataSource": source}},
        "TransformResources": _CLUSTER,
    }


@dataclass(frozen=True)
class _Kind:
    """A kind of job: our operations, what a Create gives as our spec, and the other way."""

    described: Any  # The class of its jobs as they are shown.
    create: Callable[..., Any]
    describe: Callable[..., Any]
    stop: Callable[..., Any]
    list: Callable[..., Any]
    spec: Callable[[Given], Answer]
    members: Callable[[Any], Answer]


_KINDS = {
    "Processing": _Kind(
        DescribedProcessingJob,
        jobs.create_processing_job, jobs.processing_job, jobs.stop_processing_job,
        jobs.processing_jobs, _processing_spec, _processing_members,
    ),
    "Transform": _Kind(
        DescribedJob,
        jobs.create_transform_job, jobs.transform_job, jobs.stop_transform_job,
        jobs.transform_jobs, _transform_spec, _transform_members,
    ),
}  # fmt: skip


@serves_each("sagemaker.Create{}Job", _KINDS)
async def create_job(kind: str, wire: Wire, given: Given) -> Answer:
    """Run one of our analyzers where the image is one of SageMaker's, or score files by a model."""
    name = given[f"{kind}JobName"]
    arn = arn_of(wire, f"{kind}Job", name)
    try:
        spec, said = _KINDS[kind].spec(given), to_jsonable_python(given)
        await wire.ask(_KINDS[kind].create, spec=spec, said=said)
    except JobExistsError:
        raise WireError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name "
            f"already exists ({arn})",
        ) from None
    return {f"{kind}JobArn": arn}


@serves_each("sagemaker.Describe{}Job", _KINDS)
async def describe_job(kind: str, wire: Wire, given: Given) -> Answer:
    """Return a job as it was created, and how it fares; runs of monitors are jobs, too."""
    name = given[f"{kind}JobName"]
    with _named(name):
        if kind == "Processing" and EXECUTION.fullmatch(name):
            job, said = await executed(wire, name)
        else:
            job, said = await _described(kind, wire, name)
    return {**_shown(kind, wire, job), **_KINDS[kind].members(job), **said}


async def _described(kind: str, wire: Wire, name: str) -> tuple[Any, Answer]:
    """Return a job, and what the client said that created it."""

    def read(_services: Services, connection: Connection) -> tuple[Any, Answer]:
        job = _KINDS[kind].describe(connection, name)
        return job, get_job(connection, job.kind, name).said

    return await wire.asking.read(_KINDS[kind].describe, read, name=name)


@serves_each("sagemaker.Stop{}Job", _KINDS)
async def stop_job(kind: str, wire: Wire, given: Given) -> Answer:
    """Stop a job."""
    name = given[f"{kind}JobName"]
    with _named(name):
        await wire.ask(_KINDS[kind].stop, name=name)
    return {}


@serves_each("sagemaker.List{}Jobs", _KINDS)
async def list_jobs(kind: str, wire: Wire, given: Given) -> Answer:
    """List jobs; runs of monitors are listed by ListMonitoringExecutions."""
    described = _KINDS[kind].described
    query = select_jobs(described.kind)
    if (part := given.get("NameContains")) is not None:
        query = query.where(func.lower(_table.name).contains(part.lower(), autoescape=True))
    if (status := given.get("StatusEquals")) is not None:
        query = query.where(_table.status == status)

    def read(_services: Services, connection: Connection) -> Answer:
        rows, token = read_page(connection, wire, given, query, _COLUMNS, _table.key)
        shown = [_shown(kind, wire, jobs.shown(described, job_of(row))) for row in rows]
        return {f"{kind}JobSummaries": shown, "NextToken": token}

    found: Answer = await wire.asking.read(_KINDS[kind].list, read)
    return found


def _shown(kind: str, wire: Wire, job: DescribedJob | DescribedProcessingJob) -> Summary:
    found = to_aws(job.model_dump())
    times = (f"{kind}EndTime", f"{kind}StartTime", "CreationTime")
    found["LastModifiedTime"] = next(found[time] for time in times if time in found)
    found[f"{kind}JobArn"] = arn_of(wire, f"{kind}Job", job.name)
    return found


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Refuse an unknown job as the service does: clients take this for "not there"."""
    try:
        yield
    except NotFoundError:
        text = f"Could not find requested job with name: {name}"
        raise WireError("ValidationException", text) from None
