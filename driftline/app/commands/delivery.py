"""Commands about deliveries: what was sent, what was not and why, and send it again."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.app.commands import options

delivery = typer.Typer(help="Messages: how they fare, and why.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Message; `driftline delivery list` names them.")]


@delivery.command("list")
@options.with_server
def delivery_list(
    alarm: Annotated[str | None, typer.Option("--alarm", help="Of one alarm only.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="To one channel only.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Such as dead, muted or pending.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Lines at most.")] = 20,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Show messages, newest first; `--status dead` shows those that were given up.

    Example: driftline delivery list --status dead
    """
    with server.connect() as client:
        found = client.deliveries(alarm=alarm, status=status, channel=channel, limit=limit)
    if as_json:
        options.show_json(found)
        return
    columns = ["id", "alarm_name", "state", "channel", "status", "attempts", "why"]
    options.show_table(columns, [_shown(one) for one in found])


@delivery.command("get")
@options.with_server
def delivery_get(
    message: Id, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Show one message, and those that it carries.

    Example: driftline delivery get msg_01...
    """
    with server.connect() as client:
        found = client.delivery(message)
    if as_json:
        options.show_json(found)
        return
    shown = ("alarm_name", "state", "channel", "kind", "status", "attempts", "created_at")
    rows = [{"": name, "value": found[name]} for name in shown]
    rows += [{"": name, "value": found[name]} for name in ("incident_id", "carrier_id")]
    rows.append({"": "why", "value": _why(found)})
    options.show_table(["", "value"], rows)
    if found["carries"]:
        columns = ["id", "alarm_name", "state", "created_at"]
        options.show_table(columns, found["carries"], title="carries")


@delivery.command("redeliver")
@options.with_server
def delivery_again(
    message: Id, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Send a message again that was given up or held back.

    Example: driftline delivery redeliver msg_01...
    """
    with server.connect() as client:
        found = client.redeliver(message)
    if as_json:
        options.show_json(found)
        return
    typer.echo(f"{message} is queued again for {found['channel']}")


def _shown(one: dict[str, object]) -> dict[str, object]:
    """Give a line of the list; a change of the configuration tells of no state."""
    state = "-" if one["kind"] == "configuration" else one["state"]
    return {**one, "state": state, "why": _why(one)}


def _why(found: dict[str, object]) -> str:
    return str(found.get("reason") or found.get("last_error") or "")
