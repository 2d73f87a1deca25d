"""What all writers of outbox rows share: ids, statuses, and a line of history."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, update

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.records import HistoryItem, add_history
from driftline.alerts.notify.receivers.receiver import Message
from driftline.alerts.tables import outbox

OutboxRow = Row[tuple[object, ...]]

Status = Literal["pending", "sending", "delivered", "failed", "muted", "superseded"]
STATUSES: tuple[Status, ...] = get_args(Status)
# Not delivered yet: sent now, when its time comes, or with its group.
OPEN: tuple[Status, ...] = ("pending", "sending")
# Why a message goes out although a silence fits it.
BY_HAND = "sent again by hand"
# Messages of groups are of no single alarm.
GROUPED_ALARM_ID = 0
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new_message_id(now: datetime) -> str:
    """Create a message id: ``msg_`` and a UUID of version 7 in base 62; ids sort by time."""
    milliseconds = int(now.timestamp() * 1000)
    number = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    number |= 0b10 << 62 | secrets.randbits(62)
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return f"msg_{digits.rjust(22, '0')}"


def queue_message(
    connection: Connection,
    message_id: str,
    message: Message,
    now: datetime,
    more: Mapping[str, Any],
) -> None:
    """Queue a message that is of no single change of state; ``more`` are its other columns."""
    connection.execute(
        insert(outbox).values(
            id=message_id,
            body=message.body,
            content_type=message.content_type,
            created_at=now,
            next_attempt_at=now,
            attempts=0,
            status="pending",
            **more,
        )
    )


def is_grouped() -> ColumnElement[bool]:
    """Whether a change is sent with its group, never by itself."""
    return and_(outbox.c.alarm_id != GROUPED_ALARM_ID, outbox.c.group_key.is_not(None))


def supersede(
    connection: Connection, rows: Sequence[OutboxRow], newer_id: str, now: datetime
) -> None:
    """Close undelivered messages that a newer one lists; what they listed is now listed there."""
    ids = [row.id for row in rows]
    columns = outbox.c
    connection.execute(
        update(outbox).where(columns.carrier_id.in_(ids)).values(carrier_id=newer_id)
    )
    connection.execute(
        update(outbox)
        .where(columns.id.in_(ids))
        .values(
            status="superseded",
            carrier_id=newer_id,
            finished_at=now,
            reason=f"listed in the newer message {newer_id}",
        )
    )
    changes = [row for row in rows if row.alarm_id != GROUPED_ALARM_ID]
    note_rows(
        connection, changes, time=now, state="Superseded", outcome="superseded by a newer one"
    )


# What :func:`listed_change` and :func:`supersede` read: bodies of many would be megabytes.
LISTED = tuple(
    outbox.c[name]
    for name in (
        "id", "alarm_id", "alarm_name", "state_seq", "channel", "state", "status", "created_at",
        "facts",
    )
)  # fmt: skip


def listed_change(row: OutboxRow) -> dict[str, object]:
    """Return what a message says of a change that it lists."""
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
        "time": row.created_at.isoformat(),
        "message_id": row.id,
        "seq": row.state_seq,
    }


def note_change(
    connection: Connection,
    change: StateChange,
    *,
    channel: str,
    message_id: str,
    state: str,
    summary: str,
) -> None:
    """Write into the alarm's history what becomes of an action that is not simply sent."""
    data = _data(state, change.time, channel, message_id)
    item = HistoryItem(change.alarm_name, change.time, "Action", summary, data)
    add_history(connection, alarm_id=change.alarm_id, item=item)


def note_rows(
    connection: Connection, rows: Iterable[OutboxRow], *, time: datetime, state: str, outcome: str
) -> None:
    """Write into alarms' histories what became of messages that are not sent themselves."""
    for row in rows:
        data = _data(state, row.created_at, row.channel, row.id)
        item = HistoryItem(row.alarm_name, time, "Action", f"Action {row.channel} {outcome}", data)
        add_history(connection, alarm_id=row.alarm_id, item=item)


def _data(state: str, changed_at: datetime, channel: str, message_id: str) -> dict[str, object]:
    return {
        "version": "1.0",
        "actionState": state,
        "stateUpdateTimestamp": int(changed_at.timestamp() * 1000),
        "notificationResource": channel,
        "publishedMessage": None,
        "error": None,
        "messageId": message_id,
    }


def is_past(before: datetime | None, every: timedelta, now: datetime) -> bool:
    """Whether a chore is due; after a clock that was set back, at once."""
    return before is None or not timedelta(0) <= now - before < every
