"""Why an alarm is in its state: the periods, the rule, the cause, missing data, notifications.

The functions of live alarms judge what is in the store now; nothing is written. The command line,
the API and the dashboard show it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection, select

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import Judgement, Point, State, is_breaching, judge
from driftline.alerts.alarms.composite_records import AnyRecord, CompositeRecord, get_any
from driftline.alerts.alarms.period_evaluation import Grid, decisive_note
from driftline.alerts.alarms.records import AlarmRecord
from driftline.alerts.documents import Output, Time
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.cause import Cause, LastAlarm, Note, explained_cause
from driftline.alerts.evaluation.diagnosis import Finding, diagnose, incomparable, moment, watched
from driftline.alerts.evaluation.due import ON_ARRIVAL, newest_tick, next_tick
from driftline.alerts.evaluation.explain_rule import (
    ChildState,
    composite_next,
    composite_rule,
    condition,
    decided,
    on_arrival_next,
    rule_children,
)
from driftline.alerts.evaluation.periods import watched_from
from driftline.alerts.evaluation.reading import BandsOf, Question, read_periods
from driftline.alerts.metrics.identity import known_ids
from driftline.alerts.notify.deliveries import list_deliveries

_OFF = "actions are switched off"


@dataclass(frozen=True, slots=True)
class ExplainedPoint:
    """One period of the window: ``X`` breaching, ``0`` good or ``-`` missing, and its value."""

    start: Time
    mark: str
    value: float | None
    lower: float | None
    upper: float | None
    is_counted: bool


@dataclass(frozen=True, slots=True)
class NotifiedAction:
    """One channel that the last change was for: what became of the message, and why."""

    channel: str
    status: str
    why: str | None
    delivery_id: str | None = None
    at: Time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Cause, Output):
    """All that explains an alarm's state; the cause is that of an ALARM that lasts."""

    name: str
    kind: Literal["metric", "composite"]
    state: State
    since: Time
    reason: str  # CloudWatch's sentence of the last change.
    condition: str  # What the alarm watches, and when it goes off.
    marks: str = ""  # The window, oldest period first; as points empty for composites.
    points: tuple[ExplainedPoint, ...] = ()
    rule: str
    decided: str  # The sentence on the rule that decides over that window.
    judged: State  # What that comes to; another state if the next evaluation changes it.
    last_alarm: LastAlarm | None = None  # Of an alarm that has recovered.
    children: tuple[ChildState, ...] = ()  # Of composites: the conditions of the rule.
    next_at: Time | None = None  # None without a fixed time.
    next_evaluation: str
    problem: str | None = None  # What keeps the alarm from being judged at all.
    findings: tuple[Finding, ...] = ()  # What is wrong with metrics that have no data.
    actions: tuple[NotifiedAction, ...] = ()  # Of the last change.
    actions_reason: str | None = None  # Why there are none, or will be none at the next change.
    definition: Annotated[Mapping[str, Any], Field(exclude=True)]


def explain(
    connection: Connection,
    name: str,
    now: datetime,
    *,
    bands: BandsOf | None = None,
    dashboard_url: str = "",
) -> Explanation:
    """Explain an alarm of any kind; pages are below the dashboard's address."""
    record = get_any(connection, name)
    note: Note | None = None  # Composites have no datapoints.
    if isinstance(record, CompositeRecord):
        own = _of_composite(connection, record)
    else:
        own, note = _of_metric(connection, record, now, bands)
    actions, why = _actions(connection, record, now)
    shared: dict[str, Any] = {
        "name": record.name,
        "kind": "composite" if isinstance(record, CompositeRecord) else "metric",
        "state": record.state,
        "since": record.state_changed_at,
        "reason": record.state_reason,
        "problem": record.evaluation_problem,
        "actions": actions,
        "actions_reason": why,
        "definition": record.definition.as_dict(),
    }
    cause = explained_cause(connection, record, note, dashboard_url)
    return Explanation(**shared | own | cause)


def _of_metric(
    connection: Connection, record: AlarmRecord, now: datetime, bands: BandsOf | None
) -> tuple[dict[str, Any], Note | None]:
    """Return an explanation's own fields, and the note of what makes it an ALARM."""
    definition = record.definition
    entry = Entry.of(record.updated_at, definition)
    window = _Window.of(connection, record, entry, now)
    question = Question(definition, entry.plan, window.edges)
    points, problem = read_periods(connection, question, bands)
    judgement = _judge(connection, record, entry, points, now)
    counted = {id(point) for point in judgement.evaluated}
    note = decisive_note(definition, judgement) if judgement.state == "ALARM" else None
    own = {
        "condition": condition(definition),
        "marks": judgement.marks,
        "points": tuple(
            ExplainedPoint(
                point.start, mark, point.value, point.lower, point.upper, id(point) in counted
            )
            for point, mark in zip(points, judgement.marks, strict=True)
        ),
        "rule": judgement.rule,
        "decided": decided(definition, judgement, record.state),
        "judged": judgement.state,
        "next_at": window.next_at,
        "next_evaluation": window.next_evaluation,
        "problem": problem or record.evaluation_problem,
        "findings": _findings(connection, entry, window, points, problem),
    }
    return own, note


