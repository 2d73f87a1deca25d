"""How messages fare, for people: list them, look at one, send one again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, exists, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.known import require_past
from driftline.alerts.errors import ChannelDisabled, DeliveryNotOwed, UnknownDelivery
from driftline.alerts.notify.channels import get_channel
from driftline.alerts.notify.incidents import get_incident
from driftline.alerts.notify.rows import BY_HAND

# What can be sent again: all that was not sent and is not about to be.
_AGAIN = ("dead", "superseded", "muted", "grouped")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a message fares, and why.

    Parameters
    ----------
    status
        ``pending`` or ``delivering``; ``waiting`` for others of its group or for the digest;
        ``delivered``; ``dead``; held back as ``muted``; ``grouped``, which is told
        by the message ``carrier_id``; or ``superseded`` by a newer one.
    reason
        Why it is in this status, where that is not plain.
    """

    id: str
    alarm_name: str
    state_seq: int
    state: str
    channel: str
    status: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    finished_at: datetime | None
    last_status: int | None
    last_error: str | None
    kind: str = "change"
    reason: str | None = None
    silence: str | None = None
    incident_id: str | None = None
    carrier_id: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        finished = self.finished_at
        return {
            "id": self.id,
            "alarm_name": self.alarm_name,
            "state_seq": self.state_seq,
            "state": self.state,
            "channel": self.channel,
            "status": self.status,
            "attempts": self.attempts,
            "created_at": self.created_at.isoformat(),
            "next_attempt_at": self.next_attempt_at.isoformat(),
            "finished_at": finished.isoformat() if finished is not None else None,
            "last_status": self.last_status,
            "last_error": self.last_error,
            "kind": self.kind,
            "reason": self.reason,
            "silence": self.silence,
            "incident_id": self.incident_id,
            "carrier_id": self.carrier_id,
        }


def list_deliveries(
    connection: Connection,
    *,
    alarm_name: str | None = None,
    change: tuple[int, int] | None = None,
    status: str | None = None,
    channel: str | None = None,
    carrier_id: str | None = None,
    incident_id: str | None = None,
    limit: int = 100,
) -> list[Delivery]:
    """Return messages, newest first; those of an alarm, in a status, carried by another."""
    table = tables.outbox.c
    alarm_id, state_seq = change or (None, None)
    query = select(tables.outbox).order_by(table.created_at.desc(), table.id.desc()).limit(limit)
    for column, value in (
        (table.alarm_name, alarm_name),
        (table.alarm_id, alarm_id),
        (table.state_seq, state_seq),
        (table.status, status),
        (table.channel, channel),
        (table.carrier_id, carrier_id),
        (table.incident_id, incident_id),
    ):
        if value is not None:
            query = query.where(column == value)
    return [_delivery(row) for row in connection.execute(query).mappings()]


def get_delivery(connection: Connection, message_id: str) -> Delivery:
    """Return one message; none of the id is UnknownDelivery."""
    query = select(tables.outbox).where(tables.outbox.c.id == message_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise UnknownDelivery(
            f'delivery "{message_id[:64]}" does not exist; expected an id; driftline delivery list '
            "shows them"
        )
    return _delivery(row)


def require_asked(
    connection: Connection,
    *,
    alarm_name: str | None = None,
    channel: str | None = None,
    carrier_id: str | None = None,
    incident_id: str | None = None,
) -> None:
    """Refuse a question for messages of what does not exist, nor did as far as messages go back."""
    if alarm_name is not None:
        require_past(connection, alarm_name)
    if channel is not None and not connection.scalar(
        select(exists().where(tables.outbox.c.channel == channel))
    ):
        get_channel(connection, channel)
    if carrier_id is not None:
        get_delivery(connection, carrier_id)
    if incident_id is not None:
        get_incident(connection, incident_id)


def redeliver(connection: Connection, message_id: str, now: datetime) -> Delivery:
    """Queue a message again that was given up or held back, with all its attempts."""
    table = tables.outbox.c
    _check_enabled(connection, message_id)
    result = connection.execute(
        update(tables.outbox)
        .where(table.id == message_id, table.status.in_(_AGAIN))
        .values(
            status="pending",
            attempts=0,
            next_attempt_at=now,
            finished_at=None,
            reason=BY_HAND,
        )
    )
    found = get_delivery(connection, message_id)
    if not result.rowcount:
        is_done = found.status == "delivered"
        mend = (
            f"driftline channel test {found.channel} tries the channel"
            if is_done
            else "wait for it"
        )
        raise DeliveryNotOwed(
            f'delivery "{message_id[:64]}" is {found.status}'
            f"{'' if is_done else ', so it goes out by itself'}; expected one that is "
            f"{', '.join(_AGAIN[:-1])} or {_AGAIN[-1]}; {mend}"
        )
    return found


def _check_enabled(connection: Connection, message_id: str) -> None:
    channels = tables.channels
    query = (
        select(channels.c.name, channels.c.disabled_reason)
        .join(tables.outbox, tables.outbox.c.channel == channels.c.name)
        .where(tables.outbox.c.id == message_id, channels.c.enabled.is_(False))
    )
    row = connection.execute(query).one_or_none()
    if row is not None:
        raise ChannelDisabled(
            f'channel "{row.name}" is disabled ({row.disabled_reason}), so nothing is sent by it; '
            f"enable it first: driftline channel enable {row.name}"
        )


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{name: row[name] for name in Delivery.__slots__})
