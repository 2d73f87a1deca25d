"""SageMaker's monitoring alerts: of each schedule one, an Alarm on violations of its Monitor."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from driftline.errors import NotFoundError
from driftline.serving.aws.lists import listed
from driftline.serving.aws.ours import every
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.alarms import alarm_history
from driftline.serving.operations.resources import apply, delete_resource, get_resource

ALERT = "violations"
_START = "monitoring-alert/"


def alert_resource(schedule: str, datapoints: int = 1, periods: int = 1) -> dict[str, Any]:
    """Return the Alarm of a schedule: so many of so many runs with violations."""
    spec = {
        "monitor": schedule, "metric_name": "violations", "statistic": "Maximum", "threshold": 0.0,
        "comparison_operator": "GreaterThanThreshold", "evaluation_periods": periods,
        "datapoints_to_alarm": datapoints, "treat_missing_data": "ignore",
    }  # fmt: skip
    return {"kind": "Alarm", "name": _START + schedule, "spec": spec}


async def delete_alert(wire: Wire, schedule: str) -> None:
    """Delete the Alarm of a schedule, if there is one."""
    try:
        await wire.ask(delete_resource, collection="alarms", name=_START + schedule)
    except NotFoundError:
        return


@serves("sagemaker.ListMonitoringAlerts")
async def list_alerts(wire: Wire, given: Given) -> Answer:
    """List the alert of a schedule."""
    found = await _alarm(wire, given["MonitoringScheduleName"])
    summary = {
        "MonitoringAlertName": ALERT,
        "CreationTime": datetime.fromisoformat(found["created_at"]),
        "LastModifiedTime": datetime.fromisoformat(found["updated_at"]),
        "AlertStatus": _status(found["status"]["state_value"]),
        "DatapointsToAlert": found["spec"]["datapoints_to_alarm"],
        "EvaluationPeriod": found["spec"]["evaluation_periods"],
        "Actions": {"ModelDashboardIndicator": {"Enabled": True}},
    }
    return {"MonitoringAlertSummaries": [summary]}


@serves("sagemaker.UpdateMonitoringAlert")
async def update_alert(wire: Wire, given: Given) -> Answer:
    """Change of how many runs how many must have violations."""
    schedule, alert = given["MonitoringScheduleName"], given["MonitoringAlertName"]
    found = await _alarm(wire, schedule)
    if alert != ALERT:
        raise WireError(
            "ResourceNotFound", f'Monitoring alert "{alert}" not found; there is "{ALERT}"'
        )
    counts = {
        "evaluation_periods": given["EvaluationPeriod"],
        "datapoints_to_alarm": given["DatapointsToAlert"],
    }
    declared = {key: found[key] for key in ("kind", "name", "owner", "tags")}
    await wire.ask(apply, resources=[{**declared, "spec": {**found["spec"], **counts}}])
    arn = wire.arn("sagemaker", "monitoring-schedule", schedule)
    return {"MonitoringScheduleArn": arn, "MonitoringAlertName": ALERT}


@serves("sagemaker.ListMonitoringAlertHistory")
async def list_alert_history(wire: Wire, given: Given) -> Answer:
    """List when the alert of a schedule changed its status."""
    if (schedule := given.get("MonitoringScheduleName")) is None:
        raise WireError("ValidationException", "MonitoringScheduleName: expected one")
    await _alarm(wire, schedule)
    runs = await every(wire, alarm_history, name=_START + schedule, type="StateUpdate")
    found = [
        {
            "MonitoringScheduleName": schedule,
            "MonitoringAlertName": ALERT,
            "CreationTime": one.time,
            "AlertStatus": _status(one.summary.rpartition(" to ")[2]),
        }
        for one in runs
    ]
    return listed(
        wire, given, found, "MonitoringAlertHistory", name="MonitoringAlertName",
        equals={"StatusEquals": "AlertStatus"},
    )  # fmt: skip


async def _alarm(wire: Wire, schedule: str) -> dict[str, Any]:
    try:
        found = await wire.ask(get_resource, collection="alarms", name=_START + schedule)
    except NotFoundError:
        arn = wire.arn("sagemaker", "monitoring-schedule", schedule)
        raise WireError("ResourceNotFound", f"Monitoring Schedule {arn} not found") from None
    shown: dict[str, Any] = json.loads(found.body)
    return shown


def _status(state: str) -> str:
    return "InAlert" if state.strip(".") == "ALARM" else "OK"
