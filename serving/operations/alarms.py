"""Operations on alarms of all kinds, how they stand and why; and on detectors of anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import Field
from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.composite_records import CompositeAlarm, list_any
from driftline.alerts.alarms.known import require_past
from driftline.alerts.alarms.records import HistoryItem, MetricAlarm, history
from driftline.alerts.evaluation import explain, replay, states
from driftline.alerts.evaluation.replay_metric import Line
from driftline.alerts.math import detectors as store
from driftline.alerts.math.detector import Detector
from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.notify.channels import get_channel
from driftline.errors import InputError
from driftline.serving.operations.registry import (
    End,
    Latest,
    Page,
    Paging,
    Prefix,
    Start,
    Tags,
    operation,
    pairs_of,
)
from driftline.serving.operations.services import Services

# Periods that one request may look at: about a second of the process that answers inference, too;
# the command takes longer ones.
_LONGEST = 200_000

Name = Annotated[str, "The alarm's name; metric or composite."]
Document = Annotated[dict[str, Any], Body()]
HistoryType = Annotated[
    Literal["ConfigurationUpdate", "StateUpdate", "Action"] | None, "Only items of this type."
]
Order = Annotated[Literal["newest", "oldest"], "Which come first."]


@operation("POST /alarms/replay", role="viewer")
def replay_alarm(document: Document) -> list[Line]:
    """Evaluate an alarm on datapoints, or a composite on states, from a start to an end.

    `{"alarm": PutMetricAlarm's fields, "datapoints": [{"Timestamp", "Value"}], "start",
    "end"}`, or `{"composite": PutCompositeAlarm's fields, "children": {name: [{"time",
    "state"}]}, "start", "end"}`; one item for each evaluation.
    """
    return list(replay.replay(document, longest=_LONGEST))


@operation(
    "GET /alarm-states", role="viewer", command="alarm list",
    columns="name kind state=state_value since=state_transitioned_timestamp "
    "enabled=actions_enabled suppressed_by=actions_suppressed_by",
)  # fmt: skip
def alarms(
    connection: Connection,
    page: Paging,
    kind: Annotated[Literal["metric", "composite"] | None, "Only alarms of this kind."] = None,
    state: Annotated[State | None, "Only alarms in this state."] = None,
    prefix: Prefix = "",
    name: Annotated[
        Sequence[str] | None, Field(max_length=100, description="Only these; repeatable.")
    ] = None,
    namespace: Annotated[str | None, "With a metric: only alarms on that one metric."] = None,
    metric_name: Annotated[str | None, "With its namespace, and all its dimensions."] = None,
    dimension: Annotated[
        Sequence[str],
        Field(max_length=30, description="NAME=VALUE, of the metric; repeatable."),
    ] = (),
    parents_of: Annotated[str | None, "Only composites that look at this alarm."] = None,
    children_of: Annotated[str | None, "Only alarms in this composite's rule."] = None,
    channel: Annotated[str | None, "Only those that notify this channel."] = None,
    tag: Tags = (),
) -> Page[MetricAlarm | CompositeAlarm]:
    """List alarms of all kinds by name, with their states.

    Example: driftline alarm list --state ALARM
    """
    if channel is not None:
        get_channel(connection, channel)
    if (namespace is None) != (metric_name is None):
        raise InputError("namespace and metric_name belong together; expected both or neither")
    key = metric_key(str(namespace), str(metric_name), pairs_of(dimension)) if namespace else None
    found = list_any(
        connection, kind=kind, state=state, prefix=prefix, names=name, metric_key=key,
        parents_of=parents_of, children_of=children_of, channel=channel, tags=pairs_of(tag),
        after=page.after_name(), limit=page.count,
    )  # fmt: skip
    return page.of(found, lambda one: (one.name,), lambda one: one.shown)


@operation("GET /alarms/{name:path}/explain", role="viewer", command="alarm explain")
def explain_alarm(services: Services, connection: Connection, name: Name) -> explain.Explanation:
    """Explain why an alarm is in its state, what is missing, and who was notified.

    Shows the periods that are judged (X breaching, 0 good, - missing), the rule that decided, the
    cause with its window, its page and the command that lists its rows, when it is judged next,
    what is wrong where data are missing, and what became of its actions. Of an alarm that has
    recovered, also when it was last in ALARM, and why.

    Example: driftline alarm explain "flights drift"
    """
    context = services.context
    return explain.explain(
        connection, name, context.now(), bands=services.bands, dashboard_url=context.dashboard_url
    )


@operation(
    "GET /alarms/{name:path}/history", role="viewer", command="alarm history",
    columns="time type what=summary",
)  # fmt: skip
def alarm_history(
    connection: Connection,
    page: Latest,
    name: Name,
    type: HistoryType = None,  # noqa: A002 - CloudWatch's
    start: Start = None,
    end: End = None,
    order: Order = "newest",
) -> Page[HistoryItem]:
    """List what happened to an alarm, newest first; also after it was deleted.

    Example: driftline alarm history "flights drift" --type StateUpdate
    """
    found = history(
        connection, name, type=type, start=start, end=end, after=page.after(int), limit=page.count,
        newest_first=order == "newest",
    )  # fmt: skip
    if not found and page.next_token is None:
        require_past(connection, name)
    return page.of(found, lambda one: (one.id,))


@operation("GET /alarm-history", role="viewer")
def alarms_history(
    connection: Connection,
    page: Latest,
    alarm: Annotated[str | None, "Only items of the alarm of this name."] = None,
    kind: Annotated[Literal["metric", "composite"] | None, "Only of alarms of this kind."] = None,
    type: HistoryType = None,  # noqa: A002 - CloudWatch's
    start: Start = None,
    end: End = None,
    order: Order = "newest",
) -> Page[HistoryItem]:
    """List what happened to all alarms, newest first; also to those that were deleted."""
    found = history(
        connection, alarm, type=type, kind=kind, start=start, end=end, after=page.after(int),
        limit=page.count, newest_first=order == "newest",
    )  # fmt: skip
    return page.of(found, lambda one: (one.id,))


@operation("PUT /alarms/{name:path}/state", role="operator", command="alarm set-state")
def set_alarm_state(
    services: Services,
    connection: Connection,
    name: Name,
    state_value: Annotated[State, "The state to be in."],
    state_reason: Annotated[str, "Why; messages quote it."] = "set by hand",
    state_reason_data: Annotated[str | None, "JSON that the history keeps."] = None,
) -> list[StateChange]:
    """Put an alarm into a state and run its actions, to try what they do; say what changed.

    The next evaluation puts a metric alarm back, mostly within seconds; a composite alarm stays
    until one of its children changes.

    Example: driftline alarm set-state "flights drift" ALARM --state-reason "a fire drill"
    """
    context = services.context
    return states.set_state(
        connection, name, state_value, state_reason, context.now(), reason_data=state_reason_data,
        dashboard_url=context.dashboard_url,
    )  # fmt: skip


@operation("POST /alarms/actions", role="operator")
def switch_alarm_actions(
    services: Services,
    connection: Connection,
    # CloudWatch's limit of EnableAlarmActions.
    names: Annotated[list[str], Field(min_length=1, max_length=100, description="Alarms.")],
    enabled: Annotated[bool, "Whether their actions are to run."],
) -> None:
    """Switch the actions of alarms on or off, all or none of them; their states go on changing."""
    states.set_actions_enabled(connection, names, services.context.now(), enabled=enabled)


Id = Annotated[str, "The detector's id."]


@operation("POST /detectors", role="admin", command="detector put")
def put_detector(
    services: Services,
    connection: Connection,
    document: Annotated[dict[str, Any], Body(description="PutAnomalyDetector's fields.")],
) -> store.DetectorRecord:
    """Put a detector, in PutAnomalyDetector's form; it is trained within seconds.

    Example: driftline detector put detector.yaml
    """
    return store.put_detector(connection, Detector.from_dict(document), services.context.now())


@operation(
    "GET /detectors", role="viewer", command="detector list",
    columns="id state=state_value metric=single_metric_anomaly_detector "
    "math=metric_math_anomaly_detector",
)  # fmt: skip
def detectors(
    connection: Connection,
    page: Paging,
    namespace: Annotated[str | None, "Only of metrics of this namespace."] = None,
    metric_name: Annotated[str | None, "Only of metrics of this name."] = None,
) -> Page[store.DetectorRecord]:
    """List detectors by id, all or those that look at a metric.

    Example: driftline detector list
    """
    after = page.after_name()
    known = store.list_detectors(connection, namespace=namespace, metric_name=metric_name)
    found = sorted((one for one in known if one.id > after), key=lambda one: one.id)
    return page.of(found, lambda one: (one.id,))


@operation("DELETE /detectors/{detector_id}", role="admin", command="detector delete")
def delete_detector(connection: Connection, detector_id: Id) -> None:
    """Delete a detector; an alarm that needs it has it made again.

    Example: driftline detector delete 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    store.delete_detector(connection, detector_id)
