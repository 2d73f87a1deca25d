"""Replay: what an alarm would have done, from datapoints or states that are given.

The form is the public contract's: an alarm with datapoints, or a composite with its children's
states, from a start to an end. No clock and no database: equal input gives equal lines, and each
evaluation is done by the function that judges live alarms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from driftline.alerts.alarms.alarm import State
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.rule import alarm_name
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.replay_composite import CompositeReplay, Turn
from driftline.alerts.evaluation.replay_data import (
    Samples,
    keys,
    moment,
    read_edges,
    read_samples,
)
from driftline.alerts.evaluation.replay_document import (
    NAME,
    definition_of,
    flag_of,
    reason_of,
    require_unicode,
    state_of,
    times_of,
)
from driftline.alerts.evaluation.replay_line import Line
from driftline.alerts.evaluation.replay_metric import MetricReplay, Track
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
    require_unicode(document)
    if is_composite:
        return _composite(document, longest)
    return _metric(document, longest)


def _metric(document: Mapping[str, object], longest: int) -> Iterator[Line]:
    definition = definition_of(document)
    plan = Plan.of(definition.metrics) if definition.metrics else None
    start, times = times_of(document, definition.period, longest // definition.range_periods)
    series, edges = _series(document, definition, plan)
    created = moment("created", document["created"]) if "created" in document else start
    state = state_of("initial_state", document.get("initial_state", "INSUFFICIENT_DATA"))
    track = Track(definition, created, state, reason_of(document))
    one = MetricReplay(track, plan, series, edges)
    return one.evaluate(times, with_cause=flag_of(document, "explain"))


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
    name = {} if {"AlarmName", "alarm_name"} & set(found) else {"alarm_name": NAME}
    definition = CompositeDefinition.from_dict({**name, **found})
    turns = _turns(document.get("children", {}))
    wanted = (*definition.rule.names, definition.suppressor_name)
    for child in wanted:
        if child is not None and child not in turns:
            raise AlarmError(f'children without "{child}"; expected its states, or an empty list')
    # Each line tells the state of each child.
    start, times = times_of(document, _STEP_S, longest // max(len(definition.rule.names), 1))
    state = None
    if "initial_state" in document:
        state = state_of("initial_state", document["initial_state"])
    one = CompositeReplay(definition, turns, start, state, reason_of(document))
    return one.evaluate(times, with_cause=flag_of(document, "explain"))


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
            state = state_of(f'child "{name}": state', fields["state"])
            if states.setdefault(time, state) != state:
                raise AlarmError(f'child "{name}": two states at {fields["time"]}; expected one')
        turns[name] = sorted(states.items())
    return turns
