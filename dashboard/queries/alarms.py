"""Alarms, read from the database: how they stand, what decided, what keeps them quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, or_, select, true

from driftline.access.audit import deletions
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.alarms.composite_records import (
    AnyRecord,
    CompositeRecord,
    alarms_of_endpoints,
    any_record,
    list_any,
    states_since,
)
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import MONITOR_DIMENSION, AlarmRecord, list_alarms
from driftline.alerts.counts import count_by
from driftline.alerts.evaluation import alarm_timeline
from driftline.alerts.evaluation.explain import Explanation, explain
from driftline.alerts.evaluation.preview import preview_alarm
from driftline.alerts.evaluation.reading import BandsOf
from driftline.alerts.notify.channels import list_channels
from driftline.alerts.notify.deliveries import Delivery, list_deliveries, newest_deliveries
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.silences import SilenceRecord, list_silences
from driftline.alerts.tables import FIRING
from driftline.alerts.tables import alarms as alarms_table
from driftline.dashboard.address import RANGE, monitor_link
from driftline.dashboard.queries import lookup, views
from driftline.dashboard.words import duration, limit_words, moment
from driftline.errors import DriftlineError
from driftline.monitors.executions import Execution
from driftline.monitors.report.datapoints import OWN
from driftline.monitors.report.metric_words import metric_words
from driftline.monitors.tables import definitions

CHANGES_SHOWN = 20
HISTORY_SHOWN = 60
MESSAGES_SHOWN = 60
PARENTS_SHOWN = 20
PAGE = 100
"""Alarms on a page of the list."""
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")
RANKS = {"ALARM": 0, "INSUFFICIENT_DATA": 1, "OK": 2}
"""Of states in lists, the gravest first."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """The silences in force, and watched monitors that are gone.

    They are read once for a page.
    """

    now: datetime
    silences: tuple[SilenceRecord, ...]
    deleted: Mapping[str, datetime] = field(default_factory=dict)  # When, by monitor.

    @classmethod
    def read(cls, connection: Connection, now: datetime) -> Suppression:
        """Read them."""
        watched, there = alarms_table.c.monitor, select(definitions.c.name)
        gone = connection.scalars(select(watched).where(watched.not_in(there)).distinct())
        silences = tuple(list_silences(connection, now, status="ACTIVE"))
        return cls(now, silences, deletions(connection, "Monitor", gone))

    def silences_of(self, record: AnyRecord) -> tuple[SilenceRecord, ...]:
        """Return the silences that suppress the notifications of an alarm now."""
        if not self.silences:
            return ()
        labels = labels_of(record.definition)
        return tuple(one for one in self.silences if one.silence.fits(labels))

    def quiet(self, record: AnyRecord) -> tuple[str, ...]:
        """Return what keeps an alarm from notifying anybody, a few words each."""
        words = []
        for one in self.silences_of(record):
            until = one.silence.mutes_until(self.now)
            end = f" until {moment(until)}" if until is not None else ""
            words.append(f"silenced by {one.silence.name}{end}")
        if isinstance(record, CompositeRecord) and record.held.by is not None:
            words.append(held_words(record))
        if not record.definition.actions_enabled:
            words.append("actions switched off")
        if record.definition.only_scales:
            words.append("scales, and notifies nobody")
        return tuple(words)


def held_words(record: CompositeRecord) -> str:
    """Return what suppresses a composite's actions; empty while nothing does."""
    held, name = record.held, record.definition.suppressor_name
    if held.by is None:
        return ""
    if held.by == "Alarm":
        return f"suppressed by {name}"
    until = "" if held.until is None else f" until {moment(held.until)}"
    return f"waits for {name}{until}" if held.by == "WaitPeriod" else f"held after {name}{until}"


def alarms_view(
    connection: Connection, now: datetime, *, state: str | None = None, text: str | None = None,
    severity: str | None = None, number: int = 1, endpoint: str | None = None, size: int = PAGE,
    is_firing: bool = False,
) -> views.AlarmsView:  # fmt: skip
    """Return a page of the alarms that are asked for, the gravest first, with all their counts.

    ``is_firing`` asks for those that are somebody's trouble now. Their causes are those of the
    newest datapoints, else of the changes of state.
    """
    table, suppression = alarms_table.c, Suppression.read(connection, now)
    narrowed = ((table.state, state), (table.severity, severity))
    asked = [column == value for column, value in narrowed if value is not None]
    if endpoint is not None:
        asked.append(table.name.in_(select(alarms_of_endpoints(endpoint).c.name)))
    known: ColumnElement[bool] = true()
    if is_firing:
        asked.append(FIRING)
    else:  # A list shows what fires now whatever the time.
        known = lookup.in_range(table.state_changed_at) | (table.state == "ALARM")
    asked += [known, *([_says(text)] if text else [])]
    total = connection.scalar(select(func.count()).select_from(alarms_table).where(*asked)) or 0
    number = views.page_within(number, total, size)
    query = (
        select(alarms_table)
        .where(*asked)
        .order_by(
            case(RANKS, value=table.state, else_=1),
            table.severity != "page",
            table.state_changed_at.desc(),
            func.lower(table.name),
        )
        .limit(size)
        .offset(size * (number - 1))
    )
    rows = connection.execute(query).all()
    newest = newest_deliveries(connection, [row.id for row in rows])
    notes = {} if is_firing else {row.id: row._asdict() for row in rows}
    lines = [
        alarm_line(connection, one, suppression, newest.get(one.id, ()), note=notes.get(one.id))
        for one in map(any_record, rows)
    ]
    counts = Counter(count_by(connection, table.state, known))
    everything = count_by(connection, table.state)
    firing = count_by(connection, table.severity, FIRING)
    return views.AlarmsView(
        now, tuple(lines), counts, sum(firing.values()), firing.get("page", 0), total, number,
        size, state, text, severity, sum(everything.values()) - counts.total(),
    )  # fmt: skip


