"""What an alarm would have done with other values, over what is stored; changes nothing.

Evaluated as live alarms are, so what is shown is what an alarm would do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import yaml
from sqlalchemy import Connection

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import AlarmRecord
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.due import CADENCES_S, ON_ARRIVAL, newest_tick
from driftline.alerts.evaluation.reading import BandsOf
from driftline.alerts.evaluation.replay import preview
from driftline.alerts.evaluation.replay_metric import Line
from driftline.errors import InputError

EVALUATIONS_MAX = 1_000
LOOKED_AT_MAX = 200_000
"""Periods that one run may look at: about a second."""

NOTHING_STORED = "nothing is stored for this metric, so nothing can be tried"
NOTHING_SHOWN = "nothing of this metric lies in the time that is shown, so nothing can be tried"
_DEFAULTS: Mapping[str, object] = {"actions_enabled": True, "severity": "page"}
_OUTSIDE = ("alarm_name", "owner", "tags")


@dataclass(frozen=True, slots=True)
class AlarmPoint:
    """One period of an alarm's metric; ``decided`` marks those that decided its state.

    ``value`` is None for a judged period without data; ``lower`` and ``upper`` are the band, if
    any.
    """

    start: datetime
    end: datetime
    value: float | None
    breaching: bool
    decided: bool = False
    link: str | None = None
    words: str | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class StateSpan:
    """A stretch of periods after which the alarm was in one state, or it is not known in which."""

    start: datetime
    end: datetime
    state: str


def times_in_alarm(spans: Sequence[StateSpan]) -> int:
    """Count how often an alarm fired; neighbours of one state are one stretch."""
    return sum(span.state == "ALARM" for span in spans)


@dataclass(frozen=True, slots=True)
class PreviewRun:
    """The result of a preview: how often an alarm fired, how long, and its last state."""

    fired: int
    in_alarm: timedelta
    state: str
    spans: tuple[StateSpan, ...]
    points: tuple[AlarmPoint, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """An alarm with other values next to itself as declared, over the same span of time.

    ``problem`` says what is wrong with the values ``asked`` for; there are no runs then. ``values``
    are those of the form.
    """

    values: Mapping[str, str]
    asked: Mapping[str, str]
    start: datetime | None = None
    end: datetime | None = None
    declared: PreviewRun | None = None
    changed: PreviewRun | None = None
    definition: AlarmDefinition | None = None
    problem: str = ""
    text: str = ""


def preview_alarm(
    connection: Connection,
    record: AlarmRecord,
    asked: Mapping[str, str],
    start: datetime | None,
    now: datetime,
    bands: BandsOf | None = None,
    until: datetime | None = None,
) -> Preview:
    """Run an alarm with the values asked for, and as declared, over what is stored.

    From ``start`` on, and to the end of the newest judged period that ends by ``until``.
    """
    shown = Preview(_values(record.definition) | dict(asked), asked)
    if not asked:
        return shown
    try:
        definition = changed_definition(record.definition, asked)
        shown = replace(shown, definition=definition, text=resource_text(definition))
        if start is None:
            return replace(shown, problem=NOTHING_STORED)
        end, period = judged_until(record, now), timedelta(seconds=record.definition.period)
        if until is not None and until < end:
            end -= math.ceil((end - until) / period) * period
        if end <= start:
            return replace(shown, problem=NOTHING_SHOWN)
        declared, changed = (
            _run(connection, rule, start, end, bands) for rule in (record.definition, definition)
        )
    except InputError as error:
        return replace(shown, problem=str(error))
    return replace(shown, start=start, end=end, declared=declared, changed=changed)


def changed_definition(rule: AlarmDefinition, asked: Mapping[str, str]) -> AlarmDefinition:
    """Return a definition with other values; InputError for what is no number, or not allowed."""
    # A form sends all of its fields: what is as it was is not to be written out, but M beside N.
    old = _values(rule)
    changed = {name for name, one in asked.items() if one != old.get(name)}
    changed |= {"needed"} if "periods" in changed else set()
    asked = {name: one for name, one in asked.items() if name in changed}
    values = rule.as_dict()
    if "threshold" in asked:
        values["threshold"] = _number("threshold", asked["threshold"])
    for name, key in (("periods", "evaluation_periods"), ("needed", "datapoints_to_alarm")):
        if name in asked:
            values[key] = _whole(name, asked[name])
    if "periods" in asked and "needed" not in asked and rule.datapoints_to_alarm is not None:
        # M of an alarm as declared may be more than the new N.
        values["datapoints_to_alarm"] = min(
            rule.datapoints_to_alarm, _whole("periods", asked["periods"])
        )
    if "periods" in asked and rule.evaluation_range is not None:
        # As many more periods are looked at than it judges as before.
        periods = _whole("periods", asked["periods"])
        more = rule.evaluation_range - rule.evaluation_periods
        values["evaluation_range"] = min(periods + more, 10 * periods + 10)
    if "missing" in asked:
        values["treat_missing_data"] = asked["missing"]
    if "period" in asked and _whole("period", asked["period"]) != rule.period:
        if rule.metrics:
            raise InputError("period: that of metric math stands in its queries; leave it")
        values["period"] = _whole("period", asked["period"])
    if rule.metrics:
        values.pop("period", None)
    return AlarmDefinition.from_dict({key: one for key, one in values.items() if one is not None})


def resource_spec(rule: AlarmDefinition) -> dict[str, object]:
    """Return what a resource says of a definition, without what it has by default."""
    spec = {
        key: value
        for key, value in rule.as_dict().items()
        if key not in _OUTSIDE and value not in (None, "", [], {}) and value != _DEFAULTS.get(key)
    }
    if rule.metrics:
        spec.pop("period", None)
    return spec


def resource_text(rule: AlarmDefinition) -> str:
    """Write a definition as the resource that ``driftline apply`` takes, in YAML."""
    spec = resource_spec(rule)
    head = {"kind": "Alarm", "name": rule.alarm_name, "owner": rule.owner, "tags": dict(rule.tags)}
    document = {key: value for key, value in head.items() if value} | {"spec": spec}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _values(rule: AlarmDefinition) -> dict[str, str]:
    threshold = {} if rule.threshold is None else {"threshold": _shortest(rule.threshold)}
    return threshold | {
        "periods": str(rule.evaluation_periods),
        "needed": str(rule.required_breaches),
        "missing": rule.treatment,
        "period": str(rule.period),
    }


def _shortest(value: float) -> str:
    """Write a number short, but so that reading it gives the same one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def judged_until(record: AlarmRecord, now: datetime) -> datetime:
    """Return where the newest judged period ends, on the alarm's own grid."""
    entry = Entry.of(record.updated_at, record.definition)
    if entry.cadence_s == ON_ARRIVAL and record.evaluated_until is not None:
        return record.evaluated_until
    return newest_tick(now, entry.cadence_s or CADENCES_S[1])


