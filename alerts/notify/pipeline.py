"""From a change of state to its notifications, one stage after the other.

::

    route     the alarm's actions: which channel, and whether it can be sent to
    silence   held back by a silence
    group     collected with others
    write     a row of the outbox, in the transaction of the change, rendered by the channel's
              receiver once for all attempts; it supersedes and lists what is undelivered

What was stored then moves on in loops of its own: notification_maintenance.py ends silences and
sends groups, deliverer.py sends what the outbox gives it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, func, insert, or_, select

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.notify.event import event_of
from driftline.alerts.notify.labels import facts_of, group_key, labels_of
from driftline.alerts.notify.message import render as render_message
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.receivers.receiver import Notification, Style
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.rows import (
    LISTED,
    OPEN,
    OutboxRow,
    listed_change,
    new_message_id,
    note_change,
    supersede,
)
from driftline.alerts.notify.silences import Muting, Silences
from driftline.tracing import TRACEPARENT, carrier, span

_LISTED_MAX = 10  # Superseded changes in a message, the newest.


class NotificationBatch:
    """The shared state of one transaction's changes: thousands may come at once.

    Channels are locked and read when they are first named, silences once; :meth:`write`, which the
    owner of the batch calls in the end, renders and writes all notifications together.
    """

    def __init__(self, connection: Connection) -> None:
        self.silences = Silences(connection)
        self.connection = connection
        self._channels: dict[str, OutboxRow | None] = {}
        self._drafts: list[tuple[_Context, _Draft]] = []

    def channels(self, names: Iterable[str]) -> Mapping[str, OutboxRow | None]:
        """Return channels by name, None for those that do not exist; they stay until the end."""
        new = [name for name in names if name not in self._channels]
        if new:
            channels = tables.channels
            query = select(channels).where(channels.c.name.in_(new))
            # One that is being deleted is waited for: it would take no notice of these messages.
            query = query.with_for_update(read=True, key_share=True)
            rows = {row.name: row for row in self.connection.execute(query)}
            self._channels |= {name: rows.get(name) for name in new}
        return self._channels

    def add(self, context: _Context, drafts: Iterable[_Draft]) -> None:
        """Take the notifications of a change, to be written with the others."""
        self._drafts += [(context, draft) for draft in drafts]

    def write(self) -> None:
        """Write what was taken, one change of an alarm and channel after the other."""
        while self._drafts:
            first: dict[tuple[int, str], tuple[_Context, _Draft]] = {}
            for context, draft in self._drafts:
                first.setdefault((context.change.alarm_id, draft.action), (context, draft))
            written = {draft.id for _, draft in first.values()}
            self._drafts = [one for one in self._drafts if one[1].id not in written]
            self._write(first)

    def _write(self, drafts: Mapping[tuple[int, str], tuple[_Context, _Draft]]) -> None:
        undelivered = self._undelivered({alarm_id for alarm_id, _ in drafts})
        rows = []
        for key, (context, draft) in drafts.items():
            older = undelivered.get(key, []) if draft.status != "failed" else []
            rows.append(_row(context, draft, older))
            pending = [row for row in older if row.status == "pending"]
            if pending:
                supersede(self.connection, pending, draft.id, context.change.time)
        self.connection.execute(insert(tables.outbox), rows)

    def _undelivered(self, alarm_ids: Collection[int]) -> dict[tuple[int, str], list[OutboxRow]]:
        """Return what channels have not got of alarms, oldest first, superseded or locked.

        Of each alarm and channel the newest; each row says the `total` of all.
        """
        table = tables.outbox.c
        # What went into the message of a group is listed by the next one of the group.
        is_own = or_(table.group_key.is_(None), table.carrier_id.is_(None))
        query = select(table.id).where(
            table.alarm_id.in_(alarm_ids), table.status.in_(OPEN), is_own
        )
        ids = self.connection.scalars(query.with_for_update()).all()
        found: dict[tuple[int, str], list[OutboxRow]] = {}
        if not ids:
            return found
        key = (table.alarm_id, table.channel)
        # What is open comes first: it is superseded, wherever it stands.
        newest = (table.status.in_(OPEN).desc(), table.state_seq.desc())
        ranked = (
            select(
                *LISTED,
                func.row_number().over(partition_by=key, order_by=newest).label("rank"),
                func.count().over(partition_by=key).label("total"),
            )
            .where(or_(table.id.in_(ids), table.carrier_id.in_(ids)))
            .subquery()
        )
        listed = select(ranked).where(ranked.c.rank <= _LISTED_MAX).order_by(ranked.c.state_seq)
        for row in self.connection.execute(listed):
            found.setdefault((row.alarm_id, row.channel), []).append(row)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """The change of state that all its notifications are about."""

    batch: NotificationBatch
    change: StateChange
    definition: AnyDefinition
    labels: Mapping[str, str]
    facts: Mapping[str, object]
    muting: Muting | None
    dashboard_url: str
    configured_at: datetime | None
    suppressed_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """One notification on its way through the stages, and what becomes of it."""

    id: str
    action: str
    channel: OutboxRow | None = None
    status: str = "pending"
    reason: str | None = None
    error: str | None = None
    group_key: str | None = None
    is_muted: bool = False


def notify(
    connection: Connection,
    change: StateChange,
    definition: AnyDefinition,
    *,
    batch: NotificationBatch | None = None,
    dashboard_url: str = "",
    configured_at: datetime | None = None,
    suppressed_by: str | None = None,
) -> list[str]:
    """Store the notifications of a change of state; return their ids.

    The unique key (alarm, seq, channel) refuses a second row for the same change. Every action has
    its row, also one that is silenced, waits for its group, or whose channel is disabled or gone:
    so every action is counted, and says why it was not simply sent.
    """
    with span(
        "alarm", parent=(change.note or {}).get(TRACEPARENT), alarm=change.alarm_name,
        state=change.new, previous=change.old,
    ):  # fmt: skip
        actions = definition.channels(change.new) if definition.actions_enabled else ()
        if not actions:
            return []
        labels = labels_of(definition, change.note)
        whole = batch or NotificationBatch(connection)
        whole.channels(actions)
        context = _Context(
            batch=whole,
            change=change,
            definition=definition,
            labels=labels,
            facts=facts_of(change, labels, dashboard_url) | carrier(),
            muting=whole.silences.muting(labels, change.time),
            dashboard_url=dashboard_url,
            configured_at=configured_at,
            suppressed_by=suppressed_by,
        )
        return _queue(context, actions, is_alone=batch is None)


def _queue(context: _Context, actions: Sequence[str], *, is_alone: bool) -> list[str]:
    change, whole = context.change, context.batch
    drafts = [_Draft(id=new_message_id(change.time), action=action) for action in actions]
    for stage in (_route, _silence, _group):
        drafts = [stage(context, draft) for draft in drafts]
    whole.add(context, drafts)
    if is_alone:
        whole.write()
    return [draft.id for draft in drafts]


def _route(context: _Context, draft: _Draft) -> _Draft:
    channel = context.batch.channels([draft.action])[draft.action]
    if channel is None or not channel.enabled:
        error = "channel does not exist" if channel is None else "channel disabled"
        return replace(draft, channel=channel, status="failed", error=error)
    return replace(draft, channel=channel)


def _silence(context: _Context, draft: _Draft) -> _Draft:
    muting, change = context.muting, context.change
    if muting is None or draft.status == "failed":
        return draft
    note_change(
        context.batch.connection,
        change,
        channel=draft.action,
        message_id=draft.id,
        state="Muted",
        summary=f'Action {draft.action} muted by silence "{muting.silence}"',
    )
    return replace(draft, status="muted", reason=str(muting.columns["reason"]), is_muted=True)


def _group(context: _Context, draft: _Draft) -> _Draft:
    channel, labels = draft.channel, context.labels
    if channel is None or draft.status == "failed" or RECEIVERS[channel.type].groups_itself:
        return draft
    policy = ChannelPolicy.of(channel.options)
    if not policy.group_by:
        return draft
    key = group_key(policy.group_by, labels)
    # What is muted joins its group when the silence is over.
    reason = draft.reason if draft.is_muted else "waits for others of its group"
    return replace(draft, reason=reason, group_key=key)


def _row(context: _Context, draft: _Draft, older: Sequence[OutboxRow]) -> dict[str, object]:
    """Return the row of a notification, rendered, with the undelivered changes that it lists."""
    change, style = context.change, Style.of(draft.channel)
    muting = context.muting if draft.is_muted else None
    more: dict[str, object] = {}
    if muting is not None:
        more["held_back_by"] = muting.silence
    if older:
        more["supersedes"] = [listed_change(row) for row in older]
        more["supersedes_count"] = older[0].total
    message = render_message(
        Notification(
            event=event_of(
                change,
                context.definition,
                dashboard_url=context.dashboard_url,
                has_values=style.has_values,
                more=more,
            ),
            message_id=draft.id,
            style=style,
            dashboard_url=context.dashboard_url,
            change=change,
            definition=context.definition,
            configured_at=context.configured_at,
            # What is held back now is sent, if ever, when that is over; rendered once for all.
            is_after_mute=draft.is_muted,
            suppressed_by=context.suppressed_by,
        )
    )
    return {
        "id": draft.id,
        "alarm_id": change.alarm_id,
        "alarm_name": change.alarm_name,
        "state_seq": change.seq,
        "channel": draft.action,
        "state": change.new,
        "body": message.body,
        "content_type": message.content_type,
        "created_at": change.time,
        "attempts": 0,
        "status": draft.status,
        "reason": draft.reason,
        "last_error": draft.error,
        "group_key": draft.group_key,
        "silence": muting.silence if muting is not None else None,
        "next_attempt_at": muting.until if muting is not None else change.time,
        "finished_at": change.time if draft.status == "failed" else None,
        # Where the alarm was before the first change that the channel has not got.
        "facts": {
            **context.facts,
            **more,
            "before": older[0].facts["before"] if older else change.old,
        },
    }
