"""SageMaker's processing and transform jobs, over jobs of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftline.alerts.documents import snake
from driftline.errors import ConflictError, NotFoundError
from driftline.serving.aws.kept import keep, kept
from driftline.serving.aws.lists import Summary, listed
from driftline.serving.aws.monitoring_baselines import image_of
from driftline.serving.aws.ours import every
from driftline.serving.aws.sagemaker_monitoring import EXECUTION, execution_job
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.jobs import (
    DescribedJob,
    DescribedProcessingJob,
    create_processing_job,
    create_transform_job,
    processing_job,
    processing_jobs,
    stop_processing_job,
    stop_transform_job,
    transform_job,
    transform_jobs,
)

_ANALYZERS = {"model-monitor-analyzer": "model-monitor", "clarify-processing": "clarify"}
_PROCESSING, _TRANSFORM = "ProcessingJob", "TransformJob"
# Of what CreateTransformJob takes, what a transform job of ours has.
_TAKEN = (
    "TransformJobName", "ModelName", "MaxConcurrentTransforms", "ModelClientConfig",
    "MaxPayloadInMB", "BatchStrategy", "TransformInput", "TransformOutput", "DataProcessing",
)  # fmt: skip


@serves("sagemaker.CreateProcessingJob")
async def create_processing(wire: Wire, given: Given) -> Answer:
    """Run one of our analyzers where the image is one of SageMaker's."""
    image = image_of(given["AppSpecification"]["ImageUri"])
    outputs = given.get("ProcessingOutputConfig", {}).get("Outputs", ())
    spec = {
        "processing_job_name": given["ProcessingJobName"],
        "analyzer": _ANALYZERS[image],
        "processing_inputs": [_channel(one, "Input") for one in given.get("ProcessingInputs", ())],
        "processing_outputs": [_channel(one, "Output") for one in outputs],
        "environment": given.get("Environment", {}),
    }
    if stopping := given.get("StoppingCondition"):
        spec["max_runtime_in_seconds"] = min(stopping["MaxRuntimeInSeconds"], 86_400)
    name = given["ProcessingJobName"]
    return await _created(wire, given, name, create_processing_job, spec, _PROCESSING)


def _channel(given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    about = given.get(f"S3{kind}")
    if about is None or "LocalPath" not in about:
        raise WireError(
            "ValidationException",
            f'{kind} "{given[f"{kind}Name"]}": expected S3{kind}, with LocalPath',
        )
    return {
        "name": given[f"{kind}Name"], "s3_uri": about["S3Uri"], "local_path": about["LocalPath"],
    }  # fmt: skip


async def _created(
    wire: Wire,
    given: Given,
    name: str,
    function: Any,  # noqa: ANN401 - an operation of ours
    spec: Mapping[str, Any],
    kind: str,
) -> Answer:
    arn = wire.arn("sagemaker", _path_of(kind), name)
    try:
        await wire.ask(function, spec=spec)
    except ConflictError as error:
        if "exists already" not in str(error):
            raise
        raise WireError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name "
            f"already exists ({arn})",
        ) from None
    await keep(wire, kind, name, given)
    return {f"{kind}Arn": arn}


def _path_of(kind: str) -> str:
    return snake(kind).replace("_", "-")


@serves("sagemaker.DescribeProcessingJob")
async def describe_processing(wire: Wire, given: Given) -> Answer:
    """Return a job as it was created, and how it fares; runs of monitors are jobs, too."""
    name = given["ProcessingJobName"]
    if EXECUTION.fullmatch(name):
        return await execution_job(wire, name)
    found = await _found(wire, processing_job, name)
    document = await kept(wire, _PROCESSING, found.processing_job_name) or _as_created(found)
    return {
        **{key: value for key, value in document.items() if key != "Tags"},
        **_processing_summary(wire, found),
        "FailureReason": found.failure_reason,
        "ExitMessage": found.exit_message,
        "ProcessingStartTime": found.processing_start_time,
    }


def _as_created(job: DescribedProcessingJob) -> dict[str, Any]:
    """Return the request that would have created a job of REST's."""
    images = {analyzer: f"sagemaker-{image}" for image, analyzer in _ANALYZERS.items()}

    def channels(kind: str, given: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - channels
        more = {"S3DataType": "S3Prefix"} if kind == "Input" else {"S3UploadMode": "EndOfJob"}
        return [
            {
                f"{kind}Name": one.name,
                f"S3{kind}": {"S3Uri": one.s3_uri, "LocalPath": one.local_path, **more},
            }
            for one in given
        ]

    return {
        "ProcessingJobName": job.processing_job_name,
        "AppSpecification": {"ImageUri": images[job.analyzer]},
        "ProcessingInputs": channels("Input", job.processing_inputs),
        "ProcessingOutputConfig": {"Outputs": channels("Output", job.processing_outputs)},
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30,
            }
        },
        "Environment": job.environment,
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime_in_seconds},
    }  # fmt: skip


