"""One event, and how to send it by a channel of a type, for tests of the senders."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.event import Event, event_of
from driftline.alerts.notify.message import render, render_event
from driftline.alerts.notify.receivers.receiver import (
    Message,
    Notification,
    OpenChannel,
    Outgoing,
    Style,
)
from driftline.alerts.notify.secrets import Secret
from driftline.alerts.notify.senders import Transports, open_sender

LOOPBACK = ("127.0.0.0/8",)
NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
EVENT = Event(
    "alarm.state_changed", NOW, "ALARM: drift", "temp: 33% below 12", "http://127.0.0.1:8081/x",
    "failure", {"alarm": {"name": "drift"}},
)  # fmt: skip


def send(kind, *, url="", networks=LOOPBACK, commands=None, authorization=None, **options):
    """Send the event by a channel of a type; give the answer and the error."""
    style = Style(kind, "driftline", options)
    channel = OpenChannel("pager", style, Secret(url), authorization=authorization, options=options)
    message = render_event(EVENT, message_id="msg_1", style=style)
    transports = Transports(AddressGuard(networks), networks, commands or {})

    async def run():
        async with open_sender(transports) as sender:
            return await sender.send(channel, Outgoing("msg_1", message.body), NOW)

    return asyncio.run(run())


def rendered(change, definition, *, style=None, dashboard_url="", more=None, **fields) -> Message:
    """Render a change of state as the pipeline does."""
    style = style or Style()
    event = event_of(
        change, definition, dashboard_url=dashboard_url, has_values=style.has_values, more=more
    )
    return render(
        Notification(
            event=event, style=style, dashboard_url=dashboard_url, change=change,
            definition=definition, **fields,
        )
    )  # fmt: skip
