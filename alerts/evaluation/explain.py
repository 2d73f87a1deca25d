"""Why an alarm is in its state: the window, the rule that decided, what is missing, who was told.

Judged by the same functions as live alarms, on what is in the store now; nothing is written. Data
for the command line, the programming interface and the dashboard alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, select

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import Judgement, Point, State, is_breaching, judge
from driftline.alerts.alarms.composite_records import CompositeRecord, get_any
from driftline.alerts.alarms.records import AlarmRecord
from driftline.alerts.alarms.walk import Grid
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.diagnosis import Finding, diagnose, incomparable, watched
from driftline.alerts.evaluation.due import FOLLOWS, newest_tick, next_tick
from driftline.alerts.evaluation.explain_actions import ToldAction, told_actions
from driftline.alerts.evaluation.explain_late import ChangedValue, changed_values
from driftline.alerts.evaluation.explain_rule import (
    ChildState,
    composite_next,
    composite_rule,
    condition,
    decided,
    followed_next,
    rule_children,
)
from driftline.alerts.evaluation.periods import watched_from
from driftline.alerts.evaluation.reading import BandsOf, Question, read_points
from driftline.alerts.metrics.identity import known_ids
from driftline.errors import InputError


@dataclass(frozen=True, slots=True)
class ExplainedPoint:
    """One period of the window: ``X`` breaching, ``0`` good or ``-`` missing, and its value."""

    start: datetime
    mark: str
    value: float | None
    lower: float | None
    upper: float | None
    is_counted: bool

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "start": self.start.isoformat(),
            "mark": self.mark,
            "value": self.value,
            "lower": self.lower,
            "upper": self.upper,
            "is_counted": self.is_counted,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that explains an alarm's state.

    Parameters
    ----------
    name, kind, state, since, reason
        The alarm as it stands, with CloudWatch's sentence of its last change.
    condition
        What the alarm watches, and when it goes off.
    marks, points
        The window that is judged, oldest period first; empty for composites.
    rule, decided
        Which rule decides over that window, and the sentence that says so.
    judged
        What that comes to; another state than the alarm's if the next evaluation changes it.
    children
        Of composites: the conditions of the rule and how they stand.
    next_at, next_evaluation
        When it is judged next, as a time if there is a fixed one, and in a sentence.
    problem
        What keeps the alarm from being judged at all; None: nothing does.
    findings
        What is wrong with metrics that have no data.
    changed
        Values that decided the state and are different now: late datapoints came in.
    actions, actions_reason
        The actions of the last change and what became of them; why there are none, or will be
        none at the next change.
    """

    name: str
    kind: Literal["metric", "composite"]
    state: State
    since: datetime
    reason: str
    condition: str
    marks: str = ""
    points: tuple[ExplainedPoint, ...] = ()
    rule: str
    decided: str
    judged: State
    children: tuple[ChildState, ...] = ()
    next_at: datetime | None = None
    next_evaluation: str
    problem: str | None = None
    findings: tuple[Finding, ...] = ()
    changed: tuple[ChangedValue, ...] = ()
    actions: tuple[ToldAction, ...] = ()
    actions_reason: str | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        next_at = self.next_at
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "since": self.since.isoformat(),
            "reason": self.reason,
            "condition": self.condition,
            "marks": self.marks,
            "points": [one.as_dict() for one in self.points],
            "rule": self.rule,
            "decided": self.decided,
            "judged": self.judged,
            "children": [one.as_dict() for one in self.children],
            "next_at": None if next_at is None else next_at.isoformat(),
            "next_evaluation": self.next_evaluation,
            "problem": self.problem,
            "findings": [one.as_dict() for one in self.findings],
            "changed": [one.as_dict() for one in self.changed],
            "actions": [one.as_dict() for one in self.actions],
            "actions_reason": self.actions_reason,
        }


def explain(
    connection: Connection, name: str, now: datetime, *, bands: BandsOf | None = None
) -> Explanation:
    """Explain an alarm of any kind."""
    record = get_any(connection, name)
    if isinstance(record, CompositeRecord):
        return _composite(connection, record, now)
    return _metric(connection, record, now, bands)


def _metric(
    connection: Connection, record: AlarmRecord, now: datetime, bands: BandsOf | None
) -> Explanation:
    definition = record.definition
    entry = Entry.of(record.updated_at, definition)
    window = _Window.of(connection, record, entry, now)
    points, problem = _points(connection, entry, window.edges, bands)
    judgement = _judge(connection, record, entry, points, now)
    findings = _findings(connection, entry, window, points, problem)
    actions, why = told_actions(connection, record, now)
    counted = {id(point) for point in judgement.evaluated}
    return Explanation(
        name=record.name,
        kind="metric",
        state=record.state,
        since=record.state_changed_at,
        reason=record.state_reason,
        condition=condition(definition),
        marks=judgement.marks,
        points=tuple(
            ExplainedPoint(
                point.start, mark, point.value, point.lower, point.upper, id(point) in counted
            )
            for point, mark in zip(points, judgement.marks, strict=True)
        ),
        rule=judgement.rule,
        decided=decided(definition, judgement, record.state),
        judged=judgement.state,
        next_at=window.next_at,
        next_evaluation=window.next_evaluation,
        problem=problem or record.evaluation_problem,
        findings=findings,
        changed=changed_values(connection, record, entry, bands),
        actions=actions,
        actions_reason=why,
        definition=definition.as_dict(),
    )


def _composite(connection: Connection, record: CompositeRecord, now: datetime) -> Explanation:
    children, judged = rule_children(connection, record)
    actions, why = told_actions(connection, record, now)
    rule, sentence = composite_rule(record, children, judged)
    next_at, next_evaluation = composite_next(record)
    return Explanation(
        name=record.name,
        kind="composite",
        state=record.state,
        since=record.state_changed_at,
        reason=record.state_reason,
        condition=record.definition.alarm_rule,
        rule=rule,
        decided=sentence,
        judged=judged,
        children=children,
        next_at=next_at,
        next_evaluation=next_evaluation,
        problem=record.evaluation_problem,
        actions=actions,
        actions_reason=why,
        definition=record.definition.as_dict(),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """What is judged, and when that happens next."""

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
        if entry.cadence_s != FOLLOWS:
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
        next_at, text = followed_next(definition, until)
        return cls(edges, next_at, text, is_begun=until is not None)


def _points(
    connection: Connection, entry: Entry, edges: tuple[datetime, ...], bands: BandsOf | None
) -> tuple[list[Point], str | None]:
    """Read the window; or say why its metric math could not be done, and take it as missing."""
    question = Question(entry.definition, entry.plan, edges)
    for _, found in read_points(connection, [question], bands):
        if not isinstance(found, Exception):
            return found, None
        if isinstance(found, InputError):
            return [Point(start) for start in edges[:-1]], str(found)
        raise found
    raise AssertionError("one question has one answer")


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
    if entry.cadence_s == FOLLOWS:
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
