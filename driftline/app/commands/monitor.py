"""Commands about monitors: run, backfill and backtest them, mark findings, show their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of, text_of
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, Table, harmless
from driftline.app.progress import progress
from driftline.errors import InputError, NotFoundError
from driftline.roles import Roles

monitor = options.Group(help="Run monitors, see what they found, and mark it.")

_ENDINGS = {"Completed": 0, "CompletedWithViolations": 1}
_EXECUTIONS_LOOKED = 1000
_NO_DATA = "--from and --to choose another window; new rows wait in the spool for up to 10 s"
_ALARMS_SHOWN = 20
# What a backtest tells beside the alarms.
_TOLD = {
    "undated_count": "rows without a time",
    "insufficient_count": "windows with too few rows to judge",
    "undecidable_count": "windows of which every column varies too much to judge",
    "unjudged": "in no window judged, as they vary too much or have too few rows",
    "alarms_by_column": "alarms by column",
}


def _ran(found: Mapping[str, Any], _asked: object) -> Answer:
    hint = _NO_DATA if found["status"] == "NoData" else None
    parts = filter(None, (found["headline"], found["failure_reason"], found["cause"], hint))
    window = f"{text_of(found['window_start'])} to {text_of(found['window_end'])}"
    line = f"{found['status']}: {window}: {'; '.join(parts)}"
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
    like. Alarms page for none of these windows (docs/schedules.md). Ends with 1 when a window has
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
    quiet = ("Completed", "NoData")
    notable = [one for one in ran if one["status"] not in quiet or one["unjudged_count"]]
    is_undecided = bool(counts) and not counts["Completed"]
    is_undecided |= bool(counts["Failed"] or counts["Stopped"])
    code = 1 if counts["CompletedWithViolations"] else 3 if is_undecided else 0
    columns = "window_start status headline cause reason=failure_reason"
    return Answer(found, lines_of({**found, "executions": notable}, columns), code=code)


@monitor.command("rows")
def rows(
    client: Client,
    name: options.Monitor,
    window: Annotated[str | None, "Start of the window [the newest with any]."] = None,
    feature: Annotated[str | None, "Only rows behind its violation [behind the first]."] = None,
    limit: options.Limit = 20,
) -> Answer:
    """Show the first rows behind a violation; the dashboard exports all of them.

    Example: driftline monitor rows flights-data-quality --feature temp
    """
    start = moment(window, "--window")
    for execution in client.executions(name, limit=_EXECUTIONS_LOOKED):
        begins = datetime.fromisoformat(execution["window_start"])
        is_asked = execution["violation_count"] if start is None else begins == start
        if not execution["is_current"] or not is_asked:
            continue
        report = client.report(execution["id"])
        # In the order of the API's places: what alarms, then what somebody expected.
        violations = [*report["violations"], *report.get("expected_violations", [])]
        for place, one in enumerate(violations):
            if one["predicate"] and feature in (None, one["feature_name"]):
                shown = client.first_rows(execution["id"], violation=place, limit=limit)
                about = f"{one['feature_name']}: {one['cause']} ({one['row_count']:,} rows)"
                typer.echo(harmless(about), err=True)
                value = {"execution": execution["id"], "violation": place, **shown}
                return Answer(value, [Table(shown["columns"], shown["rows"])])
        break
    asked = f" of {feature}" * bool(feature) + f" in {window}" * bool(window)
    raise NotFoundError(f'monitor "{name}": no violation{asked} with rows')


@monitor.command("backtest")
def backtest(
    client: Client,
    name: Annotated[str | None, "[NAME]", "Monitor, whose captured rows are replayed."] = None,
    start: Annotated[str | None, "--from", "First moment that is judged, RFC 3339."] = None,
    end: Annotated[str | None, "--to", "End of the period (exclusive)."] = None,
    data: Annotated[list[str] | None, "--data PATH", "Instead: a file of your own."] = None,
    baseline: Annotated[
        str | None, "--baseline FOLDER", "With --data: what is expected of it."
    ] = None,
    reference_until: Annotated[
        str | None, "--reference-until TIME", "Or: its rows before this time."
    ] = None,
    window: Annotated[
        str | None, "--window", "Length of a window, 1h or 1d, or cron(…), rate(…)."
    ] = None,
    kind: Annotated[str | None, "--kind", "With --data: of the monitor."] = None,
    *,
    roles: Roles,
) -> Answer:
    """Show what a monitor would have done, window by window; nothing is recorded.

    All of the kind's own checks are replayed; declared rules are not. NAME replays captured rows of
    --from to --to by the server. With --data a file of your own is replayed here: --timestamp names
    its times, --baseline or --reference-until what is expected.
    Ends with 1 when a window would have alarmed, with 3 when none could be judged.

    Example: driftline monitor backtest --data flights.parquet --timestamp time --reference-until
    2013-03-01
    """
    since, until = moment(start, "--from"), moment(end, "--to")
    if data and name is None:
        # Heavy, and of no use to the other commands on monitors.
        from driftline.monitors.backtest.backtest import (
            BacktestOptions,
            backtest_roles,
            schedule_of,
        )

        options.open_places(*data, baseline, config_file=client.config_file)
        with progress("reading") as advance:
            found: Mapping[str, Any] = backtest_roles(
                options.files_of(data, {}),
                baseline,
                roles,
                reference_until=moment(reference_until, "--reference-until"),
                schedule=schedule_of(window or "1d"),
                kind=kind,
                options=BacktestOptions(since, until, progress=advance),
            ).as_dict()
    elif name is None or data or baseline or reference_until or since is None or until is None:
        raise InputError(
            "monitor backtest: expected the name of an applied monitor with --from and --to, or "
            "--data with --timestamp and --baseline or --reference-until"
        )
    else:
        found = client.backtest_monitor(name, start=since, end=until, window=window)
    alarms = any(one["alarms"] for one in found["windows"])
    is_unjudged = found["window_count"] == found["insufficient_count"] + found["undecidable_count"]
    code = 1 if alarms else 3 if is_unjudged else 0
    return Answer(found, _backtested(found, is_unjudged=is_unjudged), code=code)


def _backtested(found: Mapping[str, Any], *, is_unjudged: bool) -> Iterator[str | Table]:
    windows = found["windows"]
    yield (
        f"{found['window_count']:,} windows of {found['window']} from "
        f"{windows[0]['start'][:10]} to {windows[-1]['end'][:10]}, kind {found['kind']}, "
        f"{found['false_alarms_per_year']:g} false alarms a year accepted"
    )
    yield from lines_of({told: found[key] for key, told in _TOLD.items() if found[key]})
    if not found["reference_dated"]:
        yield (
            "the reference has no times, so nobody knows how much its windows vary: drift may be "
            "told of what is usual; make the baseline with --timestamp"
        )
    loud = [one for one in windows if one["alarms"]]
    if loud:
        yield f"{len(loud):,} windows would have alarmed, in {found['episode_count']:,} episodes"
        yield from lines_of([
            {"window": one["start"], "cause": one["alarms"][0]["cause"]}
            for one in loud[:_ALARMS_SHOWN]
        ])  # fmt: skip
        if len(loud) > _ALARMS_SHOWN:
            yield f"… and {len(loud) - _ALARMS_SHOWN:,} more: --json"
    else:
        yield "no window could be judged" if is_unjudged else "no window would have alarmed"


add_operations(monitor, "monitor", {"run": _ran})
