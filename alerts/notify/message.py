"""Rendering: what happened, in the form that a channel wants; once for all attempts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.event import Event, event_of
from driftline.alerts.notify.receivers.receiver import Message, Notification, Style
from driftline.alerts.notify.receivers.table import RECEIVERS


def render(
    change: StateChange,
    definition: AnyDefinition,
    *,
    message_id: str,
    style: Style | None = None,
    dashboard_url: str = "",
    configured_at: datetime | None = None,
    is_after_mute: bool = False,
    suppressed_by: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Message:
    """Render the message of a change of state, under 20 kB."""
    style = style or Style()
    notification = Notification(
        event=event_of(
            change, definition,
            dashboard_url=dashboard_url, has_values=style.has_values, more=more,
        ),
        message_id=message_id,
        style=style,
        dashboard_url=dashboard_url,
        change=change,
        definition=definition,
        configured_at=configured_at,
        is_after_mute=is_after_mute,
        suppressed_by=suppressed_by,
    )  # fmt: skip
    return RECEIVERS[style.type].render(notification)


def render_event(
    event: Event, *, message_id: str, style: Style | None = None, dashboard_url: str = ""
) -> Message:
    """Render what is no single change of state: a group, a digest, a test."""
    style = style or Style()
    return RECEIVERS[style.type].render(
        Notification(event=event, message_id=message_id, style=style, dashboard_url=dashboard_url)
    )


def render_again(body: bytes, event: Event, *, message_id: str, style: Style) -> Message:
    """Render a stored message in other words; what opens or closes an alert still does so."""
    if (again := RECEIVERS[style.type].render_again) is not None:
        # One of another type of channel is never sent by this one.
        with suppress(ChannelError, LookupError, TypeError):
            return again(body, event)
    return render_event(event, message_id=message_id, style=style)
