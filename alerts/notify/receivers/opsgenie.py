"""Opsgenie's form of an alarm: Alert API v2, an alert is created and closed by one alias.

ALARM creates the alert, OK closes it, and while it is open Opsgenie counts what comes under its
alias. Missing data are no recovery: INSUFFICIENT_DATA, for alarms whose
``insufficient_data_actions`` name the channel, creates it, too. A message is stored as the request
below the address, ``{"path", "body"}``; the API key is a header of the request alone.

References
----------
Opsgenie, "Alert API" (docs.opsgenie.com/docs/alert-api): fields and their limits.
"""

from __future__ import annotations

from collections.abc import Mapping
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

_URL = "https://api.opsgenie.com"
_MESSAGE_MAX, _DESCRIPTION_MAX, _ENTITY_MAX = 130, 15_000, 512
_DETAIL_MAX = 500  # Of 8,000 characters that all details may have together.
_DETAILS = (
    "alarm", "state", "severity", "owner", "endpoint", "variant", "monitor", "metric", "feature",
)  # fmt: skip
_PRIORITIES = {"failure": "P1", "warning": "P3"}


class OpsgenieOptions(Options):
    """What Opsgenie takes."""

    api_key: str | None = Field(None, repr=False)


def _render(notification: Notification) -> Message:
    """Render a request without its API key; OK, or a notice's ``success``, closes the alert."""
    event, change, definition = notification.event, notification.change, notification.definition
    if change is None or definition is None:
        alias = dedup_key(f"{event.type} {event.data.get('channel')}")
        is_over, labels = event.mood == "success", {}
    else:
        alias, is_over = dedup_key(definition.alarm_name), change.new == "OK"
        labels = labels_of(definition, change.note) | {"state": change.new}
    return Message(as_json(_close(event, alias) if is_over else _create(event, alias, labels)))


async def _send(attempt: Attempt) -> Answer:
    channel = attempt.channel
    url, body = opsgenie_request(channel.url.reveal(), attempt.message.body)
    return await attempt.post(
        url, body, {"authorization": f"GenieKey {channel.secrets[0].reveal()}"}
    )


def opsgenie_request(url: str, body: bytes) -> tuple[str, bytes]:
    """Return where to post, and what."""
    request = _parsed(body)
    return f"{(url or _URL).rstrip('/')}{request['path']}", as_json(request["body"])


def _render_again(body: bytes, event: Event) -> Message:
    """Render a stored request with the words of another event; raises as `opsgenie_request`."""
    request = _parsed(body)
    words = _words(event) | {"note": event.text[:_DESCRIPTION_MAX]}
    request["body"] |= {key: text for key, text in words.items() if key in request["body"]}
    return Message(as_json(request))


def _parsed(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = stored_body(
        body, lambda found: isinstance(found, dict) and set(found) == {"path", "body"}
    )
    return found


def _words(event: Event) -> dict[str, str]:
    return {
        "message": f"{event.title}: {event.text}"[:_MESSAGE_MAX],
        "description": "\n\n".join(filter(None, (event.text, event.link)))[:_DESCRIPTION_MAX],
    }


def _create(event: Event, alias: str, labels: Mapping[str, str]) -> dict[str, object]:
    details = {name: labels[name][:_DETAIL_MAX] for name in _DETAILS if name in labels}
    return {
        "path": "/v2/alerts",
        "body": {
            **_words(event),
            "alias": alias,
            "entity": labels.get("endpoint", "driftline")[:_ENTITY_MAX],
            "source": "driftline",
            "priority": _PRIORITIES.get(event.mood, "P5"),
            "tags": ["driftline"],
            "details": details,
        },
    }


def _close(event: Event, alias: str) -> dict[str, object]:
    return {
        "path": f"/v2/alerts/{alias}/close?identifierType=alias",
        "body": {"source": "driftline", "user": "driftline", "note": event.text[:_DESCRIPTION_MAX]},
    }


OPSGENIE = Receiver(
    options=OpsgenieOptions,
    render=_render,
    send=_send,
    render_again=_render_again,
    url="optional",
    key="api_key",
    groups_itself=True,
)
