"""Change events: what was changed of alarms, for the channels that want it.

Everything that changes an alarm leaves a line in its history, in the same transaction; this reads
on from the last line that each channel got. So no way of changing an alarm can be forgotten, and
what changes alarms need not know who is notified.

PostgreSQL numbers lines before their transactions end, so a line may appear behind later ones.
History is read only as far as it went when nobody was writing: who writes shares a lock meanwhile,
and who reads on takes it alone for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.composite import AnyDefinition, CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import CHANGING
from driftline.alerts.notify.event import Event, as_json
from driftline.alerts.notify.message import render_event
from driftline.alerts.notify.receivers.eventbridge import configuration_event
from driftline.alerts.notify.receivers.receiver import Message, Style
from driftline.alerts.notify.receivers.webhook import JSON
from driftline.alerts.notify.rows import new_message_id, queue_message
from driftline.database.locks import advisory_lock, try_advisory_lock
from driftline.errors import InputError

# Rows of the outbox are of an alarm; these are of what was changed of any, in the order of history.
CHANGE_EVENTS_ALARM_ID = -1
_AT_ONCE = 100
_KEYS = {"Create": "createdAlarm", "Update": "updatedAlarm", "Delete": "deletedAlarm"}
_DONE = {"Create": "created", "Update": "updated", "Delete": "deleted"}


def last_settled(connection: Connection) -> int | None:
    """Return the last line of history behind which none can appear; None while somebody writes."""
    if not try_advisory_lock(connection, CHANGING):
        return None
    return connection.scalar(select(func.max(tables.history.c.id))) or 0


def queue_change_events(connection: Connection, now: datetime, *, until: int) -> int:
    """Queue what each channel that wants it has not got yet; return how many messages.

    A channel begins with what happens after it was declared, and has `_AT_ONCE` at a time.
    """
    advisory_lock(connection, "announcing")
    return sum(_queue_for(connection, channel, now, until) for channel in wanting(connection))


def wanting(connection: Connection) -> list[Row[Any]]:
    """Return the channels that want it; a cheap question for an idle loop."""
    query = (
        select(tables.channels).where(tables.channels.c.enabled).order_by(tables.channels.c.name)
    )
    found = connection.execute(query)
    return [row for row in found if row.options.get("configuration_changes") is True]


def _queue_for(connection: Connection, channel: Row[Any], now: datetime, until: int) -> int:
    history, own = tables.history.c, tables.channels
    last_id = channel.announced_id
    query = (
        select(tables.history)
        .where(
            history.type == "ConfigurationUpdate",
            history.id > last_id if last_id is not None else history.time > channel.updated_at,
            history.id <= until,
        )
        .order_by(history.id)
        .limit(_AT_ONCE)
    )
    lines = connection.execute(query).all()
    if lines:  # Also past lines that say nothing, however many stand in a row.
        connection.execute(
            update(own).where(own.c.name == channel.name).values(announced_id=lines[-1].id)
        )
    count = 0
    for line in lines:
        message_id = new_message_id(now)
        message = _message(connection, channel, line, message_id)
        if message is None:
            continue
        about = {
            "alarm_id": CHANGE_EVENTS_ALARM_ID,
            "alarm_name": line.alarm_name,
            "state_seq": line.id,
            "channel": channel.name,
            "state": "OK",
            "kind": "configuration",
            "facts": {},
        }
        queue_message(connection, message_id, message, now, about)
        count += 1
    return count


def _message(
    connection: Connection, channel: Row[Any], line: Row[Any], message_id: str
) -> Message | None:
    """Write the message of a line of history; None for one that says nothing of a definition."""
    operation = line.data.get("type")
    definition = _definition(line.data)
    if operation not in _KEYS or definition is None:
        return None
    style = Style.of(channel)
    earlier = _earlier(connection, line)
    previous = _definition(earlier.data) if earlier is not None else None
    if style.format == "eventbridge":
        state, since, reason = _state(connection, line)
        found = configuration_event(
            operation.lower(), definition,
            message_id=message_id, time=line.time, state=state, state_changed_at=since,
            state_reason=reason, previous=previous,
            previous_at=earlier.time if earlier is not None else None,
        )  # fmt: skip
        return Message(as_json(found), JSON)
    title = f"Alarm {_DONE[operation]}: {definition.alarm_name}"
    data: dict[str, object] = {
        "alarm": {"name": definition.alarm_name},
        "operation": operation.lower(),
        "configuration": definition.as_dict(),
        "previous": previous.as_dict() if previous is not None and operation == "Update" else None,
    }
    event = Event("alarm.configuration_changed", line.time, title, f"{title}.", data=data)
    return render_event(event, message_id=message_id, style=style)


def _definition(data: Mapping[str, Any]) -> AnyDefinition | None:
    found = next((data[key] for key in _KEYS.values() if isinstance(data.get(key), Mapping)), None)
    if found is None:
        return None
    try:
        if "alarm_rule" in found:
            return CompositeDefinition.from_dict(found)
        return AlarmDefinition.from_dict(found)
    except InputError:  # Of another version, whose rules are others: an alarm's, or its math's.
        return None


def _earlier(connection: Connection, line: Row[Any]) -> Row[Any] | None:
    """Return the line of the alarm's definition before this one."""
    history = tables.history.c
    query = (
        select(tables.history)
        .where(
            history.alarm_name == line.alarm_name,  # The index is by name.
            history.alarm_id == line.alarm_id,
            history.type == "ConfigurationUpdate",
            history.id < line.id,
        )
        .order_by(history.id.desc())
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _state(connection: Connection, line: Row[Any]) -> tuple[str, datetime, str]:
    """Return the alarm's state at a line of its history, since when it was, and why."""
    history = tables.history.c
    query = (
        select(history.time, history.data)
        .where(
            history.alarm_name == line.alarm_name,
            history.alarm_id == line.alarm_id,
            history.type == "StateUpdate",
            history.id < line.id,
        )
        .order_by(history.id.desc())
        .limit(1)
    )
    last = connection.execute(query).one_or_none()
    if last is None:
        return "INSUFFICIENT_DATA", line.time, "Unchecked: Initial alarm creation"
    new = last.data.get("newState", {})
    return str(new.get("stateValue")), last.time, str(new.get("stateReason") or "")
