"""Questions to the database about alarms: how they stand, what decided, who was told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from driftline.alerts.alarms.composite_records import (
    AnyRecord,
    CompositeRecord,
    ListedAlarm,
    list_any,
)
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import AlarmRecord, history, record_of
from driftline.alerts.alarms.unreadable import UnreadableAlarm
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.explain import Explanation, explain
from driftline.alerts.evaluation.reading import BandsOf
from driftline.alerts.metrics import store as metrics
from driftline.alerts.tables import alarms as alarms_table
from driftline.dashboard.metric_words import limit_words, metric_words
from driftline.dashboard.queries.alarm_causes import newest_words, words_at
from driftline.dashboard.queries.alarm_notes import note_link, note_text, side_of
from driftline.dashboard.queries.alarm_points import decided_of, joined, points_of, spans_of
from driftline.dashboard.queries.alarm_views import AlarmRule, AlarmView
from driftline.dashboard.queries.messages import channels_of, messages_of, newest_messages
from driftline.dashboard.queries.suppression import Surroundings
from driftline.dashboard.queries.views import AlarmChange, AlarmLine, DeliveryLine, MonitorLine
from driftline.dashboard.words import duration
from driftline.errors import DriftlineError
from driftline.monitors.kind import OWN_METRICS

CHANGES_SHOWN = 20
HISTORY_SHOWN = 60
SIMILAR_SHOWN = 5
ALARMS_READ = 100_000


def alarm_lines(connection: Connection, around: Surroundings) -> tuple[AlarmLine, ...]:
    """Tell how every alarm stands, of whatever kind, with its newest messages."""
    told = newest_messages(connection)
    return tuple(
        alarm_line(connection, record, told.get(record.id, ()), around)
        for record in list_any(connection, limit=ALARMS_READ)
    )


def _unreadable_line(record: UnreadableAlarm, told: Sequence[DeliveryLine]) -> AlarmLine:
    """Tell of an alarm whose definition cannot be read: where it stands, and why."""
    return AlarmLine(
        name=record.name,
        state=record.state,
        since=record.state_changed_at,
        severity="page",  # Nobody knows; it must not be overlooked.
        condition="not readable",
        reason=record.state_reason,
        cause=record.problem,
        link=None,
        monitor=None,
        told=tuple(told),
        kind=record.kind,
    )


def alarm_line(
    connection: Connection,
    record: ListedAlarm,
    told: Sequence[DeliveryLine] = (),
    around: Surroundings | None = None,
) -> AlarmLine:
    """Tell how an alarm stands, with the words of its metric's newest datapoint."""
    if isinstance(record, UnreadableAlarm):
        return _unreadable_line(record, told)
    rule, note, metric = record.definition, {}, ""
    if isinstance(record, CompositeRecord):
        condition = record.definition.alarm_rule
    else:
        metric, condition = record.definition.judged_name, _condition(record.definition)
        note = dict(newest_words(connection, record)) if record.state == "ALARM" else {}
    return AlarmLine(
        name=record.name,
        state=record.state,
        since=record.state_changed_at,
        severity=rule.severity,
        condition=condition,
        reason=record.state_reason,
        cause=note_text(note, "cause"),
        link=note_link(note),
        monitor=monitor_of(record),
        metric=metric,
        told=tuple(told),
        kind="composite" if isinstance(record, CompositeRecord) else "metric",
        quiet=() if around is None else around.quiet(record),
        incident=None if around is None else around.incident_of(record),
        actions_enabled=rule.actions_enabled,
    )


def monitor_of(record: AnyRecord) -> str | None:
    """Name the monitor whose metric an alarm watches, if it watches one's."""
    if isinstance(record, CompositeRecord):
        return None
    return record.definition.dimensions.get("MonitoringSchedule")


