"""SageMaker's monitoring schedules, over our Monitors: their executions, and their alerts.

Each run of a Monitor is a processing job, too: SDKs read its documents where that says that they
are. Each schedule has one alert, an Alarm on the violations of its Monitor.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC

from sqlalchemy import Connection, case, select

from driftline.monitors import tables
from driftline.monitors.executions import (
    COLUMNS,
    COMPLETED,
    STOPPED,
    VIOLATED,
    Execution,
    execution_of,
    list_executions,
)
from driftline.monitors.kind import kind_named
from driftline.monitors.run.described import output_of
from driftline.serving.aws.lists import Summary, listed, read_page
from driftline.serving.aws.monitoring_definitions import baseline_of, brought, definition
from driftline.serving.aws.ours import (
    amend,
    apply_declared,
    arn_of,
    as_read,
    changed,
    declared,
    delete_declared,
    every,
    reads_again,
)
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves, serves_each
from driftline.serving.operations.alarms import alarm_history
from driftline.serving.operations.jobs import DescribedProcessingJob
from driftline.serving.operations.monitors import execution, executions
from driftline.serving.operations.registry import Json
from driftline.serving.operations.resources import apply, list_resources
from driftline.serving.operations.services import Services
from driftline.serving.processing.definition import Channel
from driftline.serving.processing.schedules import KINDS, monitor_spec, monitoring_job
from driftline.serving.provisioning.apply import Declaration, Deletion
from driftline.serving.resources.specs import MonitorSpec, baseline_and_pin

# The processing job that a run of a monitor is: the end of its window, and its id.
EXECUTION = re.compile(r"model-monitoring-\d{12}-([0-9a-f]{32})")
# SageMaker's limit of a FailureReason.
_REASON_CHARACTERS = 1024
_SCHEDULE = "MonitoringSchedule"
_table = tables.executions.c
# As SageMaker has it: whatever has no verdict is "Failed".
_STATUS = case((_table.status.in_((COMPLETED, VIOLATED, STOPPED)), _table.status), else_="Failed")
_COLUMNS = {
    "Status": _STATUS,
    "ScheduledTime": _table.window_end,
    "CreationTime": _table.started_at,
    "LastModifiedTime": _table.finished_at,
}
_ALERT, _ALARM = "violations", "monitoring-alert/"
# What of a Monitor its schedule's configuration says, and where it is kept with that.
_WATCHED, _SAID_OF = ("kind", "endpoint", "baseline", "schedule"), "said-of"
_TYPES = {ours: theirs for theirs, ours in KINDS.items()}
# Filters of lists, and what each is of.
_EQUALS = {
    "EndpointName": "EndpointName",
    "MonitoringJobDefinitionName": "MonitoringJobDefinitionName",
    "MonitoringTypeEquals": "MonitoringType",
}
_SCRIPTS = {
    "RecordPreprocessorSourceUri": "preprocess",
    "PostAnalyticsProcessorSourceUri": "postprocess",
}
# What a Monitor has where its schedule does not say.
_DEFAULTS = {
    field: MonitorSpec.model_fields[field].default
    for field in (
        "data_analysis_start_time", "data_analysis_end_time", "timeout_s", "delay_s",
        *_SCRIPTS.values(),
    )
}  # fmt: skip


@serves("sagemaker.CreateMonitoringSchedule")
@reads_again
async def create_schedule(wire: Wire, given: Given) -> Answer:
    """Declare a Monitor, and the Alarm on its violations."""
    await wire.asking.require(apply, "admin")  # Before files are read for them.
    name = given["MonitoringScheduleName"]
    if await declared(wire, "monitors", name) is not None:
        text = f"Monitoring Schedule with name {name} already exists"
        raise WireError("ResourceInUse", text)
    needed, spec = await _monitored(wire, given)
    if spec["schedule"] != "NOW":  # One run has no periods.
        alarm = {
            "monitor": name, "metric_name": "violations", "statistic": "Maximum",
            "threshold": 0.0, "comparison_operator": "GreaterThanThreshold",
            "evaluation_periods": 1, "datapoints_to_alarm": 1, "treat_missing_data": "ignore",
        }  # fmt: skip
        needed.append(Declaration({"kind": "Alarm", "name": _ALARM + name, "spec": alarm}))
    spec["compat"] = kind_named(spec["kind"]).compat_evaluation is not None
    monitor = {"kind": "Monitor", "name": name, "spec": spec}
    return await _declare(wire, given, needed, monitor, None)


@serves("sagemaker.UpdateMonitoringSchedule")
@reads_again
async def update_schedule(wire: Wire, given: Given) -> Answer:
    """Change of a Monitor what its schedule says; all else of it stays."""
    await wire.asking.require(apply, "admin")
    monitor = await _schedule(wire, given["MonitoringScheduleName"])
    needed, fields = await _monitored(wire, given)
    return await _declare(wire, given, needed, changed(monitor, **fields), monitor)


async def _monitored(wire: Wire, given: Given) -> tuple[list[Declaration], Json]:
    """Return what the Monitor of a schedule needs, and the fields that its schedule says."""
    name, config = given["MonitoringScheduleName"], given["MonitoringScheduleConfig"]
    kind, needed = config.get("MonitoringType", "DataQuality"), []
    if (inline := config.get("MonitoringJobDefinition")) is not None:
        job, baseline = monitoring_job(kind, inline), name
        before = await declared(wire, "baselines", baseline)
        needed.append(await baseline_of(wire, baseline, before, job, _SCHEDULE))
    else:
        baseline = config.get("MonitoringJobDefinitionName", "")
        found = await definition(wire, f"{kind}JobDefinition", baseline)
        job = monitoring_job(kind, found["said"])
    endpoint = await declared(wire, "endpoints", job.input["EndpointName"])
    if endpoint is None:
        arn = arn_of(wire, "Endpoint", job.input["EndpointName"])
        raise WireError("ValidationException", f'Could not find endpoint "{arn}".')
    if not any(endpoint["spec"].get(key) for key in ("baseline", "signature")):
        if "RecordPreprocessorSourceUri" in job.application:
            raise WireError(
                "ValidationException",
                f'RecordPreprocessorSourceUri: endpoint "{endpoint["name"]}" has no columns, and a '
                "script's are not those of its requests; apply it with a baseline of rows as they "
                "are sent",
            )
        # Its columns are then those of the baseline: nobody else says what they are.
        needed.append(Declaration(changed(endpoint, baseline=baseline), as_read(endpoint)))
    return needed, {
        **_DEFAULTS,
        **monitor_spec(config, job, job.input["EndpointName"], baseline),
        "output": job.output,
        "labels": (job.inputs.get("GroundTruthS3Input") or {}).get("S3Uri"),
        **{
            field: job.application[key].rpartition("/")[2]
            for key, field in _SCRIPTS.items()
            if key in job.application
        },
    }


async def _declare(
    wire: Wire, given: Given, needed: list[Declaration], monitor: Json, before: Json | None
) -> Answer:
    """Apply a Monitor and what it needs, with what was said of which Monitor."""
    said = {**given, _SAID_OF: [monitor["spec"][key] for key in _WATCHED]}
    await apply_declared(wire, *needed, Declaration(monitor, as_read(before), said))
    return {"MonitoringScheduleArn": arn_of(wire, _SCHEDULE, given["MonitoringScheduleName"])}


@serves_each("sagemaker.{}MonitoringSchedule", ("Start", "Stop"))
async def start_or_stop_schedule(verb: str, wire: Wire, given: Given) -> Answer:
    """Have windows run again, those from now on, or none run by itself."""
    is_stop, name = verb == "Stop", given["MonitoringScheduleName"]
    fields = {"paused": is_stop} | ({} if is_stop else {"start": wire.now.isoformat()})
    if not await amend(
        wire, "monitors", name, lambda spec: {} if spec["paused"] is is_stop else fields
    ):
        raise _missing(wire, name)
    return {}


@serves("sagemaker.DeleteMonitoringSchedule")
@reads_again
async def delete_schedule(wire: Wire, given: Given) -> Answer:
    """Delete a Monitor with its alarm; its history stays."""
    monitor = await _schedule(wire, given["MonitoringScheduleName"])
    name, baseline = monitor["name"], monitor["spec"]["baseline"]
    deletions = [
        Deletion("Alarm", _ALARM + name, if_there=True),
        Deletion("Monitor", name, as_read(monitor)),
    ]
    held = await declared(wire, "baselines", baseline) if baseline == name else None
    if held is not None and brought(held, _SCHEDULE):
        # It stays where columns of an endpoint are named by it.
        deletions.append(Deletion("Baseline", baseline, as_read(held), if_free=True))
    await delete_declared(wire, *deletions)
    return {}


@serves("sagemaker.DescribeMonitoringSchedule")
async def describe_schedule(wire: Wire, given: Given) -> Answer:
    """Return a schedule, its status and its last execution."""
    monitor = await _schedule(wire, given["MonitoringScheduleName"])
    summary, last = _schedule_summary(wire, monitor), await _last_run(wire, monitor)
    said, spec, reason = monitor["said"], monitor["spec"], monitor["status"]["reason"]
    config = {
        **{key: summary[key] for key in ("MonitoringJobDefinitionName", "MonitoringType")},
        "ScheduleConfig": {"ScheduleExpression": spec["schedule"]},
    }
    if said.get(_SAID_OF) == [spec[key] for key in _WATCHED]:  # Else it was applied otherwise.
        config = said["MonitoringScheduleConfig"]
    return {
        **summary,
        "MonitoringScheduleConfig": config,
        "FailureReason": reason and reason[:_REASON_CHARACTERS],
        "LastMonitoringExecutionSummary": last,
    }


@serves("sagemaker.ListMonitoringSchedules")
async def list_schedules(wire: Wire, given: Given) -> Answer:
    """List the Monitors whose kind SageMaker has."""
    shown = [_schedule_summary(wire, one) for one in await _schedules(wire)]
    return listed(
        wire, given, shown, "MonitoringScheduleSummaries", name="MonitoringScheduleName",
        equals={**_EQUALS, "StatusEquals": "MonitoringScheduleStatus"},
    )  # fmt: skip


async def _last_run(wire: Wire, monitor: Json) -> Summary | None:
    """Return the run of a monitor's newest window whose results stand."""
    name, definition_name = monitor["name"], _definition_name(monitor)

    def read(_services: Services, connection: Connection) -> list[Execution]:
        return list_executions(connection, name, only_current=True, limit=1)

    found = await wire.asking.read(executions, read, name=name)
    return _execution_summary(wire, found[0], definition_name) if found else None


