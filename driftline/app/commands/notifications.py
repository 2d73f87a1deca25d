"""Commands about notifications: whether channels work, silences, and what became of each."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated, Any

import typer

from driftline.access.principal import system_user
from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, text_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNAVAILABLE, UNDECIDED
from driftline.errors import NotFoundError

channel = options.Group(help="Where messages of alarms go.")
silence = options.Group(
    help="Hold back messages of alarms for a while. Their states go on changing."
)
delivery = options.Group(help="Messages: how they fare, and why.")

_SECRET_BYTES = 32


@channel.command("test")
def channel_test(
    client: Client,
    name: Annotated[str, typer.Argument(help="Channel; `driftline get channel` lists them.")],
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
def channel_new_secret() -> Answer:
    """Print a new signing secret, for a channel's `secret` and for its receiver.

    Nothing is stored or sent: declare it with `driftline apply`, or keep it in a
    variable such as DRIFTLINE_CHANNEL_PAGER and declare `env:DRIFTLINE_CHANNEL_PAGER`.

    Example: driftline channel new-secret
    """
    key = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    return Answer({"secret": f"whsec_{key}"}, [f"whsec_{key}"])


@silence.command("put")
def silence_put(
    client: Client,
    name: Annotated[str, typer.Argument(help="Letters, digits and inner hyphens.")],
    matcher: Annotated[
        list[str] | None,
        typer.Option("--matcher", "-m", metavar="LABEL=VALUE", help="Also !=, =~ and !~."),
    ] = None,
    alarm: Annotated[
        list[str] | None, typer.Option("--alarm", metavar="NAME", help="An alarm by name.")
    ] = None,
    length: Annotated[
        str, typer.Option("--for", metavar="2h", help="How long: minutes, hours or days.")
    ] = "2h",
    comment: Annotated[str, typer.Option("--comment", help="Why.")] = "",
) -> Answer:
    """Hold back messages from now on; windows that come again are declared by `driftline apply`.

    Example: driftline silence put roll-out -m endpoint=flights --for 30m --comment "new model"
    """
    spec: dict[str, Any] = {
        "matchers": matcher or [],
        "alarm_names": alarm or [],
        "ends_at": options.later(length, "--for").isoformat(timespec="seconds"),
        "created_by": system_user(),
        "comment": comment,
    }
    known = {one["name"] for one in client.alarms()} if alarm else set()
    if unknown := [one for one in alarm or () if one not in known]:
        raise NotFoundError(
            f'alarm "{unknown[0]}" does not exist; `driftline alarm list` names all alarms'
        )
    client.apply([{"kind": "Silence", "name": name, "spec": spec}])
    stored = client.get("Silence", name)
    alarms = client.preview_silence(spec)["alarms"]
    until = text_of(stored["status"]["mutes_until"])
    return Answer(
        {**stored, "alarms": alarms},
        [f'silence "{name}" until {until}', f"applies to: {', '.join(alarms) or 'no alarm'}"],
    )


add_operations(
    channel,
    "channel",
    {
        "enable": lambda found, _: [
            f"{found['name']} is enabled; what was given up: driftline delivery redeliver ID"
        ],
    },
)
add_operations(
    silence, "silence", {"expire": lambda found, _: [f'silence "{found["name"]}" is over']}
)
add_operations(
    delivery,
    "delivery",
    {"redeliver": lambda found, _: [f"{found['id']} is queued again for {found['channel']}"]},
)
