"""SageMaker's monitoring schedules and their job definitions, over our Monitor and Baseline.

A job definition is a Baseline and what is kept beside it; a schedule is a Monitor. Each run of a
monitor is a processing job, too: SDKs read its documents where that says that they are.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Any

from driftline.database.engine import read_connection
from driftline.errors import ConflictError, NotFoundError
from driftline.monitors.executions import COMPLETED, STOPPED, VIOLATED, EndedExecution, Execution
from driftline.monitors.kind import kind_named
from driftline.monitors.run.described import output_of
from driftline.serving.aws.kept import forget, keep, kept
from driftline.serving.aws.lists import listed
from driftline.serving.aws.monitoring_baselines import baseline_of, brought
from driftline.serving.aws.ours import every
from driftline.serving.aws.sagemaker_alerts import alert_resource, delete_alert
from driftline.serving.aws.served import SERVED, Answer, Given, Wire, WireError, serves
from driftline.serving.operations.authorization import withheld
from driftline.serving.operations.monitors import execution, executions
from driftline.serving.operations.resources import apply, delete_resource, list_resources
from driftline.serving.processing.schedules import (
    KINDS,
    monitor_spec,
    monitoring_job,
)
from driftline.serving.resources import store
from driftline.serving.resources.specs import MonitorSpec
from driftline.serving.resources.store import Stored

# The processing job that a run of a monitor is: the end of its window, and its id.
EXECUTION = re.compile(r"model-monitoring-\d{12}-([0-9a-f]{32})")
# SageMaker's limit of a FailureReason.
_REASON_CHARACTERS = 1024
_SCHEDULE, _INVALID = "MonitoringSchedule", "ValidationException"
_TYPES = {ours: theirs for theirs, ours in KINDS.items()}
# Filters of lists, and what each is of.
_EQUALS = {
    "EndpointName": "EndpointName",
    "MonitoringJobDefinitionName": "MonitoringJobDefinitionName",
    "MonitoringTypeEquals": "MonitoringType",
}
_CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}


async def create_definition(kind: str, wire: Wire, given: Given) -> Answer:
    """Declare the Baseline of a definition, and keep the rest beside it."""
    await wire.asking.require(apply, "admin")  # Before files are read for them.
    name, own = given["JobDefinitionName"], f"{kind}JobDefinition"
    arn = _definition_arn(wire, kind, name)
    before = brought(wire, name, own)
    if before and await kept(wire, own, name):
        raise WireError("ResourceInUse", f"Job definition {arn} already exists")
    job = monitoring_job(kind, given)
    baseline = await baseline_of(wire, name, job, own)
    await wire.ask(apply, resources=[baseline], if_none_match=None if before else "*")
    await keep(wire, own, name, {**given, "CreationTime": wire.now})
    return {"JobDefinitionArn": arn}


async def describe_definition(kind: str, wire: Wire, given: Given) -> Answer:
    """Return a definition as it was created."""
    name = given["JobDefinitionName"]
    await _row(wire, "Baseline", name, _no_definition(wire, kind, name))
    found = await kept(wire, f"{kind}JobDefinition", name)
    if not found:
        raise _no_definition(wire, kind, name)
    found.pop("Tags", None)
    made_at = datetime.fromisoformat(found.pop("CreationTime"))
    return {
        **found, "JobDefinitionArn": _definition_arn(wire, kind, name), "CreationTime": made_at,
    }  # fmt: skip


async def list_definitions(kind: str, wire: Wire, given: Given) -> Answer:
    """List definitions."""
    found = []
    for one in await every(wire, list_resources, collection="baselines"):
        document = await kept(wire, f"{kind}JobDefinition", one.name)
        endpoint = monitoring_job(kind, document).input.get("EndpointName", "") if document else ""
        if document:
            found.append({
                "MonitoringJobDefinitionName": one.name,
                "MonitoringJobDefinitionArn": _definition_arn(wire, kind, one.name),
                "CreationTime": datetime.fromisoformat(document["CreationTime"]),
                "EndpointName": endpoint,
            })  # fmt: skip
    return listed(
        wire, given, found, "JobDefinitionSummaries", name="MonitoringJobDefinitionName",
        equals={"EndpointName": "EndpointName"},
    )  # fmt: skip


async def delete_definition(kind: str, wire: Wire, given: Given) -> Answer:
    """Forget a definition; its Baseline stays where an endpoint's columns are named by it."""
    name = given["JobDefinitionName"]
    await describe_definition(kind, wire, given)
    with read_connection(wire.services.context.engine) as connection:
        users = store.users_of(connection, "Baseline", name)
    if monitors := [one.name for one in users if one.kind == "Monitor"]:
        text = f"Job definition {name} is in use by monitoring schedule {monitors[0]}"
        raise WireError("ResourceInUse", text)
    if not users and brought(wire, name, f"{kind}JobDefinition"):
        await wire.ask(delete_resource, collection="baselines", name=name)
    else:
        await wire.asking.require(apply, "admin")
    await forget(wire, f"{kind}JobDefinition", name)
    return {}