def _definition_name(monitor: Json) -> str:
    return baseline_and_pin(monitor["spec"]["baseline"])[0]


async def _schedule(wire: Wire, name: str) -> Json:
    if (monitor := await declared(wire, "monitors", name)) is None:
        raise _missing(wire, name)
    return monitor


async def _schedules(wire: Wire) -> list[Json]:
    """Return the Monitors whose kind SageMaker has."""
    monitors = await every(wire, list_resources, collection="monitors")
    return [vars(one) for one in monitors if one.spec["kind"] in _TYPES]


def _missing(wire: Wire, name: str) -> WireError:
    text = f"Monitoring Schedule {arn_of(wire, _SCHEDULE, name)} not found"
    return WireError("ResourceNotFound", text)


def _schedule_summary(wire: Wire, monitor: Json) -> Summary:
    spec, phase = monitor["spec"], monitor["status"]["phase"]
    status = "Stopped" if spec["paused"] else "Scheduled"
    return {
        "MonitoringScheduleName": monitor["name"],
        "MonitoringScheduleArn": arn_of(wire, _SCHEDULE, monitor["name"]),
        "CreationTime": monitor["created_at"],
        "LastModifiedTime": monitor["updated_at"],
        "MonitoringScheduleStatus": status if phase == "Ready" else phase,
        "EndpointName": spec["endpoint"],
        "MonitoringJobDefinitionName": _definition_name(monitor),
        "MonitoringType": _TYPES.get(spec["kind"]),
    }


