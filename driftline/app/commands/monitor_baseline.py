"""The command that makes a monitor's baseline of captured rows."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.commands.resources import monitor


@monitor.command("baseline")
@options.asks_server
def make_baseline(
    client: Client,
    name: Annotated[str, typer.Argument(help="Monitor whose baseline is made anew.")],
    start: options.CapturedFrom,
    end: options.CapturedTo,
) -> Answer:
    """Make a new version of a monitor's baseline of rows that were captured.

    Its distributions are those of that time; labels, other kinds' documents and constraints set by
    hand stay. Every monitor of this baseline uses it from its next window on.

    Example: driftline monitor baseline flights-data-quality --from 2026-11-01 --to 2026-11-15
    """
    span = options.moment(start, "--from"), options.moment(end, "--to")
    made = client.renew_baseline(name, start=span[0], end=span[1])
    line = (
        f"baseline {made['baseline']}: version {made['version']} of "
        f"{made['row_count']:,} captured rows"
    )
    return Answer(made, [line])
