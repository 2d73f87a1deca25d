"""What the datapoint says that broke an alarm's bound: the cause, and the way to its window."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import Point, is_breaching
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import AlarmRecord, HistoryItem, history
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.reading import summaries
from driftline.dashboard.queries.alarm_notes import period_end
from driftline.dashboard.queries.alarm_points import decided_of


def newest_words(connection: Connection, record: AlarmRecord) -> Mapping[str, object]:
    """Give the note of the newest datapoint beyond the bound, of those that are judged now.

    Where none is left, as after a window was judged again, the note of the change to this state.
    """
    rule = record.definition
    metric_id = _metric(connection, rule)
    ends = None if metric_id is None else metrics.span(connection, metric_id)
    if ends is not None:
        period, last = timedelta(seconds=rule.period), ends[1]
        anchor = record.evaluated_until or last
        end = anchor + (math.floor((last - anchor) / period) + 1) * period
        earliest = min((point.start for point in decided_of(record)), default=end)
        if note := _breaching_note(connection, rule, end, earliest):
            return note
    newest = history(connection, record.name, type="StateUpdate", limit=1)
    return words_at(connection, record, newest[0]) if newest else {}


def words_at(
    connection: Connection, record: AlarmRecord, item: HistoryItem
) -> Mapping[str, object]:
    """Give the note of the datapoint that decided a change to ALARM; metric math has none."""
    end, rule = period_end(item), record.definition
    if end is None or rule.metrics:
        return {}
    if note := _breaching_note(connection, rule, end, end):
        return note
    metric = (rule.namespace, rule.metric_name, rule.dimensions)
    return metrics.latest_note(connection, *metric, before=end) or {}


def _breaching_note(
    connection: Connection, rule: AlarmDefinition, end: datetime, earliest: datetime
) -> Mapping[str, object]:
    """Give the note of the newest period beyond the bound that ends by then; {} without one.

    As many periods are looked at as the alarm judges, and from ``earliest`` on.
    """
    metric_id = _metric(connection, rule)
    if metric_id is None:
        return {}
    period = timedelta(seconds=rule.period)
    count = max(rule.evaluation_periods, math.ceil((end - earliest) / period))
    start = end - count * period
    found = summaries(connection, metric_id, start, end, rule.period, unit=rule.unit)
    for index, summary in sorted(found.items(), reverse=True):
        point = Point(start + index * period, summary.get(rule.statistic_name))
        if summary.note and is_breaching(rule, point):
            return summary.note
    return {}


def _metric(connection: Connection, rule: AlarmDefinition) -> int | None:
    """Find the metric whose periods can be read as they are stored."""
    if rule.metrics or rule.extended_statistic or rule.evaluation_window is not None:
        return None
    return metrics.find(connection, rule.namespace, rule.metric_name, rule.dimensions)
