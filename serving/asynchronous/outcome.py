"""Notifications and metrics of an asynchronous invocation's result, written as it is closed.

SageMaker Developer Guide: "Check prediction results" and "Monitor asynchronous endpoint".
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, select

from driftline.alerts import tables
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify.event import REGION, Event
from driftline.alerts.notify.message import render_event
from driftline.alerts.notify.receivers.receiver import Style
from driftline.alerts.notify.rows import new_message_id, queue_message
from driftline.serving.metrics.traffic import NAMESPACE
from driftline.serving.tables import async_queue, async_requests

log = logging.getLogger(__name__)

# Queued: waits, or is under way. Completed: its answer lies at the output location. Failed, or
# Expired since nobody came to it in time: why lies at the failure location. Erased: asked to be
# forgotten (erasing.py); without an end until its files are gone, and no server is writing one.
AsyncStatus = Literal["Queued", "Completed", "Failed", "Expired", "Erased"]
# A row of the table of requests.
AsyncRequest = Row[Any]
_WITHHELD = "the failure location says why"
_UNITS = {
    "ApproximateAgeOfOldestRequest": "Seconds",
    **dict.fromkeys(("TimeInBacklog", "TotalProcessingTime"), "Milliseconds"),
}


def notify(
    connection: Connection, channel: str, request: AsyncRequest, status: AsyncStatus,
    now: datetime, reason: str | None,
) -> bool:  # fmt: skip
    """Queue the notification of an outcome; False when its channel does not exist or is off."""
    query = select(tables.channels).where(tables.channels.c.name == channel)
    row = connection.execute(query).one_or_none()
    if row is None or not row.enabled:
        log.warning("endpoint=%s channel=%s event=not-notified", request.endpoint, channel)
        return False
    style, message_id = Style.of(row), new_message_id(now)
    event = _event(request, status, now, reason if style.has_values else reason and _WITHHELD)
    message = render_event(event, message_id=message_id, style=style)
    about = {
        "alarm_id": message_number(request.id),
        "alarm_name": f"asynchronous {request.endpoint}",
        "state_seq": 1,
        "channel": row.name,
        "state": "OK" if status == "Completed" else "ALARM",
        "kind": "inference",
        "facts": {},
    }
    queue_message(connection, message_id, message, now, about)
    return True


def message_number(id_: str) -> int:
    """Return what messages about an invocation have in place of an alarm: each one of its own."""
    return -2 - (uuid.UUID(id_).int >> 66)


def _event(request: AsyncRequest, status: AsyncStatus, now: datetime, reason: str | None) -> Event:
    is_well = status == "Completed"
    data: dict[str, Any] = {
        "awsRegion": REGION,
        "eventTime": now.isoformat(),
        "receivedTime": request.received_at.isoformat(),
        "invocationStatus": "Completed" if is_well else "Failed",
        "requestParameters": {
            "contentType": request.headers.get("content-type"),
            "endpointName": request.endpoint,
            "inputLocation": request.input_location,
        },
        "inferenceId": request.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if is_well:
        data["responseParameters"] = {"outputLocation": request.output_location}
    else:
        data |= {"failureReason": reason, "failureLocation": request.failure_location}
    word = "answered" if is_well else "not answered"
    return Event(
        "inference.completed" if is_well else "inference.failed",
        now,
        f"{request.endpoint}: invocation {word}",
        f"Asynchronous invocation {request.inference_id} of {request.endpoint} was {word}.",
        mood="success" if is_well else "failure",
        data=data,
    )


def measure(
    connection: Connection, request: AsyncRequest, status: AsyncStatus, now: datetime, *,
    variant: str, began_at: datetime, is_notified: bool,
) -> None:  # fmt: skip
    """Add the metrics of one outcome."""
    backlog_s = (began_at - request.received_at).total_seconds()
    values = {
        # SageMaker's guide spells it with three s; alarms may name either.
        **dict.fromkeys(("InvocationsProcessed", "InvocationsProcesssed"), 1.0),
        "InvocationFailures": status == "Failed",
        "ExpiredRequests": status == "Expired",
        "NotificationFailures": not is_notified,
        "TimeInBacklog": max(0.0, backlog_s * 1000),
        "TotalProcessingTime": max(0.0, (now - request.received_at).total_seconds() * 1000),
    }
    points = _points(values, now, EndpointName=request.endpoint, VariantName=variant)
    add(connection, points, now=now)


def measure_backlogs(connection: Connection, instances: Mapping[str, int], now: datetime) -> None:
    """Add the metrics of all backlogs for the minute that begins now; the first caller does it."""
    requests = async_requests.c
    query = select(requests.endpoint, func.count(), func.min(requests.received_at))
    rows = connection.execute(
        query.where(async_queue.is_unfinished()).group_by(requests.endpoint)
    ).all()
    waiting = {
        endpoint: (count, (now - oldest).total_seconds()) for endpoint, count, oldest in rows
    }
    for endpoint, workers in instances.items():
        count, age_s = waiting.get(endpoint, (0, 0.0))
        values = {
            "ApproximateBacklogSize": count,
            "ApproximateAgeOfOldestRequest": max(0.0, age_s),
            "HasBacklogWithoutCapacity": count > 0 and not workers,
        }
        if workers:  # Without an instance there is no such number.
            values["ApproximateBacklogSizePerInstance"] = count / workers
        points = _points(values, now, EndpointName=endpoint)
        add(connection, points, f"async-{endpoint}-{now.isoformat()}", now=now)


def _points(values: Mapping[str, float], now: datetime, **dimensions: str) -> list[Datapoint]:
    return [
        Datapoint(
            NAMESPACE, name, dimensions, now, values=[float(value)], counts=[1.0],
            unit=_UNITS.get(name),
        )
        for name, value in values.items()
    ]  # fmt: skip
