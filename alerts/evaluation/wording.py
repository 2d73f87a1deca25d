"""The texts of changes that no metric decided: CloudWatch's sentences, and the history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.composite_records import AnyRecord, StateSince
from driftline.alerts.alarms.reason import aws_time
from driftline.alerts.alarms.records import HistoryItem, add_history
from driftline.alerts.notify.event import (
    KEPT_CAUSE_MAX,
    alarm_arn,
    cause_source,
    cut_cause,
    plain_cause,
)

# CloudWatch's limit of StateReasonData; the newest children stay.
_REASON_DATA_MAX = 4000
# Whatever language the process speaks, CloudWatch's sentences are English.
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)


def transitioned(child: str, state: State, time: datetime) -> str:
    """Return which child made a composite change, as recorded from the service."""
    utc = time.astimezone(UTC)
    day = f"{_DAYS[utc.weekday()]} {utc.day:02d} {_MONTHS[utc.month - 1]}, {utc.year}"
    return f"{alarm_arn(child)} transitioned to {state} at {day} {utc:%H:%M:%S} UTC"


def judged(name: str, state: State, *, is_new: bool) -> str:
    """Return what a composite's own rule came to when it was created or changed."""
    verb = "was created and its" if is_new else "was updated and its new"
    return f"{alarm_arn(name)} {verb} alarm rule evaluates to {state}"


def triggering(children: Mapping[str, StateSince]) -> str:
    """Return the JSON text that names the children of a composite's change, at most 4000 long."""
    found = [
        {"arn": alarm_arn(name), "state": {"value": one.state, "timestamp": aws_time(one.since)}}
        for name, one in sorted(children.items(), key=lambda pair: (pair[1].since, pair[0]))
    ]
    while True:
        text = json.dumps({"triggeringAlarms": found}, separators=(",", ":"))
        if len(text) <= _REASON_DATA_MAX:
            return text
        found = found[1:]


class Before(NamedTuple):
    """How an alarm stood before a change."""

    state: State
    reason: str
    reason_data: str | None


def state_update(change: StateChange, before: Before) -> HistoryItem:
    """Return the line of history of a change of state."""
    data = {
        "version": "1.0",
        "oldState": _side(*before),
        "newState": _side(change.new, change.reason, change.reason_data),
        "periodEnd": change.period_end.isoformat(),
        "seq": change.seq,
        **_kept_note(change.note),
    }
    summary = f"Alarm updated from {change.old} to {change.new}"
    return HistoryItem(change.alarm_name, change.time, "StateUpdate", summary, data)


def add_state_update(connection: Connection, change: StateChange, before: AnyRecord) -> None:
    """Write a change of state to the history, in the caller's transaction."""
    stood = Before(before.state, before.state_reason, before.state_reason_data)
    add_history(connection, alarm_id=change.alarm_id, item=state_update(change, stood))


def state_columns(change: StateChange) -> dict[str, object]:
    """Return what the row of an alarm says after a change of state."""
    note = (change.note or {}) if change.new == "ALARM" else {}
    cause, link = note.get("cause"), note.get("link")
    return {
        "cause": cause if isinstance(cause, str) else None,
        "link": link if isinstance(link, str) else None,
        "state": change.new,
        "state_reason": change.reason,
        "state_reason_data": change.reason_data or None,
        "state_changed_at": change.time,
        "state_updated_at": change.time,
        "state_seq": change.seq,
    }


def _kept_note(note: Mapping[str, object] | None) -> dict[str, object]:
    """Return what the history keeps of a note, for composites above: no values of rows."""
    note = note or {}
    cause, link = plain_cause(note), note.get("link")
    if not (cause and link):
        return {}
    source = {**cause_source(note)}
    return {"note": {"cause": cut_cause(cause, KEPT_CAUSE_MAX), "link": link, "source": source}}


def _side(value: str, reason: str, data: str | None) -> dict[str, object]:
    return {"stateValue": value, "stateReason": reason, "stateReasonData": data}
