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
from driftline.serving.processing.definition import PROBLEMS

KINDS = {
    "DataQuality": "data-quality",
    "ModelQuality": "model-quality",
    "ModelBias": "bias",
    "ModelExplainability": "attribution",
}
# Of a schedule without a time: the service chooses one.
DAILY = "cron(0 0 ? * * *)"
# Roles, by the settings of a baselining job and by the fields of a job's input.
ROLES = (
    ("label", "ground_truth_attribute", ""),
    ("prediction", "inference_attribute", "InferenceAttribute"),
    ("probability", "probability_attribute", "ProbabilityAttribute"),
    ("threshold", "probability_threshold_attribute", "ProbabilityThresholdAttribute"),
)
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


def inline_job(kind: str, job: Document) -> Job:
    """Return the job that a schedule holds itself."""
    inputs: Document = next(iter(job.get("MonitoringInputs") or ()), {})
    return _job(kind, job, inputs, "", "Monitoring", "MonitoringOutputConfig")


def defined_job(kind: str, job: Document) -> Job:
    """Return the job of a definition."""
    return _job(kind, job, job.get(f"{kind}JobInput") or {}, kind, kind, f"{kind}JobOutputConfig")


def _job(kind: str, job: Document, inputs: Document, own: str, of: str, output: str) -> Job:
    baseline, application = (
        job.get(name) or {} for name in (f"{own}BaselineConfig", f"{of}AppSpecification")
    )
    outputs: Document = next(iter((job.get(output) or {}).get("MonitoringOutputs") or ()), {})
    place = (outputs.get("S3Output") or {}).get("S3Uri")
    longest_s = (job.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds")
    return Job(KINDS.get(kind, kind), inputs, baseline, application, place, longest_s)


def roles_given(
    job: Job, environment: Document, config: bytes | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the roles of a Baseline's spec, and those that are given as positions of columns."""
    spec = {} if config is None else roles_spec(roles_of_config(config))
    positions = {}
    for key, setting, given in ROLES:
        value = environment.get(setting) or job.input.get(given)
        if value in (None, ""):
            continue
        if key == "threshold":
            spec[key] = float(value)
        elif str(value).isdigit():
            positions[key] = str(value)
        else:
            spec[key] = str(value)
    problem = job.application.get("ProblemType") or environment.get("problem_type")
    if problem in PROBLEMS:
        spec["problem"] = PROBLEMS[problem]
    return spec, positions


def roles_spec(roles: Roles) -> dict[str, Any]:
    """Write the roles as a Baseline's spec has them, without what is not given."""
    names = (
        "label", "prediction", "probability", "timestamp", "exclude", "categorical", "context",
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