def _processing_summary(wire: Wire, job: DescribedProcessingJob) -> dict[str, Any]:
    name = job.processing_job_name
    last = job.processing_end_time or job.processing_start_time or job.creation_time
    return {
        "ProcessingJobName": name,
        "ProcessingJobArn": wire.arn("sagemaker", "processing-job", name),
        "ProcessingJobStatus": job.processing_job_status,
        "CreationTime": job.creation_time,
        "ProcessingEndTime": job.processing_end_time,
        "LastModifiedTime": last,
    }


@serves("sagemaker.StopProcessingJob")
async def stop_processing(wire: Wire, given: Given) -> Answer:
    """Stop a job."""
    await _found(wire, stop_processing_job, given["ProcessingJobName"])
    return {}


@serves("sagemaker.ListProcessingJobs")
async def list_processing(wire: Wire, given: Given) -> Answer:
    """List jobs; runs of monitors are listed by ListMonitoringExecutions."""
    found = [_processing_summary(wire, one) for one in await every(wire, processing_jobs)]
    return _listed(wire, given, found, _PROCESSING)


@serves("sagemaker.CreateTransformJob")
async def create_transform(wire: Wire, given: Given) -> Answer:
    """Score files by a model."""
    if "DataCaptureConfig" in given:
        raise WireError(
            "ValidationException",
            "DataCaptureConfig: the files that a transform job reads and writes stay where they "
            "are, and no manifests of them are written; have a Monitor watch its output as a table "
            "(docs/sources.md)",
        )
    spec = _snake({key: given[key] for key in _TAKEN if key in given})
    spec["transform_output"].pop("kms_key_id", None)
    name = given["TransformJobName"]
    return await _created(wire, given, name, create_transform_job, spec, _TRANSFORM)


def _snake(given: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(given, Mapping):
        return {snake(key): _snake(value) for key, value in given.items()}
    return given


@serves("sagemaker.DescribeTransformJob")
async def describe_transform(wire: Wire, given: Given) -> Answer:
    """Return a job as it was created, and how it fares."""
    found = await _found(wire, transform_job, given["TransformJobName"])
    document = await kept(wire, _TRANSFORM, found.transform_job_name)
    if not document:
        where = found.transform_input.data_source.s3_data_source
        document = {
            "ModelName": found.model_name,
            "TransformInput": {
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": where.places[0]}
                },
                "ContentType": found.transform_input.content_type,
            },
            "TransformOutput": {"S3OutputPath": found.transform_output.s3_output_path},
            "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        }
    shown = _transform_summary(wire, found)
    del shown["LastModifiedTime"]
    return {
        **{key: value for key, value in document.items() if key != "Tags"},
        **shown,
        "TransformStartTime": found.transform_start_time,
    }


def _transform_summary(wire: Wire, job: DescribedJob) -> dict[str, Any]:
    name = job.transform_job_name
    last = job.transform_end_time or job.transform_start_time or job.creation_time
    return {
        "TransformJobName": name,
        "TransformJobArn": wire.arn("sagemaker", "transform-job", name),
        "TransformJobStatus": job.transform_job_status,
        "FailureReason": job.failure_reason,
        "CreationTime": job.creation_time,
        "TransformEndTime": job.transform_end_time,
        "LastModifiedTime": last,
    }


@serves("sagemaker.StopTransformJob")
async def stop_transform(wire: Wire, given: Given) -> Answer:
    """Stop a job."""
    await _found(wire, stop_transform_job, given["TransformJobName"])
    return {}


@serves("sagemaker.ListTransformJobs")
async def list_transforms(wire: Wire, given: Given) -> Answer:
    """List jobs."""
    found = [_transform_summary(wire, one) for one in await every(wire, transform_jobs)]
    return _listed(wire, given, found, _TRANSFORM)


async def _found(wire: Wire, function: Any, name: str) -> Any:  # noqa: ANN401 - operations of ours
    try:
        return await wire.ask(function, name=name)
    except NotFoundError:
        # As the service says it; clients take this code for "not there" (reference, section 4).
        text = f"Could not find requested job with name: {name}"
        raise WireError("ValidationException", text) from None


def _listed(wire: Wire, given: Given, found: list[Summary], kind: str) -> Answer:
    status = {"StatusEquals": f"{kind}Status"}
    return listed(wire, given, found, f"{kind}Summaries", name=f"{kind}Name", equals=status)
