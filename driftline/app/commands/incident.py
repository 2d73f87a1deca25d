"""Commands about incidents: alarms that went off together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.app.commands import options

incident = typer.Typer(help="Alarms that went off together.", no_args_is_help=True)


@incident.command("list")
@options.with_server
def incident_list(
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Of one endpoint.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="open or closed.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Lines at most.")] = 20,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Show incidents, newest first.

    Example: driftline incident list --status open
    """
    with server.connect() as client:
        found = client.incidents(status=status, endpoint=endpoint, limit=limit)
    if as_json:
        options.show_json(found)
        return
    columns = ["id", "status", "endpoint", "severity", "alarms", "cause"]
    options.show_table(columns, [{**one, "alarms": len(one["alarms"])} for one in found])


@incident.command("get")
@options.with_server
def incident_get(
    name: Annotated[str, typer.Argument(metavar="ID", help="As `incident list` shows it.")],
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Show one incident: its cause, features, alarms and messages.

    Example: driftline incident get inc_0199...
    """
    with server.connect() as client:
        found: dict[str, Any] = client.incident(name)
    if as_json:
        options.show_json(found)
        return
    typer.echo(f"{found['status']} since {found['opened_at']}: {found['cause']}")
    if found["features"]:
        typer.echo(f"features: {', '.join(found['features'])}")
    options.show_table(["name", "joined_at", "left_at", "count"], found["alarms"])
