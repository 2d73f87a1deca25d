"""Runs programs that tell people: never by a shell, with little time and few variables."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.event import as_json
from driftline.alerts.notify.receivers.receiver import Answer, Message, Notification, Outgoing
from driftline.child import Limits, run

_OUTPUT_MAX_BYTES = 4096


def render_for_program(notification: Notification) -> Message:
    """Render our own body with the words at its top level."""
    event = notification.event
    words = {"title": event.title, "text": event.text, "link": event.link, "mood": event.mood}
    return Message(as_json({"id": notification.message_id, **event.document, **words}))


def stored_event(message: Outgoing) -> dict[str, object]:
    """Return what `render_for_program` wrote; the bare body of a message for another type."""
    text = message.body.decode("utf-8", "replace")
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if isinstance(event, dict) and "title" in event:
        return event
    return {"id": message.id, "title": "driftline", "text": text, "link": "", "mood": "warning"}


def commands_of(listed: Sequence[str]) -> dict[str, str]:
    """Read the settings' list of commands, ``name=/path/of/program arguments``."""
    found = {}
    for entry in listed:
        name, equals, command = entry.partition("=")
        if not equals or not name.strip() or not command.strip():
            raise ChannelError(
                f'[notify] commands: "{entry}"; expected such as "page=/usr/local/bin/page --loud"'
            )
        found[name.strip()] = command.strip()
    return found


def argv_of(name: str, commands: Mapping[str, str]) -> list[str]:
    """Return what to run for a name of the settings' list."""
    if name not in commands:
        listed = ", ".join(f'"{one}"' for one in sorted(commands))
        raise ChannelError(
            f'command "{name}" is not in [notify] commands; expected one of {listed}'
            if commands
            else f'command "{name}": [notify] commands lists none; add it there, such as '
            f'"{name}=/usr/local/bin/page --loud"'
        )
    try:
        argv = shlex.split(commands[name])
    except ValueError as error:
        raise ChannelError(f'[notify] commands: "{name}" cannot be read ({error})') from error
    if not argv or not os.path.isabs(argv[0]):  # noqa: PTH117 - a text, not yet a path
        raise ChannelError(
            f'[notify] commands: "{name}" begins with no absolute path; expected such as '
            '"/usr/local/bin/page --loud"'
        )
    return argv


def run_program(
    argv: Sequence[str],
    body: bytes,
    *,
    timeout_s: float,
    memory_bytes: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Run a program with a message on its standard input; TimeoutError when it hangs."""
    home = {name: os.environ[name] for name in ("HOME",) if name in os.environ}
    code, said = run(
        argv, Limits(time_s=timeout_s, memory_bytes=memory_bytes), body,
        environment=home | dict(environment or {}), output_bytes=_OUTPUT_MAX_BYTES,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    return Answer(code, said.decode("utf-8", "replace"), is_http=False)