def alarm_view(
    connection: Connection, record: AlarmRecord, now: datetime, bands: BandsOf | None = None
) -> AlarmView:
    """Read everything about one alarm on a metric.

    Parameters
    ----------
    bands
        Gives the bands of detectors; None: alarms beside a band are drawn without one.
    """
    rule = record.definition
    around = Surroundings.read(connection, now)
    told = newest_messages(connection)
    same = _on_same_metric(connection, record)
    decided = decided_of(record)
    points = points_of(connection, record, {point.start for point in decided}, now, bands)
    by_start = {point.start: point for point in points}
    why, why_not = explained(connection, record.name, now, bands)
    return AlarmView(
        now=now,
        alarm=alarm_line(connection, record, told.get(record.id, ()), around),
        rule=_rule(record),
        points=points,
        decided=tuple(joined(point, by_start.get(point.start)) for point in decided),
        spans=spans_of(connection, record, points, now),
        changes=changes_of(connection, record),
        messages=messages_of(connection, alarm=record.name),
        channels=channels_of(connection, rule),
        others=tuple(alarm_line(connection, one, told.get(one.id, ()), around) for one in same),
        similar=() if points or rule.metrics else _similar(connection, rule),
        why=why,
        why_not=why_not,
        silences=around.silences_of(record),
    )


def explained(
    connection: Connection, name: str, now: datetime, bands: BandsOf | None
) -> tuple[Explanation | None, str]:
    """Explain an alarm; or say why that cannot be done, which must not hide the rest of a page."""
    try:
        return explain(connection, name, now, bands=bands), ""
    except DriftlineError as error:
        return None, str(error)


def changes(
    connection: Connection, alarms: Iterable[AlarmRecord], line: MonitorLine
) -> tuple[AlarmChange, ...]:
    """Read how a monitor's alarms changed their states, newest first."""
    found = [
        change
        for record in alarms
        if record.name in line.alarms
        for change in changes_of(connection, record, CHANGES_SHOWN)
    ]
    found.sort(key=lambda change: change.time, reverse=True)
    return tuple(found[:CHANGES_SHOWN])


def changes_of(
    connection: Connection, record: AnyRecord, limit: int = HISTORY_SHOWN
) -> tuple[AlarmChange, ...]:
    """Read how one alarm changed its states, newest first."""
    found: list[AlarmChange] = []
    for item in history(connection, record.name, type="StateUpdate", limit=limit):
        new = side_of(item.data, "newState")
        words: Mapping[str, object] = {}
        if new[0] == "ALARM" and isinstance(record, AlarmRecord):
            words = words_at(connection, record, item)
        found.append(
            AlarmChange(
                time=item.time,
                alarm=record.name,
                old=side_of(item.data, "oldState")[0],
                new=new[0],
                reason=new[1] or item.summary,
                cause=note_text(words, "cause"),
                link=note_link(words),
            )
        )
    return tuple(found)


def _on_same_metric(connection: Connection, record: AlarmRecord) -> list[AlarmRecord]:
    """Find other alarms on an alarm's metric; metric math has none of its own."""
    key = record.definition.metric_key
    if not key:
        return []
    table = alarms_table
    query = select(table).where(table.c.metric_key == key, table.c.id != record.id)
    found = []
    for row in connection.execute(query.order_by(table.c.name)):
        with suppress(AlarmError):  # The list of all tells of it.
            found.append(record_of(row))
    return found


def _rule(record: AlarmRecord) -> AlarmRule:
    rule = record.definition
    return AlarmRule(
        namespace=rule.namespace,
        metric=rule.judged_name,
        dimensions=tuple(sorted(rule.dimensions.items())),
        statistic=rule.statistic_name or "Value",
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


def _condition(rule: AlarmDefinition) -> str:
    times = f"{rule.required_breaches} of {rule.evaluation_periods}"
    length = duration(timedelta(seconds=rule.period))
    limit = limit_words(rule.comparison_operator, rule.threshold)
    metric = metric_words(rule.judged_name, rule.dimensions)
    return f"{metric} {limit} in {times} periods of {length}"
