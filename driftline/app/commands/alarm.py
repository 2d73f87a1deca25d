"""Commands about alarms on a running server: how they stand and why, and what people set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.alarm_text import explained
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, harmless, show_json

alarm = typer.Typer(
    help="See why alarms are in their states, set states, replay alarms.", no_args_is_help=True
)

Names = Annotated[list[str], typer.Argument(help="Names of alarms, metric or composite.")]


def _changed(found: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    for change in found["changes"]:
        yield f"{change['alarm_name']}: {change['old']} -> {change['new']}"
    if not found["changes"]:
        yield f"{asked['name']}: {asked['state_value']} already; only the reason is new"


@alarm.command()
@options.asks_server
def enable(client: Client, names: Names) -> Answer:
    """Switch the actions of alarms on.

    Example: driftline alarm enable "flights drift"
    """
    return _switch(client, names, enabled=True)


@alarm.command()
@options.asks_server
def disable(client: Client, names: Names) -> Answer:
    """Switch the actions of alarms off; their states go on changing.

    For a time only, a silence is better: it says why and ends by itself.

    Example: driftline alarm disable "flights drift"
    """
    return _switch(client, names, enabled=False)


@alarm.command()
@options.with_server
def delete(
    names: Names, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Delete alarms; refused while a composite alarm looks at one. Their history stays.

    Example: driftline alarm delete "flights drift"
    """
    gone: list[str] = []
    try:
        with server.connect() as client:
            for name in names:
                client.delete_alarm(name)
                gone.append(name)
                if not as_json:
                    typer.echo(harmless(f"deleted {name}"))
    finally:  # Also of some, when one of them is refused.
        if as_json and gone:
            show_json({"deleted": gone})


def _switch(client: Client, names: list[str], *, enabled: bool) -> Answer:
    client.switch_alarm_actions(names, enabled)
    value = {"names": names, "actions_enabled": enabled}
    return Answer(value, [f"{name}: actions {'on' if enabled else 'off'}" for name in names])


add_operations(
    alarm,
    "alarm",
    {"explain": lambda found, _: explained(found), "set-state": _changed},
)
