"""What documents of replays and previews share: an alarm, times, states."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import get_args

from driftline.alerts.alarms.alarm import State
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.reason import INITIAL
from driftline.alerts.alarms.wire import from_aws
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.replay_data import moment

_SHORTEST_STEP_S, _LONGEST_STEP_S = 0.001, 1e9

# What PutMetricAlarm needs and datapoints do not: they are the metric.
NAME = "replay"
_METRIC_DEFAULTS: Mapping[str, object] = {
    "namespace": "Replay",
    "metric_name": "datapoints",
    "period": 60,
}


# Long, and never told again as they were given.
_NUMBERS = frozenset({"datapoints", "series", "children"})


def require_unicode(document: Mapping[object, object]) -> None:
    """Refuse what JSON can say and no answer can: half of a surrogate pair. It is AlarmError."""
    told = {str(key): one for key, one in document.items() if key not in _NUMBERS}
    try:
        json.dumps(told, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise AlarmError(
            "a text that is no Unicode (half of a surrogate pair); expected Unicode"
        ) from None
    except RecursionError:
        raise AlarmError("a document that is nested too deep; expected an alarm in it") from None


def definition_of(document: Mapping[str, object]) -> AlarmDefinition:
    """Read the alarm; without a metric its datapoints are the metric. An error is AlarmError."""
    found = document["alarm"]
    if not isinstance(found, Mapping):
        raise AlarmError(f"alarm {found!r:.80}; expected PutMetricAlarm's fields")
    fields: dict[str, object] = {}
    if not {"AlarmName", "alarm_name"} & set(found):
        fields["alarm_name"] = NAME
    if not {"MetricName", "metric_name", "Metrics", "metrics"} & set(found):
        given = dict(_METRIC_DEFAULTS)
        named = {"Namespace": "namespace", "Period": "period"}
        for key in found:
            given.pop(named.get(str(key), str(key)), None)
        fields |= given
    fields |= found
    if document.get("evaluation_range") is not None:
        fields["evaluation_range"] = document["evaluation_range"]
    return from_aws(fields)


def times_of(
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


def state_of(name: str, found: object) -> State:
    """Read a state; an error is AlarmError."""
    if found not in get_args(State):
        raise AlarmError(f"{name} {found!r:.80}; expected OK, ALARM or INSUFFICIENT_DATA")
    return found  # type: ignore[return-value] # it is one of them


def reason_of(document: Mapping[str, object]) -> str:
    """Read the reason of the state at the start; an error is AlarmError."""
    found = document.get("initial_reason", INITIAL)
    if not isinstance(found, str):
        raise AlarmError(f"initial_reason {found!r:.80}; expected a text")
    return found


def flag_of(document: Mapping[str, object], name: str) -> bool:
    """Read a switch, false when it is not there; an error is AlarmError."""
    found = document.get(name, False)
    if not isinstance(found, bool):
        raise AlarmError(f"{name} {found!r:.80}; expected true or false")
    return found