for _kind in KINDS:
    for _verb, _function in (
        ("Create", create_definition), ("Describe", describe_definition),
        ("Delete", delete_definition),
    ):  # fmt: skip
        SERVED[f"sagemaker.{_verb}{_kind}JobDefinition"] = partial(_function, _kind)
    SERVED[f"sagemaker.List{_kind}JobDefinitions"] = partial(list_definitions, _kind)


def _definition_arn(wire: Wire, kind: str, name: str) -> str:
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", f"{kind}JobDefinition").lower()
    return wire.arn("sagemaker", word, name)


def _no_definition(wire: Wire, kind: str, name: str) -> WireError:
    arn = _definition_arn(wire, kind, name)
    return WireError("ResourceNotFound", f"Could not find job definition {arn}")


@serves("sagemaker.CreateMonitoringSchedule")
async def create_schedule(wire: Wire, given: Given) -> Answer:
    """Declare a Monitor."""
    await wire.asking.require(apply, "admin")  # Before files are read for them.
    name = given["MonitoringScheduleName"]
    with read_connection(wire.services.context.engine) as connection:
        if store.find(connection, "Monitor", name) is not None:
            text = f"Monitoring Schedule with name {name} already exists"
            raise WireError("ResourceInUse", text)
    return await _put_schedule(wire, given, is_new=True)


@serves("sagemaker.UpdateMonitoringSchedule")
async def update_schedule(wire: Wire, given: Given) -> Answer:
    """Declare a Monitor otherwise."""
    await wire.asking.require(apply, "admin")
    name = given["MonitoringScheduleName"]
    row = await _row(wire, "Monitor", name, _no_schedule(wire, name))
    before = await kept(wire, _SCHEDULE, row.name)
    tags = {"Tags": before["Tags"]} if before.get("Tags") else {}
    return await _put_schedule(wire, {**given, **tags}, paused=bool(row.spec["paused"]))


async def _put_schedule(
    wire: Wire, given: Given, *, paused: bool = False, is_new: bool = False
) -> Answer:
    name, config = given["MonitoringScheduleName"], given["MonitoringScheduleConfig"]
    kind = config.get("MonitoringType", "DataQuality")
    resources = []
    if (inline := config.get("MonitoringJobDefinition")) is not None:
        job, baseline = monitoring_job(kind, inline), name
        resources.append(await baseline_of(wire, baseline, job, _SCHEDULE))
    else:
        baseline = config.get("MonitoringJobDefinitionName", "")
        document = await kept(wire, f"{kind}JobDefinition", baseline)
        if not document:
            raise _no_definition(wire, kind, baseline)
        job = monitoring_job(kind, document)
    endpoint = job.input["EndpointName"]
    with read_connection(wire.services.context.engine) as connection:
        row = store.find(connection, "Endpoint", endpoint)
    if row is None:
        arn = wire.arn("sagemaker", "endpoint", endpoint)
        raise WireError(_INVALID, f'Could not find endpoint "{arn}".')
    if row.spec.get("baseline") is None and row.spec.get("signature") is None:
        # Its columns are then those of the baseline: nobody else says what they are.
        resources.append(_declared(row, baseline=baseline))
    spec = {**monitor_spec(config, job, endpoint, baseline), "paused": paused}
    spec |= {"compat": kind_named(job.kind).compat_evaluation is not None, "output": job.output}
    for key, field in (
        ("RecordPreprocessorSourceUri", "preprocess"),
        ("PostAnalyticsProcessorSourceUri", "postprocess"),
    ):
        if uri := job.application.get(key):
            spec[field] = uri.rpartition("/")[2]
    resources.append({"kind": "Monitor", "name": name, "spec": spec})
    if is_new and spec["schedule"] != "NOW":  # One run has no periods.
        resources.append(alert_resource(name))
    await wire.ask(apply, resources=resources)
    await keep(wire, _SCHEDULE, name, given)
    return {"MonitoringScheduleArn": wire.arn("sagemaker", "monitoring-schedule", name)}


def _declared(row: Stored, **changed: object) -> dict[str, Any]:
    declared = row.declared()
    spec = {**declared["spec"], **changed}
    return {**declared, "kind": row.kind, "name": row.name, "spec": spec}


@serves("sagemaker.StopMonitoringSchedule")
async def stop_schedule(wire: Wire, given: Given) -> Answer:
    """Have no window run by itself."""
    return await _change(wire, given["MonitoringScheduleName"], paused=True)


