"""Erases what notifications and histories quote of windows whose rows are erased.

They quote a cause in a dozen forms, cut and escaped; so what is about such a window is rewritten
without it, and no text is searched for values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Row, Select, or_, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.composite_records import above
from driftline.alerts.notify.event import Event
from driftline.alerts.notify.message import render_again
from driftline.alerts.notify.receivers.receiver import Style
from driftline.alerts.tables import attempts

ERASED_TEXT = "(erased)"
_SAID = "What this message said of single rows was erased on request."
_LINK = re.compile(r"/monitors/([^/?#]+)\?window=(\w+)")
_Row = Row[Any]
_Key = tuple[str, str]  # A monitor's quoted name and the stamp of a window, as links name them.
# The metrics whose values may be those of single rows: smallest and largest of a column.
_VALUES = "feature_data_"


@dataclass(frozen=True, slots=True)
class QuotedWindow:
    """A judged window that messages may quote."""

    monitor: str
    stamp: str
    start: datetime


def clear_messages(
    connection: Connection, windows: Sequence[QuotedWindow], *, dry_run: bool = False
) -> int:
    """Remove what notifications and histories quote of windows.

    A notification that still waits is sent with its alarm and window only, and says that the rest
    was erased.
    """
    if not windows:
        return 0
    since = min(one.start for one in windows)
    quoting = _quoting(connection, {one.monitor for one in windows})
    keys = {(quote(one.monitor, safe=""), one.stamp) for one in windows}
    telling = quoting | _above(connection, quoting, keys, since)
    found = _messages(connection, keys, telling, since)
    if dry_run:
        return len(found)
    channels = {row.name: row for row in connection.execute(select(tables.channels))}
    for row in found:
        _clear_message(connection, row, Style.of(channels.get(row.channel)))
    ids = {str(row.id) for row in found}
    _clear_attempts(connection, ids)
    _clear_history(connection, ids, keys, quoting, telling, since)
    _clear_states(connection, quoting, since)
    _clear_causes(connection, keys, telling)
    return len(found)


def clear_told(connection: Connection, alarm_ids: Collection[int], *, dry_run: bool = False) -> int:
    """Clear notifications of no alarm, by the numbers that stand for them."""
    table = tables.outbox.c
    query = select(tables.outbox).where(table.alarm_id.in_(alarm_ids))
    rows = [row for row in connection.execute(query) if not (row.facts or {}).get("erased")]
    if rows and not dry_run:
        channels = {row.name: row for row in connection.execute(select(tables.channels))}
        for row in rows:
            _clear_message(connection, row, Style.of(channels.get(row.channel)))
        _clear_attempts(connection, {str(row.id) for row in rows})
    return len(rows)


def _quoting(connection: Connection, monitors: Collection[str]) -> set[int]:
    """Find the alarms whose reason quotes sums and extremes of a monitor's columns."""
    table = tables.alarms.c
    query = select(table.id, table.definition).where(table.kind == "metric")
    return {
        row.id
        for row in connection.execute(query)
        if _VALUES in (text := str(row.definition)) and any(one in text for one in monitors)
    }


def _above(connection: Connection, quoting: set[int], keys: set[_Key], since: datetime) -> set[int]:
    """Find the composites that quote these alarms, or others about the windows, with other links.

    They link to what the first of their children is about.
    """
    table = tables.history.c
    query = select(table.alarm_name, table.data).where(
        table.time >= since, table.type == "StateUpdate"
    )
    named = {
        row.alarm_name for row in connection.execute(query) if _key(row.data.get("note")) in keys
    }
    ids = {row.name: row.id for row in connection.execute(select(tables.alarms))}
    named |= {name for name, one in ids.items() if one in quoting}
    return {ids[name] for name in above(connection, named)}


