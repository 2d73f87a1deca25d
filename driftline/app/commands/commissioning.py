"""Commands about a monitor that is new to its baseline: where it stands, another baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from driftline.access.principal import system_user
from driftline.app.commands import options
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.commands.resources import monitor
from driftline.errors import InputError

STATES = {
    "waiting": "has judged no window against it yet",
    "fitting": "is new to it: for 14 windows and two weeks drift that it never fitted is held back",
    "fitted": "has judged it for its first two weeks",
    "accepted": "judges drift against it as it is",
    "exempt": "holds no drift back; only monitors of the kind data-quality do",
}


@monitor.command("commission")
@options.asks_server
def commission(
    client: Client,
    name: options.Monitor,
    is_accepted: Annotated[
        bool, typer.Option("--accept", help="Judge drift against the baseline as it is.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with your name.")] = "",
) -> Answer:
    """Show whether a monitor's baseline fits, and which drift is held back because it does not.

    Also names the longest time of the last 28 days whose windows agree with each other, to make a
    baseline of.

    Example: driftline monitor commission flights-data-quality
    """
    if reason and not is_accepted:
        raise InputError("--reason without --accept; expected both, or none")
    if is_accepted:
        found = client.accept_commission(name, reason=reason, author=system_user())
    else:
        found = client.commission(name)
    return Answer(found, _lines(found))


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


def _lines(found: Mapping[str, Any]) -> list[str]:
    """Write where a monitor stands, for people."""
    version = f"{found['baseline']} ({found['baseline_version']})"
    lines = [
        f"{'monitor':<10}{found['monitor']}",
        f"{'baseline':<10}{version}: {STATES[found['state']]}",
    ]
    lines += [f"{'held':<10}{name}: {words}" for name, words in found["held"].items()]
    if found["finding"]:
        lines.append(f"{'finding':<10}{found['finding']}")
    if found["accepted_at"]:
        why = f": {found['accepted_reason']}" if found["accepted_reason"] else ""
        lines.append(f"{'accepted':<10}{found['accepted_at']} by {found['accepted_by']}{why}")
    stable = found["stable"]
    if stable is not None:
        lines.append(
            f"{'stable':<10}{stable['from']} to {stable['to']}, {stable['row_count']:,} rows: "
            f"driftline monitor baseline {found['monitor']} --from {stable['from']} "
            f"--to {stable['to']}"
        )
    return lines
