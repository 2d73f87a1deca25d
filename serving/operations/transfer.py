"""Operations by which records come and go in others' forms: SageMaker's lines, cloud events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from driftline.capture.erasure.erasures import erasure_counts
from driftline.capture.events.cloudevents import read_events
from driftline.capture.events.pairing import Expected, Outcome
from driftline.capture.sagemaker import export
from driftline.capture.sagemaker.importing import Stored as StoredLines
from driftline.capture.sagemaker.importing import store_lines
from driftline.capture.tables.dataset import list_endpoints
from driftline.capture.tap.target import CaptureTarget, is_name
from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError
from driftline.formats.capture_line import write_line
from driftline.serving.bodies.media_types import TEXT_TYPES, UnsupportedMediaError, text_form
from driftline.serving.context import ServerContext
from driftline.serving.known import known_endpoint
from driftline.serving.operations.authorization import (
    of_endpoint,
    of_new_endpoint,
    require_endpoint,
)
from driftline.serving.operations.captures import Endpoint
from driftline.serving.operations.registry import (
    End,
    Page,
    Paging,
    RawBody,
    Start,
    Time,
    operation,
)
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import signature_of

_LINES = TEXT_TYPES["jsonlines"]
_EVENTS = ("*/*", "application/cloudevents+json", "application/cloudevents-batch+json")
# So many lines are joined before they are sent.
_SENT_LINES = 256

# Two imports of one server wait for each other here, so that both see what is there already.
_turn = threading.Lock()


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


@dataclass(frozen=True)
class Received:
    """What became of each cloud event."""

    events: int
    outcomes: Sequence[Outcome]


@operation("GET /endpoints/{name}/capture/import", role="ingest", of=("name", of_new_endpoint))
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
    "POST /endpoints/{name}/capture/lines", role="ingest", of=("name", of_new_endpoint),
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
    with _turn:
        return store_lines(
            context.root, endpoint, body.split(b"\n"), signature, variant=variant,
            redactor=context.redactor,
        )  # fmt: skip


@operation("GET /endpoints/{name}/capture/hours", role="viewer", of=("name", of_endpoint))
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
    "GET /endpoints/{name}/capture/lines", role="analyst", of=("name", of_endpoint),
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
) -> Received:
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
    return Received(len(outcomes), outcomes)


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
    waiting: list[str] = []
    for line in export.captured_lines(root, endpoint, hour, variant):
        waiting.append(write_line(line) + "\n")
        if len(waiting) >= _SENT_LINES:
            yield "".join(waiting).encode()
            waiting.clear()
    if waiting:
        yield "".join(waiting).encode()