def _messages(
    connection: Connection, keys: set[_Key], telling: set[int], since: datetime
) -> list[_Row]:
    """Find the messages about the windows, and those that list such messages."""
    table = tables.outbox.c
    columns = (
        table.id, table.alarm_id, table.alarm_name, table.channel, table.state, table.created_at,
        table.facts,
    )  # fmt: skip
    query: Select[Any] = (
        select(*columns).where(table.created_at >= since).order_by(table.created_at, table.id)
    )
    rows = connection.execute(query).all()
    ids = {row.id for row in rows if row.alarm_id in telling or _key(row.facts) in keys}
    return [
        row
        for row in rows
        if not (facts := row.facts or {}).get("erased")
        and (
            row.id in ids
            or any(
                one["message_id"] in ids or _key(one) in keys for one in facts.get("supersedes", ())
            )
        )
    ]


def _key(facts: Mapping[str, object] | None) -> _Key | None:
    found = _LINK.search(str((facts or {}).get("link") or ""))
    return None if found is None else (found[1], found[2])


def _clear_message(connection: Connection, row: _Row, style: Style) -> None:
    facts = {**(row.facts or {}), "erased": True}
    if "cause" in facts:
        facts["cause"] = ERASED_TEXT
    facts.pop("supersedes", None)
    link = str(facts.get("link") or "")
    event = Event(
        type="alarm.erased",
        time=row.created_at,
        title=f"{row.state}: {row.alarm_name}",
        text=_SAID,
        link=link,
        mood="failure" if row.state == "ALARM" else "info",
        data={
            "alarm": {"name": row.alarm_name},
            "state": {"new": row.state},
            "links": {"dashboard": link},
        },
    )
    stored = connection.scalar(select(tables.outbox.c.body).where(tables.outbox.c.id == row.id))
    message = render_again(stored or b"", event, message_id=row.id, style=style)
    connection.execute(
        update(tables.outbox)
        .where(tables.outbox.c.id == row.id)
        .values(
            body=message.body, content_type=message.content_type, facts=facts, last_response=None
        )
    )


def _clear_attempts(connection: Connection, messages: Collection[str]) -> None:
    """Forget what receivers answered: some repeat what they were sent."""
    for one in messages:
        connection.execute(update(attempts).where(attempts.c.message_id == one).values(answer=None))


def _clear_history(
    connection: Connection,
    messages: Collection[str],
    keys: set[_Key],
    quoting: set[int],
    telling: set[int],
    since: datetime,
) -> None:
    table = tables.history.c
    query = select(table.id, table.alarm_id, table.data).where(
        table.time >= since,
        or_(table.type.in_(("Action", "StateUpdate")), table.alarm_id.in_(quoting)),
    )
    for row in connection.execute(query).all():
        data = dict(row.data)
        if row.alarm_id in telling or _key(data.get("note")) in keys:
            data.pop("note", None)
        if data.get("messageId") in messages and data.get("publishedMessage") is not None:
            data["publishedMessage"] = ERASED_TEXT
        if row.alarm_id in quoting:
            for key in ("oldState", "newState"):
                if isinstance(data.get(key), Mapping):
                    data[key] = {**data[key], "stateReason": ERASED_TEXT, "stateReasonData": None}
        if data != row.data:
            connection.execute(update(tables.history).where(table.id == row.id).values(data=data))


def _clear_states(connection: Connection, quoting: set[int], since: datetime) -> None:
    table = tables.alarms.c
    connection.execute(
        update(tables.alarms)
        .where(table.id.in_(quoting), table.state_changed_at >= since)
        .values(state_reason=ERASED_TEXT, state_reason_data=None, cause=None)
    )


def _clear_causes(connection: Connection, keys: set[_Key], telling: set[int]) -> None:
    """Clear what lists of alarms show of the windows."""
    table = tables.alarms.c
    query = select(table.id, table.link).where(table.cause.is_not(None))
    about = [
        row.id
        for row in connection.execute(query)
        if row.id in telling or _key({"link": row.link}) in keys
    ]
    for one in about:
        connection.execute(update(tables.alarms).where(table.id == one).values(cause=ERASED_TEXT))