@serves("sagemaker.ListMonitoringExecutions")
async def list_monitoring_executions(wire: Wire, given: Given) -> Answer:
    """List runs of one monitor or of all, the newest window first."""
    name = given.get("MonitoringScheduleName")
    monitors = await _schedules(wire) if name is None else [await _schedule(wire, name)]
    of = {one["name"]: _definition_name(one) for one in monitors}
    asked = given.get("MonitoringJobDefinitionName")
    names = [one for one, definition_name in of.items() if asked in (None, definition_name)]
    query = select(*COLUMNS).where(_table.monitor.in_(names), _table.is_current)
    for column, value in (
        (_table.endpoint, given.get("EndpointName")), (_STATUS, given.get("StatusEquals")),
        (_table.kind, KINDS.get(given.get("MonitoringTypeEquals", ""))),
    ):  # fmt: skip
        query = query if value is None else query.where(column == value)

    def read(_services: Services, connection: Connection) -> Answer:
        rows, token = read_page(
            connection, wire, given, query, _COLUMNS, _table.id, order="ScheduledTime"
        )
        shown = [_execution_summary(wire, one, of[one.monitor]) for one in map(execution_of, rows)]
        return {"MonitoringExecutionSummaries": shown, "NextToken": token}

    return await wire.asking.read(executions, read, name=name or "")


