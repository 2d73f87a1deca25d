"""Commands that count what was captured, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.sizes import bytes_text
from driftline.storage import use_options

if TYPE_CHECKING:
    from driftline.capture.audit.audit import Audit

capture = typer.Typer(help="Look at what was captured.", no_args_is_help=True)

_COLUMNS = (
    "endpoint",
    "declared",
    "typed",
    "requests",
    "rows",
    "failed",
    "unparsed",
    "decoder_faults",
    "cut",
    "dropped",
    "coverage",
)
_SHOWN_GAPS = 10
_SHOWN_RUNS = 3


@capture.command("stats")
@options.asks_server
def stats(
    client: Client,
    endpoint: Annotated[
        str | None, typer.Argument(help="Endpoint; all that were captured when left out.")
    ] = None,
) -> Answer:
    """Count what was captured: requests, rows, drops by reason, lag, growth.

    An endpoint that apps capture but nobody declared is listed, too; its bodies are kept raw.
    Coverage is stored / (stored + dropped); requests that were cut, or that a fault of the decoder
    kept from becoming rows, count as not covered. What taps have seen is counted on the server's
    host.

    Example: driftline capture stats flights
    """
    if endpoint is not None:
        stats = client.capture_stats(endpoint)
        return Answer(stats, [f"{name:<14}{value}".rstrip() for name, value in _lines(stats)])
    captured = client.captures()
    table = Table(_COLUMNS, [{**one, "coverage": _share(one["coverage"])} for one in captured])
    spool = [f"spool: {_spool(captured[0]['spool'])}"] if captured else []
    return Answer(captured, [table, *spool])


@capture.command("audit")
@options.answers
def make_audit(
    config_file: options.SettingsFile = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look at each number, and say which are missing.")
    ] = False,
) -> Answer:
    """Check that every number a spool has given is stored once, or counted as lost.

    Reads the storage root of the settings; needs no server. Exit code 0: it adds up; 1: records are
    missing or doubled, or a file is gone; 3: it could not be decided; 4: the storage is not
    available.

    Example: driftline capture audit --full
    """
    # Imported here: the other commands on captured rows ask a server.
    from driftline.capture.audit.audit import audit
    from driftline.capture.audit.note import document_of, note_audit

    settings = options.load_process_settings(config_file)
    use_options(settings.storage.options)
    spool_dir = settings.spool_dir if settings.transport == "local" else None
    found = audit(settings.root, now=lambda: datetime.now(UTC), spool_dir=spool_dir, full=full)
    note_audit(settings.root, found)
    return Answer(document_of(found), _audit_lines(found), code=0 if found.adds_up else 1)


def _decoded(found: Mapping[str, Any], _asked: object) -> Sequence[str]:
    line = (
        f"{found['endpoint']}: {_number(found['decoded'])} requests decoded "
        f"({_number(found['rows'])} rows); {_number(found['left'])} cannot be read"
    )
    return [line]


def _lines(found: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Write the counts of one endpoint, each a name and a line."""
    kind = "typed" if found["typed"] else "bodies kept raw"
    declared = "declared" if found["declared"] else "not declared"
    lines = [
        ("endpoint", f"{found['endpoint']} ({declared}, {kind})"),
        ("seen", f"{_number(found['seen'])} requests by taps of the server's host"),
        ("sampled", f"{_number(found['sampled'])} of them"),
        *(("" if place else "paths", path) for place, path in enumerate(found["paths"])),
        ("stored", f"{_number(found['requests'])} requests, {_number(found['rows'])} rows"),
        *(
            [("", f"{_number(shadows)} answers of a shadow besides")]
            if (shadows := found["shadows"])
            else []
        ),
        ("failed", f"{_number(found['failed'])} answered with 400 or more"),
        ("unparsed", _by_reason(found["unparsed"], found["unparsed_by_reason"])),
        *(
            [("", f"{_number(cut)} of them cut: raise [capture] max_body_bytes")]
            if (cut := found["cut"])
            else []
        ),
        *(
            [("", f"{_number(faults)} by faults of the decoder: please report them")]
            if (faults := found["decoder_faults"])
            else []
        ),
        ("dropped", _by_reason(found["dropped"], found["dropped_by_reason"])),
        (
            "coverage",
            f"{_share(found['coverage'])}, last 24 h {_share(found['last_24_h']['coverage'])}",
        ),
    ]
    if found["uncounted_gaps"]:
        lines.append(("", f"and gaps of unknown size: {found['uncounted_gaps']}"))
    for gap in found["gaps"][-_SHOWN_GAPS:]:
        count = "?" if gap["records"] is None else _number(gap["records"])
        when = "at an unknown time" if gap["last_time"] is None else _time(gap["last_time"])
        lines.append(("gap", f"{when:<20} {gap['reason']:<12} {count}"))
    if len(found["gaps"]) > _SHOWN_GAPS:
        lines.append(("", f"the last {_SHOWN_GAPS} of {len(found['gaps'])} gaps; --json has all"))
    lines += [
        ("event times", f"{_time(found['oldest'])} to {_time(found['newest'])}"),
        *_odd_times(found["event_times"]),
        (
            "last commit",
            f"{_time(found['last_commit'])}, newest arrival {_time(found['last_arrival'])}",
        ),
        ("spool", _spool(found["spool"])),
        ("table", f"{bytes_text(found['size_bytes'])} in {_number(found['files'])} files"),
    ]
    if found.get("erased") is not None:
        lines.append(("erased", _number(found["erased"])))
    if (growth := found.get("forecast")) is not None:
        lines.append(("growth", _growth(growth)))
    lines.append(("kept", f"{found['retention_days']} days"))
    told = found["audit"]
    lines.append(
        ("audit", f"{told['missing']} missing, {told['doubled']} doubled at {_time(told['time'])}")
        if told["time"]
        else ("audit", "none was made yet")
    )
    return lines


