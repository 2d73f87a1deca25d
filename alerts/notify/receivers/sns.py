"""Amazon SNS's envelope with the alarm's text.

Fields, their order and their spelling are those of the real service's recorded messages, so that
parsers of CloudWatch's work. docs/channels.md has the differences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition, CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.reason import aws_time
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.notify.event import ACCOUNT, REGION, REGION_NAME, Event, alarm_arn

_STATISTIC_NAMES = {"SampleCount": "SAMPLE_COUNT"}
_SUBJECT_MAX = 100  # SNS's limit.
_NOT_ASCII = re.compile(r"[^\x20-\x7e]+")


def sns_alarm(
    change: StateChange,
    definition: AnyDefinition,
    *,
    message_id: str,
    configured_at: datetime,
    is_after_mute: bool = False,
    suppressed_by: str | None = None,
    supersedes: object = None,
) -> str:
    """Return the envelope that subscribers of an SNS topic get for an alarm, unsigned by AWS."""
    message = _sns_message(change, definition, configured_at, is_after_mute=is_after_mute)
    if suppressed_by is not None:
        message["ActionsSuppressedBy"] = suppressed_by
        message["ActionsSuppressedReason"] = f"Actions suppressed by {suppressed_by}"
    if supersedes is not None:
        message["Supersedes"] = supersedes
    subject = _subject(change.new, definition.alarm_name)
    return _envelope(message_id, subject, json.dumps(message), change.time)


def sns_notice(event: Event, *, message_id: str) -> str:
    """Return SNS's envelope around what no alarm of CloudWatch says: a group, a test."""
    message = json.dumps(event.document)
    return _envelope(message_id, _NOT_ASCII.sub("_", event.title)[:_SUBJECT_MAX], message,
                     event.time)  # fmt: skip


def _subject(state: str, name: str) -> str:
    """Write the subject as recorded: a long name is cut, what is no ASCII is one underscore."""
    plain = _NOT_ASCII.sub("_", name)
    room = _SUBJECT_MAX - len(f'{state}: "" in {REGION_NAME}')
    if len(plain) > room:
        plain = f"{plain[: room - 3]}..."
    return f'{state}: "{plain}" in {REGION_NAME}'


def _envelope(message_id: str, subject: str, message: str, time: datetime) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:driftline",
            "Subject": subject,
            "Message": message,
            "Timestamp": f"{aws_time(time)[:-5]}Z",
            "SignatureVersion": "1",
            "Signature": "",
            "SigningCertURL": "",
            "UnsubscribeURL": "",
        }
    )


def _sns_message(
    change: StateChange, definition: AnyDefinition, configured_at: datetime, *, is_after_mute: bool
) -> dict[str, object]:
    name = definition.alarm_name
    is_composite = isinstance(definition, CompositeDefinition)
    found: dict[str, object] = {
        "AlarmName": name,
        "AlarmDescription": definition.alarm_description or None,
        "AWSAccountId": ACCOUNT,
    }
    if not is_composite:  # Recorded messages of composites lack it.
        found["AlarmConfigurationUpdatedTimestamp"] = aws_time(configured_at)
    found |= {
        "NewStateValue": change.new,
        "NewStateReason": change.reason,
        "StateChangeTime": aws_time(change.time),
        "Region": REGION_NAME,
        "AlarmArn": alarm_arn(name),
        "OldStateValue": change.old,
        "OKActions": list(definition.ok_actions),
        "AlarmActions": list(definition.alarm_actions),
        "InsufficientDataActions": list(definition.insufficient_data_actions),
        "ActionExecutedAfterMuteWindow": is_after_mute,
    }
    if isinstance(definition, CompositeDefinition):
        found["AlarmRule"] = definition.alarm_rule
        found["TriggeringChildren"] = _children(change.reason_data)
    else:
        found["Trigger"] = _trigger(definition)
    if definition.propagates_tags:
        # Status by the user guide, "Alarm tags in action payloads"; the pairs as the API's "Tag".
        tags = definition.propagated_tags.items()
        found["AlarmTags"] = [{"Key": key, "Value": value} for key, value in tags]
        found["AlarmTagsStatus"] = "SUCCESS"
    return found


def _children(reason_data: str) -> list[dict[str, object]]:
    """Return the alarms that moved a composite, as its reason does."""
    try:
        listed = json.loads(reason_data)["triggeringAlarms"]
        return [
            {
                "Arn": one["arn"],
                "State": {
                    "Value": one["state"]["value"],
                    "Timestamp": one["state"]["timestamp"],
                },
            }
            for one in listed
        ]
    except (ValueError, TypeError, KeyError):
        return []  # Set by hand: the reason is whatever somebody gave.


def _trigger(definition: AlarmDefinition) -> dict[str, object]:
    judged: dict[str, object] = {
        "Period": definition.period,
        "EvaluationPeriods": definition.evaluation_periods,
        "DatapointsToAlarm": definition.datapoints_to_alarm,
        "ComparisonOperator": definition.comparison_operator,
        "Threshold": None if definition.threshold is None else float(definition.threshold),
        "ThresholdMetricId": definition.threshold_metric_id,
        "TreatMissingData": definition.treat_missing_data or "",
        "EvaluateLowSampleCountPercentile": definition.evaluate_low_sample_count_percentile or "",
    }
    for key in ("DatapointsToAlarm", "Threshold", "ThresholdMetricId"):
        if judged[key] is None:
            del judged[key]
    if definition.metrics:
        return judged | {"Metrics": [_sns_query(one) for one in definition.metrics]}
    if definition.extended_statistic is not None:
        statistic: dict[str, object] = {
            "StatisticType": "ExtendedStatistic",
            "ExtendedStatistic": definition.extended_statistic,
        }
    else:
        name = definition.statistic or "Average"
        statistic = {
            "StatisticType": "Statistic",
            "Statistic": _STATISTIC_NAMES.get(name, name.upper()),
        }
    return {
        "MetricName": definition.metric_name,
        "Namespace": definition.namespace,
        **statistic,
        "Unit": definition.unit,
        "Dimensions": _dimensions(definition.dimensions),
        **judged,
    }


def _sns_query(query: MetricQuery) -> dict[str, object]:
    found: dict[str, object] = {}
    if query.expression is not None:
        found["Expression"] = query.expression
    found["Id"] = query.id
    if query.label is not None:
        found["Label"] = query.label
    if query.expression is None:
        stat: dict[str, object] = {
            "Metric": {
                "Dimensions": _dimensions(query.dimensions),
                "MetricName": query.metric_name,
                "Namespace": query.namespace,
            },
            "Period": query.period,
            "Stat": query.stat,
        }
        if query.unit is not None:
            stat["Unit"] = query.unit
        found["MetricStat"] = stat
    elif query.period is not None:
        found["Period"] = query.period
    found["ReturnData"] = query.return_data
    return found


def _dimensions(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"value": value, "name": name} for name, value in found.items()]
