"""Resends firing alarms to Alertmanagers, as they ask of their clients.

Only the delivered notification of an alarm's current state is resent, so that nothing muted,
grouped or on its way slips through. An alarm that has left ALARM, or is gone, is not sent any more,
and ends in Alertmanager a few minutes later in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from driftline.alerts import tables
from driftline.alerts.notify.event import as_json
from driftline.alerts.notify.receivers.alertmanager import RESEND_S
from driftline.alerts.notify.receivers.receiver import OpenChannel, Outgoing
from driftline.alerts.notify.senders import Sender, Transports, open_sender

log = logging.getLogger(__name__)

_TOGETHER = 64  # Prometheus's own number of alerts in a request.
EVERY = timedelta(seconds=RESEND_S)


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that was delivered and still fires."""

    message_id: str
    alarm_name: str
    channel: str
    body: bytes = field(repr=False)


def firing(connection: Connection) -> list[Firing]:
    """Return what was delivered to an Alertmanager and still fires."""
    alarms, box, channels = tables.alarms.c, tables.outbox.c, tables.channels.c
    query = (
        select(box.id, box.alarm_name, box.channel, box.body)
        .join(tables.alarms, (alarms.id == box.alarm_id) & (alarms.state_seq == box.state_seq))
        .join(tables.channels, channels.name == box.channel)
        .where(
            alarms.state == "ALARM",
            box.state == "ALARM",
            box.status == "delivered",
            channels.type == "alertmanager",
            channels.enabled,
        )
        .order_by(box.id)
    )
    return [Firing(*row) for row in connection.execute(query)]


async def resend(
    transports: Transports,
    found: Sequence[Firing],
    channels: Mapping[str, OpenChannel | Exception],
    now: datetime,
) -> int:
    """Send all of them once; return how many were taken. The others are retried the next time."""
    lists: dict[str, list[Firing]] = {}
    for alert in found:
        lists.setdefault(alert.channel, []).append(alert)
    async with open_sender(transports) as sender:
        taken = await asyncio.gather(
            *(_resend_to(sender, channels.get(name), lists[name], now) for name in lists)
        )
    return sum(taken)


async def _resend_to(
    sender: Sender, channel: OpenChannel | Exception | None, alerts: Sequence[Firing], now: datetime
) -> int:
    """Send to one Alertmanager, many alerts a request, until it gives no answer."""
    if not isinstance(channel, OpenChannel):
        log.warning("resend_failed channel=%s error=%s", alerts[0].channel, channel)
        return 0
    taken = 0
    for start in range(0, len(alerts), _TOGETHER):
        batch = alerts[start : start + _TOGETHER]
        message = Outgoing(batch[0].message_id, _together(batch))
        answer, error = await sender.send(channel, message, now)
        if answer is not None and answer.is_success:
            taken += len(batch)
            continue
        why = answer.problem if answer is not None else error
        log.warning("resend_failed channel=%s alerts=%d why=%s", channel.name, len(batch), why)
        if answer is None:  # Others' messages wait for the end of this.
            break
    return taken


def _together(batch: Sequence[Firing]) -> bytes:
    """Create a list of the alerts of several messages."""
    alerts: list[object] = []
    for one in batch:
        with contextlib.suppress(ValueError):  # From when the channel was of another type.
            listed = json.loads(one.body)
            alerts += listed if isinstance(listed, list) else []
    return as_json(alerts)
