"""The definition of a transform job: SageMaker's fields in snake case, and how they fit."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from driftline.formats.media_types import media_type, text_format
from driftline.serving.jobs.store import JobKind, JobName
from driftline.serving.resources.spec import Spec
from driftline.serving.transform.row_path import RowPath

PARQUET = ("application/x-parquet", "application/vnd.apache.parquet")
# SageMaker's, of all mini-batches that are under way together.
_MAX_TOGETHER_MB = 100

JobFormat = Literal["csv", "jsonlines", "parquet"]


class ModelClientConfig(Spec):
    """How long one mini-batch may take, and how often it is tried again."""

    invocations_timeout_in_seconds: Annotated[int, Field(ge=1, le=3600)] = 600
    invocations_max_retries: Annotated[int, Field(ge=0, le=3)] = 3


class S3DataSource(Spec):
    """Where the files are: a path or URI of a file, folder or pattern; or several."""

    s3_uri: str | Annotated[list[str], Field(min_length=1, max_length=1000)]
    s3_data_type: Literal["S3Prefix"] = "S3Prefix"

    @property
    def places(self) -> list[str]:
        """The paths and URIs, as a list."""
        return [self.s3_uri] if isinstance(self.s3_uri, str) else list(self.s3_uri)


class DataSource(Spec):
    """Where the files are."""

    s3_data_source: S3DataSource


class TransformInput(Spec):
    """The files, how they are written, and how they are cut into records."""

    data_source: DataSource
    content_type: str = "text/csv"
    compression_type: Literal["None", "Gzip"] = "None"
    split_type: Literal["None", "Line"] | None = None  # Line, or None of Parquet.
    # Ours: the first record of each file is a header, which no model is sent.
    skip_header: bool = False


class TransformOutput(Spec):
    """The folder of the outputs, and how they are written."""

    s3_output_path: str
    accept: str | None = None
    assemble_with: Literal["None", "Line"] | None = None  # As split_type, or left out.


class DataProcessing(Spec):
    """What of a record the model is sent, and what of input and answer is kept."""

    input_filter: str = "$"
    output_filter: str = "$"
    join_source: Literal["Input", "None"] = "None"


class TransformJobSpec(Spec):
    """CreateTransformJob's fields in snake case."""

    kind: ClassVar[JobKind] = "transform"
    transform_job_name: JobName
    # One of them: a model by itself, or the endpoint whose model, names and types it is.
    model_name: str | None = None
    endpoint_name: str | None = None
    transform_input: TransformInput
    transform_output: TransformOutput
    max_concurrent_transforms: Annotated[int, Field(ge=0, le=64)] = 1
    max_payload_in_mb: Annotated[int, Field(ge=0, le=100)] = 6
    batch_strategy: Literal["MultiRecord", "SingleRecord"] = "MultiRecord"
    model_client_config: ModelClientConfig = ModelClientConfig()
    data_processing: DataProcessing = DataProcessing()

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        # Read here, so that a path that is none is refused before anything begins.
        is_filtered = not (self.input_path.is_whole and self.output_path.is_whole)
        form = self.input_format
        split = "None" if form == "parquet" else "Line"
        together = self.worker_count * self.max_payload_bytes
        splits = self.transform_input.split_type, self.transform_output.assemble_with
        problems = {
            "expected one of model_name and endpoint_name": (self.model_name is None)
            == (self.endpoint_name is None),
            "max_concurrent_transforms x max_payload_in_mb: expected at most "
            f"{_MAX_TOGETHER_MB}": together > _MAX_TOGETHER_MB << 20,
            "content_type and accept: expected text/csv, application/jsonlines or "
            "application/x-parquet": None in (form, self.output_format),
            f"split_type and assemble_with: expected {split} of this content_type": bool(
                {*splits} - {None, split}
            ),
            "Parquet is written of Parquet alone; expected it as content_type and accept": (
                (form == "parquet") != (self.output_format == "parquet")
            ),
            "join_source Input: content_type and accept must be of one format": (
                self.data_processing.join_source == "Input" and form != self.output_format
            ),
            "filters: only rows of CSV take them, and answers in CSV": is_filtered
            and {form, self.output_format} != {"csv"},
        }
        if problem := next((text for text, is_so in problems.items() if is_so), None):
            raise ValueError(problem)
        return self

    @property
    def name(self) -> str:
        """The job's name."""
        return self.transform_job_name

    @property
    def places(self) -> list[str]:
        """Where the files are: paths and URIs of files, folders or patterns."""
        return self.transform_input.data_source.s3_data_source.places

    @property
    def output(self) -> str:
        """The folder of the outputs."""
        return self.transform_output.s3_output_path

    def asked(self) -> tuple[Literal["Model", "Endpoint"], str]:
        """Return what answers."""
        if self.model_name is not None:
            return "Model", self.model_name
        assert self.endpoint_name is not None
        return "Endpoint", self.endpoint_name

    @property
    def input_format(self) -> JobFormat | None:
        """How the files are written."""
        return _format(self.transform_input.content_type)

    @property
    def output_format(self) -> JobFormat | None:
        """How answers are written: as the files unless accept says otherwise."""
        return _format(self.transform_output.accept or self.transform_input.content_type)

    @property
    def worker_count(self) -> int:
        """How many mini-batches are under way together."""
        return self.max_concurrent_transforms or 1

    @property
    def max_payload_bytes(self) -> int:
        """The most that a mini-batch holds."""
        return (self.max_payload_in_mb or _MAX_TOGETHER_MB) << 20

    @property
    def input_path(self) -> RowPath:
        """What of a record the model is sent."""
        return RowPath(self.data_processing.input_filter)

    @property
    def output_path(self) -> RowPath:
        """What of the joined record is kept."""
        return RowPath(self.data_processing.output_filter)


def _format(content_type: str) -> JobFormat | None:
    if media_type(content_type) in PARQUET:
        return "parquet"
    found = text_format(content_type)
    return "jsonlines" if found == "json" else found
