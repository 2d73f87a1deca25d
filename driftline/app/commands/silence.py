"""Commands about silences: hold back messages for a while, see whom that is about, end it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from driftline.access.principal import system_user
from driftline.app.commands import options
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.errors import InputError, NotFoundError

silence = typer.Typer(
    help="Hold back messages of alarms for a while. Their states go on changing.",
    no_args_is_help=True,
)

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_COLUMNS = ["name", "status", "from", "until", "about", "comment"]


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
        "ends_at": (datetime.now(UTC) + _length(length)).isoformat(timespec="seconds"),
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
    return Answer(silences, [Table(_COLUMNS, [_row(silence) for silence in silences])])


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
    about = f"about: {', '.join(alarms) or 'no alarm'}"
    return Answer({**stored, "alarms": alarms}, [Table(_COLUMNS, [_row(stored)]), about])


def _row(silence: Mapping[str, Any]) -> dict[str, object]:
    spec, status = silence["spec"], silence["status"]
    targets = spec.get("mute_targets") or {}
    names = spec["alarm_names"] or targets.get("alarm_names") or []
    matchers = [one if isinstance(one, str) else str(one) for one in spec["matchers"]]
    return {
        "name": silence["name"],
        "status": status["status"],
        "from": spec.get("starts_at") or spec.get("start_date"),
        # While it holds nothing back, the end that was declared.
        "until": status["mutes_until"] or spec.get("ends_at") or spec.get("expire_date"),
        "about": ", ".join([*matchers, *names]),
        "comment": spec["comment"] or spec["description"],
    }


def _length(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdigit() or not 1 <= int(number) <= 10_000:
        raise InputError(f'--for "{text}"; expected a number and m, h or d, such as 30m')
    return timedelta(seconds=int(number) * _UNITS[unit])


add_operations(
    silence, "silence", {"expire": lambda found, _: [f'silence "{found["name"]}" is over']}
)
