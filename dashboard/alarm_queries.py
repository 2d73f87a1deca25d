"""Questions to the database about alarms: how they stand, what decided, who was told."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select

from driftline.alerts import metrics
from driftline.alerts.alarm import breaching
from driftline.alerts.alarms import AlarmRecord, HistoryItem, get_alarm, history, list_alarms
from driftline.alerts.channels import ChannelStatus, list_channels
from driftline.alerts.definition import AlarmDefinition
from driftline.alerts.outbox import list_deliveries
from driftline.alerts.tables import datapoints, outbox
from driftline.dashboard.address import monitor_link
from driftline.dashboard.alarm_frames import (
    AlarmPoint,
    AlarmRule,
    AlarmView,
    ChannelLine,
    MessageLine,
    StateSpan,
)
from driftline.dashboard.frames import AlarmChange, AlarmLine, DeliveryLine, MonitorLine
from driftline.dashboard.metric_words import OPERATORS, metric_words
from driftline.dashboard.wording import duration, number
from driftline.monitors.datapoints import OWN_METRICS

__all__ = ["alarm_line", "alarm_lines", "alarm_view", "changes", "delivery_line", "monitor_of"]

CHANGES_SHOWN = 20
HISTORY_SHOWN = 60
MESSAGES_SHOWN = 60
POINTS_SHOWN = 500
SPANS_READ = 500
SIMILAR_SHOWN = 5
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")


def alarm_lines(connection: Connection) -> tuple[AlarmLine, ...]:
    """Tell how every alarm stands, with its newest messages."""
    told = _newest_messages(connection)
    return tuple(
        alarm_line(connection, record, told.get(record.id, ()))
        for record in list_alarms(connection)
    )


def alarm_line(
    connection: Connection, record: AlarmRecord, told: Sequence[DeliveryLine] = ()
) -> AlarmLine:
    """Tell how an alarm stands, with the words of its metric's newest datapoint."""
    rule = record.definition
    note = _newest_words(connection, record) if record.state == "ALARM" else {}
    times = f"{rule.required_breaches} of {rule.evaluation_periods}"
    length = duration(timedelta(seconds=rule.period))
    condition = (
        f"{metric_words(rule.metric_name, rule.dimensions)} "
        f"{OPERATORS[rule.comparison_operator]} {number(rule.threshold)} "
        f"in {times} periods of {length}"
    )
    return AlarmLine(
        name=record.name,
        state=record.state,
        since=record.state_changed_at,
        severity=rule.severity,
        condition=condition,
        reason=record.state_reason,
        cause=_note_text(note, "cause"),
        link=_note_link(note),
        monitor=monitor_of(record),
        metric=rule.metric_name,
        told=tuple(told),
    )


def monitor_of(record: AlarmRecord) -> str | None:
    """Name the monitor whose metric an alarm watches, if it watches one's."""
    return record.definition.dimensions.get("MonitoringSchedule")


def alarm_view(connection: Connection, name: str, now: datetime) -> AlarmView:
    """Read everything about one alarm; none of the name is a NotFoundError."""
    record = get_alarm(connection, name)
    rule = record.definition
    told = _newest_messages(connection)
    records = list_alarms(connection)
    same = [one for one in records if _is_same_metric(one, record)]
    decided = _decided(record)
    points = _points(connection, record, {point.start for point in decided})
    by_start = {point.start: point for point in points}
    return AlarmView(
        now=now,
        alarm=alarm_line(connection, record, told.get(record.id, ())),
        rule=_rule(record),
        points=points,
        decided=tuple(_joined(point, by_start.get(point.start)) for point in decided),
        spans=_spans(connection, record, points, now),
        changes=_changes_of(connection, record, HISTORY_SHOWN),
        messages=_messages(connection, name),
        channels=_channels(connection, rule),
        others=tuple(alarm_line(connection, one, told.get(one.id, ())) for one in same),
        similar=() if points else _similar(connection, rule),
    )


def changes(
    connection: Connection, alarms: Iterable[AlarmRecord], line: MonitorLine
) -> tuple[AlarmChange, ...]:
    """Read how a monitor's alarms changed their states, newest first."""
    found = [
        change
        for record in alarms
        if record.name in line.alarms
        for change in _changes_of(connection, record, CHANGES_SHOWN)
    ]
    found.sort(key=lambda change: change.time, reverse=True)
    return tuple(found[:CHANGES_SHOWN])


def _changes_of(connection: Connection, record: AlarmRecord, limit: int) -> tuple[AlarmChange, ...]:
    """Read how one alarm changed its states, newest first."""
    found: list[AlarmChange] = []
    for item in history(connection, record.name, type="StateUpdate", limit=limit):
        new = _state(item.data, "newState")
        words = _words_at(connection, record, item) if new[0] == "ALARM" else {}
        found.append(
            AlarmChange(
                time=item.time,
                alarm=record.name,
                old=_state(item.data, "oldState")[0],
                new=new[0],
                reason=new[1] or item.summary,
                cause=_note_text(words, "cause"),
                link=_note_link(words),
            )
        )
    return tuple(found)


