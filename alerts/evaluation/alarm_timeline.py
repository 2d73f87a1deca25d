"""What an alarm looked at over time: its periods, those that decided, the states over them.

Also what a monitor noted beside the datapoints that decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import is_breaching
from driftline.alerts.alarms.composite_records import AnyRecord
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import AlarmRecord, HistoryItem, history
from driftline.alerts.alarms.window import clock_edges
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.explain import decided_values
from driftline.alerts.evaluation.preview import AlarmPoint, StateSpan, judged_until
from driftline.alerts.evaluation.reading import BandsOf, Question, read_periods
from driftline.alerts.metrics import store as metrics

POINTS_SHOWN = 500
SPANS_READ = 500
"""Changes of state of which spans are made."""

UNKNOWN = "UNKNOWN"
"""The state of an alarm before its history begins."""

Note = Mapping[str, object]
"""What stands beside a datapoint; empty for nothing."""

EDGES_SHOWN = 240
"""Periods of metric math that are worked out at most."""


def points_of(
    connection: Connection,
    record: AlarmRecord,
    now: datetime,
    bands: BandsOf,
    cause_of: Callable[[Note], tuple[str | None, str | None]],
) -> tuple[AlarmPoint, ...]:
    """Read the newest periods of an alarm's metrics, as the evaluator does, oldest first.

    ``cause_of`` returns the text and the link of a datapoint's note. Metric math, percentiles and
    days of a time zone cover fewer periods; periods without data are left out.
    """
    edges = _edges(connection, record, now)
    if not edges:
        return ()
    plan = Entry.of(record.updated_at, record.definition).plan
    decided = decided_values(record.state_reason_data)
    # The explanation says what is wrong with metric math.
    points, _ = read_periods(connection, Question(record.definition, plan, edges), bands)
    shown = []
    for point, end in zip(points, edges[1:], strict=False):
        if point.value is None:
            continue
        words, link = cause_of(point.note or {})
        shown.append(
            AlarmPoint(
                start=point.start,
                end=end,
                value=point.value,
                breaching=bool(is_breaching(record.definition, point)),
                decided=point.start in decided,
                link=link,
                words=words,
                lower=point.lower,
                upper=point.upper,
            )
        )
    return tuple(shown)


def stored_span(connection: Connection, record: AlarmRecord) -> tuple[datetime, datetime] | None:
    """Return the first time with data, and the end of the newest period on the alarm's own grid.

    None without data, and for what is not one metric's own statistic.
    """
    rule, period = record.definition, timedelta(seconds=record.definition.period)
    if rule.metrics or rule.extended_statistic or rule.evaluation_window is not None:
        return None
    metric_id = metrics.find(connection, rule.namespace, rule.metric_name, rule.dimensions)
    ends = None if metric_id is None else metrics.span(connection, metric_id)
    if ends is None:
        return None
    anchor = record.evaluated_until or ends[1]
    return ends[0], anchor + (math.floor((ends[1] - anchor) / period) + 1) * period


def even_edges(end: datetime, period: timedelta, count: int) -> tuple[datetime, ...]:
    """Return the borders of so many periods up to an end, oldest first."""
    return tuple(end - back * period for back in range(count, -1, -1))


def _edges(connection: Connection, record: AlarmRecord, now: datetime) -> tuple[datetime, ...]:
    """Return the borders of the periods that a page shows; none without data."""
    rule, period = record.definition, timedelta(seconds=record.definition.period)
    if not (rule.metrics or rule.extended_statistic or rule.evaluation_window):
        if (stored := stored_span(connection, record)) is None:
            return ()
        first, end = stored
        return even_edges(end, period, min(POINTS_SHOWN, math.ceil((end - first) / period)))
    last = judged_until(record, now)
    if rule.evaluation_window is not None:
        return clock_edges(rule.evaluation_window.zone, rule.period, EDGES_SHOWN, last)
    return even_edges(last, period, EDGES_SHOWN)


def spans_of(
    connection: Connection,
    record: AlarmRecord,
    points: Sequence[AlarmPoint],
    changes: Sequence[HistoryItem],
    now: datetime,
) -> tuple[StateSpan, ...]:
    """Lay the states over the periods shown: each over the periods after which it held.

    ``changes`` are the newest `SPANS_READ` of the alarm's state, newest first. The state before
    them is unknown.
    """
    if not points:
        return ()
    items = changes[::-1]
    period = timedelta(seconds=record.definition.period)
    start, end = points[0].start, points[-1].end
    if record.evaluated_until is not None:
        end = max(end, min(record.evaluated_until, now))
    ends = [period_end(item) for item in items]
    times = [
        min(max(decided - period if decided else item.time, start), end)
        for item, decided in zip(items, ends, strict=True)
    ]
    state = side_of(items[0].data, "oldState")[0] if items else record.state
    # A change may be decided by a period before the alarm was made.
    at = min([end, max(start, _kept_since(connection, record, items)), *times])
    spans = [StateSpan(start, at, UNKNOWN)] if at > start else []
    for item, time in zip(items, times, strict=True):
        if time > at:
            spans.append(StateSpan(at, time, state))
            at = time
        state = side_of(item.data, "newState")[0]
    if end > at:
        spans.append(StateSpan(at, end, state))
    return tuple(spans)


def _kept_since(
    connection: Connection,
    record: AlarmRecord,
    items: Sequence[HistoryItem],
) -> datetime:
    """Return since when all changes of an alarm's state are kept; ``items`` are oldest first."""
    if not items:
        return record.state_changed_at
    if len(items) == SPANS_READ:
        return items[0].time
    # History is removed by its age, whatever alarm it is of.
    first = history(connection, limit=1, newest_first=False)
    return max([record.created_at, *(item.time for item in first)])


