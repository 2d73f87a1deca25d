"""Webhooks: a signed request, its body in one of several formats."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field
from standardwebhooks.webhooks import Webhook

from driftline.alerts.notify.event import Event, as_json
from driftline.alerts.notify.receivers.eventbridge import eventbridge_alarm, eventbridge_notice
from driftline.alerts.notify.receivers.receiver import (
    Answer,
    Attempt,
    Message,
    Notification,
    Options,
    Receiver,
)
from driftline.alerts.notify.receivers.sns import sns_alarm, sns_notice
from driftline.alerts.notify.secrets import Secret, is_reference
from driftline.alerts.notify.templates import TemplateFailed, render_template
from driftline.tracing import carrier

log = logging.getLogger(__name__)

JSON = "application/json"
_CLOUD_EVENT = "application/cloudevents+json"
_TEXT = "text/plain; charset=UTF-8"
_SLACK_MAX = 3000
_SLACK_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SIGNS = {"failure": "🔴", "warning": "🟠", "success": "🟢", "info": "🔵"}


def _sendable(header: str | None) -> str | None:
    if header is None:
        return None
    is_sendable = 1 <= len(header) <= 4096 and header.isprintable() and header.isascii()
    if not is_sendable or is_reference(header):
        raise ValueError
    return header


class AuthorizationOptions(Options):
    """The header of the name, for receivers of HTTP requests."""

    authorization: Annotated[
        str | None,
        AfterValidator(_sendable),
        Field(repr=False, description='such as "Bearer ..." in ASCII, not a reference'),
    ] = None


class WebhookOptions(AuthorizationOptions):
    """What a webhook takes."""

    template: str | None = None
    content_type: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z]+/[A-Za-z0-9.+-]+( ?; ?[A-Za-z-]+=[A-Za-z0-9-]+)?$",
            description='such as "application/json", with format "template"',
        ),
    ] = None


def _render(notification: Notification) -> Message:
    return FORMATS[notification.style.format](notification)


async def _send(attempt: Attempt) -> Answer:
    channel, message = attempt.channel, attempt.message
    headers = signed_headers(channel.secrets, message.id, message.body, attempt.now)
    headers |= carrier()
    if channel.style.format == "sns":
        headers["x-amz-sns-message-type"] = "Notification"
    return await attempt.post(channel.url.reveal(), headers=headers)


def signed_headers(
    secrets: Sequence[Secret], message_id: str, body: bytes, time: datetime
) -> dict[str, str]:
    """Return the headers of Standard Webhooks 1.0.0 for one attempt; each secret signs."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(int(time.timestamp()))}
    if secrets:
        headers["webhook-signature"] = " ".join(
            Webhook(one.reveal()).sign(message_id, time.astimezone(UTC), body.decode())
            for one in secrets
        )
    return headers


def _own(notification: Notification) -> Message:
    return Message(as_json(notification.event.document))


def _sns(notification: Notification) -> Message:
    change, definition, message_id = (
        notification.change, notification.definition, notification.message_id
    )  # fmt: skip
    if change is None or definition is None:
        text = sns_notice(notification.event, message_id=message_id)
    else:
        text = sns_alarm(
            change,
            definition,
            message_id=message_id,
            configured_at=notification.configured_at or change.time,
            is_after_mute=notification.is_after_mute,
            suppressed_by=notification.suppressed_by,
            supersedes=notification.event.data.get("supersedes"),
        )
    return Message(text.encode(), _TEXT)


def _eventbridge(notification: Notification) -> Message:
    change, definition, message_id = (
        notification.change, notification.definition, notification.message_id
    )  # fmt: skip
    if change is None or definition is None:
        return Message(as_json(eventbridge_notice(notification.event, message_id=message_id)))
    supersedes = notification.event.data.get("supersedes")
    found = eventbridge_alarm(change, definition, message_id=message_id, supersedes=supersedes)
    return Message(as_json(found))


def _cloud_event(notification: Notification) -> Message:
    """Render CloudEvents 1.0, structured."""
    event = notification.event
    document: dict[str, object] = {
        "specversion": "1.0",
        "id": notification.message_id,
        # Where it comes from.
        "source": notification.dashboard_url or "urn:driftline",
        "type": f"io.driftline.{event.type}",
        "time": f"{event.time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "datacontenttype": JSON,
        "data": event.fields,
    }
    alarm = event.data.get("alarm")
    if isinstance(alarm, Mapping) and alarm.get("name"):
        document["subject"] = alarm["name"]
    return Message(as_json(document), _CLOUD_EVENT)


def _slack(notification: Notification) -> Message:
    """Render Slack's mark-up, which Mattermost and Rocket.Chat read, too."""
    event = notification.event
    title = event.title.translate(_SLACK_ESCAPES)
    if event.link.startswith(("http://", "https://")):
        link = event.link.translate(_SLACK_ESCAPES).replace("|", "%7C")
        title = f"<{link}|{title}>"
    text = event.text.translate(_SLACK_ESCAPES)
    sign = _SIGNS.get(event.mood, _SIGNS["info"])
    return Message(as_json({"text": f"{sign} *{title}*\n{text}"[:_SLACK_MAX]}))


def _by_template(notification: Notification) -> Message:
    """Render a template's body; where it fails, our own: a message must go out in any case."""
    event, options = notification.event, notification.style.options
    try:
        variables = template_variables(event, notification.message_id)
        text = render_template(str(options.get("template") or ""), variables)
    except TemplateFailed as error:
        log.warning("template_failed message=%s error=%s", notification.message_id, error)
        return Message(as_json(dict(event.document) | {"template_error": str(error)}))
    return Message(text.encode("utf-8", "replace"), str(options.get("content_type") or _TEXT))


def template_variables(event: Event, message_id: str) -> dict[str, object]:
    """Return the variables available to notification templates."""
    words = {
        "id": message_id,
        "type": event.type,
        "timestamp": event.document["timestamp"],
        "title": event.title,
        "text": event.text,
        "link": event.link,
        "mood": event.mood,
    }
    return dict(event.data) | words


FORMATS: dict[str, Callable[[Notification], Message]] = {
    "driftline": _own,
    "sns": _sns,
    "eventbridge": _eventbridge,
    "cloudevents": _cloud_event,
    "slack": _slack,
    "template": _by_template,
}

WEBHOOK = Receiver(
    options=WebhookOptions,
    render=_render,
    send=_send,
)
