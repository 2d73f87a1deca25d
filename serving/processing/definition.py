"""The definition of a processing job: what an analyzer is given, as SageMaker's images take it."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, Self

from pyarrow import fs
from pydantic import Field, model_validator

from driftline.baseline.clarify import model_of_config
from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of
from driftline.formats.location import locate
from driftline.roles import Roles
from driftline.serving.jobs.store import JobKind, JobName
from driftline.serving.resources.spec import Spec

Analyzer = Literal["model-monitor", "clarify"]
PROBLEMS = {
    "BinaryClassification": "binary",
    "MulticlassClassification": "multiclass",
    "Regression": "regression",
}
# Roles, and the variables of the environment that name their columns.
ROLE_SETTINGS = {
    "label": "ground_truth_attribute",
    "prediction": "inference_attribute",
    "probability": "probability_attribute",
    "threshold": "probability_threshold_attribute",
}
# The longest that SageMaker lets a job of Model Monitor run.
LONGEST_S = 86_400
# Of a document or configuration, in bytes; statistics hold a sketch of each column.
LONGEST_DOCUMENT = 64 << 20
_FORMATS = {"csv", "json", "parquet", "sagemakerCaptureJson"}


class Channel(Spec):
    """A place of data or documents, and the path that the environment has for it."""

    name: str
    s3_uri: str
    local_path: str


class ProcessingJobSpec(Spec):
    """What a processing job reads, does and writes, in the words of SageMaker's images."""

    kind: ClassVar[JobKind] = "processing"
    processing_job_name: JobName
    analyzer: Analyzer
    processing_inputs: list[Channel]
    processing_outputs: Annotated[list[Channel], Field(min_length=1, max_length=1)]
    environment: Annotated[dict[str, str], Field(default_factory=dict)]
    max_runtime_in_seconds: Annotated[int, Field(ge=1, le=LONGEST_S)] = LONGEST_S

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = {one.name for one in self.processing_inputs}
        if self.analyzer == "clarify" and not {"dataset", "analysis_config"} <= names:
            raise ValueError("clarify: expected the inputs dataset and analysis_config")
        # Read here, so that a format or threshold that is none is refused before anything begins.
        _ = self.data, self.has_header, self.roles
        return self

    @property
    def name(self) -> str:
        """The job's name."""
        return self.processing_job_name

    @property
    def places(self) -> list[str]:
        """Where the inputs are."""
        return [one.s3_uri for one in self.processing_inputs]

    @property
    def output(self) -> str:
        """Where the documents are written."""
        return self.processing_outputs[0].s3_uri.rstrip("/")

    @property
    def data(self) -> str:
        """Where the rows are, or what all of their files begin with."""
        is_monitor = self.analyzer == "model-monitor"
        return self.place("dataset_source") if is_monitor else self.input("dataset")

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
        if not isinstance(found, dict) or not found.keys() <= _FORMATS:
            raise ValueError(f"dataset_format: expected one of {', '.join(sorted(_FORMATS))}")
        about = found.get("csv")
        return bool(about.get("header")) if isinstance(about, dict) else None

    @property
    def roles(self) -> Roles:
        """What the columns are for, as far as the environment says it."""
        given: dict[str, Any] = {
            role: self.environment.get(name) or None for role, name in ROLE_SETTINGS.items()
        }
        if given["threshold"]:
            given["threshold"] = float(given["threshold"])
        problem = PROBLEMS.get(self.environment.get("problem_type", ""))
        return Roles.of(problem=problem, **given)

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

    def asked(self) -> tuple[Literal["Model"], str] | None:
        """Return what answers, which Clarify's configuration names; None where nothing is asked."""
        if self.analyzer != "clarify":
            return None
        name = model_of_config(self.analysis_config())
        return None if name is None else ("Model", name)

    def analysis_config(self) -> bytes:
        """Return Clarify's configuration, a file or in the folder that an input names."""
        place = locate(self.input("analysis_config"))
        if place.kind == fs.FileType.Directory:
            place /= "analysis_config.json"
        return place.read(most=LONGEST_DOCUMENT)


def prefixed(uri: str) -> str:
    """Return a place, or the pattern of all that begins so, as S3's prefixes mean it."""
    return uri if locate(uri).kind != fs.FileType.NotFound else f"{uri}*"
