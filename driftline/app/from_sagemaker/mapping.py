"""Resources of ours that do what the described schedules and alarms do, and what is left to do.

Pure: what lies in files comes with the descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.rule import Rule, alarm_name
from driftline.alerts.documents import snake
from driftline.app.from_sagemaker.descriptions import Descriptions, Job, job_of, timing_of
from driftline.app.from_sagemaker.places import Places
from driftline.baseline.clarify import roles_of_config
from driftline.errors import DriftlineError, InputError
from driftline.monitors.kind import kind_named
from driftline.monitors.schedule import Schedule, ScheduleError, windows_from
from driftline.serving.provisioning.deploy import roles_spec
from driftline.serving.resources.resources import parse_resources

PROBLEMS = {
    "BinaryClassification": "binary",
    "MulticlassClassification": "multiclass",
    "Regression": "regression",
}
# Their numbers are published here under the same names.
NAMESPACES = ("aws/sagemaker/", "/aws/sagemaker/", "AWS/SageMaker", "Driftline")
ACTIONS = ("alarm_actions", "ok_actions", "insufficient_data_actions")
_DURATION = TypeAdapter(timedelta)


@dataclass(frozen=True, slots=True)
class Remark:
    """A difference after the import, and what to do about it."""

    subject: str
    text: str


@dataclass(slots=True)
class Imported:
    """The resources, what is left to do by hand, and the commands that come next."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def remark(self, subject: str, text: str) -> None:
        """Note what is left to do."""
        self.remarks.append(Remark(subject, text))


def resources_of(
    found: Descriptions, places: Places, data: Mapping[str, str], *, compat: bool
) -> Imported:
    """Return the resources to apply.

    ``data``: the rows of a schedule's baseline, by the schedule's name, where no saved description
    of a processing job says it; ``compat``: whether data quality is judged as SageMaker does.
    """
    imported = Imported()
    baselines: dict[str, str] = {}  # By endpoint, that of data quality first.
    for name, schedule in sorted(found.schedules.items(), key=lambda one: _first(one[1])):
        job = job_of(schedule, found.definitions)
        subject = f"Monitor/{name}"
        if job is None:
            wanted = schedule["MonitoringScheduleConfig"].get("MonitoringJobDefinitionName")
            imported.remark(subject, f'its job definition "{wanted}" was not saved; save it, too')
        elif job.is_batch or not job.endpoint:
            imported.remark(subject, "it watches batch transform, not an endpoint; declare it anew")
        else:
            baseline = _baseline(imported, found, places, name, job, data, compat=compat)
            if baseline is not None:
                baselines.setdefault(job.endpoint, name)
                imported.resources += [baseline, _monitor(imported, name, schedule, job, compat)]
    imported.resources += [
        {"kind": "Endpoint", "name": endpoint, "spec": {"baseline": baseline}}
        for endpoint, baseline in baselines.items()
    ]
    _commands(imported, found, places, baselines)
    for name, alarm in found.alarms.items():
        _alarm(imported, "Alarm", name, alarm)
    for name, alarm in found.composites.items():
        _alarm(imported, "CompositeAlarm", name, alarm)
    return _checked(imported)


def _first(schedule: Mapping[str, Any]) -> bool:
    """Whether a schedule is of another kind than data quality, whose baseline has all columns."""
    config = schedule["MonitoringScheduleConfig"]
    return (config.get("MonitoringType") or "DataQuality") != "DataQuality"


def _baseline(
    imported: Imported,
    found: Descriptions,
    places: Places,
    name: str,
    job: Job,
    data: Mapping[str, str],
    *,
    compat: bool,
) -> dict[str, Any] | None:
    """Return the baseline of a schedule, made of the rows that its baselining job read."""
    subject = f"Baseline/{name}"
    processing = _processing(found, job)
    rows = data.get(name) or _dataset(processing)
    if not rows:
        imported.remark(subject, _unknown_rows(name, job))
        return None
    spec: dict[str, Any] = {"data": places.place(rows)}
    config = found.analysis_configs.get(job.config)
    spec |= _roles(imported, subject, job, processing.get("Environment") or {}, config)
    if job.kind == "data-quality" and not spec.keys() & {"label", "prediction"}:
        imported.remark(
            subject,
            "TODO: if its rows have the label in their first column, as SageMaker wants it, add "
            f"{'prediction' if compat else 'label'}: COLUMN; requests lack it",
        )
    if job.preprocess:
        script = job.preprocess.rsplit("/", 1)[-1]
        spec["preprocess"] = script
        imported.remark(
            subject, f"copy {job.preprocess} to [scheduler] scripts_dir, where {script} is read"
        )
    return {"kind": "Baseline", "name": name, "spec": spec}


