"""The services of apprise, each message in a process of its own."""

from __future__ import annotations

import json

from driftline.alerts.notify.receivers.programs import render_for_program, stored_event
from driftline.alerts.notify.receivers.receiver import Answer, Attempt, Options, Receiver
from driftline.child import module_argv

# Two hundred modules of others, and their services'.
MEMORY_BYTES = 1 << 30
# No home: a .netrc there would be opened, which is refused and counts as not taken.
ENVIRONMENT = {"HOME": "/nonexistent"}


async def _send(attempt: Attempt) -> Answer:
    event = stored_event(attempt.message)
    call = {
        "url": attempt.channel.url.reveal(),
        "title": event.get("title", ""),
        "body": "\n\n".join(str(event[key]) for key in ("text", "link") if event.get(key)),
        "mood": event.get("mood", "info"),
        "allow_networks": list(attempt.allow_networks),
    }
    argv = module_argv("driftline.alerts.notify.receivers.apprise_child")
    return await attempt.run(argv, json.dumps(call).encode(), ENVIRONMENT, MEMORY_BYTES)


APPRISE = Receiver(options=Options, render=render_for_program, send=_send, url="own")
