"""Commands of the settings' list, each message on standard input."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from driftline.alerts.notify.receivers.programs import argv_of, render_for_program
from driftline.alerts.notify.receivers.receiver import Answer, Attempt, Options, Receiver


class CommandOptions(Options):
    """What a command takes."""

    command: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="the name of one"),
    ] = None


async def _send(attempt: Attempt) -> Answer:
    argv = argv_of(str(attempt.channel.options.get("command")), attempt.commands)
    message = attempt.message
    return await attempt.run(argv, message.body, {"DRIFTLINE_MESSAGE_ID": message.id})


COMMAND = Receiver(
    options=CommandOptions, render=render_for_program, send=_send, url="none", needs="command"
)
