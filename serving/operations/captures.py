"""Operations on what was captured: counted, erased, and moved in the forms of others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import Connection

from driftline.access import audit
from driftline.capture.audit.documents import CaptureDocument, capture_documents
from driftline.capture.erasure.erasing import Erased, RowCondition
from driftline.capture.erasure.erasing import erase as erase_stored
from driftline.capture.erasure.erasures import Kind, erasure_counts
from driftline.capture.events.cloudevents import read_events
from driftline.capture.events.pairing import Expected
from driftline.capture.line.table_maintenance import NAMES
from driftline.capture.sagemaker import export
from driftline.capture.sagemaker.importing import Stored as StoredLines
from driftline.capture.sagemaker.importing import store_lines
from driftline.capture.tables.dataset import list_endpoints
from driftline.capture.tap.target import CaptureTarget, is_name
from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError
from driftline.formats.capture_line import write_line
from driftline.monitors.rules.captured_rows import row_condition
from driftline.monitors.run.erasure import clear_windows
from driftline.serving.asynchronous.erasing import clear_requests, remove_files
from driftline.serving.bodies.media_types import TEXT_TYPES, UnsupportedMediaError, text_form
from driftline.serving.context import ServerContext
from driftline.serving.known import known_endpoint
from driftline.serving.operations.authorization import require_endpoint
from driftline.serving.operations.registry import (
    End,
    Json,
    Page,
    Paging,
    Prefix,
    RawBody,
    Start,
    Time,
    operation,
)
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature, signature_of

Endpoint = Annotated[str, "The endpoint's name."]

# Erasures of one server rewrite the same files one after another.
_erasing = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class CaptureCounts(CaptureDocument):
    """What the capture table of an endpoint holds; typed: whether it has a signature."""

    declared: bool
    typed: bool


@operation(
    "GET /capture", role="viewer", command="capture list",
    columns="endpoint declared typed requests rows failed dropped coverage",
)  # fmt: skip
def captures(
    services: Services,
    page: Paging,
    prefix: Prefix = "",
) -> Page[CaptureCounts]:
    """Count what was captured, by endpoint, also of those that were never declared.

    Example: driftline capture list
    """
    typed, after = _declared(services.context), page.after_name()
    names = {*typed, *list_endpoints(services.context.root)}
    found = sorted(one for one in names if one.startswith(prefix) and one > after)
    counted = _counted(services.context, found[: page.limit], typed)
    by_name = {one.endpoint: one for one in counted}
    return page.of(found, lambda name: (name,), by_name.__getitem__)


@operation("GET /endpoints/{name}/capture", role="viewer", command="capture stats", of="name")
def capture_stats(services: Services, name: Endpoint) -> CaptureCounts:
    """Count what the capture table of an endpoint holds, and what is known to be lost.

    Coverage is stored / (stored + dropped); requests that were cut, or that a fault of the decoder
    kept from becoming rows, count as not covered.

    Example: driftline capture stats flights
    """
    endpoint = known_endpoint(services.context, name)
    return next(_counted(services.context, [endpoint], _declared(services.context)))


def _declared(context: ServerContext) -> Mapping[str, bool]:
    """Name the declared endpoints, each with whether it has a signature."""
    with read_connection(context.engine) as connection:
        rows = store.list_kind(connection, "Endpoint")
    return {row.name: row.made.get("signature") is not None for row in rows}


def _counted(
    context: ServerContext, names: Sequence[str], typed: Mapping[str, bool]
) -> Iterator[CaptureCounts]:
    """Count what tables hold; without a signature bodies are kept raw, and it says so."""
    found = capture_documents(
        context.root, context.spool_dir, names,
        retention_days=context.settings.capture.retention_days, now=context.now(),
    )  # fmt: skip
    for one in found:
        is_typed = typed.get(one.endpoint, False)
        yield CaptureCounts(**vars(one), declared=one.endpoint in typed, typed=is_typed)


_Id = Annotated[str, Field(min_length=1, max_length=2048)]
_MOST_IDS = 10_000


@operation("POST /capture/erasures", role="admin", notes_itself=True, command="capture erase")
def erase(
    services: Services,
    inference_ids: Annotated[
        Sequence[_Id], Field(max_length=_MOST_IDS, description="Ids that callers gave.")
    ] = (),
    event_ids: Annotated[
        Sequence[_Id], Field(max_length=_MOST_IDS, description="Ids of requests.")
    ] = (),
    where: Annotated[
        str | None,
        Field(min_length=1, max_length=2000, description="A condition on a row; with endpoint."),
    ] = None,
    endpoint: Annotated[str | None, "Only of this endpoint; all when left out."] = None,
    dry_run: Annotated[bool, "Only count."] = False,
) -> Erased:
    """Remove rows, bodies and labels of inference ids and event ids, and drop what comes later.

    Or those of requests of which a stored row meets an expression (`where`, with `endpoint`).
    All rows of a request go, and files that compaction or retention left behind; judged windows
    that held them lose their documents, and asynchronous invocations their bodies and answers.
    What was not found is no error: `unknown` counts such ids. Asking again is safe. Windows keep
    their status, counts and metrics; running the monitor makes new documents.

    Example: driftline capture erase --inference-id 8c1f0c52 --dry-run

    Example: driftline capture erase --inference-id @ids.txt --endpoint flights

    Example: driftline capture erase --endpoint credit --where "name = 'Ada Lovelace'"
    """
    context = services.context
    ids: dict[Kind, Sequence[str]] = {"inference_id": inference_ids, "event_id": event_ids}
    if not any(ids.values()) and where is None:
        raise InputError("erasure: no id; expected inference_ids, event_ids or where")
    if where is not None and (endpoint is None or any(ids.values())):
        wrong = "without endpoint" if endpoint is None else "together with ids"
        raise InputError(
            f"erasure: where {wrong}; expected where with endpoint, and ids by themselves"
        )
    name = None if endpoint is None else known_endpoint(context, endpoint)
    meant: AbstractContextManager[RowCondition | None] = nullcontext()
    if where is not None:
        meant = row_condition(require_signature(context.engine, name or ""), where)
    with _erasing, meant as condition:
        erased = erase_stored(
            context.root,
            context.spool_dir / NAMES,
            ids,
            now=context.now(),
            keep=timedelta(days=context.settings.capture.erasure_days),
            endpoint=name,
            where=condition,
            windows=partial(clear_windows, context.engine, context.root),
            requests=partial(clear_requests, context.engine),
            spool_dir=context.spool_dir,
            dry_run=dry_run,
        )
        if not dry_run:
            remove_files(context.engine, context.lease_clock())
    # How much was erased, and nothing of what.
    counts = {key: value for key, value in asdict(erased).items() if key != "until"}
    target = "Endpoint/" + name if name else "Endpoints"
    with context.engine.begin() as connection:
        audit.record(connection, "erase", target, context.now(), after=counts)
    return erased


_LINES = TEXT_TYPES["jsonlines"]
_EVENTS = ("*/*", "application/cloudevents+json", "application/cloudevents-batch+json")
# So many lines are joined before they are sent.
_SENT_LINES = 256

# Two imports of one server wait for each other here, so that both see what is there already.
_importing = threading.Lock()


@dataclass(frozen=True)
class ImportTarget:
    """What an import into an endpoint meets."""

    endpoint: str
    declared: bool
    typed: bool
    retention_days: int
    keep_from: date


@dataclass(frozen=True)
class CapturedHours(Page[export.Hour]):
    """Hours that are over and have records, and what an export of them holds."""

    endpoint: str
    before: datetime
    erased_from: datetime | None


@operation("GET /endpoints/{name}/capture/import", role="ingest", of="name")
def import_facts(services: Services, name: Endpoint) -> ImportTarget:
    """Return what an import into an endpoint meets: its signature, and the retention."""
    context = services.context
    with read_connection(context.engine) as connection:
        endpoint, is_declared = _importable(context, connection, name)
    kept = timedelta(days=context.settings.capture.retention_days)
    return ImportTarget(
        endpoint, is_declared, signature_of(context.engine, endpoint) is not None,
        kept.days, (datetime.now(UTC) - kept).date(),
    )  # fmt: skip


@operation(
    "POST /endpoints/{name}/capture/lines", role="ingest", of="name",
    takes=(_LINES,),
)  # fmt: skip
def import_lines(
    services: Services,
    name: Endpoint,
    request: Request,
    body: RawBody,
    variant: Annotated[str, Query(description="The endpoint's variant.")] = "AllTraffic",
) -> StoredLines:
    """Store capture lines of SageMaker (application/jsonlines) that are not there yet.

    All new ones in one commit. A line that is none is counted, with its place from 0 and the
    reason, and stops nothing. Sending the same again is safe.
    """
    if text_form(request.headers.get("content-type", "")) != "jsonlines":
        raise UnsupportedMediaError(f"Content-Type: expected {_LINES}")
    context = services.context
    with read_connection(context.engine) as connection:
        endpoint, is_declared = _importable(context, connection, name)
    _require_name("variant", variant)
    if not is_declared:
        services.undeclared.admit(endpoint)
    signature = signature_of(context.engine, endpoint)
    with _importing:
        return store_lines(
            context.root, endpoint, body.split(b"\n"), signature, variant=variant,
            redactor=context.redactor,
        )  # fmt: skip


@operation("GET /endpoints/{name}/capture/hours", role="viewer", of="name")
def captured_hours(
    services: Services,
    page: Paging,
    name: Endpoint,
    start: Start = None,
    end: End = None,
    variant: Annotated[str | None, "Only of this one; else of all that are no shadows."] = None,
) -> CapturedHours:
    """List the hours that are over and have records, with what an export of them holds.

    Others hold nothing any more from ``erased_from`` on; null where nothing was ever erased: a
    table that was made anew says nothing of what was exported before.
    """
    context = services.context
    endpoint = known_endpoint(context, name)
    closed = export.closed_before(context.now())
    last = closed if end is None else min(closed, end)
    after = page.after(datetime, str)
    begin = after[0] if after is not None and isinstance(after[0], datetime) else start
    found = export.captured_hours(context.root, endpoint, begin, last, variant=variant)
    rest = [one for one in found if after is None or (one.start, one.variant) > after]
    some: Page[export.Hour] = page.of(rest, lambda one: (one.start, one.variant))
    return CapturedHours(
        some.items, some.next_token, endpoint, last, _erased_from(context, endpoint, start)
    )


@operation(
    "GET /endpoints/{name}/capture/lines", role="analyst", of="name",
    media=(_LINES,),
)  # fmt: skip
def captured_lines(
    services: Services,
    name: Endpoint,
    hour: Annotated[Time, "The start of the hour."],
    variant: Annotated[str, "The endpoint's variant."] = "AllTraffic",
) -> StreamingResponse:
    """Return the records of one hour of a variant as capture lines of SageMaker."""
    root = services.context.root
    endpoint = known_endpoint(services.context, name)
    return StreamingResponse(_written(root, endpoint, hour, variant), media_type=_LINES)


@operation("POST //v1/cloudevents", role="ingest", takes=_EVENTS)
def receive_cloudevents(
    services: Services,
    request: Request,
    body: RawBody,
    endpoint: Annotated[
        str | None, Query(min_length=1, description="The endpoint of all events.")
    ] = None,
    expect: Annotated[
        Expected, Query(description="What the logger sends of each inference.")
    ] = "both",
) -> Json:
    """Record the inferences that KServe's logger tells of; set it as the logger's url.

    Takes CloudEvents of type org.kubeflow.serving.inference.request and .response, in binary,
    structured or batched mode. The two of one id become one record of the endpoint that is
    named as the InferenceService, or as the parameter endpoint says. A half whose other half
    does not come within ten minutes is recorded alone; expect=request or expect=response, for
    loggers of that mode, records each at once. 2xx: it is safe, also from a kill; 503: the disk
    takes nothing, or it was dropped and counted; 409: too many endpoints were begun that nobody
    declared.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    events = [
        (event, _target(services, endpoint or event.service))
        for event in read_events(headers, body)
    ]
    try:
        outcomes = services.pairing.receive(events, expect)
    except OSError as error:
        raise UnavailableError(
            f"cloud events: the disk takes nothing ({error.strerror})"
        ) from error
    if "dropped" in outcomes:
        raise UnavailableError("dropped and counted: the spool takes nothing now")
    return {"events": len(outcomes), "outcomes": outcomes}


