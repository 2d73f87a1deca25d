"""Commands about monitors: run, list and backfill executions, mark findings, show their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of, text_of
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, Table, harmless
from driftline.app.progress import progress
from driftline.errors import InputError, NotFoundError

monitor = options.Group(help="Run monitors, see what they found, and mark it.")

_ENDINGS = {"Completed": 0, "CompletedWithViolations": 1}
EXECUTIONS_LOOKED = 1000
_NO_DATA = "--from and --to choose another window; new rows wait in the spool for up to 10 s"


def _window(one: Mapping[str, Any]) -> str:
    return f"{text_of(one['window_start'])} to {text_of(one['window_end'])}"


def _ran(found: Mapping[str, Any], _asked: object) -> Answer:
    from driftline.monitors.results.violation import plural  # Only where a window was judged.

    counts = f"{plural(found['row_count'], 'row')}, {plural(found['violation_count'], 'violation')}"
    hint = _NO_DATA if found["status"] == "NoData" else None
    parts = filter(None, (counts, found["failure_reason"], found["cause"], hint))
    line = f"{found['status']}: {_window(found)}: {'; '.join(parts)}"
    return Answer(found, [line], code=_ENDINGS.get(found["status"], 3))


@monitor.command("backfill")
def backfill(
    client: Client,
    name: options.Monitor,
    start: Annotated[str, "--from TIME", "Start of the span, RFC 3339."],
    end: Annotated[str, "--to TIME", "End of the span (exclusive)."],
    again: Annotated[
        bool, "--again", "Also windows that were run; unchanged rows stay as is."
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
    notable = [one for one in ran if one["status"] not in ("Completed", "NoData")]
    is_undecided = bool(counts) and not counts["Completed"]
    is_undecided |= bool(counts["Failed"] or counts["Stopped"])
    code = 1 if counts["CompletedWithViolations"] else 3 if is_undecided else 0
    columns = "window_start status violations=violation_count cause reason=failure_reason"
    return Answer(found, lines_of({**found, "executions": notable}, columns), code=code)


@monitor.command("rows")
def rows(
    client: Client,
    name: options.Monitor,
    output: Annotated[Path | None, "-o --output FILE", "A .csv or .parquet."] = None,
    window: Annotated[str | None, "Start of the window [the newest with any]."] = None,
    feature: Annotated[str | None, "Only rows behind its violation [behind any]."] = None,
    check: Annotated[str | None, "Of several, this one: completeness_check."] = None,
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
    if output is not None:
        count = None if found is None else violations[found]["row_count"]
        return _exported(client, execution, {"violation": found, "row_count": count}, output)
    with_rows = (at for at, one in enumerate(violations) if one["predicate"])
    place = next(with_rows, 0) if found is None else found
    one = violations[place]
    shown = client.first_rows(execution["id"], violation=place, limit=limit)
    typer.echo(
        harmless(f"{_named(one)}: {one['cause']} ({one['row_count']:,} rows; -o writes all)"),
        err=True,
    )
    value = {"execution": execution["id"], "violation": place, **shown}
    return Answer(value, [Table(shown["columns"], shown["rows"])])


def _exported(
    client: Client, execution: Mapping[str, Any], found: dict[str, int | None], output: Path
) -> Answer:
    # Heavy imports, which only an export needs.
    from driftline.monitors.root_cause.export import form_of, replace_file

    form = form_of(str(output))
    done = 0
    with progress("exporting", unit="bytes") as advance:

        def pieces() -> Iterator[bytes]:
            nonlocal done
            for piece in client.violation_rows(execution["id"], found["violation"], form=form):
                done += len(piece)
                advance(done, None)
                yield piece

        replace_file(output, pieces())
    value = {
        "execution": execution["id"],
        "window_start": execution["window_start"],
        **found,
        "file": str(output),
        "bytes": done,
    }
    return Answer(value, [f"{output}: {done:,} bytes, {_window(execution)}"])


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


def _named(one: Mapping[str, Any]) -> str:
    return f"{one['feature_name']} ({one['constraint_check_type']})"


add_operations(monitor, "monitor", {"run": _ran})
