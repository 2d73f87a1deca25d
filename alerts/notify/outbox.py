"""The outbox: one row for each change of state and channel, until it is delivered or given up.

Rows are written in the transaction of the change, rendered once, claimed by lease, and marked by
the lease's owner. When a process dies between sending and marking, its lease runs out and the
notification is sent again with the same id: delivery is at least once; receivers drop repeats by
id. A newer one of an alarm and channel supersedes what is not delivered, and lists it.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    or_,
    select,
    update,
)

from driftline.alerts import tables
from driftline.alerts.notify.rows import (
    BY_HAND,
    GROUPED_ALARM_ID,
    OPEN,
    OutboxRow,
    is_grouped,
    note_rows,
    supersede,
)
from driftline.alerts.notify.silences import Silences
from driftline.database.dialects import advisory_lock
from driftline.database.leases import Lease
from driftline.tracing import TRACEPARENT

# What all callers need of the outbox, wherever it is written.

LEASE_S = 60.0  # Longer than the longest request.
_LEASE = Lease(tables.outbox.c.lease_owner, tables.outbox.c.lease_until, timedelta(seconds=LEASE_S))
WAIT_MAX_S = 2 * 86_400  # Longer than the longest wait between two attempts.
_BREAKER_FAILURES = 5  # From here on a channel gets one probe a pass.


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this process may send until its lease runs out."""

    id: str
    owner: str
    alarm_id: int
    alarm_name: str
    state_seq: int
    channel: str
    body: bytes = field(repr=False)
    content_type: str
    attempts: int
    created_at: datetime
    traceparent: object = None  # Of the change that it tells of.


