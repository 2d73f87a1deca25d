"""Commands about the executions of a monitor: list, follow and cancel them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, Table, harmless
from driftline.app.commands.resources import monitor
from driftline.app.progress import progress

POLL_S = 1.0


@monitor.command("executions")
@options.asks_server
def executions(
    client: Client,
    name: options.Monitor,
    limit: options.Limit = 20,
    with_log: Annotated[
        bool, typer.Option("--log", help="Show the log of the newest one instead.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="First wait until no window is being judged.")
    ] = False,
) -> Answer:
    """List the executions of a monitor, the newest window first, and what is being judged.

    Example: driftline monitor executions flights-data-quality --follow
    """
    if follow:
        _follow(client, name)
    found = client.executions(name, limit=limit)
    if with_log:
        lines = client.execution_log(found[0]["id"]) if found else []
        of = [f"execution {one['id']}, {_window(one)}" for one in found[:1]]
        return Answer(lines, [*of, *(f"{one['at'][:19]} {one['text']}" for one in lines)])
    begun = client.progress(name)
    value = {"in_progress": begun["items"], "pending": begun["pending"], "executions": found}
    return Answer(value, _listed(value))


@monitor.command("cancel")
@options.asks_server
def cancel(
    client: Client,
    name: options.Monitor,
    start: options.WindowStart = None,
    end: options.WindowEnd = None,
) -> Answer:
    """Cancel a window: one that is being judged ends within seconds, one that waits at once.

    Without --from and --to it is what is being judged now, else what waits. The window is not run
    again by itself; `driftline monitor run` and `backfill` do run it.

    Example: driftline monitor cancel flights-data-quality
    """
    done = client.cancel_monitor(name, start=moment(start, "--from"), end=moment(end, "--to"))
    return Answer(done, [f"{one['status']}: {_window(one)}" for one in done])


def _window(one: Mapping[str, Any]) -> str:
    return f"{one['window_start']} to {one['window_end']}"


def _follow(client: Client, name: str) -> None:
    """Show the log of what is being judged as it grows, until nothing is."""
    shown: set[tuple[str, str, str]] = set()
    with progress(name) as advance:
        while begun := client.progress(name)["items"]:
            for one in begun:
                for line in one["log"]:
                    key = one["window_start"], line["at"], line["text"]
                    if key not in shown:
                        typer.echo(harmless(f"{key[0]} {line['at'][:19]} {line['text']}"), err=True)
                    shown.add(key)
            advance(sum(one["rows_read"] for one in begun), None)
            time.sleep(POLL_S)


def _listed(found: Mapping[str, Any]) -> Iterator[str | Table]:
    for one in found["in_progress"]:
        yield (
            f"{one['status']}: {_window(one)}, {one['stage']}, "
            f"{one['rows_read']:,} rows read since {one['started_at'][:19]}"
        )
    for one in found["pending"]:
        behind = f", waits for {one['waits_for']}" if one["waits_for"] else ""
        yield f"Pending: {one['start']} to {one['end']}{behind}"
    columns = ["window", "status", "rows", "violations", "execution", "reason"]
    rows = [
        {
            "window": one["window_start"],
            "status": one["status"],
            "rows": one["row_count"],
            "violations": one["violation_count"],
            "reason": one["failure_reason"] or one["cause"],
            "execution": one["id"],
        }
        for one in found["executions"]
    ]
    yield Table(columns, rows)


def _renewed(made: Mapping[str, Any], _asked: object) -> Iterator[str]:
    version = f"baseline {made['baseline']}: version {made['version']}"
    yield f"{version} of {made['row_count']:,} captured rows"


add_operations(monitor, "monitor", {"baseline": _renewed})
