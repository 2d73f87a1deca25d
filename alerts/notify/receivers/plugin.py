"""Functions of other packages, each message in a process of its own."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from driftline.alerts.notify.receivers.programs import render_for_program, stored_event
from driftline.alerts.notify.receivers.receiver import Answer, Attempt, Options, Receiver
from driftline.child import module_argv


class PluginOptions(Options):
    """What a plug-in takes."""

    plugin: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="the name of one"),
    ] = None


async def _send(attempt: Attempt) -> Answer:
    call = {
        "plugin": attempt.channel.options.get("plugin"),
        "event": stored_event(attempt.message),
    }
    argv = module_argv("driftline.alerts.notify.receivers.plugin_child")
    return await attempt.run(argv, json.dumps(call).encode())


PLUGIN = Receiver(
    options=PluginOptions, render=render_for_program, send=_send, url="none", needs="plugin"
)
