"""Groups: changes with equal labels become one notification, as in Prometheus Alertmanager.

A new group waits for more of its kind; then it is sent at most once in an interval, and again as a
reminder while it fires. Changes that were over between two notifications are not sent. A newer one
of a group supersedes one that is not delivered yet, and lists its changes, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from driftline.alerts import tables as common
from driftline.alerts.notify.event import BODY_MAX_BYTES, Event, as_json
from driftline.alerts.notify.message import render_event
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.receivers.receiver import Style
from driftline.alerts.notify.rows import (
    GROUPED_ALARM_ID,
    LISTED,
    OPEN,
    OutboxRow,
    is_grouped,
    listed_change,
    new_message_id,
    note_rows,
    queue_message,
    supersede,
)
from driftline.alerts.notify.silences import Silences
from driftline.alerts.tables import groups
from driftline.database.dialects import advisory_lock

_ROWS_MAX = 2_000
_NAME_MAX = 255
_LINES_MAX = 20
_SPARE_BYTES = 1_500


def waits_for_group() -> ColumnElement[bool]:
    """Whether a change is held until its group is sent."""
    table = common.outbox.c
    return and_(table.status == "pending", is_grouped(), table.carrier_id.is_(None))


def due_groups(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Return the groups with something to send now: channel and key."""
    table = common.outbox.c
    policies = {
        row.name: ChannelPolicy.of(row.options)
        for row in connection.execute(select(common.channels))
    }
    waiting = connection.execute(
        select(table.channel, table.group_key, func.min(table.created_at).label("first"))
        .where(waits_for_group())
        .group_by(table.channel, table.group_key)
    ).all()
    known = {(row.channel, row.key): row for row in connection.execute(select(groups))}
    found = {(channel, key) for (channel, key), row in known.items() if row.due_at <= now}
    for row in waiting:
        policy = policies.get(row.channel, ChannelPolicy())
        group = known.get((row.channel, row.group_key))
        since = row.first if group is None else group.sent_at
        wait_s = policy.group_wait_s if group is None else policy.group_interval_s
        # A beginning that lies ahead comes of a clock that was far ahead for a moment.
        if not 0 <= (now - since).total_seconds() < wait_s:
            found.add((row.channel, row.group_key))
    return sorted(found)


def queue_group(connection: Connection, channel: str, key: str, now: datetime) -> str | None:
    """Queue the message of a group, if there is anything to tell; return its id."""
    rows, target = _begun(connection, channel, key, now)
    if target is None:
        _forget(connection, channel, key)
        return None
    policy = ChannelPolicy.of(target.options)
    group = connection.execute(
        select(groups).where(groups.c.channel == channel, groups.c.key == key)
    ).one_or_none()
    rows = _not_muted(connection, rows, now)
    notified: dict[str, str] = dict(group.told) if group is not None else {}
    notified, news, settled = _news(connection, notified, rows)
    _end(connection, settled, "superseded", "back where it was before it was told", now)
    is_repeated = (
        group is not None and _is_repeat_due(policy, group.sent_at, now) and bool(notified)
    )
    if not news and not is_repeated:
        _keep(connection, policy, channel, key, notified, group, now)
        return None
    firing = _names(connection, notified)
    shown = news or _firing(connection, channel, notified)
    grouped = GroupedMessage(
        "group" if news else "reminder",
        _title(news, firing, key),
        labels=json.loads(key),
        firing=firing,
        link=_link(shown),
        key=key,
    )
    members = [row for row in rows if row not in settled]
    message_id = queue_grouped(connection, target, grouped, members, now, shown_rows=shown)
    _store(connection, policy, channel, key, notified, now)
    return message_id


def _begun(
    connection: Connection, channel: str, key: str, now: datetime
) -> tuple[list[OutboxRow], OutboxRow | None]:
    """Return what waits for a group, held by this transaction, and its channel.

    What waits for a channel that is disabled or gone is given up; its channel is None.
    """
    advisory_lock(connection, f"group:{channel}:{key}")
    channels, rows = common.channels, _rows(connection, channel, key)
    query = select(channels).where(channels.c.name == channel, channels.c.enabled)
    target = connection.execute(query).one_or_none()
    if target is None:
        _end(connection, rows, "failed", "the channel is disabled or gone", now)
    return rows, target


def _rows(connection: Connection, channel: str, key: str) -> list[OutboxRow]:
    table = common.outbox
    query = (
        select(*LISTED)
        .where(table.c.channel == channel, table.c.group_key == key, waits_for_group())
        .order_by(table.c.created_at, table.c.state_seq, table.c.id)
        .limit(_ROWS_MAX)
    )
    return list(connection.execute(query).all())


