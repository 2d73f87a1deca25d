"""Questions to the database about messages: how they fare, and the channels that carry them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select

from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.notify.channels import ChannelStatus, list_channels
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.tables import outbox
from driftline.dashboard.queries.alarm_views import ChannelLine, MessageLine
from driftline.dashboard.queries.views import DeliveryLine

MESSAGES_SHOWN = 60
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")


def newest_messages(connection: Connection) -> dict[int, list[DeliveryLine]]:
    """Read, for each alarm, the messages of the newest change that was to be told."""
    table = outbox.c
    newest = (
        select(table.alarm_id, func.max(table.state_seq).label("seq"))
        .group_by(table.alarm_id)
        .subquery()
    )
    query = (
        select(
            table.alarm_id, table.created_at, table.alarm_name, table.state, table.channel,
            table.status, table.attempts, table.last_status, table.last_error,
        )
        .join(newest, (newest.c.alarm_id == table.alarm_id) & (newest.c.seq == table.state_seq))
        .order_by(table.channel)
    )  # fmt: skip
    found: dict[int, list[DeliveryLine]] = {}
    for row in connection.execute(query):
        found.setdefault(row.alarm_id, []).append(delivery_line(row))
    return found


def delivery_line(row: Row[*tuple[Any, ...]]) -> DeliveryLine:
    """Tell one row of the outbox; its body and address stay there."""
    return DeliveryLine(
        time=row.created_at,
        alarm=row.alarm_name,
        state=row.state,
        channel=row.channel,
        status=row.status,
        attempts=row.attempts,
        detail=row.last_error or (f"HTTP {row.last_status}" if row.last_status else None),
    )


def messages_of(
    connection: Connection,
    *,
    alarm: str | None = None,
    status: str | None = None,
    channel: str | None = None,
    incident: str | None = None,
    limit: int = MESSAGES_SHOWN,
) -> tuple[MessageLine, ...]:
    """Read messages, newest first; never their bodies or addresses."""
    found = list_deliveries(
        connection,
        alarm_name=alarm,
        status=status,
        channel=channel,
        incident_id=incident,
        limit=limit,
    )
    return tuple(
        MessageLine(
            id=one.id,
            time=one.created_at,
            state=one.state,
            channel=one.channel,
            status=one.status,
            attempts=one.attempts,
            code=one.last_status,
            error=one.last_error,
            finished_at=one.finished_at,
            next_at=one.next_attempt_at if one.status == "pending" else None,
            reason=one.reason,
            alarm=one.alarm_name,
        )
        for one in found
    )


def channels_of(connection: Connection, rule: AnyDefinition) -> tuple[ChannelLine, ...]:
    """Tell how the channels of an alarm fare."""
    known = {one.channel.name: one for one in list_channels(connection)}
    return tuple(_channel(name, rule, known.get(name)) for name in sorted(rule.channel_names))


def _channel(name: str, rule: AnyDefinition, status: ChannelStatus | None) -> ChannelLine:
    states = tuple(state for state in STATES if name in rule.actions(state))
    if status is None:
        return ChannelLine(name, states, "", False, False, "does not exist any more")
    health = status.disabled_reason or "switched off" if not status.enabled else None
    if health is None and status.failure_count:
        health = f"failed {status.failure_count} times in a row"
    return ChannelLine(name, states, status.channel.format, True, status.enabled, health)
