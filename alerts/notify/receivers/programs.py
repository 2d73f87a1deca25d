"""Runs programs that tell people: never by a shell, with little time and few variables."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.event import as_json
from driftline.alerts.notify.receivers.receiver import Answer, Message, Notification, Outgoing

_OUTPUT_MAX_BYTES = 4096
_LAST_WORDS_S = 0.5  # For what stands in a pipe that something out of reach holds open.
# What a program needs to find others, to speak people's language and to know its zone; nothing of
# ours, whose environment may hold secrets.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


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


def child_argv(module: str) -> list[str]:
    """Return what runs one of our own modules in a process of its own."""
    return [sys.executable, "-I", "-B", "-m", module]


async def run_program(
    argv: Sequence[str],
    body: bytes,
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Run a program with a message on its standard input."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    transport, talk = await asyncio.get_running_loop().subprocess_exec(
        _Talk,
        *argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=passed | dict(environment or {}),
        cwd="/",
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            _tell(transport, body)
            # Its end counts, not that of its output, which something left behind may hold open.
            await talk.ended.wait()
    finally:
        # The whole session, so that what it started ends with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await talk.ended.wait()
                await talk.silent.wait()
        transport.close()
    said = bytes(talk.said).decode("utf-8", "replace")
    return Answer(transport.get_returncode(), said, is_http=False)


class _Talk(asyncio.SubprocessProtocol):
    """Keeps the beginning of what a program writes, and knows when it has ended."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.ended, self.silent = asyncio.Event(), asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.said += data[: _OUTPUT_MAX_BYTES - len(self.said)]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.silent.set()

    def process_exited(self) -> None:
        self.ended.set()


def _tell(transport: asyncio.SubprocessTransport, body: bytes) -> None:
    """Write the message; a program may end without having read it."""
    pipe = transport.get_pipe_transport(0)
    assert isinstance(pipe, asyncio.WriteTransport)
    pipe.write(body)
    pipe.write_eof()
