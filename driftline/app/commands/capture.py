"""Commands that count what was captured, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.storage import use_options

if TYPE_CHECKING:
    from driftline.capture.audit.audit import Audit

capture = options.Group(help="Look at what was captured.")

_COLUMNS = (
    "endpoint declared typed requests rows failed unparsed decoder_faults cut dropped coverage"
)
_SHOWN_GAPS = 10
_SHOWN_RUNS = 3


@capture.command("stats")
def stats(
    client: Client,
    endpoint: Annotated[
        str | None, "[ENDPOINT]", "Endpoint; all that were captured when left out."
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
    spool = lines_of({"spool": captured[0]["spool"]}) if captured else ()
    return Answer(captured, [*lines_of(captured, _COLUMNS), *spool])


@capture.command("audit")
def make_audit(
    config_file: options.SettingsFile = None,
    full: Annotated[bool, "--full", "Look at each number, and say which are missing."] = False,
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
    document = document_of(found)
    return Answer(document, _audited(found, document), code=0 if found.adds_up else 1)


def _audited(found: Audit, document: Mapping[str, Any]) -> Iterator[str | Table]:
    verdict = "adds up" if found.adds_up else "DOES NOT ADD UP"
    yield f"{verdict}: {found.numbers:,} numbers of {found.spools:,} spools"
    names = ("stored", "gaps", "erased", "expired", "in_flight", "missing", "doubled")
    yield from lines_of({name: document[name] for name in (*names, "topic_losses", "damaged")})
    for spool in found.found:
        for what, runs in (("missing", spool.missing_runs), ("doubled", spool.doubled_runs)):
            if runs:
                shown = ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in runs[:_SHOWN_RUNS])
                more = f" and {len(runs) - _SHOWN_RUNS} more" if len(runs) > _SHOWN_RUNS else ""
                names_of = ", ".join(spool.endpoints)
                yield f"{what} in {spool.spool_id} ({names_of}): {shown}{more}"


add_operations(capture, "capture")
