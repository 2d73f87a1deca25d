"""Command that shows or exports the rows behind what a monitor found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table, harmless
from driftline.app.commands.resources import monitor
from driftline.app.progress import progress
from driftline.errors import InputError, NotFoundError

EXECUTIONS_LOOKED = 1000


@monitor.command("rows")
@options.asks_server
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
    execution = _execution(client, name, options.moment(window, "--window"))
    report = client.report(execution["id"])
    # In the order of the API's places: what alarms, then what somebody expected.
    violations = [*report["violations"], *report.get("expected_violations", [])]
    if not violations:
        raise NotFoundError(f'monitor "{name}": nothing is violated in {_window(execution)}')
    found = find_violation(violations, feature, check)
    if output is None:
        return _first_rows(client, execution, violations, found, limit)
    # Heavy imports, which only an export needs.
    from driftline.monitors.root_cause.export import form_of, replace_file

    form = form_of(str(output))
    with progress("exporting", unit="bytes") as advance:
        done = 0

        def pieces() -> Any:  # noqa: ANN401 - an iterator of bytes
            nonlocal done
            for piece in client.violation_rows(execution["id"], found, form=form):
                done += len(piece)
                advance(done, None)
                yield piece

        replace_file(output, pieces())
    counted = None if found is None else violations[found]["row_count"]
    told = {
        "execution": execution["id"],
        "window_start": execution["window_start"],
        "violation": found,
        "row_count": counted,
        "file": str(output),
        "bytes": done,
    }
    which = "all violations" if found is None else f"{counted:,} rows: {_named(violations[found])}"
    line = f"{output}: {done:,} bytes, {which} (window {execution['window_start']})"
    return Answer(told, [line])


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
    known = ", ".join(f"{one['feature_name']} ({one['constraint_check_type']})"
                      for one in violations if one["predicate"])  # fmt: skip
    asked = " ".join(
        f'{option} "{value}"'
        for option, value in (("--feature", feature), ("--check", check))
        if value is not None
    )
    raise InputError(f"{asked}: no rows are behind it; expected one of: {known or 'none at all'}")


def _execution(client: Client, name: str, start: datetime | None) -> Mapping[str, Any]:
    """Choose the execution: of the window that is named, or the newest that found anything."""
    listed = [one for one in client.executions(name, limit=EXECUTIONS_LOOKED) if one["is_current"]]
    for one in listed:
        if start is None and one["violation_count"]:
            return one
        if start is not None and datetime.fromisoformat(one["window_start"]) == start:
            return one
    if start is None:
        raise NotFoundError(f'monitor "{name}": no window with violations yet')
    newest = f"; the newest begins {listed[0]['window_start']}" if listed else ""
    raise NotFoundError(f'monitor "{name}": no window that begins {start.isoformat()}{newest}')


def _window(execution: Mapping[str, Any]) -> str:
    return f"the window from {execution['window_start']} to {execution['window_end']}"


def _first_rows(
    client: Client,
    execution: Mapping[str, Any],
    violations: Sequence[Mapping[str, Any]],
    found: int | None,
    limit: int,
) -> Answer:
    place = found
    if place is None:
        place = next((at for at, one in enumerate(violations) if one["predicate"]), 0)
    shown = client.first_rows(execution["id"], violation=place, limit=limit)
    value = {"execution": execution["id"], "violation": place, **shown}
    return Answer(value, _rows_shown(violations[place], shown))


def _rows_shown(violation: Mapping[str, Any], shown: Mapping[str, Any]) -> Iterator[Table]:
    about = f"{violation['feature_name']}: {violation['cause']} ({violation['row_count']:,} rows)"
    typer.echo(harmless(about), err=True)
    if len(shown["rows"]) < violation["row_count"]:
        typer.echo(f"the first {len(shown['rows'])}; --limit or -o gives more", err=True)
    yield Table(shown["columns"], shown["rows"])


def _named(one: Mapping[str, Any]) -> str:
    return f"{one['feature_name']}, {one['constraint_check_type']}"
