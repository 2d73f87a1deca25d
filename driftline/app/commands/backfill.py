"""Command that runs a monitor on the windows of a past span, as far as they were not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import lines_of
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer
from driftline.app.commands.resources import monitor
from driftline.app.progress import progress
from driftline.errors import InputError

Start = Annotated[str, typer.Option("--from", help="Start of the span, RFC 3339.")]
End = Annotated[str, typer.Option("--to", help="End of the span (exclusive).")]
_COLUMNS = "window=window_start status violations=violation_count failure=failure_reason cause"
Again = Annotated[
    bool, typer.Option("--again", help="Also windows that were run; unchanged rows stay as is.")
]


@monitor.command("backfill")
@options.asks_server
def backfill(
    client: Client, name: options.Monitor, start: Start, end: End, again: Again = False
) -> Answer:
    """Run the windows of a past span that were not run on the current definition and baseline.

    Oldest first, and only those that the schedule has passed. Stop it and start it again as you
    like. Alarms page for none of these windows (docs/monitors.md). Ends with 1 when a window has
    violations, else with 3 when one failed or none could be judged.

    Example: driftline monitor backfill flights-data-quality --from 2026-10-01 --to 2026-11-01
    """
    first, last = moment(start, "--from"), moment(end, "--to")
    if first is None or last is None:
        raise InputError(f'monitor "{name}": empty --from or --to; expected two times')
    ran: list[Mapping[str, Any]] = []
    before: int | None = None
    since: datetime | None = first
    with progress("backfilling", unit="windows") as advance:
        while since is not None:
            answer = client.backfill_monitor(name, start=since, end=last, again=again)
            before = answer["already_run"] if before is None else before
            since = answer["next"]
            ran += answer["items"]
            advance(len(ran), len(ran) + answer["left"])
    counts = Counter(str(one["status"]) for one in ran)
    found = {
        "monitor": name,
        "windows": len(ran),
        "by_status": dict(counts),
        "already_run": before,
        "left_to_schedule": answer["left_to_schedule"],
        "executions": ran,
    }
    notable = [one for one in ran if one["status"] not in ("Completed", "NoData")]
    shown = lines_of({**found, "executions": notable}, _COLUMNS)
    return Answer(found, shown, code=_code(counts))


def _code(counts: Mapping[str, int]) -> int:
    if counts.get("CompletedWithViolations"):
        return 1
    is_undecided = bool(counts) and not counts.get("Completed")
    return 3 if is_undecided or counts.get("Failed") or counts.get("Stopped") else 0
