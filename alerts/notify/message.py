"""Rendering: what happened, in the form that a channel wants; once for all attempts."""

from __future__ import annotations

from contextlib import suppress

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.event import Event
from driftline.alerts.notify.receivers.receiver import Message, Notification, Style
from driftline.alerts.notify.receivers.table import RECEIVERS


def render(notification: Notification) -> Message:
    """Render a notification as its channel wants it, under 20 kB."""
    return RECEIVERS[notification.style.type].render(notification)


def render_event(
    event: Event, *, message_id: str, style: Style | None = None, dashboard_url: str = ""
) -> Message:
    """Render what is no single change of state: a group, a test."""
    style = style or Style()
    return render(
        Notification(event=event, message_id=message_id, style=style, dashboard_url=dashboard_url)
    )


def render_again(body: bytes, event: Event, *, message_id: str, style: Style) -> Message:
    """Render a stored message in other words; what opens or closes an alert still does so."""
    if (again := RECEIVERS[style.type].render_again) is not None:
        # One of another type of channel is never sent by this one.
        with suppress(ChannelError, LookupError, TypeError):
            return again(body, event)
    return render_event(event, message_id=message_id, style=style)
