"""Types of what the client returns and takes; scripts/reference makes them of the OpenAPI document."""
# fmt: off
# ruff: noqa: D204, E501, I001

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from driftline.app.client.answers.resources import TransformJobStatus

class AsyncInvocation(TypedDict):
    """What came of an asynchronous invocation, or that it waits."""
    inference_id: str
    status: Literal["Queued", "Completed", "Failed", "Expired", "Erased"]
    failure_reason: str | None
    input_location: str | None
    output_location: str
    failure_location: str
    attempts: int
    received_at: str
    expires_at: str
    ended_at: str | None

class DataCaptureConfig(TypedDict):
    """Has what the model is sent and answers captured, as requests to an endpoint are."""
    endpoint_name: NotRequired[str | None]

class DataProcessing(TypedDict):
    """What of a record the model is sent, and what of input and answer is kept."""
    input_filter: NotRequired[str]
    output_filter: NotRequired[str]
    join_source: NotRequired[Literal["Input", "None"]]

class DataSource(TypedDict):
    """Where the files are."""
    s3_data_source: S3DataSource

class DescribedTransformJob(TypedDict):
    """What a transform job was asked, and how far it is."""
    transform_job_name: str
    model_name: NotRequired[str | None]
    endpoint_name: NotRequired[str | None]
    transform_input: TransformInput
    transform_output: TransformOutput
    max_concurrent_transforms: NotRequired[int]
    max_payload_in_mb: NotRequired[int]
    batch_strategy: NotRequired[Literal["MultiRecord", "SingleRecord"]]
    model_client_config: NotRequired[ModelClientConfig]
    data_processing: NotRequired[DataProcessing]
    data_capture_config: NotRequired[DataCaptureConfig | None]
    transform_job_status: TransformJobStatus
    failure_reason: str | None
    creation_time: str
    transform_start_time: str | None
    transform_end_time: str | None
    progress: JobCounts | None

class JobCounts(TypedDict):
    """How far a job is, over all of its files."""
    files: int
    files_done: int
    size: int
    position: int
    records: int

class ModelClientConfig(TypedDict):
    """How long one mini-batch may take, and how often it is tried again."""
    invocations_timeout_in_seconds: NotRequired[int]
    invocations_max_retries: NotRequired[int]

class PrintedLine(TypedDict):
    """A line that a worker has printed; its process, by number."""
    time: str
    variant: str
    container: str
    worker: int
    message: str

class S3DataSource(TypedDict):
    """Where the files are: a path or URI of a file, folder or pattern; or several."""
    s3_uri: str | list[str]
    s3_data_type: NotRequired[Literal["S3Prefix"]]

class TransformInput(TypedDict):
    """The files, how they are written, and how they are cut into records."""
    data_source: DataSource
    content_type: NotRequired[str]
    compression_type: NotRequired[Literal["None", "Gzip"]]
    split_type: NotRequired[Literal["None", "Line"]]
    skip_header: NotRequired[bool]

class TransformOutput(TypedDict):
    """The folder of the outputs, and how they are written."""
    s3_output_path: str
    accept: NotRequired[str | None]
    assemble_with: NotRequired[Literal["None", "Line"]]
