"""What an alarm looks at over time: its periods, those that decided, and the states over them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import Point, is_breaching
from driftline.alerts.alarms.records import AlarmRecord, history
from driftline.alerts.alarms.window import clock_edges
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.due import CADENCES_S, FOLLOWS, newest_tick
from driftline.alerts.evaluation.reading import BandsOf, Question, read_points
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.reading import summaries
from driftline.dashboard.queries.alarm_notes import note_link, note_text, period_end, side_of
from driftline.dashboard.queries.alarm_views import AlarmPoint, StateSpan
from driftline.errors import InputError

POINTS_SHOWN = 500
SPANS_READ = 500
EDGES_SHOWN = 240
"""Periods of metric math that are worked out for a page."""


def points_of(
    connection: Connection,
    record: AlarmRecord,
    decided: set[datetime],
    now: datetime,
    bands: BandsOf | None = None,
) -> tuple[AlarmPoint, ...]:
    """Read the newest periods of an alarm's metric on the alarm's own grid, oldest first.

    Metric math, percentiles and days of a time zone are worked out as the evaluator does it, for
    fewer periods; periods without data are left out.
    """
    rule = record.definition
    if rule.metrics or rule.extended_statistic or rule.evaluation_window is not None:
        return _computed(connection, record, decided, now, bands)
    metric_id = metrics.find(connection, rule.namespace, rule.metric_name, rule.dimensions)
    ends = None if metric_id is None else metrics.span(connection, metric_id)
    if metric_id is None or ends is None:
        return ()
    first, last = ends
    period = timedelta(seconds=rule.period)
    anchor = record.evaluated_until or last
    end = anchor + (math.floor((last - anchor) / period) + 1) * period
    start = end - min(POINTS_SHOWN, math.ceil((end - first) / period)) * period
    found = summaries(connection, metric_id, start, end, rule.period, unit=rule.unit)
    points = []
    for index, summary in sorted(found.items()):
        value, begin = summary.get(rule.statistic_name), start + index * period
        note = summary.note or {}
        points.append(
            AlarmPoint(
                start=begin,
                end=begin + period,
                value=value,
                breaching=bool(is_breaching(rule, Point(begin, value))),
                decided=begin in decided,
                link=note_link(note),
                words=note_text(note, "cause"),
            )
        )
    return tuple(points)


def decided_of(record: AlarmRecord) -> tuple[AlarmPoint, ...]:
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
        is_over = bool(is_breaching(rule, Point(time, known)))
        found.append(AlarmPoint(time, time + period, known, is_over, decided=True))
    return tuple(found)


def joined(point: AlarmPoint, stored: AlarmPoint | None) -> AlarmPoint:
    """Keep the value that decided; take the words and the link from what is stored."""
    if stored is None:
        return point
    # Beside a band only the store knows the border.
    is_over = point.breaching if stored.upper is None else stored.breaching
    return replace(stored, value=point.value, breaching=is_over, decided=True)


def _computed(
    connection: Connection,
    record: AlarmRecord,
    decided: set[datetime],
    now: datetime,
    bands: BandsOf | None,
) -> tuple[AlarmPoint, ...]:
    rule = record.definition
    entry = Entry.of(record.updated_at, rule)
    tick = newest_tick(now, entry.cadence_s or CADENCES_S[1])
    until = record.evaluated_until if entry.cadence_s == FOLLOWS else None
    last = until or tick
    if rule.evaluation_window is not None:
        edges = clock_edges(rule.evaluation_window.zone, rule.period, EDGES_SHOWN, last)
    else:
        period = timedelta(seconds=rule.period)
        edges = tuple(last - period * back for back in range(EDGES_SHOWN, -1, -1))
    for _, points in read_points(connection, [Question(rule, entry.plan, edges)], bands):
        if isinstance(points, InputError):
            return ()  # The explanation says what is wrong with the metric math.
        if isinstance(points, Exception):
            raise points
        return tuple(
            AlarmPoint(
                start=point.start,
                end=end,
                value=point.value,
                breaching=bool(is_breaching(rule, point)),
                decided=point.start in decided,
                lower=point.lower,
                upper=point.upper,
            )
            for point, (_, end) in zip(points, pairwise(edges), strict=True)
            if point.value is not None
        )
    return ()


def _aws_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def spans_of(
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
    state = side_of(items[0].data, "oldState")[0] if items else record.state
    spans: list[StateSpan] = []
    at = start
    for item in items:
        decided = period_end(item)
        time = min(max(decided - period if decided else item.time, start), end)
        if time > at:
            spans.append(StateSpan(at, time, state))
            at = time
        state = side_of(item.data, "newState")[0]
    if end > at:
        spans.append(StateSpan(at, end, state))
    return tuple(spans)
