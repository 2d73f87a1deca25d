"""The order of one alarm's messages to one channel, and how an ALARM gets past one that fails.

Messages of an alarm go out in the order of its changes. If an earlier one has failed until its
next attempt is more than a minute away, a new ALARM starts its schedule again, so that a receiver
that is back gets all of them in order; if it then fails as often again, the ALARM is sent past
it. What it has overtaken is then superseded: nothing older ever arrives after something newer.
Messages that carry others tell of other alarms, too; they are overtaken, but still sent.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, FromClause, and_, func, not_, or_, select, update

from driftline.alerts.notify.rows import BY_HAND, GROUPED_ALARM_ID, OPEN, note_rows
from driftline.alerts.tables import outbox

WAIT_MAX_S = 2 * 86_400  # Longer than the longest wait between two attempts.
# An ALARM waits for an earlier message whose next attempt is nearer than that.
_STALLED_S = 60.0


def has_older(now: datetime) -> ColumnElement[bool]:
    """Whether an older message of the same alarm and channel must be sent before this one.

    It may itself be told by a message that carries it, and wait with that one.
    """
    older, carrier = outbox.alias("older"), outbox.alias("carrier")
    may_pass = outbox.c.state == "ALARM"
    own = (
        select(older.c.id)
        .where(
            _is_before(older, outbox),
            older.c.status.in_(OPEN),
            ~and_(may_pass, or_(_is_stalled(older, now), _waits_for_stalled(older, now))),
        )
        .exists()
    )
    carried = (
        select(older.c.id)
        .join(carrier, carrier.c.id == older.c.carrier_id)
        .where(
            _is_before(older, outbox),
            older.c.status == "grouped",
            carrier.c.status.in_(OPEN),
            ~and_(may_pass, _is_stalled(carrier, now)),
        )
        .exists()
    )
    return or_(own, carried)


def restart_retries(connection: Connection, alarm_ids: Collection[int], now: datetime) -> None:
    """Try what failed for these alarms again at once: each of them has a new ALARM to send.

    Of each alarm and channel the oldest open message, which holds up the others, if it is not tried
    soon anyway: an alarm that comes back again and again would never get past it. One that another
    transaction is working on is left to that one; one that is being overtaken stays behind.
    """
    table, older, newer = outbox.c, outbox.alias("older"), outbox.alias("newer")
    held_up = select(older.c.id).where(_is_before(older, outbox), older.c.status.in_(OPEN))
    passing = select(newer.c.id).where(_is_before(outbox, newer), newer.c.status == "delivering")
    query = (
        select(table.id)
        .where(
            table.alarm_id.in_(alarm_ids),
            _is_stalled(outbox, now),
            ~held_up.exists(),
            ~passing.exists(),
        )
        .with_for_update(of=outbox, skip_locked=True)
    )
    if ids := connection.scalars(query).all():
        again = {"attempts": 0, "next_attempt_at": now}
        connection.execute(update(outbox).where(table.id.in_(ids)).values(**again))


def latest_retry(connection: Connection, message_id: str) -> datetime | None:
    """Return when the last of the older messages that this one has overtaken is tried again.

    An overtaking message that fails, too, is tried right after them, so that a receiver that is
    back gets them in order.
    """
    older = outbox.alias("older")
    query = select(func.max(older.c.next_attempt_at)).where(
        outbox.c.id == message_id,
        outbox.c.alarm_id != GROUPED_ALARM_ID,
        _is_before(older, outbox),
        older.c.status == "pending",
        older.c.attempts > 0,
    )
    found: datetime | None = connection.scalar(query)
    return found


def supersede_overtaken(connection: Connection, message_id: str, now: datetime) -> int:
    """Close the older messages that a delivered one has overtaken; return how many.

    Those that somebody asked for by hand, and those that carry others, are still sent.
    """
    older = outbox.alias("older")
    query = select(older).where(
        outbox.c.id == message_id,
        outbox.c.alarm_id != GROUPED_ALARM_ID,
        _is_before(older, outbox),
        older.c.status == "pending",
        older.c.reason.is_distinct_from(BY_HAND),
    )
    rows = connection.execute(query.order_by(older.c.state_seq)).all()
    if rows:
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_([row.id for row in rows]), outbox.c.status == "pending")
            .values(
                status="superseded",
                finished_at=now,
                reason=f"overtaken by the newer ALARM {message_id}",
            )
        )
        note_rows(
            connection, rows, time=now, state="Superseded", outcome="superseded by a newer one"
        )
    return len(rows)


def _is_before(older: FromClause, newer: FromClause) -> ColumnElement[bool]:
    return and_(
        older.c.alarm_id == newer.c.alarm_id,
        older.c.channel == newer.c.channel,
        older.c.state_seq < newer.c.state_seq,
        # Messages that carry others go out in the order of their group.
        or_(
            newer.c.alarm_id != GROUPED_ALARM_ID,
            older.c.group_key.is_not_distinct_from(newer.c.group_key),
        ),
    )


def _is_stalled(message: FromClause, now: datetime) -> ColumnElement[bool]:
    """Whether a message has failed, and is not tried again soon."""
    soon, too_late = now + timedelta(seconds=_STALLED_S), now + timedelta(seconds=WAIT_MAX_S)
    return and_(
        message.c.status == "pending",
        message.c.attempts > 0,
        # Written so that no database looks through all that waits: an alarm has few messages.
        not_(or_(message.c.next_attempt_at < soon, message.c.next_attempt_at > too_late)),
    )


def _waits_for_stalled(message: FromClause, now: datetime) -> ColumnElement[bool]:
    """Whether a recovery was not tried yet because an older message is stalled."""
    head = outbox.alias("head")
    stalled = select(head.c.id).where(_is_before(head, message), _is_stalled(head, now)).exists()
    return and_(message.c.attempts == 0, message.c.state != "ALARM", stalled)
