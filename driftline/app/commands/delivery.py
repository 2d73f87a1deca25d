"""Commands about deliveries: what was sent, what was not and why, and send it again."""

from __future__ import annotations

import typer

from driftline.app.commands.operations import add_operations

delivery = typer.Typer(help="Messages: how they fare, and why.", no_args_is_help=True)
add_operations(
    delivery,
    "delivery",
    {
        "redeliver": lambda found, _: [
            f"{found['id']} is queued again for {found['channel']}",
        ],
    },
)