def _says(text: str) -> ColumnElement[bool]:
    """Select alarms of an endpoint, or of which a text, a metric in words or the cause has this."""
    table = alarms_table.c
    of_endpoint = table.name.in_(select(alarms_of_endpoints(text).c.name))
    text = text.casefold()
    names = [name for name, words in OWN.items() if text in words.casefold()]
    return or_(
        of_endpoint,
        table.search_text.contains(text, autoescape=True),
        func.lower(table.cause).contains(text, autoescape=True),
        *(table.search_text.contains(f"\n{name.casefold()}\n", autoescape=True) for name in names),
    )


def alarm_line(
    connection: Connection, record: AnyRecord, suppression: Suppression,
    deliveries: Sequence[Delivery] = (), *, note: Mapping[str, object] | None = None,
) -> views.AlarmLine:  # fmt: skip
    """Return an alarm's line, with the note of the datapoint that put it into its state.

    The note of a newer datapoint beyond the bound is added, unless ``note`` gives that of the
    change to this state, as lists do.
    """
    newest: Mapping[str, object] = {}
    if record.state != "ALARM":
        note = {}
    elif note is None and isinstance(record, AlarmRecord):
        changed = lookup.changes_of_state(connection, record, 1)
        note, newest = alarm_timeline.notes_of(connection, record, changed)
    cause, link = cause_of(note or {})
    latest, latest_link = cause_of(newest)
    if latest == cause:
        latest = latest_link = None
    rule = record.definition
    if isinstance(rule, AlarmDefinition):
        condition, monitor = _condition(rule), rule.dimensions.get(MONITOR_DIMENSION)
    else:
        condition, monitor = rule.alarm_rule, None
    if (deleted := suppression.deleted.get(monitor or "")) is not None:
        latest = f"its monitor was deleted on {moment(deleted)}; no new datapoints come"
        link = latest_link = None
    return views.AlarmLine(
        name=record.name, state=record.state, since=record.state_changed_at,
        reason=record.state_reason, deliveries=tuple(deliveries),
        severity=rule.severity, condition=condition, cause=cause, link=link,
        latest=latest, latest_link=latest_link, monitor=monitor,
        kind="metric" if isinstance(rule, AlarmDefinition) else "composite",
        quiet=suppression.quiet(record),
        actions_enabled=rule.actions_enabled,
    )  # fmt: skip


