"""Replay and preview: what an alarm would have done, on what is given or what is stored.

The form is the public contract's: an alarm with datapoints, or a composite with its children's
states, from a start to an end. No clock: equal input gives equal lines, and each evaluation is done
by the function that judges live alarms. A preview takes its datapoints from the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import get_args

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import State
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.reason import INITIAL
from driftline.alerts.alarms.rule import alarm_name
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.reading import BandsOf, Question, read_points
from driftline.alerts.evaluation.replay_composite import CompositeReplay, Turn
from driftline.alerts.evaluation.replay_data import (
    Samples,
    keys,
    moment,
    read_edges,
    read_samples,
)
from driftline.alerts.evaluation.replay_metric import Line, MetricReplay, Track
from driftline.alerts.math.plan import Plan

# So many periods, or states of children, are looked at in one replay, each evaluation's counted:
# some minutes of work.
LONGEST = 20_000_000

_EITHER = frozenset(
    {"start", "end", "step_s", "initial_state", "initial_reason", "created", "explain"}
)
_METRIC = _EITHER | {"alarm", "datapoints", "series", "evaluation_range"}
_COMPOSITE = _EITHER | {"composite", "children"}
_STEP_S = 60.0  # Of composites, which have no period.
_PREVIEWED = frozenset(
    {"alarm", "start", "end", "step_s", "initial_state", "evaluation_range", "explain"}
)
_AT_ONCE = 500
_SHORTEST_STEP_S, _LONGEST_STEP_S = 0.001, 1e9

# What PutMetricAlarm needs and datapoints do not: they are the metric.
_NAME = "replay"
_DEFAULTS: Mapping[str, object] = {
    "namespace": "Replay",
    "metric_name": "datapoints",
    "period": 60,
}


def replay(document: object, *, longest: int = LONGEST) -> Iterator[Line]:
    """Return an alarm's evaluations, oldest first; the document is checked before the first."""
    if not isinstance(document, Mapping):
        raise AlarmError(f"a replay of {document!r:.80}; expected an object")
    is_composite = "composite" in document
    if is_composite == ("alarm" in document):
        raise AlarmError("a replay; expected either an alarm or a composite in it")
    known = _COMPOSITE if is_composite else _METRIC
    if unknown := sorted(str(key) for key in set(document) - known):
        raise AlarmError(f'a replay with "{unknown[0]}"; expected some of {sorted(known)}')
    if is_composite:
        return _composite(document, longest)
    return _metric(document, longest)


