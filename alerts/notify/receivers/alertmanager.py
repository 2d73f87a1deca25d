"""Alertmanager's form of an alarm: API v2, ``POST /api/v2/alerts``.

Labels identify an alert, so they derive from the alarm's definition alone: whatever differs between
firing and resolved is an annotation. Firing alerts are sent again each minute, as Alertmanager asks
of its clients, with an end time; so an alarm whose sender died resolves by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from driftline.alerts.notify.event import Event, as_json
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.receivers.receiver import (
    Answer,
    Attempt,
    Message,
    Notification,
    Receiver,
    Style,
    stored_body,
)
from driftline.alerts.notify.receivers.webhook import AuthorizationOptions

RESEND_S = 60.0
_FIRES_FOR = timedelta(seconds=4 * RESEND_S)  # Prometheus's rule: four times the interval.
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NOT_LABEL = re.compile(r"[^A-Za-z0-9_]")
_PATH = "/api/v2/alerts"
_LABELS_MAX = 20


def _named(labels: dict[str, str] | None) -> dict[str, str] | None:
    if not all(_LABEL.fullmatch(name) for name in labels or ()):
        raise ValueError
    return labels


class AlertmanagerOptions(AuthorizationOptions):
    """What an Alertmanager takes."""

    labels: Annotated[
        dict[str, str] | None,
        AfterValidator(_named),
        Field(
            max_length=_LABELS_MAX,
            description=(
                f"at most {_LABELS_MAX} names of letters, digits and underscores, each with a text"
            ),
        ),
    ] = None


def _render(notification: Notification) -> Message:
    """Render one alert: firing in ALARM, resolved in every other state; a notice for a minute."""
    event, style, change = notification.event, notification.style, notification.change
    if change is None or notification.definition is None:
        labels = _labels({"alertname": f"driftline {event.type}", "severity": "none"}, style)
        times = {"startsAt": event.time, "endsAt": event.time + timedelta(seconds=RESEND_S)}
    else:
        of_alarm = labels_of(notification.definition)
        of_alarm["alertname"] = of_alarm.pop("alarm")
        labels = _labels(of_alarm, style)
        # A resolved alert has only an end: Alertmanager remembers when it began.
        times = {"startsAt" if change.new == "ALARM" else "endsAt": change.time}
    alert = {
        "labels": labels,
        "annotations": {
            "summary": event.title,
            "description": event.text,
            "state": event.mood if change is None else change.new,
            "link": event.link,
        },
        "generatorURL": event.link,
        **{name: _time(time) for name, time in times.items()},
    }
    return Message(as_json([alert]))


async def _send(attempt: Attempt) -> Answer:
    url = alerts_url(attempt.channel.url.reveal())
    return await attempt.post(url, with_end(attempt.message.body, attempt.now))


def with_end(body: bytes, now: datetime) -> bytes:
    """Add to firing alerts until when they fire if nothing more is heard of them."""
    alerts = _parsed(body)
    for alert in alerts:
        if "endsAt" not in alert:
            alert["endsAt"] = _time(now + _FIRES_FOR)
    return as_json(alerts)


def _render_again(body: bytes, event: Event) -> Message:
    """Render stored alerts with the words of another event; raises as `with_end`."""
    alerts = _parsed(body)
    for alert in alerts:
        alert["annotations"] |= {"summary": event.title, "description": event.text}
    return Message(as_json(alerts))


def _parsed(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stored_body(body, lambda found: isinstance(found, list))
    return found


def alerts_url(url: str) -> str:
    """Return the address to post to: this one, or the API below it."""
    return url if url.rstrip("/").endswith(_PATH) else f"{url.rstrip('/')}{_PATH}"


def _labels(labels_of_alarm: Mapping[str, str], style: Style) -> dict[str, str]:
    """Return labels named as Prometheus allows; the channel's own labels win."""
    of_channel = style.options.get("labels")
    every = dict(labels_of_alarm)
    if isinstance(of_channel, Mapping):
        every |= of_channel
    labels: dict[str, str] = {}
    for name, value in every.items():
        plain = _NOT_LABEL.sub("_", name)
        labels[plain if not plain[:1].isdigit() else f"_{plain}"] = value
    return labels


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


ALERTMANAGER = Receiver(
    options=AlertmanagerOptions,
    render=_render,
    send=_send,
    render_again=_render_again,
    groups_itself=True,
)
