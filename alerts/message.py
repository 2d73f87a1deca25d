"""Bodies of messages: our own, with the cause in one sentence, and Amazon SNS's envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from driftline.alerts.alarm import Point, StateChange
from driftline.alerts.channels import Format
from driftline.alerts.definition import AlarmDefinition
from driftline.alerts.reason import aws_time

__all__ = ["ACCOUNT", "REGION", "Message", "alarm_arn", "render"]

# Receivers of CloudWatch messages parse these; a self-hosted installation has neither.
ACCOUNT = "000000000000"
REGION = "us-east-1"
REGION_NAME = "US East (N. Virginia)"

_BODY_MAX_BYTES = 20_000
_VIOLATIONS_MAX = 10
_DATAPOINTS_MAX = 50
_CAUSE_MAX = 1000
_STATISTIC_NAMES = {"SampleCount": "SAMPLE_COUNT"}


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered message: the bytes that every attempt sends, and their content type."""

    body: bytes
    content_type: str


def render(
    change: StateChange,
    definition: AlarmDefinition,
    *,
    message_id: str,
    format: Format = "driftline",  # noqa: A002 - the word of the channel's definition
    dashboard_url: str = "",
    configured_at: datetime | None = None,
) -> Message:
    """Write the message of a change of state, under 20 kB.

    Parameters
    ----------
    change, definition
        What happened to which alarm.
    message_id
        The ``webhook-id``; SNS's MessageId.
    format
        The channel's.
    dashboard_url
        What the note's relative link is put behind.
    configured_at
        When the alarm was last changed, for SNS.
    """
    if format == "sns":
        text = _sns_envelope(change, definition, message_id, configured_at or change.time)
        return Message(text.encode(), "text/plain; charset=UTF-8")
    return Message(_own_body(change, definition, dashboard_url), "application/json")


def alarm_arn(name: str) -> str:
    """Give the alarm's name in the form that AWS's tools expect."""
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def _own_body(change: StateChange, definition: AlarmDefinition, dashboard_url: str) -> bytes:
    note = change.note or {}
    quoted = _violations(note)
    data: dict[str, object] = {
        "alarm": {
            "name": definition.alarm_name,
            "arn": alarm_arn(definition.alarm_name),
            "description": definition.alarm_description,
            "severity": definition.severity,
            "tags": dict(definition.tags),
        },
        "state": {"old": change.old, "new": change.new, "reason": change.reason},
        "cause": _cause(note),
        "metric": _metric(definition),
        "datapoints": _datapoints(change.evaluated),
        "monitor": {
            key: note[key] for key in ("monitor", "execution", "window", "kind") if key in note
        },
        "violations": quoted,
        "links": _links(note, dashboard_url),
        "group_key": _group_key(definition),
        "first_seen": _iso(change.first_breach),
        "period_end": _iso(change.period_end),
        "seq": change.seq,
    }
    found = {"type": "alarm.state_changed", "timestamp": _iso(change.time), "data": data}
    body = _json(found)
    # What is bulky goes first; the link leads to all of it.
    name = {"namespace": definition.namespace, "name": definition.metric_name}
    home = _links({}, dashboard_url)
    bulky: tuple[tuple[str, object], ...] = (
        *(("violations", quoted[:count]) for count in (5, 2, 0)),
        ("datapoints", []),
        ("monitor", {}),
        ("metric", name),
        ("links", home),
    )
    for key, less in bulky:
        if len(body) <= _BODY_MAX_BYTES:
            break
        data[key] = less
        body = _json(found)
    if len(body) > _BODY_MAX_BYTES:
        data["alarm"] = {"name": definition.alarm_name, "severity": definition.severity}
        body = _json(found)
    return body


def _cause(note: Mapping[str, object]) -> str | None:
    cause = note.get("cause")
    return str(cause)[:_CAUSE_MAX] if cause else None


