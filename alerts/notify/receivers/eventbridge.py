"""Amazon EventBridge's form of a message, as CloudWatch sends it.

Fields are those of the events in the CloudWatch User Guide, "Alarm events and EventBridge".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic.alias_generators import to_camel

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition, CompositeDefinition
from driftline.alerts.alarms.reason import aws_time
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.notify.event import ACCOUNT, REGION, Event, alarm_arn

_SUPPRESSION = (
    "actions_suppressor",
    "actions_suppressor_wait_period",
    "actions_suppressor_extension_period",
)
_SPACE = uuid.UUID("6a7d3f0e-5d0b-5a39-9a2f-0f4f6b1c9d11")  # Of ids made from our own.


def eventbridge_alarm(
    change: StateChange, definition: AnyDefinition, *, message_id: str, supersedes: object = None
) -> dict[str, object]:
    """Return the event "CloudWatch Alarm State Change"."""
    was_at = change.old_changed_at
    said = {
        "reason": change.old_reason,
        "reasonData": change.old_reason_data,
        "timestamp": aws_time(was_at) if was_at is not None else None,
    }
    previous: dict[str, object] = {"value": change.old}
    previous |= {key: value for key, value in said.items() if value}
    state: dict[str, object] = {"value": change.new, "reason": change.reason}
    if change.reason_data:
        state["reasonData"] = change.reason_data
    state["timestamp"] = aws_time(change.time)
    detail: dict[str, object] = {
        "alarmName": definition.alarm_name,
        "state": state,
        "previousState": previous,
        "configuration": _configuration(definition),
    }
    if definition.propagates_tags:
        detail |= {"alarmTags": definition.propagated_tags, "alarmTagsStatus": "SUCCESS"}
    if supersedes is not None:
        detail["supersedes"] = supersedes
    return _bridge(
        "CloudWatch Alarm State Change", "aws.cloudwatch", change.time, message_id,
        [alarm_arn(definition.alarm_name)], detail,
    )  # fmt: skip


def eventbridge_notice(event: Event, *, message_id: str) -> dict[str, object]:
    """Return EventBridge's form of what CloudWatch has no event for."""
    kind = event.type.replace(".", " ").replace("_", " ").title()
    return _bridge(f"driftline {kind}", "driftline", event.time, message_id, [], event.fields)


def _bridge(
    detail_type: str,
    source: str,
    time: datetime,
    message_id: str,
    resources: Sequence[str],
    detail: Mapping[str, object],
) -> dict[str, object]:
    return {
        "version": "0",
        # EventBridge's ids are UUIDs; ours gives the same one each time.
        "id": str(uuid.uuid5(_SPACE, message_id)),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": REGION,
        "resources": list(resources),
        "detail": dict(detail),
    }


def _configuration(definition: AnyDefinition) -> dict[str, object]:
    found: dict[str, object] = {}
    if definition.alarm_description:
        found["description"] = definition.alarm_description
    if isinstance(definition, CompositeDefinition):
        found["alarmRule"] = definition.alarm_rule
        if definition.actions_suppressor is not None:
            found |= {to_camel(name): getattr(definition, name) for name in _SUPPRESSION}
    elif definition.metrics:
        found["metrics"] = [_bridge_query(one) for one in definition.metrics]
    else:
        stat = _metric_stat(
            definition.namespace, definition.metric_name, definition.dimensions,
            definition.period, definition.extended_statistic or definition.statistic,
            definition.unit,
        )  # fmt: skip
        own_id = str(uuid.uuid5(_SPACE, definition.alarm_name))
        found["metrics"] = [{"id": own_id, "metricStat": stat, "returnData": True}]
    return found


def _bridge_query(query: MetricQuery) -> dict[str, object]:
    found: dict[str, object] = {"id": query.id}
    if query.expression is not None:
        found["expression"] = query.expression
    else:
        found["metricStat"] = _metric_stat(
            query.namespace or "", query.metric_name or "", query.dimensions, query.period,
            query.stat, query.unit,
        )  # fmt: skip
    if query.label is not None:
        found["label"] = query.label
    return found | {"returnData": query.return_data}


def _metric_stat(
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    period: int | None,
    stat: str | None,
    unit: str | None,
) -> dict[str, object]:
    metric = {"namespace": namespace, "name": name, "dimensions": dict(dimensions)}
    found: dict[str, object] = {"metric": metric, "period": period, "stat": stat}
    return found | ({"unit": unit} if unit is not None else {})
