"""Commands about monitors: run, list and backfill executions, mark findings, show their rows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from driftline.access.principal import system_user
from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of, text_of
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, Table, harmless
from driftline.app.progress import progress
from driftline.errors import InputError, NotFoundError

monitor = options.Group(help="Run monitors, see what they found, and mark it.")

POLL_S = 1.0
_ENDINGS = {"Completed": 0, "CompletedWithViolations": 1}
EXECUTIONS_LOOKED = 1000
_COLUMNS = (
    "window=window_start status rows=row_count violations=violation_count execution=id reason"
)

Author = Annotated[
    str | None, typer.Option("--author", help="Who says so; default: your name on this computer.")
]


@monitor.command("executions")
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
        return Answer(lines, [*of, *(f"{text_of(one['at'])} {one['text']}" for one in lines)])
    begun = client.progress(name)
    value = {"in_progress": begun["items"], "pending": begun["pending"], "executions": found}
    return Answer(value, _listed(value))


def _window(one: Mapping[str, Any]) -> str:
    return f"{text_of(one['window_start'])} to {text_of(one['window_end'])}"


def _follow(client: Client, name: str) -> None:
    """Show the log of what is being judged as it grows, until nothing is."""
    shown: set[str] = set()
    with progress(name) as advance:
        while begun := client.progress(name)["items"]:
            for one in begun:
                for line in one["log"]:
                    text = harmless(f"{_window(one)}: {text_of(line['at'])} {line['text']}")
                    if text not in shown:
                        typer.echo(text, err=True)
                    shown.add(text)
            advance(sum(one["rows_read"] for one in begun), None)
            time.sleep(POLL_S)


def _listed(found: Mapping[str, Any]) -> Iterator[str | Table]:
    for one in found["in_progress"]:
        yield (
            f"{one['status']}: {_window(one)}, {one['stage']}, "
            f"{one['rows_read']:,} rows read since {text_of(one['started_at'])}"
        )
    for one in found["pending"]:
        behind = f", waits for {one['waits_for']}" if one["waits_for"] else ""
        yield f"Pending: {text_of(one['start'])} to {text_of(one['end'])}{behind}"
    yield from lines_of([_with_reason(one) for one in found["executions"]], _COLUMNS)


def _with_reason(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "reason": one["failure_reason"] or one["cause"]}


def _ran(execution: Mapping[str, Any], _asked: object) -> Answer:
    from driftline.monitors.results.violation import plural  # Only where a window was judged.

    status, reason = execution["status"], execution["failure_reason"] or execution["cause"]
    counts = f"{plural(execution['row_count'], 'row')}, "
    counts += plural(execution["violation_count"], "violation")
    parts = [counts, reason] if status in _ENDINGS else [reason or counts]
    line = f"{status}: {_window(execution)}: {'; '.join(filter(None, parts))}"
    if status == "NoData":
        line += "; --from and --to choose another window; new rows wait in the spool for up to 10 s"
    return Answer(execution, [line], code=_ENDINGS.get(status, 3))


@monitor.command("backfill")
def backfill(
    client: Client,
    name: options.Monitor,
    start: Annotated[str, typer.Option("--from", help="Start of the span, RFC 3339.")],
    end: Annotated[str, typer.Option("--to", help="End of the span (exclusive).")],
    again: Annotated[
        bool, typer.Option("--again", help="Also windows that were run; unchanged rows stay as is.")
    ] = False,
) -> Answer:
    """Run the windows of a past span that were not run on the current definition and baseline.

    Oldest first, and only those that the schedule has passed. Stop it and start it again as you
    like. Alarms page for none of these windows (docs/monitors.md). Ends with 1 when a window has
    violations, else with 3 when one failed or none could be judged.

    Example: driftline monitor backfill flights-data-quality --from 2026-10-01 --to 2026-11-01
    """
    since: datetime | None = moment(start, "--from")
    last = moment(end, "--to")
    ran: list[Mapping[str, Any]] = []
    before: int | None = None
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
    notable = [_with_reason(one) for one in ran if one["status"] not in ("Completed", "NoData")]
    is_undecided = bool(counts) and not counts["Completed"]
    is_undecided |= bool(counts["Failed"] or counts["Stopped"])
    code = 1 if counts["CompletedWithViolations"] else 3 if is_undecided else 0
    return Answer(found, lines_of({**found, "executions": notable}, _COLUMNS), code=code)


@monitor.command("mark")
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
        str | None, typer.Option("--feature", help="Of which column; else of all.")
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
    normal makes a version of the baseline whose named feature is that of captured rows: from
    the window's start to now, or --from to --to. The newest mark counts; all are kept.

    Example: driftline monitor mark flights --window 2026-11-18 --as expected --reason "sale"
    """
    marked = client.mark_monitor(
        name,
        window=window,
        verdict=verdict,
        reason=reason,
        author=author or system_user(),
        feature=feature,
        check=check,
        until=moment(until, "--until"),
        start=moment(start, "--from"),
        end=moment(end, "--to"),
    )
    return Answer(marked, lines_of(marked))