@serves("sagemaker.StartMonitoringSchedule")
async def start_schedule(wire: Wire, given: Given) -> Answer:
    """Have windows run again, those from now on."""
    name = given["MonitoringScheduleName"]
    return await _change(wire, name, paused=False, start=wire.now.isoformat())


async def _change(wire: Wire, name: str, **changed: object) -> Answer:
    row = await _row(wire, "Monitor", name, _no_schedule(wire, name))
    if row.spec["paused"] != changed["paused"]:
        await wire.ask(apply, resources=[_declared(row, **changed)])
    return {}


@serves("sagemaker.DeleteMonitoringSchedule")
async def delete_schedule(wire: Wire, given: Given) -> Answer:
    """Delete a Monitor; its history stays."""
    name = given["MonitoringScheduleName"]
    row = await _row(wire, "Monitor", name, _no_schedule(wire, name))
    await delete_alert(wire, row.name)
    await wire.ask(delete_resource, collection="monitors", name=row.name)
    await forget(wire, _SCHEDULE, row.name)
    baseline = str(row.spec["baseline"])
    if baseline == row.name and brought(wire, baseline, _SCHEDULE):  # It held its job itself.
        try:
            await wire.ask(delete_resource, collection="baselines", name=baseline)
        except (ConflictError, NotFoundError):
            return {}  # Columns of an endpoint are named by it.
    return {}


@serves("sagemaker.DescribeMonitoringSchedule")
async def describe_schedule(wire: Wire, given: Given) -> Answer:
    """Return a schedule, its status and its last execution."""
    name = given["MonitoringScheduleName"]
    row = await _row(wire, "Monitor", name, _no_schedule(wire, name))
    document = await kept(wire, _SCHEDULE, row.name)
    spec = MonitorSpec.model_validate(row.spec)
    config = document.get("MonitoringScheduleConfig") or {
        "ScheduleConfig": {"ScheduleExpression": spec.schedule},
        "MonitoringJobDefinitionName": spec.baseline.partition("@")[0],
        "MonitoringType": _TYPES.get(spec.kind),
    }
    last = await _runs(wire, row.name)
    shown = _schedule_summary(wire, row)
    del shown["MonitoringJobDefinitionName"]
    return {
        **shown, "MonitoringScheduleConfig": config,
        "FailureReason": (reason := withheld(row.reason)) and reason[:_REASON_CHARACTERS],
        "LastMonitoringExecutionSummary": _execution_summary(wire, last[0]) if last else None,
    }  # fmt: skip


@serves("sagemaker.ListMonitoringSchedules")
async def list_schedules(wire: Wire, given: Given) -> Answer:
    """List the Monitors whose kind SageMaker has."""
    await wire.ask(list_resources, collection="monitors", limit=1)  # As whoever may.
    with read_connection(wire.services.context.engine) as connection:
        rows = store.list_kind(connection, "Monitor")
    shown = [_schedule_summary(wire, row) for row in rows if row.spec["kind"] in _TYPES]
    return listed(
        wire, given, shown, "MonitoringScheduleSummaries", name="MonitoringScheduleName",
        equals={**_EQUALS, "StatusEquals": "MonitoringScheduleStatus"},
    )  # fmt: skip


def _schedule_summary(wire: Wire, row: Stored) -> dict[str, Any]:
    status = {"Pending": "Pending", "Failed": "Failed"}.get(row.phase, "Scheduled")
    return {
        "MonitoringScheduleName": row.name,
        "MonitoringScheduleArn": wire.arn("sagemaker", "monitoring-schedule", row.name),
        "CreationTime": row.created_at,
        "LastModifiedTime": row.updated_at,
        "MonitoringScheduleStatus": (
            "Stopped" if status == "Scheduled" and row.spec["paused"] else status
        ),
        "EndpointName": row.spec["endpoint"],
        "MonitoringJobDefinitionName": str(row.spec["baseline"]).partition("@")[0],
        "MonitoringType": _TYPES.get(row.spec["kind"]),
    }


def _no_schedule(wire: Wire, name: str) -> WireError:
    arn = wire.arn("sagemaker", "monitoring-schedule", name)
    return WireError("ResourceNotFound", f"Monitoring Schedule {arn} not found")


