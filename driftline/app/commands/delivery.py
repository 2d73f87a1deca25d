"""Commands about deliveries: what was sent, what was not and why, and send it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table

delivery = typer.Typer(help="Messages: how they fare, and why.", no_args_is_help=True)

_FIELDS = (
    "alarm_name", "state", "channel", "kind", "status", "attempts", "created_at", "carrier_id",
)  # fmt: skip
Id = Annotated[str, typer.Argument(help="Message; `driftline delivery list` names them.")]


@delivery.command("list")
@options.asks_server
def delivery_list(
    client: Client,
    alarm: Annotated[str | None, typer.Option("--alarm", help="Of one alarm only.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="To one channel only.")] = None,
    status: Annotated[
        Literal[
            "pending",
            "sending",
            "delivered",
            "failed",
            "muted",
            "superseded",
        ]
        | None,
        typer.Option("--status", help="Only in this status."),
    ] = None,
    limit: options.Limit = 20,
) -> Answer:
    """Show messages, newest first; `--status failed` shows those that were given up.

    Example: driftline delivery list --status failed
    """
    messages = client.deliveries(alarm=alarm, status=status, channel=channel, limit=limit)
    columns = ["id", "alarm_name", "state", "channel", "status", "attempts", "why"]
    return Answer(messages, [Table(columns, [{**one, "why": _why(one)} for one in messages])])


@delivery.command("get")
@options.asks_server
def delivery_get(client: Client, message: Id) -> Answer:
    """Show one message, and those that it lists.

    Example: driftline delivery get msg_01...
    """
    sent = client.delivery(message)
    rows = [{"": name, "value": sent[name]} for name in _FIELDS]
    tables = [Table(["", "value"], [*rows, {"": "why", "value": _why(sent)}])]
    if sent["carries"]:
        columns = ["id", "alarm_name", "state", "created_at"]
        tables.append(Table(columns, sent["carries"], title="carries"))
    return Answer(sent, tables)


@delivery.command("redeliver")
@options.asks_server
def delivery_again(client: Client, message: Id) -> Answer:
    """Send a message again that was given up or held back.

    Example: driftline delivery redeliver msg_01...
    """
    queued = client.redeliver(message)
    return Answer(queued, [f"{message} is queued again for {queued['channel']}"])


def _why(message: Mapping[str, object]) -> str:
    return str(message.get("reason") or message.get("last_error") or "")
