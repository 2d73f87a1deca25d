"""Replay and preview: what an alarm would have done, on given or on stored datapoints.

The form is the public contract's: an alarm with datapoints, or a composite with its children's
states, from a start to an end. No clock: equal input gives equal lines, and the function of live
alarms does each evaluation. A preview takes its datapoints from the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import State
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.reason import INITIAL
from driftline.alerts.alarms.rule import alarm_name
from driftline.alerts.documents import Document
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.reading import BandsOf, Question, read_points
from driftline.alerts.evaluation.replay_composite import CompositeReplay, Turn
from driftline.alerts.evaluation.replay_data import Samples, keys, moment, read_edges, read_samples
from driftline.alerts.evaluation.replay_metric import Line, MetricReplay, Track
from driftline.alerts.math.plan import Plan

# So many periods, or states of children, are looked at in one replay, each evaluation's counted:
# some minutes of work.
LONGEST = 20_000_000

_STEP_S = 60.0  # Of composites, which have no period.
_AT_ONCE = 500

# What PutMetricAlarm needs and datapoints do not: they are the metric.
_NAME = "replay"
_DEFAULTS: Mapping[str, object] = {
    "namespace": "Replay",
    "metric_name": "datapoints",
    "period": 60,
}


def _named(given: object, info: ValidationInfo) -> datetime:
    return moment(given, str(info.field_name))


_Moment = Annotated[datetime, BeforeValidator(_named), Field(description="a time")]
_State = Annotated[State, Field(description="OK, ALARM or INSUFFICIENT_DATA")]


class _Span(Document):
    """From when to when an alarm is evaluated, how often, and how it stands at the start."""

    error = AlarmError

    start: _Moment
    end: _Moment
    step_s: Annotated[
        float | None, Field(ge=0.001, le=1e9, description="a number of seconds above 0")
    ] = None
    initial_state: _State | None = None
    initial_reason: str = INITIAL
    explain: bool = False

    @model_validator(mode="after")
    def _check(self) -> _Span:
        if self.start >= self.end:
            raise AlarmError(
                f"start {self.start.isoformat()}, end {self.end.isoformat()}; expected start < end"
            )
        return self

    def times(self, step_s: float, most: int) -> Iterator[datetime]:
        """Return the times of evaluations: start + step, … up to the end."""
        step = timedelta(seconds=self.step_s or step_s)
        count = (self.end - self.start) // step
        if count > most:
            raise AlarmError(
                f"{count} evaluations from start to end; expected {most} or fewer: a later start, "
                "or a longer step_s"
            )
        return (self.start + step * number for number in range(1, count + 1))


class _Previewed(_Span):
    """An alarm over what is stored."""

    alarm: Annotated[dict[str, Any], Field(description="PutMetricAlarm's fields")]
    evaluation_range: Any = None

    @property
    def definition(self) -> AlarmDefinition:
        """The alarm; without a metric its datapoints are the metric."""
        fields: dict[str, object] = {}
        if not {"AlarmName", "alarm_name"} & set(self.alarm):
            fields["alarm_name"] = _NAME
        if not {"MetricName", "metric_name", "Metrics", "metrics"} & set(self.alarm):
            named = {"Namespace": "namespace", "Period": "period"}
            given = {named.get(key, key) for key in self.alarm}
            fields |= {key: value for key, value in _DEFAULTS.items() if key not in given}
        fields |= self.alarm
        if self.evaluation_range is not None:
            fields["evaluation_range"] = self.evaluation_range
        return AlarmDefinition.from_aws(fields)


class _Metric(_Previewed):
    """An alarm with datapoints."""

    created: _Moment | None = None
    datapoints: Any = None
    series: Annotated[
        dict[str, Any] | None, Field(description="lists of datapoints by id of a metric")
    ] = None

    def samples(
        self, definition: AlarmDefinition, plan: Plan | None
    ) -> tuple[list[Samples], tuple[Mapping[int, float], Mapping[int, float]] | None]:
        """Return the datapoints of each metric, and the band if there is one among them."""
        if plan is None:
            if self.series is not None:
                raise AlarmError("series beside an alarm on one metric; expected datapoints")
            found = [] if self.datapoints is None else self.datapoints
            return [read_samples(found, where="datapoints", unit=definition.unit)], None
        series, ids = dict(self.series or {}), [query.id for query in plan.metrics]
        if self.datapoints is not None:
            if len(ids) != 1 or ids[0] in series:
                raise AlarmError("datapoints beside several metrics; expected series by id")
            series[ids[0]] = self.datapoints
        edges, band = None, definition.threshold_metric_id
        if band in series:
            edges = read_edges(series.pop(band), where=f"series {band}")
        if unknown := sorted(set(series) - set(ids)):
            raise AlarmError(f'series "{unknown[0]}"; expected ids of metrics: {", ".join(ids)}')
        return [
            read_samples(series.get(query.id, []), where=f"series {query.id}", unit=query.unit)
            for query in plan.metrics
        ], edges


class _Turn(Document):
    """From when on a child is in a state."""

    error = AlarmError

    time: _Moment
    state: _State


class _Composite(_Span):
    """A composite alarm with its children's states."""

    composite: Annotated[dict[str, Any], Field(description="PutCompositeAlarm's fields")]
    children: Annotated[
        dict[str, Any],
        Field(default_factory=dict, description="lists of states by name of an alarm"),
    ]
    created: Any = None

    @property
    def turns(self) -> dict[str, list[Turn]]:
        """The states of each child, the oldest first."""
        turns: dict[str, list[Turn]] = {}
        for reference, entries in self.children.items():
            name = alarm_name(reference)
            if name in turns or not isinstance(entries, list | tuple):
                raise AlarmError(f'children "{name}"; expected one list of time and state')
            states: dict[datetime, State] = {}
            for entry in entries:
                turn = _Turn.from_dict(keys(f'child "{name}"', entry))
                if states.setdefault(turn.time, turn.state) != turn.state:
                    raise AlarmError(f'child "{name}": two states at {turn.time}; expected one')
            turns[name] = sorted(states.items())
        return turns