@monitor.command("unmark")
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


@monitor.command("rows")
def rows(
    client: Client,
    name: options.Monitor,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A .csv or .parquet.")
    ] = None,
    window: Annotated[
        str | None, typer.Option("--window", help="Start of the window [the newest with any].")
    ] = None,
    feature: Annotated[
        str | None, typer.Option("--feature", help="Only rows behind its violation [behind any].")
    ] = None,
    check: Annotated[
        str | None, typer.Option("--check", help="Of several, this one: completeness_check.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="Rows shown without -o.")
    ] = 20,
) -> Answer:
    """Show the rows behind a violation, or write all of them, and no others, to a file.

    What was marked as expected has its rows, too: named, or where nothing else was found. In the
    file each row has its event id, its time, its share of the blame (they sum to 1), its label
    where that is known, and all columns of the endpoint.

    Example: driftline monitor rows flights-data-quality --feature temp -o bad.parquet
    """
    execution = _execution(client, name, moment(window, "--window"))
    report = client.report(execution["id"])
    # In the order of the API's places: what alarms, then what somebody expected.
    violations = [*report["violations"], *report.get("expected_violations", [])]
    if not violations:
        raise NotFoundError(f'monitor "{name}": nothing is violated in {_window(execution)}')
    found = find_violation(violations, feature, check)
    if output is None:
        with_rows = (at for at, one in enumerate(violations) if one["predicate"])
        place = next(with_rows, 0) if found is None else found
        shown = client.first_rows(execution["id"], violation=place, limit=limit)
        value = {"execution": execution["id"], "violation": place, **shown}
        return Answer(value, _rows_shown(violations[place], shown))
    # Heavy imports, which only an export needs.
    from driftline.monitors.root_cause.export import form_of, replace_file

    form = form_of(str(output))
    done = 0
    with progress("exporting", unit="bytes") as advance:

        def pieces() -> Iterator[bytes]:
            nonlocal done
            for piece in client.violation_rows(execution["id"], found, form=form):
                done += len(piece)
                advance(done, None)
                yield piece

        replace_file(output, pieces())
    value = {
        "execution": execution["id"],
        "window_start": execution["window_start"],
        "violation": found,
        "row_count": None if found is None else violations[found]["row_count"],
        "file": str(output),
        "bytes": done,
    }
    which = "all violations" if found is None else _named(violations[found])
    return Answer(value, [f"{output}: {done:,} bytes, {which}, {_window(execution)}"])


def find_violation(
    violations: Sequence[Mapping[str, Any]], feature: str | None, check: str | None
) -> int | None:
    """Return the place of the violation that is named; None where none is."""
    if feature is None and check is None:
        return None
    for index, one in enumerate(violations):
        is_named = feature in (None, one["feature_name"])
        if is_named and check in (None, one["constraint_check_type"]) and one["predicate"]:
            return index
    known = ", ".join(_named(one) for one in violations if one["predicate"])
    asked = f"--feature {feature or 'any'} --check {check or 'any'}"
    raise InputError(f"{asked}: no rows are behind it; expected one of: {known or 'none at all'}")


def _execution(client: Client, name: str, start: datetime | None) -> Mapping[str, Any]:
    """Choose the execution: of the window that is named, or the newest that found anything."""
    listed = [one for one in client.executions(name, limit=EXECUTIONS_LOOKED) if one["is_current"]]
    for one in listed:
        begins = datetime.fromisoformat(one["window_start"])
        if one["violation_count"] if start is None else begins == start:
            return one
    asked = "with violations yet" if start is None else f"that begins {start.isoformat()}"
    newest = f"; the newest begins {listed[0]['window_start']}" if listed else ""
    raise NotFoundError(f'monitor "{name}": no window {asked}{newest}')


def _rows_shown(violation: Mapping[str, Any], shown: Mapping[str, Any]) -> Iterator[Table]:
    about = f"{_named(violation)}: {violation['cause']} ({violation['row_count']:,} rows)"
    typer.echo(harmless(about), err=True)
    if len(shown["rows"]) < violation["row_count"]:
        typer.echo(f"the first {len(shown['rows'])}; --limit or -o gives more", err=True)
    yield Table(shown["columns"], shown["rows"])


def _named(one: Mapping[str, Any]) -> str:
    return f"{one['feature_name']} ({one['constraint_check_type']})"


def _renewed(made: Mapping[str, Any], _asked: object) -> Iterator[str]:
    version = f"baseline {made['baseline']}: version {made['version']}"
    yield f"{version} of {made['row_count']:,} captured rows"


add_operations(
    monitor,
    "monitor",
    {
        "run": _ran,
        "cancel": lambda done, _: [f"{one['status']}: {_window(one)}" for one in done],
        "baseline": _renewed,
    },
)
