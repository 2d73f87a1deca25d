"""Commands about channels: what there is, whether they work, what was tried."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNAVAILABLE, UNDECIDED

channel = typer.Typer(help="Where messages of alarms go.", no_args_is_help=True)

_SECRET_BYTES = 32
_COLUMNS = (
    "name type=spec.type format=spec.format enabled=status.enabled "
    "reason=status.disabled_reason failures=status.failure_count"
)


@channel.command("list")
@options.asks_server
def channel_list(client: Client) -> Answer:
    """Show all channels and how they fare.

    Example: driftline channel list
    """
    channels = client.list("Channel")
    return Answer(channels, lines_of(channels, _COLUMNS))


@channel.command("test")
@options.asks_server
def channel_test(
    client: Client,
    name: Annotated[str, typer.Argument(help="Channel; `driftline channel list` names them.")],
) -> Answer:
    """Send one test message now and show what the receiver answered.

    Exit code 3 when it was not taken, 4 when the receiver did not answer.

    Example: driftline channel test pager
    """
    tried = client.test_channel(name)
    status = client.get("Channel", name)["status"]
    outcome = "taken" if tried["is_taken"] else f"not taken: {tried['error']}"
    lines = [f"{outcome} ({tried['duration_ms']} ms, message {tried['message_id'] or '-'})"]
    if tried["answer"]:
        lines.append(tried["answer"])
    if not status["enabled"]:
        lines.append(
            f"but it is disabled ({status['disabled_reason']}): no alarm is told by it; "
            f"enable it: driftline channel enable {name}"
        )
    is_silent = bool(tried["message_id"]) and tried["status"] is None
    failure = UNAVAILABLE if is_silent else UNDECIDED
    return Answer(tried, lines, code=0 if tried["is_taken"] else failure)


@channel.command("new-secret")
@options.answers
def channel_new_secret() -> Answer:
    """Print a new signing secret, for a channel's `secret` and for its receiver.

    Nothing is stored or sent: declare it with `driftline apply`, or keep it in a
    variable such as DRIFTLINE_CHANNEL_PAGER and declare `env:DRIFTLINE_CHANNEL_PAGER`.

    Example: driftline channel new-secret
    """
    key = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    return Answer({"secret": f"whsec_{key}"}, [f"whsec_{key}"])


add_operations(
    channel,
    "channel",
    {
        "enable": lambda found, _: [
            f"{found['name']} is enabled; what was given up: driftline delivery redeliver ID"
        ],
    },
)