def _story(
    connection: Connection, record: AnyRecord, suppression: Suppression,
    bands: BandsOf | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Read what the pages of alarms of all kinds show: the fields of `StoryView`."""
    now, name = suppression.now, record.name
    why: Explanation | None = None
    why_not = ""
    try:
        why = explain(connection, name, now, bands=bands)
    except DriftlineError as error:  # It must not hide the rest of a page.
        why_not = str(error)
    deliveries, shown = newest_deliveries(connection, [record.id])[record.id], RANGE.get()
    sent = list_deliveries(
        connection, alarm_name=name, limit=MESSAGES_SHOWN, start=shown.start, end=shown.end
    )
    return {
        "now": now, "description": record.definition.alarm_description,
        "changed_at": record.updated_at, "changes": changes_of(connection, record),
        "why": why, "why_not": why_not,
        "alarm": alarm_line(connection, record, suppression, deliveries),
        "messages": tuple(sent),
        "channels": _channels(connection, record.definition),
        "silences": suppression.silences_of(record),
    }  # fmt: skip


def alarm_view(
    connection: Connection, record: AlarmRecord, now: datetime, bands: BandsOf,
    asked: Mapping[str, str],
) -> views.AlarmView:  # fmt: skip
    """Read everything about one alarm on a metric; ``asked`` are values of it to preview."""
    points = alarm_timeline.points_of(connection, record, now, bands, cause_of)
    shown = RANGE.get()
    start = max(points[0].start, shown.start or points[0].start) if points else None
    past = lookup.changes_of_state(connection, record, alarm_timeline.SPANS_READ) if points else []
    spans = alarm_timeline.spans_of(connection, record, points, past, now)
    suppression, same = Suppression.read(connection, now), _on_same_metric(connection, record)
    return views.AlarmView(
        **_story(connection, record, suppression, bands),
        rule=record.definition,
        points=tuple(one for one in points if shown.covers(one.start, one.end)),
        spans=tuple(
            replace(
                one,
                start=max(one.start, shown.start or one.start),
                end=min(one.end, shown.end or one.end),
            )
            for one in spans
            if shown.covers(one.start, one.end)
        ),
        others=tuple(alarm_line(connection, other, suppression) for other in same),
        preview=preview_alarm(connection, record, asked, start, now, bands, shown.end),
    )


def composite_view(
    connection: Connection, record: CompositeRecord, now: datetime
) -> views.CompositeView:
    """Read everything about one composite alarm."""
    suppression, definition = Suppression.read(connection, now), record.definition
    suppressor = definition.suppressor_name or ""
    found = states_since(connection, [suppressor]).get(suppressor)
    parents = list_any(connection, parents_of=record.name, limit=PARENTS_SHOWN)
    return views.CompositeView(
        **_story(connection, record, suppression),
        rule=definition,
        suppressor_state=found.state if found is not None else None,
        held=held_words(record),
        parents=tuple(alarm_line(connection, one, suppression) for one in parents),
    )


def changes(
    connection: Connection, monitor: str, run: Execution | None
) -> tuple[views.AlarmChange, ...]:
    """Read how a monitor's alarms changed state: what a window did first, then the newest."""
    alarms = list_alarms(connection, monitor=monitor)
    found = [one for it in alarms for one in changes_of(connection, it, CHANGES_SHOWN, run)]
    found.sort(key=lambda change: (change.is_own, change.time), reverse=True)
    return tuple(found[:CHANGES_SHOWN])


def changes_of(
    connection: Connection, record: AnyRecord, limit: int = HISTORY_SHOWN,
    run: Execution | None = None,
) -> tuple[views.AlarmChange, ...]:  # fmt: skip
    """Read how one alarm changed its states, newest first; those of a window however old."""
    changed: list[views.AlarmChange] = []
    count = alarm_timeline.SPANS_READ if run else limit
    for at, item in enumerate(lookup.changes_of_state(connection, record, count)):
        is_own = run is not None and alarm_timeline.is_decided_in(record, item, run.window_start)
        if not is_own and (at >= limit or not RANGE.get().has(item.time)):
            continue
        old, _ = alarm_timeline.side_of(item.data, "oldState")
        new, reason = alarm_timeline.side_of(item.data, "newState")
        note: Mapping[str, object] = {}
        if new == "ALARM" and isinstance(record, AlarmRecord):
            note = alarm_timeline.note_at(connection, record, item)
        of, said = (item.time, record.name, old, new), reason or item.summary
        changed.append(views.AlarmChange(*of, said, *cause_of(note), is_own))
    return tuple(changed)


def cause_of(note: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Return the cause in a note, which others may write, and the page of ours it leads to."""
    cause, link, monitor = (
        value if isinstance(value, str) else ""
        for value in map(note.get, ("cause", "link", "monitor"))
    )
    if (link := link.lstrip("/")).startswith("monitors/"):
        return cause or None, f"/{link}"
    return cause or None, monitor_link(monitor, anchor="rows") if monitor else None


def _channels(connection: Connection, rule: AnyDefinition) -> tuple[views.ChannelLine, ...]:
    """Return how the channels of an alarm fare."""
    statuses = {one.channel.name: one for one in list_channels(connection)}
    names = sorted(rule.channel_names)
    states = [tuple(state for state in STATES if name in rule.channels(state)) for name in names]
    return tuple(map(views.ChannelLine, names, states, map(statuses.get, names)))


def _on_same_metric(connection: Connection, record: AlarmRecord) -> list[AlarmRecord]:
    """Find other alarms on an alarm's metric; metric math has none of its own."""
    key, table = record.definition.metric_key, alarms_table.c
    if not key:
        return []
    query = select(alarms_table).where(table.metric_key == key, table.id != record.id)
    rows = connection.execute(query.order_by(table.name))
    return [one for one in map(any_record, rows) if isinstance(one, AlarmRecord)]


def _condition(rule: AlarmDefinition) -> str:
    times = f"{rule.required_breaches} of {rule.evaluation_periods}"
    length = duration(timedelta(seconds=rule.period))
    limit = limit_words(rule.comparison_operator, rule.threshold)
    metric = metric_words(rule.judged_name, rule.dimensions)
    return f"{metric} {limit} in {times} periods of {length}"