def _firing(connection: Connection, channel: str, notified: Mapping[str, str]) -> list[OutboxRow]:
    """Return what was last notified of each alarm that still fires, for a reminder."""
    table = common.outbox
    ids = [int(alarm_id) for alarm_id, state in notified.items() if state == "ALARM"]
    query = (
        select(*LISTED)
        .where(table.c.channel == channel, table.c.alarm_id.in_(ids), table.c.state == "ALARM")
        .order_by(table.c.alarm_id, table.c.state_seq)
        .limit(_ROWS_MAX)
    )
    newest = {row.alarm_id: row for row in connection.execute(query)}
    return list(newest.values())


def _not_muted(connection: Connection, rows: Sequence[OutboxRow], now: datetime) -> list[OutboxRow]:
    """Set aside what a silence that came meanwhile holds back; return the others."""
    table = common.outbox
    silences = Silences(connection)
    left = []
    for row in rows:
        muted = silences.muting(row.facts.get("labels", {}), now)
        if muted is None:
            left.append(row)
            continue
        connection.execute(
            update(table).where(table.c.id == row.id).values(**muted.columns, status="muted")
        )
    return left


def _news(
    connection: Connection, notified: Mapping[str, str], rows: Sequence[OutboxRow]
) -> tuple[dict[str, str], list[OutboxRow], list[OutboxRow]]:
    """Compare what happened with what was notified."""
    states = _states(connection, {*(row.alarm_id for row in rows), *map(int, notified)})
    table = common.outbox.c
    was_alarm = set(
        connection.scalars(
            select(table.carrier_id)
            .where(table.carrier_id.in_([row.id for row in rows]), table.state == "ALARM")
            .distinct()
        )
    )
    news: list[OutboxRow] = []
    settled: list[OutboxRow] = []
    after = {alarm: state for alarm, state in notified.items() if states.get(int(alarm)) == "ALARM"}
    for row in rows:  # One an alarm: a newer change supersedes an older one.
        before = notified.get(str(row.alarm_id)) or row.facts["before"]
        # A change without an action has no row: the alarm has the newest state.
        state = states.get(row.alarm_id) or row.state
        # An alarm that began and ended since the last message is not reported.
        came_and_went = (
            state != "ALARM" and str(row.alarm_id) not in notified and row.id in was_alarm
        )
        if state == before or came_and_went or (row.state == "ALARM" and state != "ALARM"):
            settled.append(row)
        else:
            news.append(row)
        if state == "ALARM":
            after[str(row.alarm_id)] = state
    return after, news, settled


def _states(connection: Connection, alarm_ids: set[int]) -> dict[int, str]:
    alarms = common.alarms.c
    query = select(alarms.id, alarms.state).where(alarms.id.in_(alarm_ids))
    return {row.id: row.state for row in connection.execute(query)}


def _names(connection: Connection, notified: Mapping[str, str]) -> list[str]:
    alarms = common.alarms.c
    query = select(alarms.name).where(alarms.id.in_([int(one) for one in notified]))
    return list(connection.scalars(query.order_by(alarms.name)))


def _end(
    connection: Connection, rows: Sequence[OutboxRow], status: str, why: str, now: datetime
) -> None:
    table = common.outbox
    connection.execute(
        update(table)
        .where(table.c.id.in_([row.id for row in rows]))
        .values(status=status, reason=why, finished_at=now)
    )
    outcome = f"not sent: {why}"
    note_rows(connection, rows, time=now, state=status.capitalize(), outcome=outcome)


def _is_repeat_due(policy: ChannelPolicy, sent_at: datetime, now: datetime) -> bool:
    repeat = timedelta(seconds=policy.repeat_interval_s)
    return bool(repeat) and now >= sent_at + repeat


def _keep(
    connection: Connection,
    policy: ChannelPolicy,
    channel: str,
    key: str,
    notified: Mapping[str, str],
    group: OutboxRow | None,
    now: datetime,
) -> None:
    """Remember a group that has nothing to tell; one that tells of nothing is forgotten."""
    if group is None:
        return
    if notified:
        _store(connection, policy, channel, key, notified, group.sent_at, looked_at=now)
    else:
        _forget(connection, channel, key)


def _store(
    connection: Connection,
    policy: ChannelPolicy,
    channel: str,
    key: str,
    notified: Mapping[str, str],
    sent_at: datetime,
    *,
    looked_at: datetime | None = None,
) -> None:
    # A group that is over is kept for one more interval: what comes then is notified after it.
    wait_s = policy.repeat_interval_s if notified and policy.repeat_interval_s else None
    due_at = sent_at + timedelta(seconds=wait_s if wait_s is not None else policy.group_interval_s)
    if looked_at is not None and due_at <= looked_at:
        due_at = looked_at + timedelta(seconds=max(policy.group_interval_s, 60.0))
    _forget(connection, channel, key)
    connection.execute(
        insert(groups).values(
            channel=channel, key=key, told=dict(notified), sent_at=sent_at, due_at=due_at
        )
    )


