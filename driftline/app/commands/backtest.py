"""Command that says what a monitor would have done: over a captured period, or on a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from driftline.app.commands import options
from driftline.app.commands.monitor import monitor
from driftline.app.commands.operations import text_of
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, Table
from driftline.app.progress import progress
from driftline.errors import InputError
from driftline.roles import Roles

DEFAULT_WINDOW = "1d"
_ALARMS_SHOWN = 20
# What is told beside the alarms.
_TOLD = {
    "undated_count": "rows without a time",
    "insufficient_count": "windows with too few rows to judge",
    "undecidable_count": "windows of which every column varies too much to judge",
    "unjudged": "in no window judged, as they vary too much or have too few rows",
    "alarms_by_column": "alarms by column",
}


Name = Annotated[str | None, "[NAME]", "Monitor; with --data its timetable and budget count."]
Start = Annotated[str | None, "--from", "First moment that is judged, RFC 3339."]
End = Annotated[str | None, "--to", "End of the period (exclusive)."]
Data = Annotated[list[str] | None, "--data PATH", "Your own file in place of captured rows."]
BaselineFolder = Annotated[str | None, "--baseline FOLDER", "With --data: what is expected of it."]
ReferenceUntil = Annotated[str | None, "--reference-until TIME", "Or: its rows before this time."]
Length = Annotated[str | None, "--window", "Length of a window, 1h or 1d, or cron(…), rate(…)."]
Tolerance = Annotated[float | None, "--tolerance", "Of all columns, such as 0.02."]


@monitor.command("backtest")
def backtest(
    client: Client,
    name: Name = None,
    start: Start = None,
    end: End = None,
    data: Data = None,
    baseline: BaselineFolder = None,
    reference_until: ReferenceUntil = None,
    window: Length = None,
    tolerance: Tolerance = None,
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
        found = _of_file(name, data, baseline, until, span, roles, asked, client)
    elif name is None or baseline or reference_until:
        raise InputError(
            "monitor backtest: expected the name of an applied monitor with --from and --to, or "
            "--data with --timestamp and --baseline or --reference-until"
        )
    elif span[0] is None or span[1] is None:
        raise InputError(f'monitor "{name}": no --from or --to; expected the period to replay')
    else:
        found = client.backtest_monitor(name, start=span[0], end=span[1], **asked)
    alarms = any(one["alarms"] for one in found["windows"])
    is_unjudged = found["window_count"] == found["insufficient_count"] + found["undecidable_count"]
    return Answer(found, backtest_lines(found), code=1 if alarms else 3 if is_unjudged else 0)


def backtest_lines(found: Mapping[str, Any]) -> Iterator[str | Table]:
    """Write what `Backtest.as_dict` gives for people."""
    from driftline.monitors.results.violation import plural  # As heavy as a backtest.

    windows, count = found["windows"], found["window_count"]
    span = f"from {windows[0]['start'][:10]} to {windows[-1]['end'][:10]}"
    yield (
        f"{found['monitor']}{': ' * bool(found['monitor'])}{plural(count, 'window')} of "
        f"{found['window']} {span}, {plural(len(found['columns']), 'column')}, "
        f"{found['false_alarms_per_year']:g} false alarms a year accepted"
    )
    for key, told in _TOLD.items():
        if found[key]:
            yield f"{told}: {text_of(found[key])}"
    if not found["reference_dated"]:
        yield (
            "the reference has no times, so nobody knows how much its windows vary: drift may be "
            "told of what is usual; make the baseline with --timestamp"
        )
    loud = [one for one in windows if one["alarms"]]
    if loud:
        episodes = plural(found["episode_count"], "episode")
        yield f"{plural(len(loud), 'window')} would have alarmed, in {episodes}:"
        rows = [{"window": text_of(one["start"]), "cause": each["cause"]}
                for one in loud[:_ALARMS_SHOWN] for each in one["alarms"][:1]]  # fmt: skip
        yield Table(["window", "cause"], rows)
        if len(loud) > _ALARMS_SHOWN:
            yield f"… and {len(loud) - _ALARMS_SHOWN:,} more: --json"
    elif count > found["insufficient_count"] + found["undecidable_count"]:
        yield "no window would have alarmed"
    else:
        yield "no window could be judged"


def _of_file(
    name: str | None,
    data: Sequence[str],
    baseline: str | None,
    until: datetime | None,
    span: tuple[datetime | None, datetime | None],
    roles: Roles,
    asked: Mapping[str, Any],
    client: Client,
) -> Mapping[str, Any]:
    """Replay a file here, with the timetable and the budget of a declared monitor, if any."""
    # Heavy, and of no use to the other commands on monitors.
    from driftline.monitors.backtest.backtest import backtest_roles
    from driftline.monitors.backtest.options import BacktestOptions
    from driftline.monitors.backtest.spans import spans_of

    spec = {} if name is None else client.get("Monitor", name)["spec"]
    if spec.get("kind", "data-quality") != "data-quality" or spec.get("compat"):
        raise InputError(f'monitor "{name}": a backtest replays kind "data-quality" without compat')
    options.open_places(*data, baseline, config_file=client.config_file)
    window = asked["window"] or spec.get("schedule") or DEFAULT_WINDOW
    with progress("reading") as advance:
        found = backtest_roles(
            options.files_of(data, {}),
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
            monitor=name or "",
        )
    return found.as_dict()
