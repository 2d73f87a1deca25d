"""Grouped messages: of a group of changes, of a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from driftline.alerts import tables
from driftline.alerts.notify.event import BODY_MAX_BYTES, Event, as_json
from driftline.alerts.notify.message import render_event
from driftline.alerts.notify.receivers.receiver import Style
from driftline.alerts.notify.rows import GROUPED_ALARM_ID, OutboxRow, new_message_id, note_rows
from driftline.database.locks import advisory_lock

_NAME_MAX = 255
_LINES_MAX = 20
_SPARE_BYTES = 1_500


@dataclass(frozen=True, slots=True)
class GroupedMessage:
    """What a grouped message is about.

    Parameters
    ----------
    kind
        ``group``, ``reminder`` or ``digest``.
    title
        In a few words.
    labels
        What its changes have in common.
    firing
        Names of the alarms of the group that are in ALARM now, also those told before.
    link
        Where there is more to see.
    key
        Messages of one key go out in their order.
    """

    kind: str
    title: str
    labels: Mapping[str, str] = field(default_factory=dict)
    firing: Sequence[str] = ()
    link: str = ""
    key: str = ""


def queue_grouped(
    connection: Connection,
    channel: OutboxRow,
    grouped: GroupedMessage,
    members: Sequence[OutboxRow],
    now: datetime,
    *,
    told: Sequence[OutboxRow] | None = None,
) -> str:
    """Queue a message that carries others, and close those; return its id."""
    advisory_lock(connection, f"carrier:{channel.name}")
    table = tables.outbox
    message_id = new_message_id(now)
    shown = sorted(
        members if told is None else told,
        key=lambda row: (row.state != "ALARM", row.alarm_name, row.state_seq),
    )
    event = _event(grouped, shown, now)
    message = render_event(event, message_id=message_id, style=Style.of(channel))
    own = (table.c.alarm_id == GROUPED_ALARM_ID, table.c.channel == channel.name)
    newest = connection.scalar(select(func.max(table.c.state_seq)).where(*own)) or 0
    connection.execute(
        insert(table).values(
            id=message_id,
            alarm_id=GROUPED_ALARM_ID,
            alarm_name=grouped.title[:_NAME_MAX],
            state_seq=newest + 1,
            channel=channel.name,
            state="ALARM" if grouped.firing else "OK",
            body=message.body,
            content_type=message.content_type,
            created_at=now,
            next_attempt_at=now,
            attempts=0,
            status="pending",
            kind=grouped.kind,
            group_key=grouped.key,
            reason=f"carries {len(members)} messages",
            facts={"labels": dict(grouped.labels), "link": grouped.link},
        )
    )
    if members:
        _close(connection, grouped, members, message_id, now)
    return message_id


def _close(
    connection: Connection,
    grouped: GroupedMessage,
    members: Sequence[OutboxRow],
    message_id: str,
    now: datetime,
) -> None:
    table = tables.outbox
    connection.execute(
        update(table)
        .where(table.c.id.in_([row.id for row in members]))
        .values(
            status="grouped",
            carrier_id=message_id,
            finished_at=now,
            reason=f"told by {grouped.kind} message {message_id}",
        )
    )
    told = f"grouped into message {message_id}"
    note_rows(connection, members, time=now, state="Grouped", told=told)


def changes_of(changes: int, alarms: int) -> str:
    """Say how many changes of how many alarms a message carries."""
    return (
        f"{changes} change{'' if changes == 1 else 's'} of "
        f"{alarms} alarm{'' if alarms == 1 else 's'}"
    )


def _event(grouped: GroupedMessage, rows: Sequence[OutboxRow], now: datetime) -> Event:
    entries = [_entry(row) for row in rows]
    counts = {
        state: sum(1 for one in entries if one["state"] == state)
        for state in ("ALARM", "OK", "INSUFFICIENT_DATA")
    }
    data: dict[str, object] = {
        "group": {"kind": grouped.kind, "labels": dict(grouped.labels)},
        "counts": counts,
        "firing": list(grouped.firing)[:_LINES_MAX],
        "firing_count": len(grouped.firing),
        "incidents": sorted({str(one["incident"]) for one in entries if one["incident"]})[:50],
        "links": {"dashboard": grouped.link},
    }
    shown = _fitting(data, entries)
    data |= {"alarms": shown, "not_shown": len(entries) - len(shown)}
    lines = [f"{one['state']}: {one['name']}: {one['cause']}" for one in shown[:_LINES_MAX]]
    if len(entries) > len(lines):
        lines.append(f"and {len(entries) - len(lines)} more")
    if not entries:
        lines = [f"still in ALARM: {', '.join(grouped.firing[:_LINES_MAX])}"]
    return Event(
        type="alarm.digest" if grouped.kind == "digest" else "alarm.group",
        time=now,
        title=grouped.title,
        text="\n".join(lines),
        link=grouped.link,
        mood="failure" if counts["ALARM"] or grouped.firing else "success",
        data=data,
    )


def _entry(row: OutboxRow) -> dict[str, object]:
    facts: Mapping[str, object] = row.facts or {}
    labels = facts.get("labels")
    severity = labels.get("severity") if isinstance(labels, Mapping) else None
    return {
        "name": row.alarm_name,
        "state": row.state,
        "old": facts.get("old"),
        "severity": severity,
        "cause": facts.get("cause"),
        "link": facts.get("link"),
        "since": facts.get("since"),
        "flapping": False,  # Read by receivers of earlier versions; nothing is damped any more.
        "time": row.created_at.isoformat(),
        "incident": row.incident_id,
        "message_id": row.id,
        "seq": row.state_seq,
    }


def _fitting(
    data: Mapping[str, object], entries: Sequence[Mapping[str, object]]
) -> list[Mapping[str, object]]:
    """Return as many entries as fit into a message."""
    left = BODY_MAX_BYTES - _SPARE_BYTES - len(as_json(data))
    shown: list[Mapping[str, object]] = []
    for one in entries:
        left -= len(as_json(one)) + 1
        if left < 0:
            break
        shown.append(one)
    return shown