def _metric(definition: AlarmDefinition) -> dict[str, object]:
    return {
        "namespace": definition.namespace,
        "name": definition.metric_name,
        "dimensions": dict(definition.dimensions),
        "statistic": definition.statistic,
        "unit": definition.unit,
        "period_s": definition.period,
        "comparison_operator": definition.comparison_operator,
        "threshold": definition.threshold,
    }


def _datapoints(points: Sequence[Point]) -> list[dict[str, object]]:
    newest_first = list(reversed(points))[:_DATAPOINTS_MAX]
    return [{"time": _iso(point.start), "value": point.value} for point in newest_first]


def _violations(note: Mapping[str, object]) -> list[object]:
    found = note.get("violations")
    return list(found)[:_VIOLATIONS_MAX] if isinstance(found, list | tuple) else []


def _links(note: Mapping[str, object], dashboard_url: str) -> dict[str, str]:
    base = dashboard_url.rstrip("/")
    names = (("dashboard", "link"), ("report", "report_link"))
    found = {name: str(note[key]) for name, key in names if note.get(key)}
    found.setdefault("dashboard", "/")
    return {name: f"{base}/{link.lstrip('/')}" for name, link in found.items()}


def _group_key(definition: AlarmDefinition) -> str:
    endpoint = definition.dimensions.get("Endpoint", "")
    return f"alarm={definition.alarm_name},endpoint={endpoint}"


def _sns_envelope(
    change: StateChange, definition: AlarmDefinition, message_id: str, configured_at: datetime
) -> str:
    """Give the envelope that subscribers of an SNS topic get, unsigned by AWS."""
    subject = f'{change.new}: "{definition.alarm_name}" in {REGION_NAME}'
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:driftline",
            "Subject": subject[:100],  # SNS's limit.
            "Message": json.dumps(_sns_message(change, definition, configured_at)),
            "Timestamp": f"{aws_time(change.time)[:-5]}Z",
            "SignatureVersion": "1",
            "Signature": "",
            "SigningCertURL": "",
            "UnsubscribeURL": "",
        }
    )


def _sns_message(
    change: StateChange, definition: AlarmDefinition, configured_at: datetime
) -> dict[str, object]:
    return {
        "AlarmName": definition.alarm_name,
        "AlarmDescription": definition.alarm_description or None,
        "AWSAccountId": ACCOUNT,
        "AlarmConfigurationUpdatedTimestamp": aws_time(configured_at),
        "NewStateValue": change.new,
        "NewStateReason": change.reason,
        "StateChangeTime": aws_time(change.time),
        "Region": REGION_NAME,
        "AlarmArn": alarm_arn(definition.alarm_name),
        "OldStateValue": change.old,
        "OKActions": list(definition.ok_actions),
        "AlarmActions": list(definition.alarm_actions),
        "InsufficientDataActions": list(definition.insufficient_data_actions),
        "ActionExecutedAfterMuteWindow": False,
        "Trigger": _sns_trigger(definition),
    }


def _sns_trigger(definition: AlarmDefinition) -> dict[str, object]:
    trigger: dict[str, object] = {
        "MetricName": definition.metric_name,
        "Namespace": definition.namespace,
        "StatisticType": "Statistic",
        "Statistic": _STATISTIC_NAMES.get(definition.statistic, definition.statistic.upper()),
        "Unit": definition.unit,
        "Dimensions": [
            {"value": value, "name": name} for name, value in definition.dimensions.items()
        ],
        "Period": definition.period,
        "EvaluationPeriods": definition.evaluation_periods,
        "DatapointsToAlarm": definition.datapoints_to_alarm,
        "ComparisonOperator": definition.comparison_operator,
        "Threshold": float(definition.threshold),
        "TreatMissingData": definition.treat_missing_data or "",
        "EvaluateLowSampleCountPercentile": "",
    }
    if definition.datapoints_to_alarm is None:
        del trigger["DatapointsToAlarm"]
    return trigger


def _iso(time: datetime | None) -> str | None:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if time is not None else None


def _json(found: Mapping[str, object]) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