def _processing(found: Descriptions, job: Job) -> Mapping[str, Any]:
    """Return the baselining job: that of the name, or the last that wrote the constraints."""
    if job.baselining_job:
        return found.processing_jobs.get(job.baselining_job, {})
    wrote = [
        processing
        for processing in found.processing_jobs.values()
        for one in (processing.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
        if (one.get("S3Output") or {}).get("S3Uri", "").rstrip("/") == _folder(job) != ""
    ]
    return max(wrote, key=lambda one: str(one.get("CreationTime")), default={})


def _folder(job: Job) -> str:
    return job.constraints.rpartition("/")[0]


def _unknown_rows(name: str, job: Job) -> str:
    text = f"the rows that the baseline was made of are not known; name them by --data {name}=PLACE"
    if job.baselining_job:
        text += f', or save the processing job "{job.baselining_job}", too'
    elif job.constraints:
        text += f", or save the processing job that wrote {_folder(job)}, too"
    text += (
        f". Until then Monitor/{name} is left out, and Endpoint/{job.endpoint} where no other "
        "schedule brings it"
    )
    if job.constraints:
        text += f". For driftline check --compat the folder of {job.constraints} works as it is"
    return text


def _dataset(processing: Mapping[str, Any]) -> str:
    """Return where a baselining job read its rows."""
    inputs = processing.get("ProcessingInputs") or ()
    named = (one for one in inputs if one.get("InputName") == "baseline_dataset_input")
    return next((str((one.get("S3Input") or {}).get("S3Uri") or "") for one in named), "")


def _roles(
    imported: Imported,
    subject: str,
    job: Job,
    environment: Mapping[str, Any],
    config: bytes | None,
) -> dict[str, Any]:
    """Return what columns are for, from Clarify's file, the job's input and its environment."""
    spec: dict[str, Any] = {}
    if config is not None:
        spec |= roles_spec(roles_of_config(config))
    elif job.config:
        imported.remark(
            subject, f"{job.config} says label and facets; copy it and give --map, or add them"
        )
    for key, setting, field_ in (
        ("label", "ground_truth_attribute", ""),
        ("prediction", "inference_attribute", "InferenceAttribute"),
        ("probability", "probability_attribute", "ProbabilityAttribute"),
        ("threshold", "probability_threshold_attribute", "ProbabilityThresholdAttribute"),
    ):
        value = environment.get(setting) or job.input.get(field_)
        if value in (None, ""):
            continue
        if str(value).isdigit() and key != "threshold":
            imported.remark(subject, f"{key} is column {value}; name that column: {key}: COLUMN")
        else:
            spec[key] = float(value) if key == "threshold" else str(value)
    problem = job.problem or environment.get("problem_type")
    if problem in PROBLEMS:
        spec["problem"] = PROBLEMS[problem]
    return spec


def _monitor(
    imported: Imported, name: str, schedule: Mapping[str, Any], job: Job, compat: bool
) -> dict[str, Any]:
    subject = f"Monitor/{name}"
    expression, timing = timing_of(schedule)
    spec: dict[str, Any] = {
        "kind": job.kind, "endpoint": job.endpoint, "baseline": name, "schedule": expression,
    }  # fmt: skip
    if expression == "NOW":
        for key in ("DataAnalysisStartTime", "DataAnalysisEndTime"):
            if timing.get(key):
                spec[snake(key)] = timing[key]
    if compat and kind_named(job.kind).compat_evaluation:
        spec["compat"] = True
    if job.longest_s is not None:
        spec["timeout_s"] = job.longest_s
    late = _offset(imported, subject, job, "EndTimeOffset")
    if late:
        spec["delay_s"] = -late.total_seconds()
    _not_carried_over(imported, name, expression, job, late)
    if job.postprocess:
        spec["postprocess"] = job.postprocess.rsplit("/", 1)[-1]
        imported.remark(subject, f"copy {job.postprocess} to [scheduler] scripts_dir")
    if job.own_image:
        imported.remark(
            subject,
            f"it ran {job.own_image}; here it is judged as {job.kind}. To go on with what that "
            "container runs, make it a program of kind: command (docs/your-own-monitor.md)",
        )
    if job.kind == "attribution":
        imported.remark(subject, "its baseline needs a model: declare a Model and name it there")
    if schedule.get("MonitoringScheduleStatus") == "Stopped":
        imported.remark(subject, "it is stopped at SageMaker; here it runs once it is applied")
    return {"kind": "Monitor", "name": name, "spec": spec}


def _offset(imported: Imported, subject: str, job: Job, key: str) -> timedelta | None:
    """Return a duration, zero where it is not set, None where it is none."""
    text = job.input.get(key)
    if not text:
        return timedelta()
    try:
        return _DURATION.validate_python(text)
    except ValidationError:
        imported.remark(subject, f'{key} "{text}" is no duration; set delay_s, if results are late')
        return None


def _not_carried_over(
    imported: Imported, name: str, expression: str, job: Job, end: timedelta | None
) -> None:
    """Note which windows and columns differ here."""
    subject = f"Monitor/{name}"
    start = _offset(imported, subject, job, "StartTimeOffset")
    period = _period(expression)
    if start and end is not None and period is not None and end - start != period:
        imported.remark(
            subject,
            f"SageMaker's windows are of {end - start} (StartTimeOffset "
            f"{job.input['StartTimeOffset']}); here each is one period of the schedule, {period}",
        )
    for key, text in (
        ("FeaturesAttribute", "features are the columns"),
        ("ExcludeFeaturesAttribute", "name these columns in exclude"),
    ):
        if value := job.input.get(key):
            imported.remark(
                subject, f'{key} "{value}" is not carried over: {text} of Baseline/{name}'
            )


def _period(expression: str) -> timedelta | None:
    """Return how long a window is; None of a single run, and of what `_checked` will refuse."""
    try:
        window = next(windows_from(Schedule(expression), datetime(2024, 1, 1, tzinfo=UTC)), None)
    except ScheduleError:
        return None
    return None if window is None else window.end - window.start


def _commands(
    imported: Imported, found: Descriptions, places: Places, endpoints: Mapping[str, str]
) -> None:
    """Note the commands that bring what was captured and labelled, and how much was captured."""
    for endpoint in endpoints:
        captured = found.capture_of(endpoint)
        if uri := str(captured.get("DestinationS3Uri") or "").rstrip("/"):
            place = places.place(f"{uri}/{endpoint}")
            imported.commands.append(f"driftline capture import {place} --endpoint {endpoint}")
        percentage = captured.get(
            "CurrentSamplingPercentage", captured.get("InitialSamplingPercentage", 100)
        )
        if percentage < 100:
            imported.remark(
                f"Endpoint/{endpoint}",
                f"SageMaker captured {percentage} % of its requests; here the app that captures "
                f"decides: sampling_percentage={percentage} of dl.Capture",
            )
    jobs = (job_of(one, found.definitions) for one in found.schedules.values())
    labels = {(one.labels, one.endpoint) for one in jobs if one is not None and one.labels}
    imported.commands += [
        f"driftline truth load {places.place(uri)} --endpoint {endpoint}"
        for uri, endpoint in sorted(labels)
        if endpoint in endpoints
    ]


def _alarm(imported: Imported, kind: str, name: str, alarm: Mapping[str, Any]) -> None:
    """Add an alarm on what is published here under the same name."""
    namespaces = {
        str(namespace)
        for one in (alarm, *(query.get("MetricStat", {}).get("Metric", {})
                             for query in alarm.get("Metrics") or ()))
        if (namespace := one.get("Namespace"))
    }  # fmt: skip
    if foreign := sorted(one for one in namespaces if not one.startswith(NAMESPACES)):
        imported.remark(f"{kind}/{name}", f"left out: {foreign[0]} is no namespace of SageMaker's")
        return
    names = (AlarmDefinition if kind == "Alarm" else CompositeDefinition).aws_names()
    fields = {names[key]: value for key, value in alarm.items() if key in names}
    actions = sorted({str(one) for key in ACTIONS for one in fields.pop(key, None) or ()})
    fields = {key: value for key, value in fields.items() if value not in (None, "", [])}
    spec = {key: value for key, value in fields.items() if key not in ("alarm_name", "tags")}
    if actions:
        imported.remark(
            f"{kind}/{name}",
            f"nobody is told yet: {', '.join(actions)} stands for a Channel; declare it, and name "
            "it in alarm_actions",
        )
    imported.resources.append({"kind": kind, "name": name, "spec": spec})


def _checked(imported: Imported) -> Imported:
    """Leave out what would be refused, with the sentence that says why."""
    kept = []
    for one in imported.resources:
        try:
            parse_resources([one])
        except DriftlineError as error:
            imported.remark(f"{one['kind']}/{one['name']}", f"left out: {error}")
        else:
            kept.append(one)
    imported.resources = json.loads(json.dumps(kept, default=str))
    _leave_out_composites(imported)
    if not kept and not imported.remarks:
        raise InputError("nothing to import")
    return imported


def _leave_out_composites(imported: Imported) -> None:
    """Leave out composites on alarms that are left out: `apply` would refuse the whole file."""
    while True:
        alarms = {one["name"] for one in imported.resources if one["kind"].endswith("Alarm")}
        missing = {
            one["name"]: lacking
            for one in imported.resources
            if one["kind"] == "CompositeAlarm" and (lacking := _watched(one["spec"]) - alarms)
        }
        if not missing:
            return
        for name, lacking in missing.items():
            imported.remark(
                f"CompositeAlarm/{name}",
                f"left out: it names {', '.join(sorted(lacking))}, which was left out or not saved",
            )
        imported.resources = [
            one
            for one in imported.resources
            if one["kind"] != "CompositeAlarm" or one["name"] not in missing
        ]


def _watched(spec: Mapping[str, Any]) -> set[str]:
    """Return the alarms that a composite's rule is about, and that which holds it back."""
    suppressor = spec.get("actions_suppressor")
    held = {alarm_name(suppressor)} if suppressor else set()
    return held | set(Rule.parse(spec["alarm_rule"].strip()).names)