def _note_text(note: Mapping[str, object], key: str) -> str | None:
    value = note.get(key)
    return value if isinstance(value, str) and value else None


def _note_link(note: Mapping[str, object]) -> str | None:
    """Take a note's link if it leads to a page of ours; notes are written by others, too."""
    link = (_note_text(note, "link") or "").lstrip("/")
    if link.startswith("monitors/"):
        return f"/{link}"
    monitor = _note_text(note, "monitor")
    return monitor_link(monitor, anchor="rows") if monitor else None


def _newest_words(connection: Connection, record: AlarmRecord) -> Mapping[str, object]:
    """Give the note of the newest datapoint that has a cause, else of the change to ALARM."""
    rule = record.definition
    note = metrics.latest_note(connection, rule.namespace, rule.metric_name, rule.dimensions)
    if note and _note_text(note, "cause"):
        return note
    newest = history(connection, record.name, type="StateUpdate", limit=1)
    return _words_at(connection, record, newest[0]) if newest else {}


def _words_at(
    connection: Connection, record: AlarmRecord, item: HistoryItem
) -> Mapping[str, object]:
    """Give the note of the datapoint that decided a change of state."""
    end = _period_end(item)
    if end is None:
        return {}
    rule = record.definition
    note = metrics.latest_note(
        connection, rule.namespace, rule.metric_name, rule.dimensions, before=end
    )
    return note or {}


def _period_end(item: HistoryItem) -> datetime | None:
    end = item.data.get("periodEnd")
    return datetime.fromisoformat(end) if isinstance(end, str) else None


def _state(data: Mapping[str, object], key: str) -> tuple[str, str]:
    """Read one side of CloudWatch's history data: the state's value and reason."""
    side = data.get(key)
    if not isinstance(side, Mapping):
        return "", ""
    return str(side.get("stateValue", "")), str(side.get("stateReason", ""))


def _newest_messages(connection: Connection) -> dict[int, list[DeliveryLine]]:
    """Read, for each alarm, the messages of the newest change that was to be told."""
    table = outbox.c
    newest = (
        select(table.alarm_id, func.max(table.state_seq).label("seq"))
        .group_by(table.alarm_id)
        .subquery()
    )
    query = (
        select(
            table.alarm_id, table.created_at, table.alarm_name, table.state, table.channel,
            table.status, table.attempts, table.last_status, table.last_error,
        )
        .join(newest, (newest.c.alarm_id == table.alarm_id) & (newest.c.seq == table.state_seq))
        .order_by(table.channel)
    )  # fmt: skip
    found: dict[int, list[DeliveryLine]] = {}
    for row in connection.execute(query):
        found.setdefault(row.alarm_id, []).append(delivery_line(row))
    return found


def delivery_line(row: Row[*tuple[Any, ...]]) -> DeliveryLine:
    """Tell one row of the outbox; its body and address stay there."""
    return DeliveryLine(
        time=row.created_at,
        alarm=row.alarm_name,
        state=row.state,
        channel=row.channel,
        status=row.status,
        attempts=row.attempts,
        detail=row.last_error or (f"HTTP {row.last_status}" if row.last_status else None),
    )


def _is_same_metric(one: AlarmRecord, other: AlarmRecord) -> bool:
    return one.id != other.id and one.definition.metric_key == other.definition.metric_key


def _rule(record: AlarmRecord) -> AlarmRule:
    rule = record.definition
    return AlarmRule(
        namespace=rule.namespace,
        metric=rule.metric_name,
        dimensions=tuple(sorted(rule.dimensions.items())),
        statistic=rule.statistic,
        period_s=rule.period,
        evaluation_periods=rule.evaluation_periods,
        required=rule.required_breaches,
        threshold=rule.threshold,
        operator=rule.comparison_operator,
        treatment=rule.treatment,
        description=rule.alarm_description,
        actions_enabled=rule.actions_enabled,
        changed_at=record.updated_at,
    )