def _target(services: Services, name: str) -> CaptureTarget:
    """Return what an event is recorded as, by the endpoint's spelling and rules if declared."""
    if not is_name(name):
        raise InputError(
            f'cloud event: inferenceservicename "{name[:80]}" names no endpoint; expected up to 63 '
            "letters, digits and inner hyphens, or ?endpoint=NAME in the logger's url"
        )
    require_endpoint(name)
    with read_connection(services.context.engine) as connection:
        found = store.find(connection, "Endpoint", name)
    if found is None:
        services.undeclared.admit(name)
        return CaptureTarget(name)
    return CaptureTarget(found.name, trust_event_time=found.spec["trust_event_time"])


def _importable(context: ServerContext, connection: Connection, name: str) -> tuple[str, bool]:
    """Return the endpoint's name as it is declared or was captured, or else as it is asked."""
    found = store.find(connection, "Endpoint", name)
    if found is not None:
        return found.name, True
    _require_name("endpoint", name)
    held = {one.casefold(): one for one in list_endpoints(context.root)}
    return held.get(name.casefold(), name), False


def _require_name(what: str, name: str) -> None:
    if not is_name(name):
        raise InputError(
            f'{what} "{name[:80]}": expected up to 63 letters, digits and inner hyphens'
        )


def _erased_from(context: ServerContext, endpoint: str, start: datetime | None) -> datetime | None:
    """Return the time from which hours without records can only have been emptied by erasure."""
    if endpoint not in erasure_counts(context.root):
        return None
    kept = context.now().astimezone(UTC) - timedelta(
        days=context.settings.capture.retention_days - 1
    )
    whole = kept.replace(hour=0, minute=0, second=0, microsecond=0)
    return whole if start is None else max(whole, start)


def _written(root: str, endpoint: str, hour: datetime, variant: str) -> Iterator[bytes]:
    lines = iter(export.captured_lines(root, endpoint, hour, variant))
    while some := [*islice(lines, _SENT_LINES)]:
        yield "".join(f"{write_line(one)}\n" for one in some).encode()