def _of_composite(connection: Connection, record: CompositeRecord) -> dict[str, Any]:
    children, judged = rule_children(connection, record)
    rule, sentence = composite_rule(record, children, judged)
    next_at, next_evaluation = composite_next(record)
    return {
        "condition": record.definition.alarm_rule,
        "rule": rule,
        "decided": sentence,
        "judged": judged,
        "children": children,
        "next_at": next_at,
        "next_evaluation": next_evaluation,
    }


@dataclass(frozen=True, slots=True)
class _Window:
    """The evaluated window, and the time of the next evaluation."""

    edges: tuple[datetime, ...]
    next_at: datetime | None
    next_evaluation: str
    is_begun: bool

    @classmethod
    def of(
        cls, connection: Connection, record: AlarmRecord, entry: Entry, now: datetime
    ) -> _Window:
        """Return the window of an alarm at a time, by the clock or by its datapoints."""
        definition = record.definition
        if entry.cadence_s != ON_ARRIVAL:
            edges = definition.edges(newest_tick(now, entry.cadence_s))
            every = {10: "10 seconds", 60: "minute"}.get(entry.cadence_s, "hour")
            text = f"every {every}, over the window that ends then"
            return cls(edges, next_tick(now, entry.cadence_s), text, is_begun=True)
        until = record.evaluated_until
        query = select(tables.alarms.c.phase_s).where(tables.alarms.c.id == record.id)
        grid = Grid(definition.period, connection.scalar(query) or 0)
        # Before its first evaluation: the window that would end at this moment.
        last = grid.index(now if until is None else until)
        first = last - definition.range_periods
        edges = tuple(grid.start(number) for number in range(first, last + 1))
        next_at, text = on_arrival_next(definition, until)
        return cls(edges, next_at, text, is_begun=until is not None)


def _judge(
    connection: Connection,
    record: AlarmRecord,
    entry: Entry,
    points: Sequence[Point],
    now: datetime,
) -> Judgement:
    warm_up = record.definition.warm_up_configuration
    warm_until = None if warm_up is None else warm_up.until(record.created_at)
    since = None
    if entry.cadence_s == ON_ARRIVAL:
        start_at = connection.scalar(
            select(tables.alarms.c.start_at).where(tables.alarms.c.id == record.id)
        )
        ids = list(known_ids(connection, entry.metric_keys).values())
        since = watched_from(connection, ids, start_at, record.created_at)
    return judge(
        record.definition,
        points,
        record.state,
        warm_until=warm_until,
        at=now,
        watched_from=since,
    )


def _findings(
    connection: Connection,
    entry: Entry,
    window: _Window,
    points: Sequence[Point],
    problem: str | None,
) -> tuple[Finding, ...]:
    """Look into each metric, where periods are missing throughout."""
    definition = entry.definition
    if any(is_breaching(definition, point) is not None for point in points):
        return ()
    edges: Sequence[datetime] = window.edges
    if not window.is_begun:
        # Nothing was judged yet: whatever came in so far would do.
        edges = (edges[0] - timedelta(seconds=definition.period), *edges)
    found = [
        diagnose(connection, one, edges, definition.period)
        for one in watched(definition, entry.plan)
    ]
    if not any(found) and problem is None:
        has_values = any(point.value is not None for point in points)
        found = [incomparable(definition, has_values=has_values)]
    return tuple(one for one in found if one is not None)


def decided_values(text: str | None) -> dict[datetime, float | None]:
    """Read the values of a StateReasonData by the start of their periods; nothing if it is none."""
    try:
        found = json.loads(text or "{}")
        entries = found.get("evaluatedDatapoints", []) if isinstance(found, Mapping) else []
        values = {_time(str(entry["timestamp"])): entry.get("value") for entry in entries}
        return {time: _number(value) for time, value in values.items()}
    # Whoever sets a state may write what looks like ours and is not.
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return {}


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)


def _number(value: object) -> float | None:
    found = float(value) if isinstance(value, int | float) else None
    return found if found is not None and math.isfinite(found) else None


def _actions(
    connection: Connection, record: AnyRecord, now: datetime
) -> tuple[tuple[NotifiedAction, ...], str | None]:
    """Return the actions of the last change of state, and why none of them, or no others, run."""
    off = f"{_OFF} (driftline alarm enable switches them on)"
    if messages := list_deliveries(connection, change=(record.id, record.state_seq)):
        later = f"{_OFF}, so the next change tells nobody (driftline alarm enable switches them on)"
        return tuple(
            NotifiedAction(
                one.channel,
                one.status,
                one.reason or one.last_error,
                one.id,
                one.finished_at or one.next_attempt_at,
            )
            for one in messages
        ), None if record.definition.actions_enabled else later
    names = record.definition.channels(record.state)
    if record.state_seq == 0:
        return (), "the alarm has not changed its state yet; actions run on changes only"
    if not names:
        return (), f"no action is declared for {record.state}"
    if not record.definition.actions_enabled:
        return tuple(NotifiedAction(name, "disabled", off) for name in names), None
    if isinstance(record, CompositeRecord) and record.held.is_owed:
        why = record.held.reason or "Actions suppressed"
        if record.held.by == "Alarm":
            why += f': "{record.definition.suppressor_name}" is in ALARM'
        elif record.held.until is not None:
            verb = "run at" if record.held.until > now else "were due at"
            why += f"; they {verb} {moment(record.held.until)}"
        return tuple(NotifiedAction(name, "suppressed", why) for name in names), None
    why = "no message was queued: the action was declared after the change, or its row is gone"
    return tuple(NotifiedAction(name, "not_run", why) for name in names), None
