"""Commands about the executions of a monitor: run it, list, follow and cancel them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table, harmless
from driftline.app.commands.resources import monitor
from driftline.app.progress import progress

POLL_S = 1.0
_COLUMNS = (
    "window=window_start status rows=row_count violations=violation_count execution=id reason"
)


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
    options.say_cut(found, limit)
    if with_log:
        lines = client.execution_log(found[0]["id"]) if found else []
        of = [f"execution {one['id']}, {_window(one)}" for one in found[:1]]
        return Answer(lines, [*of, *(f"{one['at'][:19]} {one['text']}" for one in lines)])
    begun = client.progress(name)
    value = {"in_progress": begun["items"], "pending": begun["pending"], "executions": found}
    return Answer(value, _listed(value))


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
    items = [
        {**one, "reason": one["failure_reason"] or one["cause"]} for one in found["executions"]
    ]
    yield from lines_of(items, _COLUMNS)


def _ran(execution: Mapping[str, Any], _asked: object) -> Answer:
    status = execution["status"]
    code = {"Completed": 0, "CompletedWithViolations": 1}.get(status, 3)
    return Answer(execution, [f"{status}: {_outcome(execution)}"], code=code)


def _outcome(execution: Mapping[str, Any]) -> str:
    from driftline.monitors.results.violation import plural  # Only where a window was judged.

    window = _window(execution)
    if execution["failure_reason"]:
        waiting = "; new rows wait in the spool for up to 10 s" * (execution["status"] == "NoData")
        return f"{execution['failure_reason']} ({window}; --from and --to choose another{waiting})"
    count = execution["violation_count"]
    if execution["status"] == "InsufficientData":
        reason = execution["cause"] or f"{execution['row_count']:,} rows; nothing could be judged"
        return f"{reason} ({window})"
    found = f"{plural(execution['row_count'], 'row')}, {plural(count, 'violation')}"
    return f"{found} ({window})" + (f"; {execution['cause']}" if execution["cause"] else "")


def _cancelled(done: Sequence[Mapping[str, Any]], _asked: object) -> Iterator[str]:
    yield from (f"{one['status']}: {_window(one)}" for one in done)


def _renewed(made: Mapping[str, Any], _asked: object) -> Iterator[str]:
    version = f"baseline {made['baseline']}: version {made['version']}"
    yield f"{version} of {made['row_count']:,} captured rows"


add_operations(
    monitor,
    "monitor",
    {"run": _ran, "cancel": _cancelled, "baseline": _renewed},
)