def _forget(connection: Connection, channel: str, key: str) -> None:
    connection.execute(delete(groups).where(and_(groups.c.channel == channel, groups.c.key == key)))


def _title(news: Sequence[OutboxRow], firing: Sequence[str], key: str) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in json.loads(key).items() if value)
    where = f" ({labels})" if labels else ""
    if not news:
        return f"REMINDER: {_alarms(len(firing))} still in ALARM{where}"
    if not firing:
        return f"RESOLVED: {_alarms(len(news))}{where}"
    return f"ALARM: {_alarms(len(firing))}{where}"


def _alarms(count: int) -> str:
    return f"{count} alarm" if count == 1 else f"{count} alarms"


def _link(rows: Sequence[OutboxRow]) -> str:
    """Lead to the rows of the worst: the first that is in ALARM."""
    ordered = sorted(rows, key=lambda row: row.state != "ALARM")
    return str(ordered[0].facts.get("link") or "") if ordered else ""


@dataclass(frozen=True, slots=True)
class GroupedMessage:
    """What a grouped message is about."""

    kind: str  # ``group`` or ``reminder``.
    title: str
    labels: Mapping[str, str] = field(default_factory=dict)  # What its changes have in common.
    firing: Sequence[str] = ()  # Names of alarms in ALARM now, also of those notified before.
    link: str = ""
    key: str = ""  # Messages of one key go out in their order.


def queue_grouped(
    connection: Connection,
    channel: OutboxRow,
    grouped: GroupedMessage,
    members: Sequence[OutboxRow],
    now: datetime,
    *,
    shown_rows: Sequence[OutboxRow] | None = None,
) -> str:
    """Queue a message that carries others, and close those; return its id."""
    advisory_lock(connection, f"carrier:{channel.name}")
    table = common.outbox
    message_id = new_message_id(now)
    undelivered = _undelivered(connection, channel.name, grouped.key)
    older = table.c.carrier_id.in_([row.id for row in undelivered])
    shown = sorted(
        {
            row.id: row
            for row in (
                *connection.execute(select(*LISTED).where(older, is_grouped())),
                *(members if shown_rows is None else shown_rows),
            )
        }.values(),
        key=lambda row: (row.state != "ALARM", row.alarm_name, row.state_seq),
    )
    event = _event(grouped, shown, now)
    message = render_event(event, message_id=message_id, style=Style.of(channel))
    own = (table.c.alarm_id == GROUPED_ALARM_ID, table.c.channel == channel.name)
    newest = connection.scalar(select(func.max(table.c.state_seq)).where(*own)) or 0
    about = {
        "alarm_id": GROUPED_ALARM_ID,
        "alarm_name": grouped.title[:_NAME_MAX],
        "state_seq": newest + 1,
        "channel": channel.name,
        "state": "ALARM" if grouped.firing else "OK",
        "kind": grouped.kind,
        "group_key": grouped.key,
        "reason": f"carries {len(members)} messages",
        "facts": {
            "labels": dict(grouped.labels),
            "link": grouped.link,
            "supersedes": event.data["alarms"],
        },
    }
    queue_message(connection, message_id, message, now, about)
    pending = [row for row in undelivered if row.status == "pending"]
    if pending:
        supersede(connection, pending, message_id, now)
    if members:
        reason = f"sent with {grouped.kind} message {message_id}"
        connection.execute(
            update(table)
            .where(table.c.id.in_([row.id for row in members]))
            .values(carrier_id=message_id, reason=reason)
        )
        outcome = f"grouped into message {message_id}"
        note_rows(connection, members, time=now, state="Grouped", outcome=outcome)
    return message_id


def _undelivered(connection: Connection, channel: str, key: str) -> list[OutboxRow]:
    """Return the messages of a group that are not delivered yet, locked."""
    table = common.outbox
    query = select(*LISTED).where(
        table.c.alarm_id == GROUPED_ALARM_ID,
        table.c.channel == channel,
        table.c.group_key == key,
        table.c.status.in_(OPEN),
    )
    return list(connection.execute(query.with_for_update()).all())


def _event(grouped: GroupedMessage, rows: Sequence[OutboxRow], now: datetime) -> Event:
    entries = [listed_change(row) for row in rows]
    counts = {
        state: sum(1 for one in entries if one["state"] == state)
        for state in ("ALARM", "OK", "INSUFFICIENT_DATA")
    }
    data: dict[str, object] = {
        "group": {"kind": grouped.kind, "labels": dict(grouped.labels)},
        "counts": counts,
        "firing": list(grouped.firing)[:_LINES_MAX],
        "firing_count": len(grouped.firing),
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
        type="alarm.group",
        time=now,
        title=grouped.title,
        text="\n".join(lines),
        link=grouped.link,
        mood="failure" if counts["ALARM"] or grouped.firing else "success",
        data=data,
    )


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
