"""Command that says what a monitor would have done: over a captured period, or on a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.options import moment
from driftline.app.commands.output import Answer
from driftline.app.commands.resources import monitor
from driftline.app.progress import progress
from driftline.errors import InputError
from driftline.roles import Roles

RESOURCE_FILES = (".yaml", ".yml", ".json")
DEFAULT_WINDOW = "1d"


Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME|FILE.yaml]", help="Monitor, or a file that declares one."),
]
Start = Annotated[str | None, typer.Option("--from", help="First moment that is judged, RFC 3339.")]
End = Annotated[str | None, typer.Option("--to", help="End of the period (exclusive).")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="PATH", help="Your own file in place of captured rows."),
]
BaselineFolder = Annotated[
    str | None,
    typer.Option("--baseline", metavar="FOLDER", help="With --data: what is expected of it."),
]
ReferenceUntil = Annotated[
    str | None,
    typer.Option("--reference-until", metavar="TIME", help="Or: its rows before this time."),
]
Length = Annotated[
    str | None, typer.Option("--window", help="Length of a window, 1h or 1d, or cron(…), rate(…).")
]
Tolerance = Annotated[
    float | None, typer.Option("--tolerance", help="Of all columns, such as 0.02.")
]


@monitor.command("backtest")
@options.with_roles
@options.with_server
@options.answers
def backtest(
    name: Name = None,
    start: Start = None,
    end: End = None,
    data: Data = None,
    baseline: BaselineFolder = None,
    reference_until: ReferenceUntil = None,
    window: Length = None,
    tolerance: Tolerance = None,
    server: options.Server = options.DEFAULT,
    *,
    roles: Roles,
) -> Answer:
    """Show what a monitor would have done, window by window; nothing is recorded.

    Drift is replayed by the monitor's own rule; checks of types and declared rules are not. NAME
    alone replays captured rows of --from to --to by the server. With --data a file of your own is
    replayed here: --timestamp names its times, --baseline or --reference-until what is expected.
    Ends with 1 when a window would have alarmed, with 3 when none could be judged.

    Example: driftline monitor backtest --data flights.parquet --timestamp time --reference-until
    2013-03-01
    """
    span = moment(start, "--from"), moment(end, "--to")
    asked: dict[str, Any] = {"window": window, "tolerance": tolerance}
    if data:
        until = moment(reference_until, "--reference-until")
        found = _of_file(name, data, baseline, until, span, roles, asked, server)
    else:
        found = _of_captured(name, span, baseline or reference_until, asked, server)
    alarms = any(one["alarms"] for one in found["windows"])
    is_unjudged = found["window_count"] == found["insufficient_count"] + found["undecidable_count"]
    return Answer(found, _lines(found), code=1 if alarms else 3 if is_unjudged else 0)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    # As heavy as the words of violations, which other commands do without.
    from driftline.app.commands.backtest_text import told

    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    yield from told(found, plain=plain)


def _of_captured(
    name: str | None,
    span: tuple[datetime | None, datetime | None],
    stray: str | None,
    asked: Mapping[str, Any],
    server: options.Server,
) -> Mapping[str, Any]:
    """Have the server replay captured rows."""
    if name is None or _is_file(name):
        raise InputError(
            "monitor backtest: no data; expected the name of an applied monitor with --from and "
            "--to, or --data with --timestamp"
        )
    if stray is not None:
        raise InputError(
            f'monitor "{name}": --baseline and --reference-until are for --data; a captured period '
            "is judged against the monitor's own baseline"
        )
    start, end = span
    if start is None or end is None:
        raise InputError(f'monitor "{name}": no --from or --to; expected the period to replay')
    with server.connect() as client:
        return client.backtest_monitor(name, start=start, end=end, **asked)


def _of_file(
    name: str | None,
    data: Sequence[str],
    baseline: str | None,
    until: datetime | None,
    span: tuple[datetime | None, datetime | None],
    roles: Roles,
    asked: Mapping[str, Any],
    server: options.Server,
) -> Mapping[str, Any]:
    """Replay a file here, with the timetable and the budget of a declared monitor, if any."""
    # Heavy, and of no use to the other commands on monitors.
    from driftline.monitors.backtest.backtest import backtest_roles
    from driftline.monitors.backtest.options import BacktestOptions
    from driftline.monitors.backtest.spans import spans_of

    spec = {} if name is None else _spec(name, server)
    if spec.get("kind", "data-quality") != "data-quality" or spec.get("compat"):
        kind = "compat" if spec.get("compat") else f'kind "{spec["kind"]}"'
        raise InputError(
            f'monitor "{spec["name"]}": {kind}; a backtest replays "data-quality" without compat'
        )
    options.open_places(*data, *([baseline] if baseline else []), config_file=server.config_file)
    window = asked["window"] or spec.get("schedule") or DEFAULT_WINDOW
    with progress("reading") as advance:
        found = backtest_roles(
            list(data) if len(data) > 1 else data[0],
            baseline,
            roles,
            reference_until=until,
            spans=spans_of(window, spec.get("time_zone") or "UTC"),
            false_alarms_per_year=spec.get("false_alarms_per_year", 1.0),
            options=BacktestOptions(
                start=span[0],
                end=span[1],
                tolerance=asked["tolerance"],
                progress=advance,
            ),
            monitor=spec.get("name", ""),
        )
    return found.as_dict()


def _is_file(name: str) -> bool:
    return name.lower().endswith(RESOURCE_FILES)


def _spec(name: str, server: options.Server) -> dict[str, Any]:
    """Return timetable and budget of a monitor: of a file's only one, or of an applied one."""
    if not _is_file(name):
        with server.connect() as client:
            found = client.get("Monitor", name)
        return {**found["spec"], "name": name}
    from driftline.app.commands.resource_files import read_resources

    monitors = [one for one in read_resources(Path(name)) if one.get("kind") == "Monitor"]
    if len(monitors) != 1:
        raise InputError(f"{name}: {len(monitors)} resources of kind Monitor; expected one")
    # Heavy; what a file says is checked here as the server would check it.
    from driftline.serving.resources.resources import parse_resources

    (resource,) = parse_resources(monitors)
    return {**resource.spec.model_dump(), "name": resource.name}
