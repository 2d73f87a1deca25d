"""Alertmanager's form of an alarm: API v2, ``POST /api/v2/alerts``.

An alert is known by its labels, so they come of the alarm's definition alone: whatever differs
between firing and resolved stands in the annotations. What fires is sent again each minute, as
Alertmanager asks of its clients, each time saying until when it would count as firing if nothing
more came; so an alarm whose sender died resolves by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.channel import Style
from driftline.alerts.notify.event import Event, as_json
from driftline.alerts.notify.labels import labels_of

RESEND_S = 60.0
_FIRES_FOR = timedelta(seconds=4 * RESEND_S)  # Prometheus's rule: four times the interval.
_NOT_LABEL = re.compile(r"[^A-Za-z0-9_]")
_PATH = "/api/v2/alerts"


def alarm_alerts(
    change: StateChange, definition: AnyDefinition, event: Event, style: Style
) -> list[dict[str, object]]:
    """Give the alert of an alarm: firing in ALARM, resolved in every other state."""
    found = labels_of(definition)
    found["alertname"] = found.pop("alarm")
    labels = _labels(found, style)
    alert: dict[str, object] = {
        "labels": labels,
        "annotations": _annotations(event, change.new),
        "generatorURL": event.link,
    }
    # Of a resolved alert only the end is told: Alertmanager remembers when it began.
    alert["startsAt" if change.new == "ALARM" else "endsAt"] = _time(change.time)
    return [alert]


def notice_alerts(event: Event, style: Style) -> list[dict[str, object]]:
    """Give the alert of something else, such as a test: it fires for a minute."""
    labels = _labels({"alertname": f"driftline {event.type}", "severity": "none"}, style)
    return [
        {
            "labels": labels,
            "annotations": _annotations(event, event.mood),
            "generatorURL": event.link,
            "startsAt": _time(event.time),
            "endsAt": _time(event.time + timedelta(seconds=RESEND_S)),
        }
    ]


def with_end(body: bytes, now: datetime) -> bytes:
    """Say of firing alerts until when they fire if nothing more is heard of them.

    Raises
    ------
    ChannelError
        When the message was written while its channel was of another type.
    """
    alerts = _parsed(body)
    for alert in alerts:
        if "endsAt" not in alert:
            alert["endsAt"] = _time(now + _FIRES_FOR)
    return as_json(alerts)


def alerts_retold(body: bytes, event: Event) -> list[dict[str, Any]]:
    """Return stored alerts with the words of another event; raises as `with_end`."""
    alerts = _parsed(body)
    for alert in alerts:
        alert["annotations"] |= {"summary": event.title, "description": event.text}
    return alerts


def _parsed(body: bytes) -> list[dict[str, Any]]:
    try:
        alerts = json.loads(body)
    except ValueError:
        alerts = None
    if not isinstance(alerts, list):
        raise ChannelError("the message was written for another type of channel")
    return alerts


def alerts_url(url: str) -> str:
    """Give the address to post to: the one given, or the API below it."""
    return url if url.rstrip("/").endswith(_PATH) else f"{url.rstrip('/')}{_PATH}"


def _labels(found: Mapping[str, str], style: Style) -> dict[str, str]:
    """Give names as Prometheus allows them; the channel's own labels win."""
    own = style.options.get("labels")
    every = dict(found) | (dict(own) if isinstance(own, Mapping) else {})
    labels: dict[str, str] = {}
    for name, value in every.items():
        plain = _NOT_LABEL.sub("_", name)
        labels[plain if not plain[:1].isdigit() else f"_{plain}"] = value
    return labels


def _annotations(event: Event, state: str) -> dict[str, str]:
    return {"summary": event.title, "description": event.text, "state": state, "link": event.link}


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
