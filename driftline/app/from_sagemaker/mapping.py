"""Resources of ours that do what the described schedules and alarms do, and what is left to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.parts import spec_from_aws
from driftline.alerts.alarms.rule import Rule, alarm_name
from driftline.app.from_sagemaker.descriptions import Descriptions, Places, job_of
from driftline.errors import DriftlineError, InputError
from driftline.monitors.kind import kind_named
from driftline.serving.processing.schedules import Document, Job, monitor_spec, roles_given
from driftline.serving.resources.resources import ALARM_KINDS, parse_resources

NOT_CARRIED_OVER = {
    "StartTimeOffset": "each window is one period of the schedule",
    "FeaturesAttribute": "features are the columns of the Baseline",
    "ExcludeFeaturesAttribute": "name these columns in exclude of the Baseline",
}
# Their numbers are published here under the same names.
NAMESPACES = ("aws/sagemaker/", "/aws/sagemaker/", "AWS/SageMaker", "Driftline")
ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
_BUILT_IN = re.compile(r"/(sagemaker-model-monitor-)?analyzer|/sagemaker-clarify-")


@dataclass(slots=True)
class Importer:
    """Makes the resources, what is left to do by hand, and the commands that come next."""

    found: Descriptions
    places: Places
    data: Mapping[str, str] = field(default_factory=dict)
    compat: bool = False
    resources: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[dict[str, str]] = field(default_factory=list)  # What, and what there is to do.
    commands: list[str] = field(default_factory=list)

    def run(self) -> Importer:
        """Import all that was found."""
        jobs = {
            name: job_of(schedule, self.found["definitions"])
            for name, schedule in self.found["schedules"].items()
        }
        # Of an endpoint's baselines that of data quality comes first, which has all columns.
        for name, job in sorted(
            jobs.items(), key=lambda one: one[1] is not None and one[1].kind != "data-quality"
        ):
            self._schedule(name, job)
        self._endpoints([job for job in jobs.values() if job is not None])
        for name, alarm in self.found["alarms"].items():
            self._alarm("Alarm", name, alarm)
        self._composites()
        if not self.resources and not self.remarks:
            raise InputError("nothing to import")
        return self

    def _add(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        one = json.loads(json.dumps({"kind": kind, "name": name, "spec": spec}, default=str))
        try:
            parse_resources([one])
        except DriftlineError as error:
            self._remark(f"{kind}/{name}", f"left out: {error}")
        else:
            self.resources.append(one)

    def _remark(self, subject: str, text: str) -> None:
        self.remarks.append({"what": subject, "todo": text})

    def _schedule(self, name: str, job: Job | None) -> None:
        schedule = self.found["schedules"][name]
        if job is None:
            wanted = schedule["MonitoringScheduleConfig"].get("MonitoringJobDefinitionName")
            text = f'its job definition "{wanted}" was not saved; save it, too'
            self._remark(f"Monitor/{name}", text)
            return
        endpoint = job.input.get("EndpointName") or schedule.get("EndpointName")
        if job.inputs.get("BatchTransformInput") or not endpoint:
            text = "it watches batch transform, not an endpoint; declare it anew"
            self._remark(f"Monitor/{name}", text)
            return
        missing = job.baseline.get("BaseliningJobName")
        processing = self.found["processing_jobs"].get(str(missing), {})
        inputs = processing.get("ProcessingInputs") or ()
        read = {one.get("InputName"): _text(one, "S3Input", "S3Uri") for one in inputs}
        if rows := self.data.get(name) or read.get("baseline_dataset_input"):
            roles = self._roles(name, job, processing.get("Environment") or {})
            self._add("Baseline", name, {"data": self.places.place(rows), **roles})
            self._monitor(name, schedule, job, str(endpoint))
            return
        self._remark(
            f"Baseline/{name}",
            "the rows that the baseline was made of are not known; name them by "
            f"--data {name}=PLACE, or save its processing job, too. Until then "
            f"Monitor/{name} is left out, and Endpoint/{endpoint} if no other schedule brings it",
        )

    def _roles(self, name: str, job: Job, environment: Document) -> dict[str, Any]:
        config: bytes | None = None
        if uri := str(job.application.get("ConfigUri") or ""):
            file = Path(self.places.place(uri))
            if "://" not in self.places.place(uri) and file.is_file():
                config = file.read_bytes()
            else:
                text = f"{uri} says label and facets; copy it and give --map, or add them"
                self._remark(f"Baseline/{name}", text)
        spec, positions = roles_given(job, environment, config)
        for key, value in positions.items():
            text = f"{key} is column {value}; name that column: {key}: COLUMN"
            self._remark(f"Baseline/{name}", text)
        if job.kind == "data-quality" and not spec.keys() & {"label", "prediction"}:
            self._remark(
                f"Baseline/{name}",
                "TODO: if its rows have the label in their first column, as SageMaker wants it, "
                f"add {'prediction' if self.compat else 'label'}: COLUMN; requests lack it",
            )
        return spec | self._script("Baseline", name, job, "RecordPreprocessorSourceUri")

    def _script(self, kind: str, name: str, job: Job, key: str) -> dict[str, Any]:
        if not (uri := str(job.application.get(key) or "")):
            return {}
        self._remark(f"{kind}/{name}", f"copy {uri} to [scheduler] scripts_dir")
        field = "preprocess" if kind == "Baseline" else "postprocess"
        return {field: uri.rpartition("/")[2]}

    def _monitor(self, name: str, schedule: Document, job: Job, endpoint: str) -> None:
        spec = monitor_spec(schedule["MonitoringScheduleConfig"], job, endpoint, name)
        if self.compat and kind_named(job.kind).compat_evaluation:
            spec["compat"] = True
        for key, text in NOT_CARRIED_OVER.items():
            if value := job.input.get(key):
                self._remark(f"Monitor/{name}", f'{key} "{value}" is not carried over: {text}')
        spec |= self._script("Monitor", name, job, "PostAnalyticsProcessorSourceUri")
        image = str(job.application.get("ImageUri") or "")
        if image and not _BUILT_IN.search(image):
            self._remark(
                f"Monitor/{name}",
                f"it ran {image}; here it is judged as {job.kind}. To go on with what that "
                "container runs, make it a program of kind: command (docs/your-own-monitor.md)",
            )
        if job.kind == "attribution":
            text = "its baseline needs a model: declare a Model and name it there"
            self._remark(f"Monitor/{name}", text)
        if schedule.get("MonitoringScheduleStatus") == "Stopped":
            text = "it is stopped at SageMaker; here it runs once it is applied"
            self._remark(f"Monitor/{name}", text)
        self._add("Monitor", name, spec)

    def _endpoints(self, jobs: list[Job]) -> None:
        monitors = [one["spec"] for one in self.resources if one["kind"] == "Monitor"]
        baselines: dict[str, str] = {}
        for one in monitors:
            baselines.setdefault(one["endpoint"], one["baseline"])
        for endpoint, baseline in baselines.items():
            self._add("Endpoint", endpoint, {"baseline": baseline})
            described = self.found["endpoints"].get(endpoint, {})
            config = self.found["configs"].get(str(described.get("EndpointConfigName")), {})
            capture = described.get("DataCaptureConfig") or config.get("DataCaptureConfig") or {}
            if uri := str(capture.get("DestinationS3Uri") or "").rstrip("/"):
                place = self.places.place(f"{uri}/{endpoint}")
                self.commands.append(f"driftline capture import {place} --endpoint {endpoint}")
        labels = {
            (uri, endpoint)
            for job in jobs
            if (endpoint := _text(job.input, "EndpointName")) in baselines
            and (uri := _text(job.inputs, "GroundTruthS3Input", "S3Uri"))
        }
        for uri, endpoint in sorted(labels):
            place = self.places.place(uri)
            self.commands.append(f"driftline truth load {place} --endpoint {endpoint}")

    def _alarm(self, kind: str, name: str, alarm: Document) -> None:
        queries = alarm.get("Metrics") or ()
        namespaces = [_text(one, "MetricStat", "Metric", "Namespace") for one in queries]
        for namespace in filter(None, [alarm.get("Namespace"), *namespaces]):
            if not namespace.startswith(NAMESPACES):
                text = f"left out: {namespace} is no namespace of SageMaker's"
                self._remark(f"{kind}/{name}", text)
                return
        names = (AlarmDefinition if kind == "Alarm" else CompositeDefinition).aws_names()
        known = [key for key in alarm if key in names and key not in ACTIONS]
        fields = spec_from_aws({key: alarm[key] for key in known})
        if actions := {str(one) for key in ACTIONS for one in alarm.get(key) or ()}:
            self._remark(
                f"{kind}/{name}",
                f"nobody is notified yet: {', '.join(sorted(actions))} stands for a Channel; "
                "declare it, and name it in alarm_actions",
            )
        spec = {
            key: value
            for key, value in fields.items()
            if value not in (None, "", []) and key not in ("alarm_name", "tags")
        }
        self._add(kind, name, spec)

    def _composites(self) -> None:
        """Add composites, after what they name: `apply` refuses a file for one on others."""
        watched = {name: _watched(alarm) for name, alarm in self.found["composites"].items()}
        while True:
            known = {one["name"] for one in self.resources if one["kind"] in ALARM_KINDS}
            ready = [name for name, names in watched.items() if names <= known]
            if not ready:
                break
            for name in ready:
                del watched[name]
                self._alarm("CompositeAlarm", name, self.found["composites"][name])
        for name, names in watched.items():
            missing = ", ".join(sorted(names - known))
            text = f"left out: it names {missing}, which was left out or not saved"
            self._remark(f"CompositeAlarm/{name}", text)


def _watched(alarm: Document) -> set[str]:
    watched = set(Rule.parse(str(alarm["AlarmRule"]).strip()).names)
    if suppressor := alarm.get("ActionsSuppressor"):
        watched.add(alarm_name(str(suppressor)))
    return watched


def _text(document: Document, *path: str) -> str:
    for key in path[:-1]:
        document = document.get(key) or {}
    return str(document.get(path[-1]) or "")