def replay(document: object, *, longest: int = LONGEST) -> Iterator[Line]:
    """Return an alarm's evaluations, oldest first; the document is checked before the first."""
    if not isinstance(document, Mapping):
        raise AlarmError(f"a replay of {document!r:.80}; expected an object")
    is_composite = "composite" in document
    if is_composite == ("alarm" in document):
        raise AlarmError("a replay; expected either an alarm or a composite in it")
    if is_composite:
        return _composite(_Composite.from_dict(document), longest)
    return _metric(_Metric.from_dict(document), longest)


def preview(
    connection: Connection,
    document: object,
    *,
    longest: int,
    bands: BandsOf | None = None,
) -> Iterator[Line]:
    """Return the evaluations of an alarm over what is stored for its metrics."""
    if not isinstance(document, Mapping):
        raise AlarmError("a preview without an alarm; expected alarm, start and end")
    asked = _Previewed.from_dict(document)
    definition = asked.definition
    times = asked.times(definition.period, longest // definition.range_periods)
    track = Track(definition, asked.start, asked.initial_state or "INSUFFICIENT_DATA")
    plan = Entry.of(asked.start, definition).plan

    def lines() -> Iterator[Line]:
        questions = ((time, Question(definition, plan, definition.edges(time))) for time in times)
        while some := list(islice(questions, _AT_ONCE)):
            answers = read_points(connection, [question for _, question in some], bands)
            for (time, question), (_, points) in zip(some, answers, strict=True):
                if isinstance(points, Exception):
                    raise points
                yield track.judge(time, question.edges[-1], points, with_cause=asked.explain)

    return lines()


def _metric(asked: _Metric, longest: int) -> Iterator[Line]:
    definition = asked.definition
    plan = Plan.of(definition.metrics) if definition.metrics else None
    times = asked.times(definition.period, longest // definition.range_periods)
    samples, edges = asked.samples(definition, plan)
    state = asked.initial_state or "INSUFFICIENT_DATA"
    track = Track(definition, asked.created or asked.start, state, asked.initial_reason)
    one = MetricReplay(track, plan, samples, edges)
    return one.evaluate(times, with_cause=asked.explain)


def _composite(asked: _Composite, longest: int) -> Iterator[Line]:
    given = asked.composite
    name = {} if {"AlarmName", "alarm_name"} & set(given) else {"alarm_name": _NAME}
    definition = CompositeDefinition.from_dict({**name, **given})
    turns = asked.turns
    for child in (*definition.rule.names, definition.suppressor_name):
        if child is not None and child not in turns:
            raise AlarmError(f'children without "{child}"; expected its states, or an empty list')
    # Each line tells the state of each child.
    times = asked.times(_STEP_S, longest // max(len(definition.rule.names), 1))
    one = CompositeReplay(definition, turns, asked.start, asked.initial_state, asked.initial_reason)
    return one.evaluate(times, with_cause=asked.explain)