class NotifiedChange(NamedTuple):
    """A change of state that a message tells of."""

    message_id: str
    alarm_id: int
    alarm_name: str
    changed_at: datetime


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Whether a pass would find anything; a cheap question for an idle loop."""
    return (
        connection.execute(select(tables.outbox.c.id).where(_is_due(now)).limit(1)).first()
        is not None
    )


def claim(
    connection: Connection,
    now: datetime,
    *,
    limit: int = 20,
    lease_s: float = LEASE_S,
    busy: Mapping[str, int] | None = None,
    share: int | None = None,
) -> list[Claim]:
    """Claim messages that are due, at most one of each alarm and channel: the oldest."""
    # Of one process at a time, so that none passes what another is about to send.
    advisory_lock(connection, "outbox:claim")
    owner = secrets.token_hex(16)
    taken: list[Claim] = []
    under_way = Counter(busy or {})
    share = share or limit
    silences = Silences(connection)
    full = [name for name, count in under_way.items() if count >= share]
    for row in connection.execute(_claimable(now, full, 10 * limit)).all():
        if len(taken) == limit:
            break
        most = 1 if row.failure_count >= _BREAKER_FAILURES else share
        if under_way[row.channel] >= most or _is_held_back(connection, silences, row, now):
            continue
        under_way[row.channel] += 1
        if (one := _take(connection, row, owner, now, lease_s)) is not None:
            taken.append(one)
    return taken


def _claimable(now: datetime, full: Sequence[str], limit: int) -> Select[tuple[object, ...]]:
    table, channels = tables.outbox.c, tables.channels
    return (
        select(tables.outbox, channels.c.failure_count)
        .join(channels, channels.c.name == table.channel)
        .where(_is_due(now), ~_has_older(), channels.c.enabled, table.channel.not_in(full))
        # Those of failing channels last, so that they do not stand in the others' way; an ALARM
        # before what else waits. The order of one alarm is kept by `_has_older`.
        .order_by(
            channels.c.failure_count,
            case((table.state == "ALARM", 0), else_=1),
            table.created_at,
            table.id,
        )
        .limit(limit)
        # Where the database locks rows, those that another is taking are passed over.
        .with_for_update(of=tables.outbox, skip_locked=True)
    )


def _take(
    connection: Connection, row: OutboxRow, owner: str, now: datetime, lease_s: float
) -> Claim | None:
    table = tables.outbox.c
    result = connection.execute(
        update(tables.outbox)
        .where(table.id == row.id, table.attempts == row.attempts, _is_due(now))
        .values(
            status="sending",
            attempts=row.attempts + 1,
            **replace(_LEASE, length=timedelta(seconds=lease_s)).taken(owner, now),
        )
    )
    if not result.rowcount:
        return None
    return Claim(
        id=row.id,
        owner=owner,
        alarm_id=row.alarm_id,
        alarm_name=row.alarm_name,
        state_seq=row.state_seq,
        channel=row.channel,
        body=row.body,
        content_type=row.content_type,
        attempts=row.attempts + 1,
        created_at=row.created_at,
        traceparent=(row.facts or {}).get(TRACEPARENT),
    )


def _is_held_back(
    connection: Connection, silences: Silences, row: OutboxRow, now: datetime
) -> bool:
    """Hold back a change that waits for its next attempt when a silence has begun since."""
    if row.kind != "change" or row.reason == BY_HAND:
        return False
    muted = silences.muting((row.facts or {}).get("labels", {}), now)
    if muted is None:
        return False
    connection.execute(
        update(tables.outbox)
        .where(tables.outbox.c.id == row.id)
        .values(**muted.columns, status="muted", **_LEASE.released())
    )
    outcome = f'muted by silence "{muted.silence}"'
    note_rows(connection, [row], time=now, state="Muted", outcome=outcome)
    return True


def notified_changes(connection: Connection, taken: Claim) -> list[NotifiedChange]:
    """Return the changes of state that a message reports: its own, or those of its group."""
    if taken.alarm_id != GROUPED_ALARM_ID:
        return [NotifiedChange(taken.id, taken.alarm_id, taken.alarm_name, taken.created_at)]
    table = tables.outbox.c
    query = (
        select(table.id, table.alarm_id, table.alarm_name, table.created_at)
        .where(table.carrier_id == taken.id, is_grouped())
        .order_by(table.created_at, table.id)
    )
    return [NotifiedChange(*row) for row in connection.execute(query)]


def hold_channel(connection: Connection, name: str) -> None:
    """Keep a channel to this transaction; before its messages, as all do who change both."""
    table = tables.channels.c
    connection.execute(select(table.name).where(table.name == name).with_for_update(key_share=True))


def finish(connection: Connection, taken: Claim, values: Mapping[str, object]) -> bool:
    """Write the end of an attempt; False when the lease has gone to another process meanwhile."""
    table = tables.outbox.c
    result = connection.execute(
        update(tables.outbox)
        .where(
            table.id == taken.id,
            _LEASE.is_owned(taken.owner),
            table.attempts == taken.attempts,
            table.status == "sending",
        )
        .values(**values, **_LEASE.released())
    )
    if not result.rowcount:
        return False
    if values["status"] != "pending" and taken.alarm_id == GROUPED_ALARM_ID:
        end = {name: values.get(name) for name in ("status", "last_error", "finished_at")}
        members = (table.carrier_id == taken.id) & is_grouped() & (table.status != "superseded")
        connection.execute(update(tables.outbox).where(members).values(**end))
    return True


def supersede_failed(connection: Connection, taken: Claim, now: datetime) -> bool:
    """Close a failed notification if a newer one, which lists it, is about to be sent."""
    older, newer = tables.outbox, tables.outbox.alias("newer")
    query = (
        select(older, newer.c.id.label("newer_id"))
        .join(newer, _is_before(older, newer))
        .where(older.c.id == taken.id, newer.c.status.in_(OPEN))
        .order_by(newer.c.state_seq.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is not None:
        supersede(connection, [row], row.newer_id, now)
    return row is not None


def give_up(connection: Connection, channel: str, now: datetime, why: str) -> int:
    """Mark all undelivered notifications of a channel as failed; return how many."""
    table = tables.outbox.c
    owed = or_(
        table.status.in_(OPEN),
        and_(table.status == "muted", table.finished_at.is_(None)),
    )
    result = connection.execute(
        update(tables.outbox)
        .where(table.channel == channel, owed)
        .values(status="failed", last_error=why, finished_at=now, **_LEASE.released())
    )
    return result.rowcount


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Select what may be sent; waits that no wait can be come of a clock that was far ahead."""
    table = tables.outbox.c
    next_at, too_late = table.next_attempt_at, now + timedelta(seconds=WAIT_MAX_S)
    return or_(
        and_(
            table.status == "pending",
            ~is_grouped(),
            or_(table.attempts == 0, next_at <= now, next_at > too_late),
        ),
        and_(table.status == "sending", _LEASE.is_free(now)),
    )


def _has_older() -> ColumnElement[bool]:
    """Whether an older message of the same alarm and channel is being sent."""
    older = tables.outbox.alias("older")
    older_is_open = older.c.status.in_(OPEN) & or_(
        older.c.alarm_id == GROUPED_ALARM_ID, older.c.group_key.is_(None)
    )
    return select(older.c.id).where(_is_before(older, tables.outbox), older_is_open).exists()


def _is_before(older: FromClause, newer: FromClause) -> ColumnElement[bool]:
    return and_(
        older.c.alarm_id == newer.c.alarm_id,
        older.c.channel == newer.c.channel,
        older.c.state_seq < newer.c.state_seq,
        # Messages of groups keep the order of their group.
        or_(
            newer.c.alarm_id != GROUPED_ALARM_ID,
            older.c.group_key.is_not_distinct_from(newer.c.group_key),
        ),
    )
