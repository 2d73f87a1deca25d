"""SageMaker's processing, transform and recommendation jobs, over jobs of our own.

What a Describe answers is what the client gave, and how the job fares; of one that was created by
other means, what would have created it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import ColumnElement, Connection, func

from driftline.alerts.documents import from_aws, to_aws
from driftline.errors import NotFoundError
from driftline.serving.aws import recommendation_forms
from driftline.serving.aws.lists import Summary, read_page
from driftline.serving.aws.monitoring_definitions import ANALYZERS, analyzer_of
from driftline.serving.aws.ours import arn_of, declared
from driftline.serving.aws.sagemaker_hosting import HOLD_S, LOOK_S
from driftline.serving.aws.sagemaker_monitoring import EXECUTION, executed
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves, serves_each
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


def _status_filter(given: Given) -> list[ColumnElement[bool]]:
    status = given.get("StatusEquals")
    return [] if status is None else [_table.status == status]


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
    prefix: str  # Of the names of its members.
    list_member: str
    # What its summaries have besides, by other words than ours.
    summary: Callable[[Wire, Any], Answer] = lambda _wire, _job: {}
    filters: Callable[[Given], Iterable[ColumnElement[bool]]] = _status_filter
    unknown: str = "ValidationException"  # The error of a name that there is none of.


_KINDS = {
    "Processing": _Kind(
        DescribedProcessingJob,
        jobs.create_processing_job, jobs.processing_job, jobs.stop_processing_job,
        jobs.processing_jobs, _processing_spec, _processing_members,
        "Processing", "ProcessingJobSummaries",
    ),
    "Transform": _Kind(
        DescribedJob,
        jobs.create_transform_job, jobs.transform_job, jobs.stop_transform_job,
        jobs.transform_jobs, _transform_spec, _transform_members,
        "Transform", "TransformJobSummaries",
    ),
    "InferenceRecommendations": _Kind(
        jobs.DescribedRecommendationJob,
        jobs.create_recommendation_job, jobs.recommendation_job, jobs.stop_recommendation_job,
        jobs.recommendation_jobs, recommendation_forms.spec_of, recommendation_forms.members_of,
        "", "InferenceRecommendationsJobs",
        summary=recommendation_forms.summary_of, filters=recommendation_forms.filters_of,
        unknown="ResourceNotFound",
    ),
}  # fmt: skip


@serves_each("sagemaker.Create{}Job", _KINDS)
async def create_job(kind: str, wire: Wire, given: Given) -> Answer:
    """Run one of our analyzers where the image is one of SageMaker's, score files, or measure."""
    name = _name(kind, given)
    arn = arn_of(wire, f"{kind}Job", name)
    try:
        spec, said = _KINDS[kind].spec(given), to_jsonable_python(given)
        await _provisioned(wire, spec.get("model_name"))
        create = partial(jobs.created, _KINDS[kind].described, said=said)
        await wire.asking.act(_KINDS[kind].create, partial(asyncio.to_thread, create), spec=spec)
    except JobExistsError:
        raise WireError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name "
            f"already exists ({arn})",
        ) from None
    return {f"{_KINDS[kind].prefix}JobArn": arn}


async def _provisioned(wire: Wire, model: str | None) -> None:
    """Wait a little for a model that was created a moment ago."""
    now_s = asyncio.get_running_loop().time
    end_s = now_s() + HOLD_S
    while model is not None and now_s() < end_s:
        found = await declared(wire, "models", model)
        if found is None or found["status"]["phase"] != "Pending":
            break
        await asyncio.sleep(LOOK_S)


@serves_each("sagemaker.Describe{}Job", _KINDS)
async def describe_job(kind: str, wire: Wire, given: Given) -> Answer:
    """Return a job as it was created, and how it fares; runs of monitors are jobs, too."""
    name = _name(kind, given)
    with _named(kind, name):
        if kind == "Processing" and EXECUTION.fullmatch(name):
            job, said = await executed(wire, name)
        else:
            job, said = await _described(kind, wire, name)
    return {**_shown(kind, wire, job), **_KINDS[kind].members(job), **said}


@serves("sagemaker.ListInferenceRecommendationsJobSteps")
async def list_steps(wire: Wire, given: Given) -> Answer:
    """List the load tests of a job that have ended."""
    kind, name = "InferenceRecommendations", given["JobName"]
    with _named(kind, name):
        job, _ = await _described(kind, wire, name)
    steps = [*enumerate(recommendation_forms.steps_of(job))]
    chosen = [one for one in steps if given.get("Status") in (None, one[1]["Status"])]
    page, token = wire.page(given, lambda one: (one[0],), chosen)
    return {"Steps": [step for _, step in page], "NextToken": token}


async def _described(kind: str, wire: Wire, name: str) -> tuple[Any, Answer]:
    """Return a job, and what the client said that created it."""

    def read(_services: Services, connection: Connection) -> tuple[Any, Answer]:
        job = _KINDS[kind].describe(connection, name)
        return job, get_job(connection, job.kind, name).said

    return await wire.asking.read(_KINDS[kind].describe, read, name=name)


@serves_each("sagemaker.Stop{}Job", _KINDS)
async def stop_job(kind: str, wire: Wire, given: Given) -> Answer:
    """Stop a job."""
    name = _name(kind, given)
    with _named(kind, name):
        await wire.ask(_KINDS[kind].stop, name=name)
    return {}


@serves_each("sagemaker.List{}Jobs", _KINDS)
async def list_jobs(kind: str, wire: Wire, given: Given) -> Answer:
    """List jobs; runs of monitors are listed by ListMonitoringExecutions."""
    described = _KINDS[kind].described
    query = select_jobs(described.kind).where(*_KINDS[kind].filters(given))
    if (part := given.get("NameContains")) is not None:
        query = query.where(func.lower(_table.name).contains(part.lower(), autoescape=True))

    def read(_services: Services, connection: Connection) -> Answer:
        rows, token = read_page(connection, wire, given, query, _COLUMNS, _table.key)
        found = map(job_of, rows)
        shown = [{**_shown(kind, wire, jobs.shown(described, one)), **one.said} for one in found]
        return {_KINDS[kind].list_member: shown, "NextToken": token}

    found: Answer = await wire.asking.read(_KINDS[kind].list, read)
    return found


def _shown(kind: str, wire: Wire, job: Any) -> Summary:  # noqa: ANN401 - of its kind's class
    found, prefix = to_aws(job.model_dump()), _KINDS[kind].prefix
    times = (f"{prefix}EndTime", f"{prefix}StartTime", "CreationTime")
    found["LastModifiedTime"] = next(found[time] for time in times if time in found)
    found[f"{prefix}JobArn"] = arn_of(wire, f"{kind}Job", job.name)
    return found | _KINDS[kind].summary(wire, job)


def _name(kind: str, given: Given) -> str:
    return str(given[f"{_KINDS[kind].prefix}JobName"])


@contextmanager
def _named(kind: str, name: str) -> Iterator[None]:
    """Refuse an unknown job as the service does: clients take this for "not there"."""
    try:
        yield
    except NotFoundError:
        text = f"Could not find requested job with name: {name}"
        raise WireError(_KINDS[kind].unknown, text) from None
