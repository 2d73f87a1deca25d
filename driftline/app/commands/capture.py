"""Commands that count what was captured, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.errors import InputError
from driftline.sizes import bytes_text
from driftline.storage import use_options

if TYPE_CHECKING:
    from driftline.capture.audit.audit import Audit

capture = options.Group(help="Look at what was captured.")

_COLUMNS = (
    "endpoint declared typed requests rows failed unparsed decoder_faults cut dropped coverage"
)
# What an erasure counts beside rows.
_ERASED = {
    "unknown": "ids under which nothing is stored",
    "windows": "judged windows that held them; verdicts and counts stay, single values go",
    "messages": "messages about these windows",
    "invocations": "asynchronous invocations that lose body, answer and reason",
    "jobs": "failed transform jobs that lose their reason, which may quote them",
    "documents": "documents of executions that named them",
    "open_spools": (
        "open spools of the server's host that may hold them, raw, until their processes write "
        "again after a minute, or end"
    ),
}
_SHOWN_GAPS = 10
_SHOWN_RUNS = 3


@capture.command("stats")
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
        return Answer(stats, lines_of({**stats, "gaps": stats["gaps"][-_SHOWN_GAPS:]}))
    captured = client.captures()
    rows = [{**one, "coverage": _share(one["coverage"])} for one in captured]
    spool = [f"spool: {_spool(captured[0]['spool'])}"] if captured else []
    return Answer(captured, [*lines_of(rows, _COLUMNS), *spool])


@capture.command("audit")
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


def _audit_lines(found: Audit) -> Iterator[str]:
    verdict = "adds up" if found.adds_up else "DOES NOT ADD UP"
    yield f"{verdict}: {found.numbers:,} numbers of {found.spools:,} spools"
    for name in ("stored", "gaps", "erased", "expired", "in_flight", "missing", "doubled"):
        yield f"{name.replace('_', ' '):<12}{getattr(found, name):>16,}"
    if found.topic_losses:
        yield f"a topic lost records before they were read, {found.topic_losses} times"
    yield from (f"gone or changed: {file}" for file in found.damaged)
    for spool in found.found:
        for what, runs in (("missing", spool.missing_runs), ("doubled", spool.doubled_runs)):
            if runs:
                shown = ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in runs[:_SHOWN_RUNS])
                more = f" and {len(runs) - _SHOWN_RUNS} more" if len(runs) > _SHOWN_RUNS else ""
                names = ", ".join(spool.endpoints)
                yield f"{what} in {spool.spool_id} ({names}): {shown}{more}"


@capture.command("erase")
def erase(
    client: Client,
    inference_id: Annotated[
        list[str] | None, typer.Option("--inference-id", help="Inference id (repeatable).")
    ] = None,
    event_id: Annotated[
        list[str] | None, typer.Option("--event-id", help="Event id (repeatable).")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Up to 10,000 inference ids, one a line."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="EXPR", help="Condition on a row; with --endpoint."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Only of this endpoint; all when left out.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
) -> Answer:
    """Erase rows, bodies, labels and asynchronous answers of requests, wherever they are stored.

    All rows of such a request go, also from files that are only left over. Judged windows that held
    them keep their status, counts and metrics; their documents are deleted, and `driftline monitor
    run` makes new ones. Records and labels that come later under these ids are dropped until the
    day that is told. Nothing found is no error: then nothing is stored under that id. Asking again
    is safe.

    Example: driftline capture erase --inference-id 8c1f0c52 --dry-run

    Example: driftline capture erase --endpoint credit --where "name == 'Ada Lovelace'"
    """
    inferences = [*(inference_id or []), *(_ids(file) if file else [])]
    found = client.erase(
        inference_ids=inferences, event_ids=event_id or [], where=where, endpoint=endpoint,
        dry_run=dry_run,
    )  # fmt: skip
    return Answer(found, _erased(found, "would be erased" if dry_run else "erased"))


def _ids(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as a text file of ids ({error})") from error
    return [line.strip() for line in lines if line.strip()]


def _erased(found: Mapping[str, Any], verb: str) -> Iterator[str]:
    """Return what went, a line each."""
    for name, gone in found["endpoints"].items():
        yield (
            f"{name}: {gone['requests']:,} requests ({gone['rows']:,} rows) and "
            f"{gone['labels']:,} labels {verb}, in {gone['files']:,} files"
        )
    if not found["endpoints"] and not found["invocations"]:
        yield "nothing is stored under what was asked for"
    for key, what in _ERASED.items():
        if found[key]:
            yield f"{what}: {found[key]:,}"
    if found["until"]:
        yield f"what comes later under these ids is dropped until {found['until'][:10]}"


def _spool(backlog: Mapping[str, Any]) -> str:
    age = timedelta(seconds=round(backlog["oldest_s"]))
    wait = f"the oldest waits for {age}" if backlog["oldest_s"] else "nothing waits"
    parts = "1 segment" if backlog["segments"] == 1 else f"{backlog['segments']:,} segments"
    return f"{bytes_text(backlog['size_bytes'])} in {parts}, {wait}"


def _share(ratio: float | None) -> str:
    """Write a share so that one lost record of many never reads as none."""
    if ratio is None:
        return "-"
    if ratio == 1:
        return "100%"
    return f"{min(ratio * 100, 99.9999):.4g}%" if ratio < 0.9999 else "< 100%"


add_operations(capture, "capture")
