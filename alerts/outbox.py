"""The outbox: one row for each change of state and channel, until it is delivered or given up.

Rows are written in the transaction of the change, rendered once, claimed by lease, and marked by
whoever holds the lease. A process that dies between sending and marking leaves a lease to run out:
the message goes out again with the same id. At least once, then; receivers drop repeats by id.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, insert, or_, select, update

from driftline.alerts import tables
from driftline.alerts.alarm import StateChange
from driftline.alerts.channels import Secret
from driftline.alerts.definition import AlarmDefinition
from driftline.alerts.errors import UnknownDelivery
from driftline.alerts.message import render

__all__ = [
    "Claim",
    "Delivery",
    "bury",
    "claim",
    "enqueue",
    "finish",
    "hold_channel",
    "is_any_due",
    "list_deliveries",
    "new_message_id",
    "redeliver",
    "supersede",
]

LEASE_S = 60  # Longer than the longest request.
_WAIT_MAX_S = 2 * 86_400  # Longer than the longest wait between two attempts.
_BREAKER_FAILURES = 5  # From here on a channel gets one probe a pass.
_BACKLOG_MAX = 3  # Longer backlogs of one alarm lose their middle.
_OPEN = ("pending", "delivering")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this process may send until its lease runs out."""

    id: str
    owner: str
    alarm_id: int
    alarm_name: str
    state_seq: int
    channel: str
    url: str
    secret: Secret
    body: bytes = field(repr=False)
    content_type: str
    attempts: int
    created_at: datetime

    @property
    def is_sns(self) -> bool:
        """Say whether the body is SNS's envelope, which goes as plain text."""
        return self.content_type.startswith("text/plain")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a message fares, for people: pending, delivering, delivered, dead or superseded."""

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

    def as_dict(self) -> dict[str, object]:
        """Give it as plain JSON values."""
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
        }


def enqueue(
    connection: Connection,
    change: StateChange,
    definition: AlarmDefinition,
    *,
    dashboard_url: str = "",
    configured_at: datetime | None = None,
) -> list[str]:
    """Queue the messages of a change of state; give their ids.

    The unique key (alarm, seq, channel) refuses a second row for the same change. A channel that
    is disabled or gone gets its row, too, dead from the start, so that every action is counted.
    """
    names = definition.actions(change.new) if definition.actions_enabled else ()
    channels = tables.channels
    query = select(channels).where(channels.c.name.in_(names))
    # A channel that is being deleted is waited for: it would take no notice of these messages.
    query = query.with_for_update(read=True, key_share=True)
    found = {row.name: row for row in connection.execute(query)}
    ids = []
    for name in names:
        channel = found.get(name)
        problem = None
        if channel is None or not channel.enabled:
            problem = "channel does not exist" if channel is None else "channel disabled"
        message_id = new_message_id(change.time)
        message = render(
            change,
            definition,
            message_id=message_id,
            format=channel.format if channel is not None else "driftline",
            dashboard_url=dashboard_url,
            configured_at=configured_at,
        )
        connection.execute(
            insert(tables.outbox).values(
                id=message_id,
                alarm_id=change.alarm_id,
                alarm_name=change.alarm_name,
                state_seq=change.seq,
                channel=name,
                state=change.new,
                body=message.body,
                content_type=message.content_type,
                created_at=change.time,
                next_attempt_at=change.time,
                attempts=0,
                status="pending" if problem is None else "dead",
                last_error=problem,
                finished_at=None if problem is None else change.time,
            )
        )
        ids.append(message_id)
    return ids


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Say whether a pass would find anything; a cheap question for an idle loop."""
    return (
        connection.execute(select(tables.outbox.c.id).where(_is_due(now)).limit(1)).first()
        is not None
    )


def claim(connection: Connection, now: datetime, *, limit: int = 20) -> list[Claim]:
    """Take messages that are due, at most one of each alarm and channel: the oldest.

    Returns
    -------
    list
        With a lease of one minute. A channel that failed five times in a row gives one only.
    """
    owner = secrets.token_hex(16)
    table, channels = tables.outbox.c, tables.channels
    query = (
        select(tables.outbox, channels.c.url, channels.c.secret, channels.c.failure_count)
        .join(channels, channels.c.name == table.channel)
        .where(_is_due(now), ~_has_older(), channels.c.enabled)
        # Those of failing channels last, so that they do not stand in the others' way.
        .order_by(channels.c.failure_count, table.created_at, table.id)
        .limit(10 * limit)
        # Where the database locks rows, those that another is taking are passed over.
        .with_for_update(of=tables.outbox, skip_locked=True)
    )
    taken: list[Claim] = []
    probed: set[str] = set()
    for row in connection.execute(query).all():
        if len(taken) == limit:
            break
        if row.failure_count >= _BREAKER_FAILURES and row.channel in probed:
            continue
        probed.add(row.channel)
        result = connection.execute(
            update(tables.outbox)
            .where(table.id == row.id, table.attempts == row.attempts, _is_due(now))
            .values(
                status="delivering",
                attempts=row.attempts + 1,
                lease_owner=owner,
                lease_until=now + timedelta(seconds=LEASE_S),
            )
        )
        if result.rowcount:
            taken.append(
                Claim(
                    id=row.id,
                    owner=owner,
                    alarm_id=row.alarm_id,
                    alarm_name=row.alarm_name,
                    state_seq=row.state_seq,
                    channel=row.channel,
                    url=row.url,
                    secret=Secret(row.secret),
                    body=row.body,
                    content_type=row.content_type,
                    attempts=row.attempts + 1,
                    created_at=row.created_at,
                )
            )
    return taken


