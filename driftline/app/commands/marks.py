"""Commands that say what a monitor's finding was: expected, harmful, or the new normal."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.resources import moment, monitor
from driftline.errors import DriftlineError, InputError

Name = Annotated[str, typer.Argument(help="Monitor; `driftline get monitor` lists them.")]
Author = Annotated[
    str | None, typer.Option("--author", help="Who says so; default: your name on this computer.")
]


@monitor.command("mark")
@options.with_server
def mark(
    name: Name,
    window: Annotated[str, typer.Option("--window", help="Start of the window, as in its link.")],
    verdict: Annotated[
        str, typer.Option("--as", help="expected, harmful or new-normal.", metavar="VERDICT")
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
    end: Annotated[str | None, typer.Option("--to", help="Its end, not in it.")] = None,
    author: Author = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Say that what a monitor found in a window was expected, harmful, or is the new normal.

    What is expected is listed and alarms no more. What is harmful must be found by a backtest. The
    new normal makes a version of the baseline whose named features are those of captured rows: from
    the window's start to now, or --from to --to. The newest mark counts; all are kept.

    Example: driftline monitor mark flights --window 2026-11-18 --as expected --reason "sale"
    """
    first, last = moment(start, "--from"), moment(end, "--to")
    if (first is None) != (last is None):
        raise InputError("only one of --from and --to is given; expected both or none")
    begin = moment(window, "--window")
    assert begin is not None
    features: Sequence[str | None] = feature or [None]
    said = author or getpass.getuser()
    found: list[dict[str, Any]] = []
    with server.connect() as client:
        try:
            for each in features:
                found.append(  # noqa: PERF401 - Known one by one, in case the next is refused.
                    client.mark_monitor(
                        name,
                        window=begin,
                        verdict=verdict,
                        reason=reason,
                        author=said,
                        feature=each,
                        check=check,
                        until=moment(until, "--until"),
                        rows=None if first is None or last is None else (first, last),
                    )
                )
        except DriftlineError:
            # All of the features or none: who reads of a refusal takes it that nothing was done.
            for done in reversed(found):
                client.withdraw_mark(name, done["mark"]["id"], author=said)
            raise
    if as_json:
        options.show_json(found if len(found) > 1 else found[0])
        return
    for one in found:
        for line in _told(one):
            typer.echo(line)


@monitor.command("marks")
@options.with_server
def marks(
    name: Name, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """List what was said of a monitor's findings, the newest first.

    Example: driftline monitor marks flights-data-quality
    """
    with server.connect() as client:
        found = client.marks(name)
    if as_json:
        options.show_json(found)
        return
    columns = ["id", "verdict", "feature", "check", "window", "until", "author", "reason"]
    options.show_table(columns, [_row(one) for one in found])


@monitor.command("unmark")
@options.with_server
def unmark(
    name: Name,
    mark_id: Annotated[int, typer.Argument(help="Id of the mark; `monitor marks` lists them.")],
    author: Author = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Take a mark back; it stays in the list. A new normal goes out of use with it.

    Example: driftline monitor unmark flights-data-quality 3
    """
    with server.connect() as client:
        found = client.withdraw_mark(name, mark_id, author=author or getpass.getuser())
    if as_json:
        options.show_json(found)
        return
    for line in _told(found):
        typer.echo(line)


def _row(mark: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the list shows of a mark."""
    verdict = f"{mark['verdict']} (withdrawn)" if mark["withdrawn_at"] else mark["verdict"]
    window, until = mark["window_start"][:16], (mark["until"] or "")[:16]
    feature = mark["feature"] or "all"
    return {**mark, "verdict": verdict, "window": window, "until": until, "feature": feature}


def _told(found: Mapping[str, Any]) -> list[str]:
    """Write what a mark did, for people."""
    mark = found["mark"]
    what = mark["feature"] or "all of the window"
    state = "withdrawn" if mark["withdrawn_at"] else "marked"
    lines = [f"mark {mark['id']}: {what} {state} as {mark['verdict']}"]
    if found["monitors"]:
        version = mark["baseline_version_before" if state == "withdrawn" else
                       "baseline_version_after"]  # fmt: skip
        names = ", ".join(found["monitors"])
        lines.append(f"baseline version {version} is used from the next window on by {names}")
    lines += [
        f"judged again: {one['window_start']}: {one['failure_reason'] or one['status']}"
        for one in found["executions"]
    ]
    return lines
