"""Bodies of messages in the forms that are not Amazon's: our own, CloudEvents, chats, people's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from driftline.alerts.notify.channel import Style
from driftline.alerts.notify.event import Event, as_json
from driftline.alerts.notify.templates import TemplateFailed, render_template

log = logging.getLogger(__name__)

JSON = "application/json"
_CLOUD_EVENT = "application/cloudevents+json"
_TEXT = "text/plain; charset=UTF-8"
_SLACK_MAX = 3000
_SLACK_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SIGNS = {"failure": "🔴", "warning": "🟠", "success": "🟢", "info": "🔵"}


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered message: the bytes that every attempt sends, and their content type."""

    body: bytes
    content_type: str


def plain(event: Event, style: Style, *, message_id: str, source: str = "") -> Message:
    """Write an event in a form that every event has.

    Parameters
    ----------
    source
        Where it comes from, for CloudEvents: the dashboard's address.
    """
    if style.type in ("apprise", "command", "plugin"):
        return Message(as_json(_for_programs(event, message_id)), JSON)
    if style.format == "cloudevents":
        return Message(as_json(_cloud_event(event, message_id, source)), _CLOUD_EVENT)
    if style.format == "slack":
        return Message(as_json({"text": _slack_text(event)}), JSON)
    if style.format == "template":
        return _by_template(event, style, message_id)
    return Message(as_json(event.document), JSON)


def template_names(event: Event, message_id: str) -> dict[str, object]:
    """Give what a template can name: the words, and every field of our own body's data."""
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


def _by_template(event: Event, style: Style, message_id: str) -> Message:
    """Write a template's body; where it fails, our own: a message must go out in any case."""
    kind = str(style.options.get("content_type") or _TEXT)
    try:
        names = template_names(event, message_id)
        text = render_template(str(style.options.get("template") or ""), names)
    except TemplateFailed as error:
        log.warning("template_failed message=%s error=%s", message_id, error)
        failed = dict(event.document) | {"template_error": str(error)}
        return Message(as_json(failed), JSON)
    return Message(text.encode("utf-8", "replace"), kind)


def _for_programs(event: Event, message_id: str) -> Mapping[str, object]:
    words = {"title": event.title, "text": event.text, "link": event.link, "mood": event.mood}
    return {"id": message_id, **event.document, **words}


def _cloud_event(event: Event, message_id: str, source: str) -> Mapping[str, object]:
    """Give CloudEvents 1.0, structured."""
    found: dict[str, object] = {
        "specversion": "1.0",
        "id": message_id,
        "source": source or "urn:driftline",
        "type": f"io.driftline.{event.type}",
        "time": f"{event.time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "datacontenttype": JSON,
        "data": event.fields,
    }
    alarm = event.data.get("alarm")
    if isinstance(alarm, Mapping) and alarm.get("name"):
        found["subject"] = alarm["name"]
    return found


def _slack_text(event: Event) -> str:
    """Write Slack's mark-up, which Mattermost and Rocket.Chat read, too."""
    title = event.title.translate(_SLACK_ESCAPES)
    if event.link.startswith(("http://", "https://")):
        link = event.link.translate(_SLACK_ESCAPES).replace("|", "%7C")
        title = f"<{link}|{title}>"
    text = event.text.translate(_SLACK_ESCAPES)
    return f"{_SIGNS.get(event.mood, _SIGNS['info'])} *{title}*\n{text}"[:_SLACK_MAX]
