"""Commands about channels: what there is, whether they work, what was tried."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated

import typer

from driftline.app.commands import options
from driftline.app.exit_codes import UNAVAILABLE, UNDECIDED

channel = typer.Typer(help="Where messages of alarms go.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Channel; `driftline channel list` names them.")]
_SECRET_BYTES = 32


@channel.command("list")
@options.with_server
def channel_list(server: options.Server = options.DEFAULT, as_json: options.AsJson = False) -> None:
    """Show all channels and how they fare.

    Example: driftline channel list
    """
    with server.connect() as client:
        found = client.list("Channel")
    if as_json:
        options.show_json(found)
        return
    rows = [
        {
            "name": one["name"],
            "type": one["spec"]["type"],
            "format": one["spec"]["format"],
            "enabled": "yes" if one["status"]["enabled"] else one["status"]["disabled_reason"],
            "failures": one["status"]["failure_count"],
        }
        for one in found
    ]
    options.show_table(["name", "type", "format", "enabled", "failures"], rows)


@channel.command("test")
@options.with_server
def channel_test(
    name: Name, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Send one test message now and show what the receiver answered.

    Exit code 3 when it was not taken, 4 when the receiver did not answer.

    Example: driftline channel test pager
    """
    with server.connect() as client:
        tried = client.test_channel(name)
        status = client.get("Channel", name)["status"]
    if as_json:
        options.show_json(tried)
    else:
        outcome = "taken" if tried["is_taken"] else f"not taken: {tried['error']}"
        typer.echo(f"{outcome} ({tried['duration_ms']} ms, message {tried['message_id'] or '-'})")
        if tried["answer"]:
            typer.echo(tried["answer"])
        if not status["enabled"]:
            typer.echo(
                f"but it is disabled ({status['disabled_reason']}): no alarm is told by it; "
                f"enable it: driftline channel enable {name}"
            )
    if not tried["is_taken"]:
        is_silent = bool(tried["message_id"]) and tried["status"] is None
        raise typer.Exit(UNAVAILABLE if is_silent else UNDECIDED)


@channel.command("enable")
@options.with_server
def channel_enable(
    name: Name, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Switch a channel on again that a receiver's 410 Gone switched off.

    Example: driftline channel enable pager
    """
    with server.connect() as client:
        found = client.enable_channel(name)
    if as_json:
        options.show_json(found)
    else:
        typer.echo(f"{name} is enabled; what was given up: driftline delivery redeliver ID")


@channel.command("log")
@options.with_server
def channel_log(
    name: Name,
    message: Annotated[
        str | None, typer.Option("--message", metavar="ID", help="Of one message only.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Lines at most.")] = 20,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Show attempts to send by a channel, newest first.

    Example: driftline channel log pager
    """
    with server.connect() as client:
        found = client.channel_log(name, message=message, limit=limit)
    if as_json:
        options.show_json(found)
        return
    rows = [
        {
            "time": str(one["time"])[5:19].replace("T", " "),
            "message": one["message_id"],
            "no": one["number"],
            "ms": one["duration_ms"],
            "outcome": one["outcome"],
            "said": one["error"] or one["status"],
        }
        for one in found
    ]
    options.show_table(["time", "message", "no", "ms", "outcome", "said"], rows)


@channel.command("new-secret")
def channel_new_secret(as_json: options.AsJson = False) -> None:
    """Print a new signing secret, for a channel's `secret` and for its receiver.

    Nothing is stored or sent: declare it with `driftline apply`, or keep it in a file or a
    variable and declare `file:PATH` or `env:NAME`.

    Example: driftline channel new-secret
    """
    key = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    if as_json:
        options.show_json({"secret": f"whsec_{key}"})
    else:
        typer.echo(f"whsec_{key}")
