"""What an alarm would have done with other values, over what is stored; changes nothing.

The evaluations are done by the preview of the room of alarms, which judges as live alarms are
judged, so what is shown here is what ``driftline alarm preview`` would print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import yaml
from sqlalchemy import Connection

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import AlarmRecord
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.due import CADENCES_S, FOLLOWS, newest_tick
from driftline.alerts.evaluation.preview import preview
from driftline.alerts.evaluation.reading import BandsOf
from driftline.alerts.evaluation.replay_line import Line
from driftline.dashboard.queries.alarm_views import AlarmPoint, StateSpan, Trial, TrialRun
from driftline.errors import InputError

EVALUATIONS_MAX = 1_000
LOOKED_AT_MAX = 200_000
"""Periods that one run may look at: about a second."""

_DEFAULTS: Mapping[str, object] = {"actions_enabled": True, "severity": "page"}
_OUTSIDE = ("alarm_name", "owner", "tags")


def try_out(
    connection: Connection,
    record: AlarmRecord,
    asked: Mapping[str, str],
    start: datetime | None,
    now: datetime,
    bands: BandsOf | None = None,
) -> Trial:
    """Run an alarm with the values asked for, and as declared, over what is stored.

    Parameters
    ----------
    asked
        Texts by the names of the address; empty: only the form is filled.
    start
        Where the stored data begin, as far as they are shown; None when there are none.
    """
    given = _values(record.definition) | dict(asked)
    trial = Trial(given, bool(asked))
    if not asked:
        return trial
    try:
        definition = changed_definition(record.definition, asked)
    except InputError as error:
        return replace(trial, problem=str(error))
    trial = replace(trial, definition=definition, text=resource_text(definition))
    if start is None:
        return replace(trial, problem="nothing is stored for this metric, so nothing can be tried")
    end = _end(record, now)
    try:
        runs = [_run(connection, one, start, end, bands) for one in (record.definition, definition)]
    except InputError as error:
        return replace(trial, problem=str(error))
    return replace(trial, start=start, end=end, declared=runs[0], changed=runs[1])


def changed_definition(rule: AlarmDefinition, asked: Mapping[str, str]) -> AlarmDefinition:
    """Give a definition with other values.

    Raises
    ------
    InputError
        When a value is no number, or the definition would be refused.
    """
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
    if "missing" in asked:
        values["treat_missing_data"] = asked["missing"]
    if "period" in asked and _whole("period", asked["period"]) != rule.period:
        if rule.metrics:
            raise InputError("period: that of metric math stands in its queries; leave it")
        values["period"] = _whole("period", asked["period"])
    if rule.metrics:
        values.pop("period", None)
    return AlarmDefinition.from_dict({key: one for key, one in values.items() if one is not None})


def resource_text(rule: AlarmDefinition) -> str:
    """Write a definition as the resource that ``driftline apply`` takes, in YAML."""
    spec = {
        key: value
        for key, value in rule.as_dict().items()
        if key not in _OUTSIDE and value not in (None, "", [], {}) and value != _DEFAULTS.get(key)
    }
    if rule.metrics:
        spec.pop("period", None)
    found: dict[str, object] = {"kind": "Alarm", "name": rule.alarm_name}
    if rule.owner:
        found["owner"] = rule.owner
    if rule.tags:
        found["tags"] = dict(rule.tags)
    return yaml.safe_dump(found | {"spec": spec}, sort_keys=False, allow_unicode=True)


def _values(rule: AlarmDefinition) -> dict[str, str]:
    found = {
        "periods": str(rule.evaluation_periods),
        "needed": str(rule.required_breaches),
        "missing": rule.treatment,
        "period": str(rule.period),
    }
    return found if rule.threshold is None else {"threshold": f"{rule.threshold:g}", **found}


def _end(record: AlarmRecord, now: datetime) -> datetime:
    """Give where the newest judged period ends, on the alarm's own grid."""
    entry = Entry.of(record.updated_at, record.definition)
    if entry.cadence_s == FOLLOWS and record.evaluated_until is not None:
        return record.evaluated_until
    return newest_tick(now, entry.cadence_s or CADENCES_S[1])


def _run(
    connection: Connection,
    rule: AlarmDefinition,
    start: datetime,
    end: datetime,
    bands: BandsOf | None,
) -> TrialRun:
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
    return TrialRun(
        fired=sum(one.state == "ALARM" != one.previous for one in lines),
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
    found: dict[str, Mapping[str, object]] = {}
    for line in lines:
        for one in line.datapoints:
            if one["value"] is not None:
                found[str(one["timestamp"])] = one
    points = []
    for text, one in found.items():
        start = datetime.fromisoformat(text)
        points.append(
            AlarmPoint(
                start=start,
                end=start + period,
                value=_float(one["value"]),
                breaching=bool(one["breaching"]),
                lower=_float(one.get("lower")),
                upper=_float(one.get("upper")),
            )
        )
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
