"""How notifications fare, for people: list them, send one again; and the log of attempts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, case, exists, func, insert, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.known import require_past
from driftline.alerts.documents import Output, Time
from driftline.alerts.errors import ChannelDisabled, DeliveryNotOwed, UnknownDelivery
from driftline.alerts.notify.channels import get_channel
from driftline.alerts.notify.receivers.receiver import Answer
from driftline.alerts.notify.rows import BY_HAND, GROUPED_ALARM_ID, Status
from driftline.alerts.tables import attempts
from driftline.database.paging import Place, is_behind

# What can be sent again: all that was not sent and is not about to be.
_AGAIN = ("failed", "superseded", "muted")
_ANSWER_MAX = 1000


@dataclass(frozen=True, slots=True)
class Delivery(Output):
    """How a message fares, and why."""

    id: str
    alarm_name: str
    state_seq: int
    state: str
    channel: str
    status: Status
    attempts: int
    created_at: Time
    next_attempt_at: Time
    finished_at: Time | None
    last_status: int | None
    last_error: str | None
    kind: str = "change"
    reason: str | None = None  # Why it is in this status, where that is not plain.
    silence: str | None = None
    carrier_id: str | None = None  # The message that tells it: of its group, or a newer one.


def list_deliveries(
    connection: Connection,
    *,
    alarm_name: str | None = None,
    change: tuple[int, int] | None = None,
    status: str | None = None,
    channel: str | None = None,
    carrier_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: Place | None = None,
    limit: int = 100,
) -> list[Delivery]:
    """Return messages, newest first; those of an alarm, in a status, carried by another.

    Those made in [start, end), and behind a place (created_at, id).
    """
    table = tables.outbox.c
    alarm_id, state_seq = change or (None, None)
    query = _deliveries().order_by(table.created_at.desc(), table.id.desc()).limit(limit)
    for column, value in (
        (table.alarm_name, alarm_name),
        (table.alarm_id, alarm_id),
        (table.state_seq, state_seq),
        (table.status, status),
        (table.channel, channel),
        (table.carrier_id, carrier_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if start is not None:
        query = query.where(table.created_at >= start)
    if end is not None:
        query = query.where(table.created_at < end)
    query = query.where(is_behind(after, [table.created_at, table.id], descending=True))
    return [_delivery(row) for row in connection.execute(query).mappings()]


def newest_deliveries(
    connection: Connection, alarm_ids: Collection[int]
) -> dict[int, list[Delivery]]:
    """Return the messages of the newest change of alarms that was to be sent, by their ids."""
    table = tables.outbox.c
    newest = (
        select(table.alarm_id, func.max(table.state_seq).label("seq"))
        .where(table.alarm_id.in_(alarm_ids))
        .group_by(table.alarm_id)
        .subquery()
    )
    is_newest = (newest.c.alarm_id == table.alarm_id) & (newest.c.seq == table.state_seq)
    query = _deliveries().add_columns(table.alarm_id).join(newest, is_newest)
    by_alarm: dict[int, list[Delivery]] = {one: [] for one in alarm_ids}
    for row in connection.execute(query.order_by(table.channel)).mappings():
        by_alarm[row["alarm_id"]].append(_delivery(row))
    return by_alarm


def get_delivery(connection: Connection, message_id: str) -> Delivery:
    """Return one message; UnknownDelivery for an unknown id."""
    query = _deliveries().where(tables.outbox.c.id == message_id)
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
            carrier_id=None,
            group_key=case((table.alarm_id == GROUPED_ALARM_ID, table.group_key), else_=None),
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


def _deliveries() -> Select[Any]:
    """Select what deliveries say, without the bodies: of thousands these are megabytes."""
    return select(*(tables.outbox.c[name] for name in Delivery.__slots__))


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{name: row[name] for name in Delivery.__slots__})


@dataclass(frozen=True, slots=True)
class AttemptRecord(Output):
    """How one attempt went."""

    message_id: str
    channel: str
    number: int  # From 1.
    time: Time
    duration_ms: int
    # delivered, pending (to be tried again), superseded, failed, or lease_lost to another process.
    outcome: str
    status: int | None  # HTTP status or exit code.
    error: str | None
    answer: str | None  # The first 1,000 characters.
    id: int | None = None  # Counts up; None before it is stored.


def result_of(
    answer: Answer | None, error: str | None
) -> tuple[int | None, str | None, str | None]:
    """Return status, error and the beginning of the answer, as they are stored."""
    if answer is None:
        return None, error, None
    return answer.status, answer.problem, answer.text[:_ANSWER_MAX]


def add_attempt(connection: Connection, attempt: AttemptRecord) -> None:
    """Write one line in the caller's transaction."""
    connection.execute(
        insert(attempts).values(
            **{name: getattr(attempt, name) for name in AttemptRecord.__slots__ if name != "id"}
        )
    )


def list_attempts(
    connection: Connection,
    *,
    channel: str | None = None,
    message_id: str | None = None,
    after: Place | None = None,
    limit: int = 100,
) -> list[AttemptRecord]:
    """Return attempts, newest first: of a channel, of a message, or all; behind a place (id)."""
    query = select(attempts).order_by(attempts.c.id.desc()).limit(limit)
    query = query.where(is_behind(after, [attempts.c.id], descending=True))
    if channel is not None:
        query = query.where(attempts.c.channel == channel)
    if message_id is not None:
        query = query.where(attempts.c.message_id == message_id)
    return [
        AttemptRecord(**{name: row[name] for name in AttemptRecord.__slots__})
        for row in connection.execute(query).mappings()
    ]