@serves("sagemaker.ListMonitoringExecutions")
async def list_monitoring_executions(wire: Wire, given: Given) -> Answer:
    """List runs of one monitor or of all, the newest window first."""
    wanted = given.get("MonitoringScheduleName")
    if wanted is not None:
        await _row(wire, "Monitor", wanted, _no_schedule(wire, wanted))
    await wire.ask(list_resources, collection="monitors", limit=1)
    with read_connection(wire.services.context.engine) as connection:
        rows = [
            row for row in store.list_kind(connection, "Monitor")
            if row.spec["kind"] in _TYPES
            and (wanted is None or row.name.casefold() == wanted.casefold())
        ]  # fmt: skip
    found = []
    for row in rows:
        for one in await _runs(wire, row.name):
            about = {"MonitoringJobDefinitionName": str(row.spec["baseline"]).partition("@")[0]}
            found.append({**_execution_summary(wire, one), **about})
    return listed(
        wire, given, found, "MonitoringExecutionSummaries", name="ProcessingJobArn",
        equals={**_EQUALS, "StatusEquals": "MonitoringExecutionStatus"}, order="ScheduledTime",
    )  # fmt: skip


async def _runs(wire: Wire, monitor: str) -> list[EndedExecution]:
    """Return the runs of a monitor whose results stand, the newest window first."""
    try:
        found = await every(wire, executions, name=monitor)
    except NotFoundError:  # It is not made yet.
        return []
    return [one for one in found if one.is_current]


def _execution_summary(wire: Wire, one: Execution) -> dict[str, Any]:
    """Return an execution as SageMaker does.

    It has no "NoData" or "InsufficientData": both are "Failed", with the reason, because a window
    without a verdict has not passed.
    """
    is_known = one.status in (COMPLETED, VIOLATED, STOPPED)
    reason = one.failure_reason or one.cause or one.status
    name = f"model-monitoring-{one.window_end.astimezone(UTC):%Y%m%d%H%M}-{uuid.UUID(one.id).hex}"
    return {
        "MonitoringScheduleName": one.monitor,
        "ScheduledTime": one.window_end,
        "CreationTime": one.started_at,
        "LastModifiedTime": one.finished_at,
        "MonitoringExecutionStatus": one.status if is_known else "Failed",
        "ProcessingJobArn": wire.arn("sagemaker", "processing-job", name),
        "EndpointName": one.endpoint or None,
        "FailureReason": None if is_known else reason[:_REASON_CHARACTERS],
        "MonitoringType": _TYPES.get(one.kind),
    }


async def execution_job(wire: Wire, name: str) -> Answer:
    """Return a run of a monitor as the processing job that it is to SageMaker's clients."""
    matched = EXECUTION.fullmatch(name)
    assert matched is not None
    try:
        one: EndedExecution = await wire.ask(execution, execution_id=str(uuid.UUID(matched[1])))
    except NotFoundError:
        text = f"Could not find requested job with name: {name}"
        raise WireError(_INVALID, text) from None
    with read_connection(wire.services.context.engine) as connection:
        row = store.find(connection, "Monitor", one.monitor)
    where = None if row is None else _output_of(row, one)
    summary = _execution_summary(wire, one)
    is_failed = summary["MonitoringExecutionStatus"] == "Failed"
    image = "model-monitor-analyzer" if one.kind.endswith("quality") else "clarify-processing"
    root = wire.services.context.root
    return {
        "ProcessingJobName": name,
        "ProcessingJobArn": summary["ProcessingJobArn"],
        "ProcessingJobStatus": "Failed" if is_failed else one.status if one.status == STOPPED
        else COMPLETED,
        "ExitMessage": None if is_failed else one.exit_message,
        "FailureReason": summary["FailureReason"],
        "CreationTime": one.started_at, "ProcessingStartTime": one.started_at,
        "ProcessingEndTime": one.finished_at, "LastModifiedTime": one.finished_at,
        "MonitoringScheduleArn": wire.arn("sagemaker", "monitoring-schedule", one.monitor),
        "AppSpecification": {"ImageUri": f"driftline/sagemaker-{image}"},
        "ProcessingResources": {"ClusterConfig": _CLUSTER},
        "ProcessingInputs": [{
            "InputName": "endpoint_input_1",
            "S3Input": {
                "S3Uri": f"{root}/capture/{one.endpoint}",
                "LocalPath": "/opt/ml/processing/input/endpoint", "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }],
        "ProcessingOutputConfig": {"Outputs": [{
            "OutputName": "monitoring_output",
            "S3Output": {
                "S3Uri": where or f"{root}/{one.folder}",
                "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob",
            },
        }]},
    }  # fmt: skip


def _output_of(row: Stored, one: Execution) -> str | None:
    output = MonitorSpec.model_validate(row.spec).output
    return output_of(output, one.endpoint, one.monitor, one.window)


async def _row(wire: Wire, kind: Any, name: str, missing: WireError) -> Stored:  # noqa: ANN401
    """Return a resource as it is stored, to whoever may see those of its kind."""
    collection = {"Monitor": "monitors", "Baseline": "baselines"}[kind]
    await wire.ask(list_resources, collection=collection, limit=1)
    with read_connection(wire.services.context.engine) as connection:
        found = store.find(connection, kind, name)
    if found is None:
        raise missing
    return found
