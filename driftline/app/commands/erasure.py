"""Command that erases what is stored under ids, as the law of many places asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.capture import capture
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.errors import InputError

# The server reads all files of the tables once for each request.
_IDS_PER_REQUEST = 10_000


@capture.command("erase")
@options.asks_server
def erase(
    client: Client,
    inference_id: Annotated[
        list[str] | None, typer.Option("--inference-id", help="Inference id (repeatable).")
    ] = None,
    event_id: Annotated[
        list[str] | None, typer.Option("--event-id", help="Event id (repeatable).")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Text file of inference ids, one a line.")
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
    events = event_id or []
    if where is None and not inferences and not events:
        raise InputError(
            "capture erase: no id; expected --inference-id, --event-id, --file or --where"
        )
    if where is not None and (endpoint is None or inferences or events):
        wrong = "without --endpoint" if endpoint is None else "together with ids"
        raise InputError(
            f"capture erase: --where {wrong}; expected --where with --endpoint, "
            "and ids by themselves"
        )
    asked = [("inference_ids", one) for one in inferences] + [("event_ids", one) for one in events]
    found: list[Mapping[str, Any]] = []
    if where is not None:
        found.append(client.erase(where=where, endpoint=endpoint, dry_run=dry_run))
    for at in range(0, len(asked), _IDS_PER_REQUEST):
        part = asked[at : at + _IDS_PER_REQUEST]
        found.append(
            client.erase(
                inference_ids=[one for name, one in part if name == "inference_ids"],
                event_ids=[one for name, one in part if name == "event_ids"],
                endpoint=endpoint,
                dry_run=dry_run,
            )
        )
    total = _summed(found)
    return Answer(total, _lines(total, by_condition=where is not None, dry_run=dry_run))


def _lines(total: dict[str, Any], *, by_condition: bool, dry_run: bool) -> Iterator[str]:
    """Return what went, a line each."""
    verb = "would be erased" if dry_run else "erased"
    for name, gone in total["endpoints"].items():
        yield (
            f"{name}: {gone['requests']:,} requests ({gone['rows']:,} rows) and "
            f"{gone['labels']:,} labels {verb}, in {gone['files']:,} files"
        )
    if not total["endpoints"] and by_condition:
        yield "no stored row meets the condition"
    elif not total["endpoints"] and not total["invocations"]:
        yield "nothing is stored under " + ("this id" if total["asked"] == 1 else "these ids")
    elif total["unknown"]:
        yield f"nothing is stored under {total['unknown']:,} of {total['asked']:,} ids"
    if total["windows"]:
        yield (
            f"{total['windows']:,} judged windows and {total['messages']:,} messages held them: "
            "verdicts and counts stand, what may be single values "
            + ("would go" if dry_run else "is gone")
        )
    if total["invocations"]:
        yield (
            f"{total['invocations']:,} asynchronous invocations "
            + ("would lose" if dry_run else "lost")
            + " body, answer and reason"
        )
    if total["jobs"]:
        yield (
            f"{total['jobs']:,} failed transform jobs "
            + ("would lose" if dry_run else "lost")
            + " their reason, which may quote them"
        )
    if total["documents"]:
        yield f"{total['documents']:,} documents of executions named them"
    if total["until"]:
        yield f"what comes later under these ids is dropped until {total['until'][:10]}"
    if not dry_run and (count := total["open_spools"]):
        yield (
            f"not in the spool of the server's host: {count:,} open there may hold them, raw, "
            "until their processes write again after a minute, or end"
        )


def _ids(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(
            f"{file}: cannot be read ({why}); expected a text file of ids, one a line"
        ) from error
    ids = [line.strip() for line in lines]
    return [one for one in ids if one]


def _summed(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the answers to parts of a long list together."""
    total = {**found[0]}
    for more in found[1:]:
        for name in (
            "asked", "unknown", "documents", "windows", "messages", "invocations", "jobs",
            "quarantined",
        ):  # fmt: skip
            total[name] += more[name]
        for name, gone in more["endpoints"].items():
            known = total["endpoints"].setdefault(name, dict.fromkeys(gone, 0))
            total["endpoints"][name] = {key: known[key] + value for key, value in gone.items()}
        total["until"], total["open_spools"] = more["until"], more["open_spools"]
    return total
