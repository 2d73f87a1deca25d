"""Messages: what happened, in the form that a channel wants; rendered once for all attempts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.channel import Style
from driftline.alerts.notify.event import Event, as_json, event_of
from driftline.alerts.notify.formats import JSON, Message, plain
from driftline.alerts.notify.receivers.alertmanager import (
    alarm_alerts,
    alerts_retold,
    notice_alerts,
)
from driftline.alerts.notify.receivers.eventbridge import eventbridge_alarm, eventbridge_notice
from driftline.alerts.notify.receivers.opsgenie import (
    opsgenie_alarm,
    opsgenie_notice,
    opsgenie_retold,
)
from driftline.alerts.notify.receivers.pagerduty import (
    pagerduty_alarm,
    pagerduty_notice,
    pagerduty_retold,
)
from driftline.alerts.notify.receivers.sns import sns_alarm, sns_notice

# These know an alert by its labels or its key, and close it by these alone.
_RETOLD = {
    "alertmanager": alerts_retold,
    "pagerduty": pagerduty_retold,
    "opsgenie": opsgenie_retold,
}

_SNS = "text/plain; charset=UTF-8"


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
    """Write the message of a change of state, under 20 kB.

    Parameters
    ----------
    change, definition
        What happened to which alarm.
    message_id
        The ``webhook-id``; SNS's MessageId.
    style
        The channel's; our own form by default.
    dashboard_url
        What the note's relative link is put behind.
    configured_at
        When the alarm was last changed, for SNS.
    is_after_mute
        Whether a mute rule that is over held it back.
    suppressed_by
        What held the actions of a composite alarm back meanwhile.
    more
        Further fields of our own body's data, such as the incident.
    """
    style = style or Style()
    if style.format == "sns":
        text = sns_alarm(
            change, definition,
            message_id=message_id, configured_at=configured_at or change.time,
            is_after_mute=is_after_mute, suppressed_by=suppressed_by,
        )  # fmt: skip
        return Message(text.encode(), _SNS)
    if style.format == "eventbridge":
        found = eventbridge_alarm(change, definition, message_id=message_id)
        return Message(as_json(found), JSON)
    event = event_of(
        change, definition,
        dashboard_url=dashboard_url, has_values=style.has_values, more=more,
    )  # fmt: skip
    if style.type == "alertmanager":
        return Message(as_json(alarm_alerts(change, definition, event, style)), JSON)
    if style.type == "pagerduty":
        return Message(as_json(pagerduty_alarm(change, definition, event)), JSON)
    if style.type == "opsgenie":
        return Message(as_json(opsgenie_alarm(change, definition, event)), JSON)
    return plain(event, style, message_id=message_id, source=dashboard_url)


def render_event(
    event: Event, *, message_id: str, style: Style | None = None, dashboard_url: str = ""
) -> Message:
    """Write the message of what is no single change of state: a group, a digest, a test."""
    style = style or Style()
    if style.format == "sns":
        return Message(sns_notice(event, message_id=message_id).encode(), _SNS)
    if style.format == "eventbridge":
        return Message(as_json(eventbridge_notice(event, message_id=message_id)), JSON)
    if style.type == "alertmanager":
        return Message(as_json(notice_alerts(event, style)), JSON)
    if style.type == "pagerduty":
        return Message(as_json(pagerduty_notice(event)), JSON)
    if style.type == "opsgenie":
        return Message(as_json(opsgenie_notice(event)), JSON)
    return plain(event, style, message_id=message_id, source=dashboard_url)


def render_anew(body: bytes, event: Event, *, message_id: str, style: Style) -> Message:
    """Say a stored message in other words; what opens or closes an alert still does so."""
    if (retold := _RETOLD.get(style.type)) is not None:
        # One of another type of channel is never sent by this one.
        with suppress(ChannelError, LookupError, TypeError):
            return Message(as_json(retold(body, event)), JSON)
    return render_event(event, message_id=message_id, style=style)