def _run(
    connection: Connection,
    rule: AlarmDefinition,
    start: datetime,
    end: datetime,
    bands: BandsOf | None,
) -> PreviewRun:
    """Judge once for each period, so that the last evaluation is at the end."""
    period = timedelta(seconds=rule.period)
    count = max(1, min(EVALUATIONS_MAX, (end - start) // period))
    document = {
        "alarm": {key: one for key, one in rule.as_dict().items() if one not in (None, "", [], {})},
        "start": (end - count * period).isoformat(),
        "end": end.isoformat(),
        "step_s": rule.period,
    }
    if rule.metrics:
        document["alarm"].pop("period", None)  # type: ignore[attr-defined] # It is a dict
    lines = list(preview(connection, document, longest=LOOKED_AT_MAX, bands=bands))
    spans = _spans(lines, period)
    in_alarm = sum((one.end - one.start for one in spans if one.state == "ALARM"), timedelta())
    return PreviewRun(
        fired=times_in_alarm(spans),
        in_alarm=in_alarm,
        state=lines[-1].state,
        spans=spans,
        points=_points(lines, period),
    )


def _spans(lines: Sequence[Line], period: timedelta) -> tuple[StateSpan, ...]:
    """Lay each state over the period after which it held, equal neighbours as one."""
    found: list[StateSpan] = []
    for line in lines:
        start = line.time - period
        if found and found[-1].state == line.state:
            start = found.pop().start
        found.append(StateSpan(start, line.time, line.state))
    return tuple(found)


def _points(lines: Sequence[Line], period: timedelta) -> tuple[AlarmPoint, ...]:
    """Gather the periods that the evaluations looked at, each once, oldest first."""
    by_time = {
        str(one["timestamp"]): one
        for line in lines
        for one in line.datapoints
        if one["value"] is not None
    }
    points = [
        AlarmPoint(
            start=datetime.fromisoformat(text),
            end=datetime.fromisoformat(text) + period,
            value=_float(one["value"]),
            breaching=bool(one["breaching"]),
            lower=_float(one.get("lower")),
            upper=_float(one.get("upper")),
        )
        for text, one in by_time.items()
    ]
    return tuple(sorted(points, key=lambda point: point.start))


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f'{name} "{text[:40]}"; expected a number') from None


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InputError(f'{name} "{text[:40]}"; expected a whole number')
    return int(text)