def period_end(item: HistoryItem) -> datetime | None:
    """Return the end of the period that decided a change; None where none did."""
    end = item.data.get("periodEnd")
    return datetime.fromisoformat(end) if isinstance(end, str) else None


def is_decided_in(record: AnyRecord, item: HistoryItem, start: datetime) -> bool:
    """Whether a period that holds this time decided a change, as that of a window's datapoint."""
    end = period_end(item)
    if end is None or not isinstance(record, AlarmRecord):
        return False
    return end - timedelta(seconds=record.definition.period) <= start < end


def side_of(data: Mapping[str, object], key: str) -> tuple[str, str]:
    """Read one side of CloudWatch's history data: the state's value and reason."""
    side = data.get(key)
    if not isinstance(side, Mapping):
        return "", ""
    return str(side.get("stateValue", "")), str(side.get("stateReason", ""))


def notes_of(
    connection: Connection, record: AlarmRecord, changed: Sequence[HistoryItem]
) -> tuple[Note, Note]:
    """Return the notes of the datapoint that put an alarm into ALARM, and of the newest such.

    The newest is beyond the bound among those that are judged now. Where none is left, as after a
    window was judged again, or where the change is past retention, one stands for both. ``changed``
    is the newest change of state, if there is one.
    """
    note = note_at(connection, record, changed[0]) if changed else {}
    newest: Note = {}
    if (stored := stored_span(connection, record)) is not None:
        rule, decided = record.definition, decided_values(record.state_reason_data)
        newest = _breaching_note(connection, rule, stored[1], min(decided, default=stored[1]))
        if decided and not note:  # The change itself is past retention.
            last = max(decided) + timedelta(seconds=rule.period)
            note = _breaching_note(connection, rule, last, last)
    return note or newest, newest or note


def note_at(connection: Connection, record: AlarmRecord, item: HistoryItem) -> Note:
    """Return the note of the datapoint that decided a change to ALARM; metric math has none."""
    end, rule = period_end(item), record.definition
    if end is None or rule.metrics:
        return {}
    if note := _breaching_note(connection, rule, end, end):
        return note
    metric = (rule.namespace, rule.metric_name, rule.dimensions)
    return metrics.latest_note(connection, *metric, before=end) or {}


def _breaching_note(
    connection: Connection, rule: AlarmDefinition, end: datetime, earliest: datetime
) -> Note:
    """Return the note of the newest period beyond the bound that ends by then; {} without one.

    As many periods are looked at as the alarm judges, and from ``earliest`` on.
    """
    period = timedelta(seconds=rule.period)
    count = max(rule.evaluation_periods, math.ceil((end - earliest) / period))
    question = Question(rule, None, even_edges(end, period, count))
    for point in reversed(read_periods(connection, question)[0]):
        if point.note and is_breaching(rule, point):
            return point.note
    return {}
