"""Commands about silences: hold back messages for a while, see whom that is about, end it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.access.principal import system_user
from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.errors import NotFoundError

silence = typer.Typer(
    help="Hold back messages of alarms for a while. Their states go on changing.",
    no_args_is_help=True,
)

_COLUMNS = (
    "name status=status.status until=status.mutes_until matchers=spec.matchers "
    "alarms=spec.alarm_names comment=spec.comment"
)


@silence.command("put")
@options.asks_server
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
    until = stored["status"]["mutes_until"]
    count = f"{len(alarms)} alarm{'s' if len(alarms) != 1 else ''}"
    return Answer(
        {**stored, "alarms": alarms}, [f'silence "{name}" holds back {count} until {until}']
    )


@silence.command("list")
@options.asks_server
def silence_list(client: Client) -> Answer:
    """Show all silences, and what they do now.

    Example: driftline silence list
    """
    silences = client.list("Silence")
    return Answer(silences, lines_of(silences, _COLUMNS))


@silence.command("get")
@options.asks_server
def silence_get(
    client: Client,
    name: Annotated[str, typer.Argument(help="Silence; `driftline silence list` names them.")],
) -> Answer:
    """Show one silence, and the alarms that it is about.

    Example: driftline silence get roll-out
    """
    stored = client.get("Silence", name)
    alarms = client.preview_silence(stored["spec"])["alarms"]
    shown = [*lines_of([stored], _COLUMNS), f"applies to: {', '.join(alarms) or 'no alarm'}"]
    return Answer({**stored, "alarms": alarms}, shown)


add_operations(
    silence, "silence", {"expire": lambda found, _: [f'silence "{found["name"]}" is over']}
)
