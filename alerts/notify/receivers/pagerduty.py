"""PagerDuty's form of an alarm: Events API v2, ``trigger`` and ``resolve`` of one ``dedup_key``.

ALARM opens an incident, OK resolves it, and changes while it is open are added to it. Missing data
are no recovery: INSUFFICIENT_DATA, for alarms whose ``insufficient_data_actions`` name the channel,
is a trigger, too. The routing key is added at the sending, so that it is never stored.

References
----------
PagerDuty, "Events API v2 Overview", and its OpenAPI document (PagerDuty/api-schema, events-v2).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from pydantic import Field

from driftline.alerts.notify.event import Event, as_json, dedup_key
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.receivers.receiver import (
    Answer,
    Attempt,
    Message,
    Notification,
    Options,
    Receiver,
    stored_body,
)
from driftline.alerts.notify.secrets import Secret

_URL = "https://events.pagerduty.com"
_PATH = "/v2/enqueue"
_SUMMARY_MAX = 1024
_SEVERITIES = {"failure": "critical", "warning": "warning"}


class PagerDutyOptions(Options):
    """What PagerDuty takes."""

    routing_key: str | None = Field(None, repr=False)


def _render(notification: Notification) -> Message:
    """Render an event without its routing key; OK, or a notice's ``success``, resolves."""
    event, change, definition = notification.event, notification.change, notification.definition
    if change is None or definition is None:
        action = "resolve" if event.mood == "success" else "trigger"
        key = dedup_key(f"{event.type} {event.data.get('channel')}")
        return Message(as_json(_event(event, action, key, {})))
    labels = labels_of(definition, change.note)
    about = {
        "component": labels.get("endpoint"),
        "group": labels.get("monitor"),
        "class": labels.get("metric"),
    }
    action = "resolve" if change.new == "OK" else "trigger"
    return Message(as_json(_event(event, action, dedup_key(definition.alarm_name), about)))


async def _send(attempt: Attempt) -> Answer:
    channel = attempt.channel
    body = with_routing_key(attempt.message.body, channel.secrets[0])
    return await attempt.post(events_url(channel.url.reveal()), body)


def with_routing_key(body: bytes, key: Secret) -> bytes:
    """Add the routing key."""
    return as_json({"routing_key": key.reveal(), **_parsed(body)})


def _render_again(body: bytes, event: Event) -> Message:
    """Render a stored event with the words of another; raises as `with_routing_key`."""
    stored = _parsed(body)
    stored["payload"] |= {"summary": _summary(event), "custom_details": event.fields}
    return Message(as_json(stored))


def events_url(url: str) -> str:
    """Return the address to post to: of the given host, or PagerDuty's."""
    base = (url or _URL).rstrip("/")
    return base if base.endswith(_PATH) else f"{base}{_PATH}"


def _parsed(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = stored_body(
        body, lambda found: isinstance(found, dict) and "event_action" in found
    )
    return found


def _summary(event: Event) -> str:
    return f"{event.title}: {event.text}"[:_SUMMARY_MAX]


def _event(
    event: Event, action: str, key: str, about: Mapping[str, str | None]
) -> dict[str, object]:
    payload: dict[str, object] = {
        "summary": _summary(event),
        "source": about.get("component") or "driftline",
        "severity": _SEVERITIES.get(event.mood, "info"),
        "timestamp": f"{event.time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z",
        **{name: text for name, text in about.items() if text},
        "custom_details": event.fields,
    }
    found: dict[str, object] = {
        "event_action": action,
        "dedup_key": key,
        "payload": payload,
        "client": "driftline",
    }
    if event.link.startswith(("http://", "https://")):
        found |= {"client_url": event.link, "links": [{"href": event.link, "text": "driftline"}]}
    return found


PAGERDUTY = Receiver(
    options=PagerDutyOptions,
    render=_render,
    send=_send,
    render_again=_render_again,
    url="optional",
    key="routing_key",
    groups_itself=True,
)