def hold_channel(connection: Connection, name: str) -> None:
    """Keep a channel to this transaction; before its messages, as all do who change both."""
    table = tables.channels.c
    connection.execute(select(table.name).where(table.name == name).with_for_update(key_share=True))


def finish(connection: Connection, taken: Claim, values: Mapping[str, object]) -> bool:
    """Write the end of an attempt; False when the lease has gone to somebody else meanwhile."""
    table = tables.outbox.c
    result = connection.execute(
        update(tables.outbox)
        .where(
            table.id == taken.id,
            table.lease_owner == taken.owner,
            table.attempts == taken.attempts,
            table.status == "delivering",
        )
        .values(**values, lease_owner=None, lease_until=None)
    )
    return bool(result.rowcount)


def supersede(connection: Connection, taken: Claim, now: datetime) -> int:
    """Drop the middle of a backlog that a failing channel has built up; give how many.

    Of more than three open messages of one alarm the oldest, which is being tried, and the newest,
    which says how things are, stay.
    """
    table = tables.outbox.c
    open_ids = list(
        connection.scalars(
            select(table.id)
            .where(
                table.alarm_id == taken.alarm_id,
                table.channel == taken.channel,
                table.status.in_(_OPEN),
            )
            .order_by(table.state_seq)
        )
    )
    if len(open_ids) <= _BACKLOG_MAX:
        return 0
    connection.execute(
        update(tables.outbox)
        .where(table.id.in_(open_ids[1:-1]), table.status == "pending")
        .values(status="superseded", finished_at=now)
    )
    return len(open_ids) - 2


def bury(connection: Connection, channel: str, now: datetime, why: str) -> int:
    """Give up all open messages of a channel; give how many."""
    table = tables.outbox.c
    result = connection.execute(
        update(tables.outbox)
        .where(table.channel == channel, table.status.in_(_OPEN))
        .values(status="dead", last_error=why, finished_at=now, lease_owner=None, lease_until=None)
    )
    return result.rowcount


def redeliver(connection: Connection, message_id: str, now: datetime) -> Delivery:
    """Queue a message again that was given up, with all its attempts.

    Raises
    ------
    UnknownDelivery
        When no dead or superseded message has the id.
    """
    table = tables.outbox.c
    result = connection.execute(
        update(tables.outbox)
        .where(table.id == message_id, table.status.in_(("dead", "superseded")))
        .values(status="pending", attempts=0, next_attempt_at=now, finished_at=None)
    )
    if not result.rowcount:
        raise UnknownDelivery(f'delivery "{message_id}" is not dead or superseded, or unknown')
    return _delivery(
        connection.execute(select(tables.outbox).where(table.id == message_id)).one()._mapping
    )


def list_deliveries(
    connection: Connection,
    *,
    alarm_name: str | None = None,
    status: str | None = None,
    limit: int = 100,
) -> list[Delivery]:
    """Give messages, newest first."""
    table = tables.outbox.c
    query = select(tables.outbox).order_by(table.created_at.desc(), table.id.desc()).limit(limit)
    if alarm_name is not None:
        query = query.where(table.alarm_name == alarm_name)
    if status is not None:
        query = query.where(table.status == status)
    return [_delivery(row) for row in connection.execute(query).mappings()]


def new_message_id(now: datetime) -> str:
    """Make a message id: ``msg_`` and a UUID of version 7 in base 62; ids sort by time."""
    milliseconds = int(now.timestamp() * 1000)
    number = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    number |= 0b10 << 62 | secrets.randbits(62)
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return f"msg_{digits.rjust(22, '0')}"


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Select what may be sent; waits that no wait can be come of a clock that was far ahead."""
    table = tables.outbox.c
    next_at, lease = table.next_attempt_at, table.lease_until
    too_late, too_long = now + timedelta(seconds=_WAIT_MAX_S), now + timedelta(seconds=LEASE_S)
    return or_(
        and_(
            table.status == "pending",
            or_(table.attempts == 0, next_at <= now, next_at > too_late),
        ),
        and_(table.status == "delivering", or_(lease <= now, lease > too_long)),
    )


def _has_older() -> ColumnElement[bool]:
    """Say whether an older message of the same alarm to the same channel is still open."""
    older = tables.outbox.alias("older")
    table = tables.outbox.c
    return (
        select(older.c.id)
        .where(
            older.c.alarm_id == table.alarm_id,
            older.c.channel == table.channel,
            older.c.state_seq < table.state_seq,
            older.c.status.in_(_OPEN),
        )
        .exists()
    )


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{name: row[name] for name in Delivery.__slots__})
