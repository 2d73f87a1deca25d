"""The command ``metric data``: metrics and expressions over them, out of a running server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.errors import InputError

_LENGTH = re.compile(r"(\d+)(m|h|d|w)(?: ago)?")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@options.with_server
def data(
    expression: Annotated[
        list[str] | None,
        typer.Argument(help='Metric math over the queries of --file, such as "m1 / m2 * 100".'),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="Queries as GetMetricData takes them, YAML or JSON."),
    ] = None,
    since: Annotated[
        str, typer.Option("--from", help="Start: a time, or how long ago, such as 3h.")
    ] = "3h",
    until: Annotated[str | None, typer.Option("--to", help="End; now when left out.")] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Ask metrics and metric math, as GetMetricData does.

    Example: driftline metric data -f queries.yaml "RATE(m1)" --from 1d
    """
    queries = _queries(file, expression or [])
    end = datetime.now(UTC) if until is None else moment(until, datetime.now(UTC), "--to")
    start = moment(since, end, "--from")
    with server.connect() as client:
        found = client.metric_data(queries, start, end, newest_first=False)
    if as_json:
        options.show_json(found)
        return
    for one in found:
        rows = [
            {"time": time, "value": value}
            for time, value in zip(one["timestamps"], one["values"], strict=True)
        ]
        options.show_table(["time", "value"], rows, title=f"{one['id']}  {one['label']}")
        if not rows:
            typer.echo("no datapoints")


def _queries(file: Path | None, expressions: list[str]) -> list[dict[str, Any]]:
    """Read the queries of the file; expressions beside them are wanted in place of them."""
    if file is None:
        raise InputError("no queries; expected --file with a list of {id, metric_stat}")
    from driftline.app.commands.resource_files import read_resources

    found = read_resources(file)
    if len(found) == 1 and "metric_data_queries" in found[0]:
        found = found[0]["metric_data_queries"]
    if expressions:
        found = [{**one, "return_data": False} for one in found]
        for one in found:
            one.pop("ReturnData", None)
    taken = {str(one.get("id", one.get("Id"))) for one in found}
    numbers = (number for number in range(1, 1000) if f"e{number}" not in taken)
    return found + [
        {"id": f"e{next(numbers)}", "expression": one, "label": one} for one in expressions
    ]


def moment(text: str, end: datetime, option: str) -> datetime:
    """Read a time, or how long before the end it was; the option is named in errors."""
    if (length := _LENGTH.fullmatch(text)) is not None:
        try:
            return end - timedelta(**{_UNITS[length[2]]: int(length[1])})
        except OverflowError:
            raise InputError(f'{option} "{text}"; expected less') from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f'{option} "{text}"; expected a time such as 2013-11-18T00:00:00Z, or 5m, 3h, 2d, 1w'
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
