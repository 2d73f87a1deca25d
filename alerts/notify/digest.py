"""The weekly digest: what is worth knowing, and not worth a message of its own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select, update

from driftline.alerts import tables
from driftline.alerts.errors import SilenceError
from driftline.alerts.notify.grouped_messages import GroupedMessage, changes_of, queue_grouped
from driftline.alerts.notify.pipeline import DIGEST
from driftline.database.locks import advisory_lock

_ROWS_MAX = 2_000
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_WHEN = re.compile(rf"({'|'.join(_DAYS)}) ([0-2]?\d):([0-5]\d)")


def last_digest(now: datetime, when: str = "MON 08:00") -> datetime:
    """Return when digests were due last."""
    found = _WHEN.fullmatch(when.strip().upper())
    if found is None or int(found[2]) > 23:
        raise SilenceError(f'[notify] digest = "{when[:40]}"; expected such as "MON 08:00"')
    utc = now.astimezone(UTC)
    due = utc.replace(hour=int(found[2]), minute=int(found[3]), second=0, microsecond=0)
    due -= timedelta(days=(due.weekday() - _DAYS.index(found[1])) % 7)
    return due if due <= utc else due - timedelta(days=7)


def due_digests(connection: Connection, now: datetime, tick: datetime) -> list[tuple[str, str]]:
    """Name the digests with something from before they were due: channel and key."""
    table = tables.outbox.c
    query = (
        select(table.channel, table.group_key)
        .where(
            table.status == "waiting",
            table.group_key.like(f"{DIGEST}%"),
            (table.created_at < tick) | (table.created_at > now + timedelta(days=8)),
        )
        .distinct()
    )
    return sorted((row.channel, row.group_key) for row in connection.execute(query))


def tell_digest(connection: Connection, channel: str, key: str, now: datetime) -> str | None:
    """Queue the digest of an owner for a channel; return its id."""
    advisory_lock(connection, f"group:{channel}:{key}")
    table = tables.outbox
    rows = connection.execute(
        select(table)
        .where(table.c.channel == channel, table.c.group_key == key, table.c.status == "waiting")
        .order_by(table.c.created_at, table.c.state_seq, table.c.id)
        .limit(_ROWS_MAX)
    ).all()
    if not rows:
        return None
    target = connection.execute(
        select(tables.channels).where(tables.channels.c.name == channel)
    ).one_or_none()
    if target is None or not target.enabled:
        connection.execute(
            update(table)
            .where(table.c.id.in_([row.id for row in rows]))
            .values(status="dead", last_error="channel disabled or gone", finished_at=now)
        )
        return None
    owner = key.removeprefix(DIGEST)
    newest = {row.alarm_id: row for row in rows}
    firing = sorted(row.alarm_name for row in newest.values() if row.state == "ALARM")
    title = f"Digest{f' for {owner}' if owner else ''}: {changes_of(len(rows), len(newest))}"
    link = next((str(row.facts.get("link") or "") for row in rows), "")
    labels = {"owner": owner} if owner else {}
    grouped = GroupedMessage("digest", title, labels=labels, firing=firing, link=link, key=key)
    # Of each alarm the newest change, which says how it ended; the others are counted.
    return queue_grouped(connection, target, grouped, rows, now, told=list(newest.values()))
