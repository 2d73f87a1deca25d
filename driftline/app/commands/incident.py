"""Commands about incidents: alarms that went off together."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table

incident = typer.Typer(help="Alarms that went off together.", no_args_is_help=True)


@incident.command("list")
@options.asks_server
def incident_list(
    client: Client,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Of one endpoint.")] = None,
    status: Annotated[
        Literal["open", "closed"] | None,
        typer.Option("--status", help="Only those that are open, or closed."),
    ] = None,
    limit: options.Limit = 20,
) -> Answer:
    """Show incidents, newest first.

    Example: driftline incident list --status open
    """
    incidents = client.incidents(status=status, endpoint=endpoint, limit=limit)
    columns = ["id", "status", "endpoint", "severity", "alarms", "cause"]
    rows = [{**incident, "alarms": len(incident["alarms"])} for incident in incidents]
    return Answer(incidents, [Table(columns, rows)])


@incident.command("get")
@options.asks_server
def incident_get(
    client: Client,
    name: Annotated[str, typer.Argument(metavar="ID", help="As `incident list` shows it.")],
) -> Answer:
    """Show one incident: its cause, features, alarms and messages.

    Example: driftline incident get inc_0199...
    """
    incident = client.incident(name)
    lines = [f"{incident['status']} since {incident['opened_at']}: {incident['cause']}"]
    if incident["features"]:
        lines.append(f"features: {', '.join(incident['features'])}")
    alarms = Table(["name", "joined_at", "left_at", "count"], incident["alarms"])
    return Answer(incident, [*lines, alarms])
