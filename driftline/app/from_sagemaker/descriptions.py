"""Output of ``aws sagemaker describe-…`` and ``aws cloudwatch describe-alarms``, from files.

The fields that only its kind has identify each document, whatever its file is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driftline.app.from_sagemaker.places import Places
from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of

# Longer files are data: captured lines, statistics.
LONGEST_BYTES = 16 << 20
# What baselines and executions leave beside the descriptions; none of them declares anything.
DOCUMENTS = frozenset(
    {"statistics.json", "constraints.json", "constraint_violations.json", "analysis.json"}
)
KINDS = {
    "DataQuality": "data-quality",
    "ModelQuality": "model-quality",
    "ModelBias": "bias",
    "ModelExplainability": "attribution",
}


@dataclass(slots=True)
class Descriptions:
    """All that was found in a folder, by kind and name."""

    schedules: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    definitions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    processing_jobs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    alarms: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    composites: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    analysis_configs: dict[str, bytes] = field(default_factory=dict)  # Of Clarify, by URI.

    def add(self, document: Mapping[str, Any]) -> None:
        """Keep a document, if it is a description."""
        if "MetricAlarms" in document or "CompositeAlarms" in document:
            for key, found in (("MetricAlarms", self.alarms), ("CompositeAlarms", self.composites)):
                found.update({str(one["AlarmName"]): one for one in document.get(key) or ()})
            return
        for place, name, fields in (
            (self.schedules, "MonitoringScheduleName", ("MonitoringScheduleConfig",)),
            (self.definitions, "JobDefinitionName", [f"{kind}JobInput" for kind in KINDS]),
            (self.endpoints, "EndpointName", ("EndpointStatus",)),
            (self.configs, "EndpointConfigName", ("ProductionVariants",)),
            (self.processing_jobs, "ProcessingJobName", ("AppSpecification",)),
        ):
            if name in document and any(one in document for one in fields):
                place[str(document[name])] = document
                return

    def capture_of(self, endpoint: str) -> Mapping[str, Any]:
        """Return how an endpoint's requests are captured; nothing where that was not saved."""
        described = self.endpoints.get(endpoint, {})
        config = self.configs.get(str(described.get("EndpointConfigName")), {})
        return described.get("DataCaptureConfig") or config.get("DataCaptureConfig") or {}


@dataclass(frozen=True, slots=True)
class Job:
    """A schedule's job, from a definition of its own or inside it; empty texts where unset."""

    kind: str  # Ours.
    endpoint: str
    input: Mapping[str, Any]  # EndpointInput or BatchTransformInput.
    is_batch: bool
    labels: str
    baselining_job: str
    constraints: str
    config: str  # Of Clarify: analysis_config.json.
    problem: str
    preprocess: str
    postprocess: str
    own_image: str  # The container, where it is none of SageMaker's.
    longest_s: float | None  # Of one run.


def read_descriptions(folder: Path, places: Places) -> Descriptions:
    """Read every JSON file under a folder, and the files of Clarify that its jobs name."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no folder; expected one with the JSON that aws describe-… printed"
        )
    found = Descriptions()
    for file in sorted(folder.rglob("*.json")):
        if file.name in DOCUMENTS or file.stat().st_size > LONGEST_BYTES:
            continue
        try:
            parsed = json.loads(file.read_bytes())
        except OSError as error:
            raise InputError(f"{file}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}: no JSON ({fault_of(error)}); save it again") from error
        listed = parsed if isinstance(parsed, list) else [parsed]
        try:
            for one in listed:
                if isinstance(one, Mapping):
                    found.add(one)
        except (KeyError, TypeError) as error:
            raise InputError(f"{file}: not as AWS prints it ({error!r} is missing)") from error
    if not (found.schedules or found.alarms or found.composites):
        raise InputError(
            f"{folder}: no monitoring schedule and no alarm; save some by: aws sagemaker "
            "describe-monitoring-schedule --monitoring-schedule-name NAME > NAME.json"
        )
    for schedule in found.schedules.values():
        job = job_of(schedule, found.definitions)
        local = places.local(job.config) if job is not None else None
        if job is not None and local is not None and local.is_file():
            found.analysis_configs[job.config] = local.read_bytes()
    return found


def timing_of(schedule: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return a schedule's expression, and all that stands beside it."""
    timing = schedule["MonitoringScheduleConfig"].get("ScheduleConfig") or {}
    return str(timing.get("ScheduleExpression") or "cron(0 0 ? * * *)"), timing


def job_of(schedule: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> Job | None:
    """Return what a schedule runs; None where its definition was not saved."""
    config = schedule["MonitoringScheduleConfig"]
    prefix = str(config.get("MonitoringType") or schedule.get("MonitoringType") or "DataQuality")
    inline = config.get("MonitoringJobDefinition")
    if inline is not None:
        inputs: Mapping[str, Any] = next(iter(inline.get("MonitoringInputs") or ()), {})
        baseline, application = inline.get("BaselineConfig"), inline["MonitoringAppSpecification"]
        stopping = inline.get("StoppingCondition")
    else:
        definition = definitions.get(str(config.get("MonitoringJobDefinitionName")))
        if definition is None:
            return None
        inputs = definition[f"{prefix}JobInput"]
        baseline = definition.get(f"{prefix}BaselineConfig")
        application = definition[f"{prefix}AppSpecification"]
        stopping = definition.get("StoppingCondition")
    batch = inputs.get("BatchTransformInput")
    given = batch or inputs.get("EndpointInput") or {}
    baseline = baseline or {}
    return Job(
        kind=KINDS.get(prefix, prefix),
        endpoint=str(given.get("EndpointName") or schedule.get("EndpointName") or ""),
        input=given,
        is_batch=batch is not None,
        labels=_uri(inputs.get("GroundTruthS3Input")),
        baselining_job=str(baseline.get("BaseliningJobName") or ""),
        constraints=_uri(baseline.get("ConstraintsResource")),
        config=str(application.get("ConfigUri") or ""),
        problem=str(application.get("ProblemType") or ""),
        preprocess=str(application.get("RecordPreprocessorSourceUri") or ""),
        postprocess=str(application.get("PostAnalyticsProcessorSourceUri") or ""),
        own_image=_own_image(str(application.get("ImageUri") or "")),
        longest_s=(stopping or {}).get("MaxRuntimeInSeconds"),
    )


def _own_image(image: str) -> str:
    """Return an image; "" for those that SageMaker's built-in monitors run."""
    return (
        ""
        if re.search(r"/(sagemaker-model-monitor-)?analyzer|/sagemaker-clarify-", image)
        else image
    )


def _uri(resource: Mapping[str, Any] | None) -> str:
    return str((resource or {}).get("S3Uri") or "")