def _odd_times(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Write how many event times were not taken as they were given."""
    for name, instead in (
        ("malformed", "malformed, arrival time used"),
        ("impossible", "before 1970 or over a year ahead, arrival time used"),
        ("without_zone", "without a time zone, read as UTC"),
    ):
        if counts[name]:
            yield "", f"{_number(counts[name])} {instead}"


def _growth(forecast: Mapping[str, Any]) -> str:
    daily, kept = forecast.get("bytes_per_day"), forecast.get("bytes_at_retention")
    if daily is None or kept is None:
        return "not known yet"
    return f"{bytes_text(daily)} a day, {bytes_text(kept)} when the first day goes"


def _audit_lines(found: Audit) -> Iterator[str]:
    verdict = "adds up" if found.adds_up else "DOES NOT ADD UP"
    yield f"{verdict}: {found.numbers:,} numbers of {found.spools:,} spools"
    for name in ("stored", "gaps", "erased", "expired", "in_flight", "missing", "doubled"):
        yield f"{name.replace('_', ' '):<12}{getattr(found, name):>16,}"
    if found.topic_losses:
        yield f"a topic lost records before they were read, {found.topic_losses} times"
    for file in found.damaged:
        yield f"gone or changed: {file}"
    for spool in found.found:
        for what, runs in (("missing", spool.missing_runs), ("doubled", spool.doubled_runs)):
            if runs:
                shown = ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in runs[:_SHOWN_RUNS])
                more = f" and {len(runs) - _SHOWN_RUNS} more" if len(runs) > _SHOWN_RUNS else ""
                names = ", ".join(spool.endpoints)
                yield f"{what} in {spool.spool_id} ({names}): {shown}{more}"


def _spool(backlog: Mapping[str, Any]) -> str:
    age = timedelta(seconds=round(backlog["oldest_s"]))
    wait = f"the oldest waits for {age}" if backlog["oldest_s"] else "nothing waits"
    parts = "1 segment" if backlog["segments"] == 1 else f"{backlog['segments']:,} segments"
    return f"{bytes_text(backlog['size_bytes'])} in {parts}, {wait}"


def _by_reason(total: int, reasons: Mapping[str, int]) -> str:
    parts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    return f"{_number(total)} ({parts})" if parts else _number(total)


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _share(ratio: float | None) -> str:
    """Write a share so that one lost record of many never reads as none."""
    if ratio is None:
        return "-"
    if ratio == 1:
        return "100%"
    return f"{min(ratio * 100, 99.9999):.4g}%" if ratio < 0.9999 else "< 100%"


def _time(text: str | None) -> str:
    return "-" if text is None else f"{text[:19].replace('T', ' ')}Z"


add_operations(capture, "capture", {"decode": _decoded})
