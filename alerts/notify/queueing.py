"""From a change of state to rows of the outbox: to whom, now or later, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.notify import incidents, limits
from driftline.alerts.notify.labels import facts_of, group_key, labels_of
from driftline.alerts.notify.message import render
from driftline.alerts.notify.overtaking import restart_retries
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.receivers.receiver import Message, Style
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.rows import OutboxRow, new_message_id, note_change
from driftline.alerts.notify.silences import Muting, Silences

# What the key of a digest's group begins with; the owner follows. Others begin with a bracket.
DIGEST = "digest "


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of one message to begin with."""

    status: str
    reason: str | None = None
    error: str | None = None
    group_key: str | None = None
    muting: Muting | None = None
    again_at: datetime | None = None
    is_final: bool = False


class Desk:
    """What the changes of one transaction share: thousands may come at once.

    Channels are locked and read when they are first named, silences once; rows are written
    together by :meth:`write`, which whoever made it calls in the end.

    Parameters
    ----------
    connection
        Of the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self.silences = Silences(connection)
        self._connection = connection
        self._channels: dict[str, OutboxRow | None] = {}
        self._rows: list[dict[str, object]] = []
        self._pages: list[StateChange] = []

    def channels(self, names: Iterable[str]) -> Mapping[str, OutboxRow | None]:
        """Return channels by name, None for those that do not exist; they stay until the end."""
        new = [name for name in names if name not in self._channels]
        if new:
            channels = tables.channels
            query = select(channels).where(channels.c.name.in_(new))
            # One that is being deleted is waited for: it would take no notice of these messages.
            query = query.with_for_update(read=True, key_share=True)
            found = {row.name: row for row in self._connection.execute(query)}
            self._channels |= {name: found.get(name) for name in new}
        return self._channels

    def add(self, row: dict[str, object], change: StateChange) -> None:
        """Take a row of the outbox, and the change that it tells."""
        self._rows.append(row)
        if change.new == "ALARM" and row["status"] == "pending":
            self._pages.append(change)

    def write(self) -> None:
        """Write the rows that were taken."""
        if self._rows:
            if self._pages:
                now = max(change.time for change in self._pages)
                alarm_ids = {change.alarm_id for change in self._pages}
                restart_retries(self._connection, alarm_ids, now)
                self._pages = []
            self._connection.execute(insert(tables.outbox), self._rows)
            self._rows = []


def enqueue(
    connection: Connection,
    change: StateChange,
    definition: AnyDefinition,
    *,
    desk: Desk | None = None,
    dashboard_url: str = "",
    configured_at: datetime | None = None,
    suppressed_by: str | None = None,
) -> list[str]:
    """Queue the messages of a change of state; return their ids.

    The unique key (alarm, seq, channel) refuses a second row for the same change. Every action has
    its row, also one that is silenced, waits for its group, or whose channel is disabled or gone:
    so every action is counted, and says why it was not simply sent.
    """
    incident = incidents.follow(connection, change, definition)
    names = definition.actions(change.new) if definition.actions_enabled else ()
    if not names:
        return []
    labels = labels_of(definition, change.note)
    if incident is not None:
        labels.setdefault("incident", incident)
    own = desk or Desk(connection)
    muted = own.silences.muting(labels, change.time)
    facts = facts_of(change, labels, dashboard_url)
    found = own.channels(names)
    ids = []
    for name in names:
        channel = found.get(name)
        fate = _fate(connection, change, labels, channel, muted, own)
        message_id = new_message_id(change.time)
        message = render(
            change,
            definition,
            message_id=message_id,
            style=Style.of(channel),
            dashboard_url=dashboard_url,
            configured_at=configured_at,
            # What is held back now is sent, if ever, when that is over; rendered once for all.
            is_after_mute=fate.muting is not None,
            suppressed_by=suppressed_by,
            more={"incident": incident} | _marks(fate),
        )
        row = _row(change, name, message, fate)
        row |= {"id": message_id, "facts": facts | _marks(fate), "incident_id": incident}
        own.add(row, change)
        _note(connection, change, name, message_id, fate)
        ids.append(message_id)
    if desk is None:
        own.write()
    return ids


def _fate(
    connection: Connection,
    change: StateChange,
    labels: Mapping[str, str],
    channel: OutboxRow | None,
    muted: Muting | None,
    desk: Desk,
) -> _Fate:
    """Decide what becomes of a message: the first that applies."""
    if channel is None or not channel.enabled:
        problem = "channel does not exist" if channel is None else "channel disabled"
        return _Fate("dead", error=problem, is_final=True)
    policy = ChannelPolicy.of(channel.options)
    # These are told what is so, and group by themselves.
    is_plain = RECEIVERS[channel.type].groups_itself
    key = None if is_plain else _key(policy, labels)
    if muted is not None:
        reason = str(muted.columns["reason"])
        return _Fate("muted", reason, group_key=key, muting=muted, again_at=muted.until)
    flaps = None
    if policy.damp_flapping and not is_plain:
        desk.write()  # It looks at what the alarm's last message became.
        flaps = limits.flapping(connection, change, channel.name)
    if flaps == "quiet":
        again_at = change.time + limits.STABLE
        reason = "flapping: held back until the alarm is stable for half an hour"
        return _Fate("damped", reason, group_key=key, again_at=again_at)
    told = "flapping: told once, then not until it is stable" if flaps == "first" else None
    if key is None:
        return _Fate("pending", told)
    waits_for = "the weekly digest" if key.startswith(DIGEST) else "others of its group"
    return _Fate("waiting", told or f"waits for {waits_for}", group_key=key)


def _key(policy: ChannelPolicy, labels: Mapping[str, str]) -> str | None:
    if labels.get("severity") == "digest":
        return f"{DIGEST}{labels.get('owner', '')}"
    return group_key(policy.group_by, labels) if policy.group_by else None


def _row(change: StateChange, channel: str, message: Message, fate: _Fate) -> dict[str, object]:
    return {
        "alarm_id": change.alarm_id,
        "alarm_name": change.alarm_name,
        "state_seq": change.seq,
        "channel": channel,
        "state": change.new,
        "body": message.body,
        "content_type": message.content_type,
        "created_at": change.time,
        "attempts": 0,
        "status": fate.status,
        "reason": fate.reason,
        "last_error": fate.error,
        "group_key": fate.group_key,
        "silence": fate.muting.silence if fate.muting is not None else None,
        "next_attempt_at": fate.again_at or change.time,
        "finished_at": change.time if fate.is_final else None,
    }


def _marks(fate: _Fate) -> dict[str, object]:
    """Return what our own body says about how it was held back."""
    found: dict[str, object] = {}
    if fate.muting is not None:
        found["held_back_by"] = fate.muting.silence
    if fate.reason is not None and fate.reason.startswith("flapping"):
        found["flapping"] = True
    return found


def _note(
    connection: Connection, change: StateChange, channel: str, message_id: str, fate: _Fate
) -> None:
    if fate.status == "damped":
        limits.note_damped(connection, change, channel, message_id)
    elif fate.muting is not None:
        note_change(
            connection,
            change,
            channel=channel,
            message_id=message_id,
            state="Muted",
            summary=f'Action {channel} muted by silence "{fate.muting.silence}"',
        )
