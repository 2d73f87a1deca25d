"""Groups: changes that agree in labels become one message, as in Prometheus Alertmanager.

A new group waits for more of its kind; then it is told at most once in an interval, and again as a
reminder while it fires. What has come and gone between two messages is not told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from driftline.alerts import tables as common
from driftline.alerts.notify.grouped_messages import GroupedMessage, queue_grouped
from driftline.alerts.notify.pipeline import DIGEST
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.rows import OutboxRow, note_rows
from driftline.alerts.notify.silences import Silences
from driftline.alerts.tables import groups
from driftline.database.locks import advisory_lock

_ROWS_MAX = 2_000


def due_groups(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Name the groups that have something to tell now: channel and key."""
    table = common.outbox.c
    policies = {
        row.name: ChannelPolicy.of(row.options)
        for row in connection.execute(select(common.channels))
    }
    waiting = connection.execute(
        select(table.channel, table.group_key, func.min(table.created_at).label("first"))
        .where(table.status == "waiting", table.group_key.not_like(f"{DIGEST}%"))
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


def tell_group(connection: Connection, channel: str, key: str, now: datetime) -> str | None:
    """Queue the message of a group, if there is anything to tell; return its id."""
    advisory_lock(connection, f"group:{channel}:{key}")
    target = connection.execute(
        select(common.channels).where(common.channels.c.name == channel)
    ).one_or_none()
    rows = _rows(connection, channel, key)
    if target is None or not target.enabled:
        _end(connection, rows, "dead", "the channel is disabled or gone", now)
        _forget(connection, channel, key)
        return None
    policy = ChannelPolicy.of(target.options)
    group = connection.execute(
        select(groups).where(groups.c.channel == channel, groups.c.key == key)
    ).one_or_none()
    rows = _not_muted(connection, rows, now)
    told: dict[str, str] = dict(group.told) if group is not None else {}
    told, news, settled = _news(connection, told, rows)
    _end(connection, settled, "superseded", "back where it was before it was told", now)
    is_repeated = group is not None and _is_repeat_due(policy, group.sent_at, now) and bool(told)
    if not news and not is_repeated:
        _keep(connection, policy, channel, key, told, group, now)
        return None
    firing = _names(connection, told)
    shown = news or _firing(connection, channel, told)
    grouped = GroupedMessage(
        "group" if news else "reminder",
        _title(news, firing, key),
        labels=json.loads(key),
        firing=firing,
        link=_link(shown),
        key=key,
    )
    members = [row for row in rows if row not in settled]
    message_id = queue_grouped(connection, target, grouped, members, now, told=shown)
    _store(connection, policy, channel, key, told, now)
    return message_id


def _rows(connection: Connection, channel: str, key: str) -> list[OutboxRow]:
    table = common.outbox
    query = (
        select(table)
        .where(table.c.channel == channel, table.c.group_key == key, table.c.status == "waiting")
        .order_by(table.c.created_at, table.c.state_seq, table.c.id)
        .limit(_ROWS_MAX)
    )
    return list(connection.execute(query).all())


def _firing(connection: Connection, channel: str, told: Mapping[str, str]) -> list[OutboxRow]:
    """Return what was last told of each alarm that still fires, for a reminder."""
    table = common.outbox
    ids = [int(alarm_id) for alarm_id, state in told.items() if state == "ALARM"]
    query = (
        select(table)
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
    connection: Connection, told: Mapping[str, str], rows: Sequence[OutboxRow]
) -> tuple[dict[str, str], list[OutboxRow], list[OutboxRow]]:
    """Compare what happened with what was told."""
    by_alarm: dict[int, list[OutboxRow]] = {}
    for row in rows:
        by_alarm.setdefault(row.alarm_id, []).append(row)
    states = _states(connection, {*by_alarm, *map(int, told)})
    news: list[OutboxRow] = []
    settled: list[OutboxRow] = []
    after = {alarm: state for alarm, state in told.items() if states.get(int(alarm)) == "ALARM"}
    for alarm_id, own in by_alarm.items():
        newest = own[-1]
        before = told.get(str(alarm_id)) or str(own[0].facts.get("old"))
        # Changes that nobody asked to be told of have no rows: the alarm itself knows better.
        state = states.get(alarm_id) or newest.state
        is_over = state != "ALARM" and str(alarm_id) not in told
        if (
            state == before
            or (newest.state == "ALARM" and state != "ALARM")
            # Nobody was told that it began, so nobody is told that it is over.
            or (is_over and any(row.state == "ALARM" for row in own))
        ):
            settled += own
        else:
            news.append(newest)
        if state == "ALARM":
            after[str(alarm_id)] = state
    return after, news, settled


def _states(connection: Connection, alarm_ids: set[int]) -> dict[int, str]:
    alarms = common.alarms.c
    query = select(alarms.id, alarms.state).where(alarms.id.in_(alarm_ids))
    return {row.id: row.state for row in connection.execute(query)}


def _names(connection: Connection, told: Mapping[str, str]) -> list[str]:
    alarms = common.alarms.c
    query = select(alarms.name).where(alarms.id.in_([int(one) for one in told]))
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
    told = f"not sent: {why}"
    note_rows(connection, rows, time=now, state=status.capitalize(), told=told)


def _is_repeat_due(policy: ChannelPolicy, sent_at: datetime, now: datetime) -> bool:
    repeat = timedelta(seconds=policy.repeat_interval_s)
    return bool(repeat) and now >= sent_at + repeat


def _keep(
    connection: Connection,
    policy: ChannelPolicy,
    channel: str,
    key: str,
    told: Mapping[str, str],
    group: OutboxRow | None,
    now: datetime,
) -> None:
    """Remember a group that has nothing to tell; one that tells of nothing is forgotten."""
    if group is None:
        return
    if told:
        _store(connection, policy, channel, key, told, group.sent_at, looked_at=now)
    else:
        _forget(connection, channel, key)


def _store(
    connection: Connection,
    policy: ChannelPolicy,
    channel: str,
    key: str,
    told: Mapping[str, str],
    sent_at: datetime,
    *,
    looked_at: datetime | None = None,
) -> None:
    # A group that is over is kept for one more interval: what comes then is told after it.
    wait_s = policy.repeat_interval_s if told and policy.repeat_interval_s else None
    due_at = sent_at + timedelta(seconds=wait_s if wait_s is not None else policy.group_interval_s)
    if looked_at is not None and due_at <= looked_at:
        due_at = looked_at + timedelta(seconds=max(policy.group_interval_s, 60.0))
    _forget(connection, channel, key)
    connection.execute(
        insert(groups).values(
            channel=channel, key=key, told=dict(told), sent_at=sent_at, due_at=due_at
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