def _execution_summary(wire: Wire, one: Execution, definition_name: str | None = None) -> Summary:
    """Return an execution as SageMaker does.

    It has no "NoData" or "InsufficientData": both are "Failed", with the reason, because a window
    without a verdict has not passed.
    """
    is_known = one.status in (COMPLETED, VIOLATED, STOPPED)
    reason = one.failure_reason or one.headline or one.status
    name = f"model-monitoring-{one.window_end.astimezone(UTC):%Y%m%d%H%M}-{uuid.UUID(one.id).hex}"
    return {
        "MonitoringScheduleName": one.monitor,
        "ScheduledTime": one.window_end,
        "CreationTime": one.started_at,
        "LastModifiedTime": one.finished_at,
        "MonitoringExecutionStatus": one.status if is_known else "Failed",
        "ProcessingJobArn": arn_of(wire, "ProcessingJob", name),
        "EndpointName": one.endpoint or None,
        "FailureReason": None if is_known else reason[:_REASON_CHARACTERS],
        "MonitoringType": _TYPES.get(one.kind),
        "MonitoringJobDefinitionName": definition_name,
    }


async def executed(wire: Wire, name: str) -> tuple[DescribedProcessingJob, Answer]:
    """Return the processing job that a run is, and what such a job has besides."""
    run = uuid.UUID(name.rpartition("-")[2])
    one: Execution = await wire.ask(execution, execution_id=str(run))
    monitor = await declared(wire, "monitors", one.monitor)
    output = None if monitor is None else monitor["spec"]["output"]
    root, summary = wire.services.context.root, _execution_summary(wire, one)
    documents = output_of(output, one.endpoint, one.monitor, one.window) or f"{root}/{one.folder}"
    status = summary["MonitoringExecutionStatus"]
    job = DescribedProcessingJob.model_construct(
        processing_job_name=name,
        analyzer="model-monitor" if one.kind.endswith("quality") else "clarify",
        processing_inputs=[
            _channel("endpoint_input_1", f"{root}/capture/{one.endpoint}", "input/endpoint")
        ],
        processing_outputs=[_channel("monitoring_output", documents, "output")],
        environment={},
        processing_job_status=COMPLETED if status == VIOLATED else status,
        failure_reason=summary["FailureReason"],
        exit_message=None if status == "Failed" else _exit_message(one),
        creation_time=one.started_at,
        processing_start_time=one.started_at,
        processing_end_time=one.finished_at,
    )
    return job, {"MonitoringScheduleArn": arn_of(wire, _SCHEDULE, one.monitor)}


