"""The definition of a processing job: what an analyzer is given, as SageMaker's images take it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pyarrow import fs
from pydantic import BaseModel, ConfigDict, Field, model_validator

from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of
from driftline.formats.location import locate
from driftline.roles import Roles
from driftline.serving.transform.definition import NAME

Analyzer = Literal["model-monitor", "clarify"]
PROBLEMS = {
    "BinaryClassification": "binary",
    "MulticlassClassification": "multiclass",
    "Regression": "regression",
}
# The longest that SageMaker lets a job of Model Monitor run.
LONGEST_S = 86_400


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class Channel(_Fields):
    """A place of data or documents, and the path that the environment has for it."""

    name: str
    s3_uri: str
    local_path: str


class ProcessingJobSpec(_Fields):
    """What a processing job reads, does and writes, in the words of SageMaker's images."""

    processing_job_name: Annotated[str, Field(pattern=NAME)]
    analyzer: Analyzer
    processing_inputs: list[Channel]
    processing_outputs: Annotated[list[Channel], Field(min_length=1, max_length=1)]
    environment: dict[str, str] = {}
    max_runtime_in_seconds: Annotated[int, Field(ge=1, le=LONGEST_S)] = LONGEST_S

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = {one.name for one in self.processing_inputs}
        if self.analyzer == "clarify" and not {"dataset", "analysis_config"} <= names:
            raise ValueError("clarify: expected the inputs dataset and analysis_config")
        if self.analyzer == "model-monitor":
            self.place("dataset_source")
            self.has_header  # noqa: B018 - A format that is none is refused here.
            self.roles  # noqa: B018 - As is a threshold.
        return self

    @property
    def output(self) -> str:
        """Where the documents are written."""
        return self.processing_outputs[0].s3_uri.rstrip("/")

    @property
    def is_of_quality(self) -> bool:
        """Whether answers are held against labels."""
        return self.environment.get("analysis_type", "").upper() == "MODEL_QUALITY"

    @property
    def has_header(self) -> bool | None:
        """Whether the first line of CSV holds names; None of other formats."""
        text = self.environment.get("dataset_format") or "{}"
        try:
            found: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"dataset_format is no JSON ({fault_of(error)})") from None
        if not isinstance(found, dict) or {*found} - {
            "csv",
            "json",
            "parquet",
            "sagemakerCaptureJson",
        }:
            raise ValueError("dataset_format: expected csv, json, parquet or sagemakerCaptureJson")
        about = found.get("csv")
        return bool(about.get("header")) if isinstance(about, Mapping) else None

    @property
    def roles(self) -> Roles:
        """What the columns are for, as far as the environment says it."""
        named = self.environment.get
        threshold = named("probability_threshold_attribute")
        probability = named("probability_attribute")
        return Roles.of(
            label=named("ground_truth_attribute") or None,
            prediction=named("inference_attribute") or None,
            probability=probability or None,
            problem=PROBLEMS.get(named("problem_type", "")),
            threshold=float(threshold) if threshold else None,
        )

    def place(self, variable: str) -> str:
        """Return the place of the path that a variable of the environment names."""
        path = self.environment.get(variable, "")
        for one in self.processing_inputs:
            root = one.local_path.rstrip("/")
            if path == root or path.startswith(f"{root}/"):
                return one.s3_uri.rstrip("/") + path[len(root) :]
        raise InputError(f'environment: {variable} "{path}" is below no local_path of the inputs')

    def input(self, name: str) -> str:
        """Return the place of an input."""
        return next(one.s3_uri for one in self.processing_inputs if one.name == name)


def prefixed(uri: str) -> str:
    """Return a place, or the pattern of all that begins so, as S3's prefixes mean it."""
    return uri if locate(uri).kind != fs.FileType.NotFound else f"{uri}*"
