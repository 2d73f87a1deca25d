"""Commands that say what a monitor's finding was: expected, harmful, or the new normal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import typer

from driftline.access.principal import system_user
from driftline.app.commands import options
from driftline.app.commands.operations import lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.commands.resources import monitor
from driftline.errors import DriftlineError

Author = Annotated[
    str | None, typer.Option("--author", help="Who says so; default: your name on this computer.")
]


@monitor.command("mark")
@options.asks_server
def mark(
    client: Client,
    name: options.Monitor,
    window: Annotated[str, typer.Option("--window", help="Start of the window, as in its link.")],
    verdict: Annotated[
        Literal["expected", "harmful", "new-normal"],
        typer.Option("--as", help="What the finding is."),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who read it later.")],
    feature: Annotated[
        list[str] | None, typer.Option("--feature", help="Which; may be given again. Else all.")
    ] = None,
    check: Annotated[
        str | None, typer.Option("--check", help="Of this check only, baseline_drift_check.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Expected in later windows, too, until then.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="New normal: start of the captured time.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Its end (exclusive).")] = None,
    author: Author = None,
) -> Answer:
    """Mark what a monitor found in a window as expected, harmful, or the new normal.

    What is expected is listed and alarms no more. Harmful is a note for other people. The new
    normal makes a version of the baseline whose named features are those of captured rows: from
    the window's start to now, or --from to --to. The newest mark counts; all are kept.

    Example: driftline monitor mark flights --window 2026-11-18 --as expected --reason "sale"
    """
    first, last = options.moment(start, "--from"), options.moment(end, "--to")
    features: Sequence[str | None] = feature or [None]
    said = author or system_user()
    marked: list[Mapping[str, Any]] = []
    try:
        for each in features:
            marked.append(  # noqa: PERF401 - Known one by one, in case the next is refused.
                client.mark_monitor(
                    name,
                    window=window,
                    verdict=verdict,
                    reason=reason,
                    author=said,
                    feature=each,
                    check=check,
                    until=options.moment(until, "--until"),
                    start=first,
                    end=last,
                )
            )
    except DriftlineError:
        # All of the features or none: who reads of a refusal takes it that nothing was done.
        for done in reversed(marked):
            client.withdraw_mark(name, done["mark"]["id"], author=said)
        raise
    lines = chain.from_iterable(map(lines_of, marked))
    return Answer(marked if len(marked) > 1 else marked[0], lines)


@monitor.command("unmark")
@options.asks_server
def unmark(
    client: Client,
    name: options.Monitor,
    mark_id: Annotated[int, typer.Argument(help="Id of the mark; `monitor marks` lists them.")],
    author: Author = None,
) -> Answer:
    """Take a mark back; it stays in the list. A new normal goes out of use with it.

    Example: driftline monitor unmark flights-data-quality 3
    """
    withdrawn = client.withdraw_mark(name, mark_id, author=author or system_user())
    return Answer(withdrawn, lines_of(withdrawn))
