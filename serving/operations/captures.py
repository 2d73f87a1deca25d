"""Operations on what was captured; erasure of what is stored of a person or device."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

from pydantic import Field

from driftline.access import audit
from driftline.capture.audit.documents import CaptureDocument, capture_documents
from driftline.capture.audit.note import LastAudit, read_note
from driftline.capture.erasure.erasing import Erased
from driftline.capture.erasure.erasing import erase as erase_stored
from driftline.capture.erasure.erasures import Kind
from driftline.capture.line.table_maintenance import NAMES
from driftline.capture.tables.dataset import list_endpoints
from driftline.database.engine import read_connection
from driftline.errors import InputError, NotFoundError
from driftline.monitors.rules.captured_rows import row_condition
from driftline.monitors.run.erasure import clear_windows
from driftline.serving.asynchronous.erasing import clear_requests, remove_files
from driftline.serving.context import ServerContext
from driftline.serving.known import known_endpoint
from driftline.serving.operations.authorization import of_endpoint
from driftline.serving.operations.registry import Json, Page, Paging, operation
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature

Endpoint = Annotated[str, "The endpoint's name."]

# Of two decodings, or erasures, at once one would do its work twice.
_turn = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class CaptureCounts(CaptureDocument):
    """What the capture table of an endpoint holds; typed: whether it has a signature."""

    declared: bool
    typed: bool


@operation("GET /capture", role="viewer")
def captures(
    services: Services,
    page: Paging,
    prefix: Annotated[str, Field(max_length=63, description="Only names that begin so.")] = "",
) -> Page[CaptureCounts]:
    """Count what was captured, by endpoint, also of those that were never declared."""
    typed, after = _declared(services.context), page.after_name()
    names = {*typed, *list_endpoints(services.context.root)}
    found = sorted(one for one in names if one.startswith(prefix) and one > after)
    counted = _counted(services.context, found[: page.limit], typed)
    by_name = {one.endpoint: one for one in counted}
    return page.of(found, lambda name: (name,), by_name.__getitem__)


@operation("GET /capture/audit", role="viewer")
def last_audit(services: Services) -> Annotated[Json, LastAudit]:
    """Return what the last audit found: whether every number is stored once, or counted."""
    found = read_note(services.context.root)
    if found is None:
        raise NotFoundError("no audit was made yet; the scheduler makes one every hour")
    return found


@operation("GET /endpoints/{name}/capture", role="viewer", of=("name", of_endpoint))
def capture_stats(services: Services, name: Endpoint) -> CaptureCounts:
    """Count what the capture table of an endpoint holds, and what is known to be lost."""
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


@operation("POST /capture/erasures", role="admin", notes_itself=True)
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
    What was not found is no error: `unknown` counts such ids. Asking again is safe.
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
    condition = None
    if where is not None:
        condition = row_condition(require_signature(context.engine, name or ""), where)
    with _turn:
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