def preview(
    connection: Connection,
    document: object,
    *,
    longest: int,
    bands: BandsOf | None = None,
) -> Iterator[Line]:
    """Return the evaluations of an alarm over what is stored for its metrics."""
    if not isinstance(document, Mapping) or "alarm" not in document:
        raise AlarmError("a preview without an alarm; expected alarm, start and end")
    if unknown := sorted(str(key) for key in set(document) - _PREVIEWED):
        raise AlarmError(f'a preview with "{unknown[0]}"; expected some of {sorted(_PREVIEWED)}')
    definition = _definition(document)
    start, times = _times(document, definition.period, longest // definition.range_periods)
    state = _state("initial_state", document.get("initial_state", "INSUFFICIENT_DATA"))
    track = Track(definition, start, state)
    plan = Entry.of(start, definition).plan
    with_cause = _flag(document, "explain")

    def lines() -> Iterator[Line]:
        questions = ((time, Question(definition, plan, definition.edges(time))) for time in times)
        while some := list(islice(questions, _AT_ONCE)):
            answers = read_points(connection, [question for _, question in some], bands)
            for (time, question), (_, points) in zip(some, answers, strict=True):
                if isinstance(points, Exception):
                    raise points
                yield track.judge(time, question.edges[-1], points, with_cause=with_cause)

    return lines()


def _metric(document: Mapping[str, object], longest: int) -> Iterator[Line]:
    definition = _definition(document)
    plan = Plan.of(definition.metrics) if definition.metrics else None
    start, times = _times(document, definition.period, longest // definition.range_periods)
    series, edges = _series(document, definition, plan)
    created = moment("created", document["created"]) if "created" in document else start
    state = _state("initial_state", document.get("initial_state", "INSUFFICIENT_DATA"))
    track = Track(definition, created, state, _reason(document))
    one = MetricReplay(track, plan, series, edges)
    return one.evaluate(times, with_cause=_flag(document, "explain"))


def _series(
    document: Mapping[str, object], definition: AlarmDefinition, plan: Plan | None
) -> tuple[list[Samples], tuple[Mapping[int, float], Mapping[int, float]] | None]:
    """Read the datapoints of each metric, and the band if there is one among them."""
    if plan is None:
        if "series" in document:
            raise AlarmError("series beside an alarm on one metric; expected datapoints")
        found = document.get("datapoints", [])
        return [read_samples(found, where="datapoints", unit=definition.unit)], None
    series = document.get("series", {})
    if not isinstance(series, Mapping):
        raise AlarmError(f"series {series!r:.80}; expected lists of datapoints by id of a metric")
    series = dict(series)
    if "datapoints" in document:
        if len(plan.metrics) != 1 or plan.metrics[0].id in series:
            raise AlarmError("datapoints beside several metrics; expected series by id")
        series[plan.metrics[0].id] = document["datapoints"]
    edges = None
    if definition.threshold_metric_id in series:
        where = f"series {definition.threshold_metric_id}"
        edges = read_edges(series.pop(definition.threshold_metric_id), where=where)
    ids = [query.id for query in plan.metrics]
    if unknown := sorted(str(key) for key in set(series) - set(ids)):
        raise AlarmError(f'series "{unknown[0]}"; expected ids of metrics: {", ".join(ids)}')
    return [
        read_samples(series.get(query.id, []), where=f"series {query.id}", unit=query.unit)
        for query in plan.metrics
    ], edges


def _composite(document: Mapping[str, object], longest: int) -> Iterator[Line]:
    found = document["composite"]
    if not isinstance(found, Mapping):
        raise AlarmError(f"composite {found!r:.80}; expected PutCompositeAlarm's fields")
    name = {} if {"AlarmName", "alarm_name"} & set(found) else {"alarm_name": _NAME}
    definition = CompositeDefinition.from_dict({**name, **found})
    turns = _turns(document.get("children", {}))
    wanted = (*definition.rule.names, definition.suppressor_name)
    for child in wanted:
        if child is not None and child not in turns:
            raise AlarmError(f'children without "{child}"; expected its states, or an empty list')
    # Each line tells the state of each child.
    start, times = _times(document, _STEP_S, longest // max(len(definition.rule.names), 1))
    state = None
    if "initial_state" in document:
        state = _state("initial_state", document["initial_state"])
    one = CompositeReplay(definition, turns, start, state, _reason(document))
    return one.evaluate(times, with_cause=_flag(document, "explain"))


def _turns(found: object) -> dict[str, list[Turn]]:
    if not isinstance(found, Mapping):
        raise AlarmError(f"children {found!r:.80}; expected lists of states by name of an alarm")
    turns: dict[str, list[Turn]] = {}
    for reference, entries in found.items():
        name = alarm_name(str(reference))
        if name in turns or not isinstance(entries, list | tuple):
            raise AlarmError(f'children "{name}"; expected one list of time and state')
        states: dict[datetime, State] = {}
        for entry in entries:
            fields = keys(f'child "{name}"', entry)
            if set(fields) != {"time", "state"}:
                raise AlarmError(f'child "{name}": {entry!r:.80}; expected time and state')
            time = moment(f'child "{name}": time', fields["time"])
            state = _state(f'child "{name}": state', fields["state"])
            if states.setdefault(time, state) != state:
                raise AlarmError(f'child "{name}": two states at {fields["time"]}; expected one')
        turns[name] = sorted(states.items())
    return turns


def _definition(document: Mapping[str, object]) -> AlarmDefinition:
    """Read the alarm; without a metric its datapoints are the metric. An error is AlarmError."""
    found = document["alarm"]
    if not isinstance(found, Mapping):
        raise AlarmError(f"alarm {found!r:.80}; expected PutMetricAlarm's fields")
    fields: dict[str, object] = {}
    if not {"AlarmName", "alarm_name"} & set(found):
        fields["alarm_name"] = _NAME
    if not {"MetricName", "metric_name", "Metrics", "metrics"} & set(found):
        given = dict(_DEFAULTS)
        named = {"Namespace": "namespace", "Period": "period"}
        for key in found:
            given.pop(named.get(str(key), str(key)), None)
        fields |= given
    fields |= found
    if document.get("evaluation_range") is not None:
        fields["evaluation_range"] = document["evaluation_range"]
    return AlarmDefinition.from_aws(fields)


def _times(
    document: Mapping[str, object], step_s: float, most: int
) -> tuple[datetime, Iterator[datetime]]:
    """Return the start, and the times of evaluations: start + step, … up to the end."""
    for key in ("start", "end"):
        if key not in document:
            raise AlarmError(f'a replay without "{key}"; expected a time')
    start, end = moment("start", document["start"]), moment("end", document["end"])
    if start >= end:
        raise AlarmError(f"start {document['start']}, end {document['end']}; expected start < end")
    given = document.get("step_s")
    if given is not None:
        if not isinstance(given, int | float) or not _SHORTEST_STEP_S <= given <= _LONGEST_STEP_S:
            raise AlarmError(f"step_s {given!r:.80}; expected a number of seconds above 0")
        step_s = given
    step = timedelta(seconds=step_s)
    count = (end - start) // step
    if count > most:
        raise AlarmError(
            f"{count} evaluations from start to end; expected {most} or fewer: a later start, or a "
            "longer step_s"
        )
    return start, (start + step * number for number in range(1, count + 1))


def _state(name: str, found: object) -> State:
    """Read a state; an error is AlarmError."""
    if found not in get_args(State):
        raise AlarmError(f"{name} {found!r:.80}; expected OK, ALARM or INSUFFICIENT_DATA")
    return found  # type: ignore[return-value] # it is one of them


def _reason(document: Mapping[str, object]) -> str:
    """Read the reason of the state at the start; an error is AlarmError."""
    found = document.get("initial_reason", INITIAL)
    if not isinstance(found, str):
        raise AlarmError(f"initial_reason {found!r:.80}; expected a text")
    return found


def _flag(document: Mapping[str, object], name: str) -> bool:
    """Read a switch, false when it is not there; an error is AlarmError."""
    found = document.get(name, False)
    if not isinstance(found, bool):
        raise AlarmError(f"{name} {found!r:.80}; expected true or false")
    return found
