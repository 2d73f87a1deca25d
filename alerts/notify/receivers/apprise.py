"""The services of apprise, each message in a process of its own."""

from __future__ import annotations

import json
from contextlib import suppress

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.receivers.programs import (
    render_for_program,
    run_program,
    stored_event,
)
from driftline.alerts.notify.receivers.receiver import Answer, Attempt, Options, Receiver
from driftline.child import module_argv
from driftline.errors import UnavailableError

# Two hundred modules of others, and their services'.
MEMORY_BYTES = 1 << 30
# No home: a .netrc there would be opened, which is refused and counts as not taken.
ENVIRONMENT = {"HOME": "/nonexistent"}
# Apprise loads its services in a second, on a machine that has nothing to do.
_READING_MAX_S = 30.0
_UNREAD = 2  # Its exit code.


async def _send(attempt: Attempt) -> Answer:
    event = stored_event(attempt.message)
    call = {
        "url": attempt.channel.url.reveal(),
        "title": event.get("title", ""),
        "body": "\n\n".join(str(event[key]) for key in ("text", "link") if event.get(key)),
        "mood": event.get("mood", "info"),
        "allow_networks": list(attempt.allow_networks),
    }
    return await attempt.run(_argv(), json.dumps(call).encode(), ENVIRONMENT, MEMORY_BYTES)


def _argv() -> list[str]:
    return module_argv("driftline.alerts.notify.receivers.apprise_child")


def require_readable(url: str) -> None:
    """Refuse a URL that apprise cannot read, asked in a process of its own."""
    with suppress(OSError):
        answer = run_program(
            _argv(), json.dumps({"url": url}).encode(), timeout_s=_READING_MAX_S,
            environment=ENVIRONMENT, memory_bytes=MEMORY_BYTES,
        )  # fmt: skip
        if answer.status == 0:
            return
        if answer.status == _UNREAD:  # What else it may say, as it ends, could quote the url.
            raise ChannelError(f"url: {answer.text.strip()}")
    raise UnavailableError("apprise did not say whether it can read the url; apply it again")


APPRISE = Receiver(options=Options, render=render_for_program, send=_send, url="own")
