"""How much a channel may get: a bucket of tokens, and calm about alarms that flap."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, insert, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.rows import OPEN, OutboxRow, note_change
from driftline.alerts.tables import rates

Flapping = Literal["first", "quiet"]

FLAPS_PER_HOUR = 6
STABLE = timedelta(minutes=30)
_HOUR = timedelta(hours=1)
_MINUTE_S = 60.0
_FOLDED_MAX = 2_000


class Budget:
    """The tokens of all channels at one moment; one is taken for each message that is sent.

    A bucket holds a minute's messages and fills evenly. Used by one transaction at a time.

    Parameters
    ----------
    policies
        By channel; one that is not there has no limit.
    """

    def __init__(
        self, connection: Connection, policies: Mapping[str, ChannelPolicy], now: datetime
    ) -> None:
        self._connection = connection
        self._now = now
        self._stored = {row.channel for row in connection.execute(select(rates.c.channel))}
        self._tokens: dict[str, float] = {}
        self._taken: set[str] = set()
        limits = {
            name: float(one.rate_limit_per_minute)
            for name, one in policies.items()
            if one.rate_limit_per_minute
        }
        found = {row.channel: row for row in connection.execute(select(rates))}
        for name, limit in limits.items():
            row = found.get(name)
            if row is None:
                self._tokens[name] = limit
                continue
            # A clock that was set back adds nothing, and takes nothing away.
            passed_s = max((now - row.time).total_seconds(), 0.0)
            self._tokens[name] = min(limit, row.tokens + passed_s * limit / _MINUTE_S)

    @property
    def empty(self) -> list[str]:
        """Channels that may get nothing at this moment, by name."""
        return sorted(name for name, left in self._tokens.items() if left < 1.0)

    def take(self, channel: str) -> bool:
        """Take a token for one message; False when there is none."""
        left = self._tokens.get(channel)
        if left is None:
            return True
        if left < 1.0:
            return False
        self._tokens[channel] = left - 1.0
        self._taken.add(channel)
        return True

    def store(self) -> None:
        """Write what is left."""
        for name in sorted(self._taken):
            values = {"tokens": self._tokens[name], "time": self._now}
            if name in self._stored:
                query = update(rates).where(rates.c.channel == name)
                self._connection.execute(query.values(**values))
            else:
                self._connection.execute(insert(rates).values(channel=name, **values))


def overflow(connection: Connection, channel: str) -> list[OutboxRow]:
    """Return the messages of a channel beyond its limit that one message can tell, oldest first.

    None of an alarm whose earlier message is being tried still: none may overtake it. None while
    one that carries others waits to be sent.
    """
    table = tables.outbox.c
    own = (table.channel == channel, table.status.in_(OPEN))
    waiting = select(table.id).where(*own, table.kind == "overflow", table.attempts == 0)
    if connection.execute(waiting.limit(1)).first() is not None:
        return []
    tried = select(table.alarm_id).where(*own, table.attempts > 0)
    query = (
        select(tables.outbox)
        .where(*own, table.kind == "change", table.attempts == 0, table.alarm_id.not_in(tried))
        .order_by(table.created_at, table.id)
        .limit(_FOLDED_MAX)
        .with_for_update(of=tables.outbox, skip_locked=True)
    )
    rows = connection.execute(query).all()
    return list(rows) if len(rows) > 1 else []


def flapping(connection: Connection, change: StateChange, channel: str) -> Flapping | None:
    """Whether an alarm flaps with this change: told once more, or held back; None: it is calm.

    More than six changes within an hour are flapping; it is over when half an hour has passed
    without any.
    """
    times = _changes(connection, change)
    last = times[0] if times else None
    table = tables.outbox.c
    query = (
        select(table.status, table.reason, table.created_at)
        .where(
            table.alarm_id == change.alarm_id,
            table.channel == channel,
            table.state_seq < change.seq,
        )
        .order_by(table.state_seq.desc())
        .limit(1)
    )
    before = connection.execute(query).first()
    if before is not None:
        is_spell = before.status == "damped" or str(before.reason or "").startswith("flapping")
        newest = max(last or before.created_at, before.created_at)
        if is_spell and change.time - newest < STABLE:
            return "quiet"
    recent = 1 + sum(1 for time in times if time > change.time - _HOUR)
    return "first" if recent > FLAPS_PER_HOUR else None


def release_damped(connection: Connection, now: datetime, *, limit: int = 200) -> int:
    """Tell how alarms that flapped ended, once they are stable; return how many rows moved on."""
    table, alarms = tables.outbox.c, tables.alarms.c
    query = (
        select(tables.outbox, alarms.state_seq.label("now_seq"), alarms.state_changed_at)
        .outerjoin(tables.alarms, alarms.id == table.alarm_id)
        .where(table.status == "damped", table.finished_at.is_(None), table.next_attempt_at <= now)
        .order_by(table.next_attempt_at)
        .limit(limit)
        .with_for_update(of=tables.outbox, skip_locked=True)
    )
    rows = connection.execute(query).all()
    for row in rows:
        connection.execute(
            update(tables.outbox).where(table.id == row.id).values(**_after_damping(row, now))
        )
    return len(rows)


def note_damped(connection: Connection, change: StateChange, channel: str, message_id: str) -> None:
    """Write into the alarm's history that an action was held back because the alarm flaps."""
    note_change(
        connection,
        change,
        channel=channel,
        message_id=message_id,
        state="Damped",
        summary=f"Action {channel} held back: the alarm flaps",
    )


def _after_damping(row: OutboxRow, now: datetime) -> dict[str, object]:
    if row.now_seq is None or row.now_seq != row.state_seq:
        return {"finished_at": now, "reason": "flapping: the state changed again"}
    stable_at = row.state_changed_at + STABLE
    if stable_at > now:
        return {"next_attempt_at": stable_at}
    status = "pending" if row.group_key is None else "waiting"
    return {
        "status": status,
        "next_attempt_at": now,
        "reason": "stable for half an hour after flapping",
    }


def _changes(connection: Connection, change: StateChange) -> list[datetime]:
    """Return the times of an alarm's newest changes before this one, newest first."""
    table = tables.history.c
    query = (
        select(table.time, table.data)
        .where(table.alarm_name == change.alarm_name, table.type == "StateUpdate")
        .order_by(table.id.desc())
        .limit(FLAPS_PER_HOUR + 2)
    )
    return [row.time for row in connection.execute(query) if row.data.get("seq") != change.seq]