def _points(
    connection: Connection, record: AlarmRecord, decided: set[datetime]
) -> tuple[AlarmPoint, ...]:
    """Read the newest periods of an alarm's metric on the alarm's own grid, oldest first."""
    rule = record.definition
    metric_id = metrics.find(connection, rule.namespace, rule.metric_name, rule.dimensions)
    table = datapoints.c
    query = select(func.min(table.time), func.max(table.time)).where(table.metric_id == metric_id)
    first, last = connection.execute(query).one()
    if metric_id is None or first is None:
        return ()
    period = timedelta(seconds=rule.period)
    anchor = record.evaluated_until or last
    end = anchor + (math.floor((last - anchor) / period) + 1) * period
    start = end - min(POINTS_SHOWN, math.ceil((end - first) / period)) * period
    found = metrics.summaries(connection, metric_id, start, end, rule.period, unit=rule.unit)
    points = []
    for index, summary in sorted(found.items()):
        value, begin = summary.get(rule.statistic), start + index * period
        note = summary.note or {}
        points.append(
            AlarmPoint(
                start=begin,
                end=begin + period,
                value=value,
                breaching=breaching(value, rule.comparison_operator, rule.threshold),
                decided=begin in decided,
                link=_note_link(note),
                words=_note_text(note, "cause"),
            )
        )
    return tuple(points)


def _decided(record: AlarmRecord) -> tuple[AlarmPoint, ...]:
    """Read the datapoints that the state rests on, as they were when it was decided."""
    rule = record.definition
    try:
        data = json.loads(record.state_reason_data or "{}")
        entries = [dict(entry) for entry in data.get("evaluatedDatapoints", [])]
        times = [_aws_time(str(entry["timestamp"])) for entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()
    period = timedelta(seconds=rule.period)
    found = []
    for time, entry in zip(times, entries, strict=True):
        value = entry.get("value")
        known = float(value) if isinstance(value, int | float) else None
        over = known is not None and breaching(known, rule.comparison_operator, rule.threshold)
        found.append(AlarmPoint(time, time + period, known, over, decided=True))
    return tuple(found)


def _joined(point: AlarmPoint, stored: AlarmPoint | None) -> AlarmPoint:
    """Keep the value that decided; take the words and the link from what is stored."""
    if stored is None:
        return point
    return AlarmPoint(
        point.start, point.end, point.value, point.breaching, True, stored.link, stored.words
    )


def _aws_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def _spans(
    connection: Connection, record: AlarmRecord, points: Sequence[AlarmPoint], now: datetime
) -> tuple[StateSpan, ...]:
    """Lay the states over the periods shown: each over the periods after which it held."""
    if not points:
        return ()
    items = history(connection, record.name, type="StateUpdate", limit=SPANS_READ)[::-1]
    period = timedelta(seconds=record.definition.period)
    start, end = points[0].start, points[-1].end
    if record.evaluated_until is not None:
        end = max(end, min(record.evaluated_until, now))
    state = _state(items[0].data, "oldState")[0] if items else record.state
    spans: list[StateSpan] = []
    at = start
    for item in items:
        decided = _period_end(item)
        time = min(max(decided - period if decided else item.time, start), end)
        if time > at:
            spans.append(StateSpan(at, time, state))
            at = time
        state = _state(item.data, "newState")[0]
    if end > at:
        spans.append(StateSpan(at, end, state))
    return tuple(spans)


def _messages(connection: Connection, name: str) -> tuple[MessageLine, ...]:
    """Read the messages of an alarm, newest first; never their bodies or addresses."""
    return tuple(
        MessageLine(
            id=one.id,
            time=one.created_at,
            state=one.state,
            channel=one.channel,
            status=one.status,
            attempts=one.attempts,
            code=one.last_status,
            error=one.last_error,
            finished_at=one.finished_at,
            next_at=one.next_attempt_at if one.status == "pending" else None,
        )
        for one in list_deliveries(connection, alarm_name=name, limit=MESSAGES_SHOWN)
    )


def _channels(connection: Connection, rule: AlarmDefinition) -> tuple[ChannelLine, ...]:
    known = {one.channel.name: one for one in list_channels(connection)}
    return tuple(_channel(name, rule, known.get(name)) for name in sorted(rule.channel_names))


def _channel(name: str, rule: AlarmDefinition, status: ChannelStatus | None) -> ChannelLine:
    states = tuple(state for state in STATES if name in rule.actions(state))
    if status is None:
        return ChannelLine(name, states, "", False, False, "does not exist any more")
    health = status.disabled_reason or "switched off" if not status.enabled else None
    if health is None and status.failure_count:
        health = f"failed {status.failure_count} times in a row"
    return ChannelLine(name, states, status.channel.format, True, status.enabled, health)


def _similar(connection: Connection, rule: AlarmDefinition) -> tuple[str, ...]:
    """Name metrics with data that the alarm may have meant: by name, else what we count."""
    found = metrics.list_metrics(connection, name=rule.metric_name)
    found = found or metrics.list_metrics(connection, namespace=rule.namespace)
    found = found or metrics.list_metrics(connection, namespace=OWN_METRICS)
    return tuple(
        f"{one.namespace} {one.name} "
        + ", ".join(f"{key}={value}" for key, value in sorted(one.dimensions.items()))
        for one in found[:SIMILAR_SHOWN]
    )
