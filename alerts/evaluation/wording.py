"""What is said of changes that no metric decided: CloudWatch's sentences, and the history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.composite_records import Standing
from driftline.alerts.alarms.reason import aws_time
from driftline.alerts.alarms.records import HistoryItem, add_history
from driftline.alerts.notify.arn import alarm_arn
from driftline.alerts.notify.event import plain_cause

# CloudWatch's limit of StateReasonData; the newest children stay.
_REASON_DATA_MAX = 4000
_CAUSE_MAX = 300
# Whatever language the process speaks, CloudWatch's sentences are English.
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)


class _Before(Protocol):
    """How an alarm stood before a change."""

    @property
    def state(self) -> State: ...
    @property
    def state_reason(self) -> str: ...
    @property
    def state_reason_data(self) -> str | None: ...


def transitioned(child: str, state: State, time: datetime) -> str:
    """Say which child made a composite change, as recorded from the service."""
    utc = time.astimezone(UTC)
    day = f"{_DAYS[utc.weekday()]} {utc.day:02d} {_MONTHS[utc.month - 1]}, {utc.year}"
    return f"{alarm_arn(child)} transitioned to {state} at {day} {utc:%H:%M:%S} UTC"


def judged(name: str, state: State, *, is_new: bool) -> str:
    """Say what a composite's own rule came to when it was created or changed."""
    verb = "was created and its" if is_new else "was updated and its new"
    return f"{alarm_arn(name)} {verb} alarm rule evaluates to {state}"


def triggering(children: Mapping[str, Standing]) -> str:
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


def add_state_update(connection: Connection, change: StateChange, before: _Before) -> None:
    """Write a change of state to the history, in the caller's transaction."""
    data = {
        "version": "1.0",
        "oldState": _side(before.state, before.state_reason, before.state_reason_data),
        "newState": _side(change.new, change.reason, change.reason_data),
        "periodEnd": change.period_end.isoformat(),
        "seq": change.seq,
        **kept_note(change.note),
    }
    summary = f"Alarm updated from {change.old} to {change.new}"
    item = HistoryItem(change.alarm_name, change.time, "StateUpdate", summary, data)
    add_history(connection, alarm_id=change.alarm_id, item=item)


def kept_note(note: Mapping[str, object] | None) -> dict[str, object]:
    """Return what the history keeps of a note, for composites above: no values of rows."""
    cause, link = plain_cause(note or {}), (note or {}).get("link")
    kept = {"cause": cause[:_CAUSE_MAX], "link": link} if cause and link else {}
    return {"note": kept} if kept else {}


def _side(value: str, reason: str, data: str | None) -> dict[str, object]:
    return {"stateValue": value, "stateReason": reason, "stateReasonData": data}