def _exit_message(one: Execution) -> str:
    """Word how a run ended in SageMaker's words, which clients read the count of."""
    if one.status == STOPPED:
        return one.status
    count = "no" if one.status == COMPLETED else one.violation_count
    return f"{one.status}: Job completed successfully with {count} violations."


def _channel(name: str, place: str, path: str) -> Channel:
    return Channel(name=name, s3_uri=place, local_path=f"/opt/ml/processing/{path}")


@serves("sagemaker.ListMonitoringAlerts")
async def list_alerts(wire: Wire, given: Given) -> Answer:
    """List the alert of a schedule; one that runs once has none."""
    monitor = await declared(wire, "monitors", given["MonitoringScheduleName"])
    if monitor is not None and monitor["spec"]["schedule"] == "NOW":
        return {"MonitoringAlertSummaries": []}
    alarm = await _alarm(wire, given["MonitoringScheduleName"])
    summary = {
        "MonitoringAlertName": _ALERT,
        "CreationTime": alarm["created_at"],
        "LastModifiedTime": alarm["updated_at"],
        "AlertStatus": _alert_status(alarm["status"]["state_value"]),
        "DatapointsToAlert": alarm["spec"]["datapoints_to_alarm"],
        "EvaluationPeriod": alarm["spec"]["evaluation_periods"],
        "Actions": {"ModelDashboardIndicator": {"Enabled": True}},
    }
    return {"MonitoringAlertSummaries": [summary]}


@serves("sagemaker.UpdateMonitoringAlert")
async def update_alert(wire: Wire, given: Given) -> Answer:
    """Change of how many runs how many must have violations."""
    schedule, alert = given["MonitoringScheduleName"], given["MonitoringAlertName"]
    if alert != _ALERT:
        text = f'Monitoring alert "{alert}" not found; there is "{_ALERT}"'
        raise WireError("ResourceNotFound", text)
    counts = {
        "evaluation_periods": given["EvaluationPeriod"],
        "datapoints_to_alarm": given["DatapointsToAlert"],
    }
    if not await amend(wire, "alarms", _ALARM + schedule, lambda _spec: counts):
        raise _missing(wire, schedule)
    arn = arn_of(wire, _SCHEDULE, schedule)
    return {"MonitoringScheduleArn": arn, "MonitoringAlertName": _ALERT}


@serves("sagemaker.ListMonitoringAlertHistory")
async def list_alert_history(wire: Wire, given: Given) -> Answer:
    """List when the alert of a schedule changed its status."""
    if (schedule := given.get("MonitoringScheduleName")) is None:
        raise WireError("ValidationException", "MonitoringScheduleName: expected one")
    await _alarm(wire, schedule)
    shown = [
        {
            "MonitoringScheduleName": schedule,
            "MonitoringAlertName": _ALERT,
            "CreationTime": one.time,
            "AlertStatus": _alert_status(one.summary.rpartition(" to ")[2]),
        }
        for one in await every(wire, alarm_history, name=_ALARM + schedule, type="StateUpdate")
    ]
    return listed(
        wire, given, shown, "MonitoringAlertHistory", name="MonitoringAlertName",
        equals={"StatusEquals": "AlertStatus"},
    )  # fmt: skip


async def _alarm(wire: Wire, schedule: str) -> Json:
    if (alarm := await declared(wire, "alarms", _ALARM + schedule)) is None:
        raise _missing(wire, schedule)
    return alarm


def _alert_status(state: str) -> str:
    return "InAlert" if state.strip(".") == "ALARM" else "OK"
