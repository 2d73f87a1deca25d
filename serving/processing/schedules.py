"""SageMaker's monitoring jobs as our Baseline and Monitor; the import and AWS's API share this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from driftline.alerts.documents import snake
from driftline.baseline.clarify import roles_of_config
from driftline.roles import Roles
from driftline.serving.processing.definition import PROBLEMS, ROLE_SETTINGS

KINDS = {
    "DataQuality": "data-quality",
    "ModelQuality": "model-quality",
    "ModelBias": "bias",
    "ModelExplainability": "attribution",
}
# Of a schedule without a time: the service chooses one.
DAILY = "cron(0 0 ? * * *)"
# Roles, by the fields of a job's input.
_INPUT_ROLES = {
    "prediction": "InferenceAttribute",
    "probability": "ProbabilityAttribute",
    "threshold": "ProbabilityThresholdAttribute",
}
Document = Mapping[str, Any]
_DURATION = TypeAdapter(timedelta)


@dataclass(frozen=True, slots=True)
class Job:
    """A schedule's job, from a definition of its own or inside it, part by part."""

    kind: str  # Ours.
    inputs: Document
    baseline: Document
    application: Document
    output: str | None
    longest_s: float | None  # Of one run.

    @property
    def input(self) -> Document:
        """The job's EndpointInput."""
        return self.inputs.get("EndpointInput") or {}


def monitoring_job(kind: str, document: Document) -> Job:
    """Return the job of a definition, or of a schedule that holds its job itself."""
    # In a definition the kind stands before the names of parts, in a schedule "Monitoring".
    part = {
        name.removeprefix(kind).removeprefix("Job").removeprefix("Monitoring"): one or {}
        for name, one in document.items()
    }
    inputs: Document = part.get("Input") or next(iter(part.get("Inputs") or ()), {})
    outputs = part.get("OutputConfig", {}).get("MonitoringOutputs") or [{}]
    return Job(
        kind=KINDS.get(kind, kind),
        inputs=inputs,
        baseline=part.get("BaselineConfig", {}),
        application=part.get("AppSpecification", {}),
        output=(outputs[0].get("S3Output") or {}).get("S3Uri"),
        longest_s=part.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
    )


def roles_given(
    job: Job, environment: Document, config: bytes | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the roles of a Baseline's spec, and those that are given as positions of columns."""
    spec = {} if config is None else roles_spec(roles_of_config(config))
    positions: dict[str, str] = {}
    # The rows of Clarify's jobs hold no answers: a model was asked for those.
    is_asked = job.kind in ("bias", "attribution")
    for role, setting in ROLE_SETTINGS.items():
        value = environment.get(setting) or job.input.get(_INPUT_ROLES.get(role, ""))
        if value in (None, "") or (is_asked and role in ("prediction", "probability")):
            continue
        if role == "threshold":
            spec[role] = float(value)
        else:
            (positions if str(value).isdecimal() else spec)[role] = str(value)
    problem = job.application.get("ProblemType") or environment.get("problem_type")
    if problem in PROBLEMS:
        spec["problem"] = PROBLEMS[problem]
    return spec, positions


def roles_spec(roles: Roles) -> dict[str, Any]:
    """Write the roles as a Baseline's spec has them, without what is not given."""
    names = (
        "label", "prediction", "probability", "timestamp", "exclude", "categorical",
        "problem", "threshold", "group", "weight",
    )  # fmt: skip
    found = {
        **{name: getattr(roles, name) for name in names},
        "id": roles.id_column,
        "positive": roles.positives if roles.also_positive else roles.positive,
        "facet": tuple(map(str, roles.facets)),
        "quantiles": dict(roles.quantiles),
    }
    return {
        role: list(value) if isinstance(value, tuple) else value
        for role, value in found.items()
        if value not in (None, (), {})
    }


def monitor_spec(config: Document, job: Job, endpoint: str, baseline: str) -> dict[str, Any]:
    """Return the spec of a Monitor that does what a schedule's configuration says."""
    timing = config.get("ScheduleConfig") or {}
    spec: dict[str, Any] = {
        "kind": job.kind, "endpoint": endpoint, "baseline": baseline,
        "schedule": str(timing.get("ScheduleExpression") or DAILY),
    }  # fmt: skip
    if spec["schedule"] == "NOW":
        keys = ("DataAnalysisStartTime", "DataAnalysisEndTime")
        spec |= {snake(key): timing[key] for key in keys if timing.get(key)}
    if job.longest_s is not None:
        spec["timeout_s"] = job.longest_s
    if late := job.input.get("EndTimeOffset"):
        spec["delay_s"] = -_DURATION.validate_python(late).total_seconds()
    return spec
