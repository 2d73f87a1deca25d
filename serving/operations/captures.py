"""Operations on what was captured."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

from pydantic import Field

from driftline.capture.audit.documents import capture_documents
from driftline.capture.audit.note import read_note
from driftline.capture.line.table_maintenance import NAMES
from driftline.capture.tables.dataset import Dataset, list_endpoints
from driftline.capture.tables.redecoding import decode_again
from driftline.capture.tables.writer_name import WriterName
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import InputError, NotFoundError
from driftline.serving.context import ServerContext
from driftline.serving.known import known_endpoint
from driftline.serving.operations.authorization import of_endpoint
from driftline.serving.operations.registry import (
    PAGE,
    Json,
    Limit,
    Page,
    PageToken,
    operation,
    page_of,
)
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import served_models, signature_of

Endpoint = Annotated[str, "The endpoint's name."]

# Of two decodings at once one would do its work twice.
_turn = threading.Lock()


@operation("GET /capture", role="viewer")
def captures(
    services: Services,
    prefix: Annotated[str, Field(max_length=63, description="Only names that begin so.")] = "",
    limit: Limit = PAGE,
    next_token: PageToken = None,
) -> Page[Json]:
    """Count what was captured, by endpoint, also of those that were never declared."""
    (after,) = place_of(next_token, str) or ("",)
    typed = _declared(services.context)
    names = {*typed, *list_endpoints(services.context.root)}
    found = sorted(one for one in names if one.startswith(prefix) and one > str(after))
    counted = {one["endpoint"]: one for one in _counted(services.context, found[:limit], typed)}
    return page_of(found, limit, lambda name: (name,)).map(counted.__getitem__)


@operation("GET /capture/audit", role="viewer")
def last_audit(services: Services) -> Json:
    """Return what the last audit found: whether every number is stored once, or counted."""
    found = read_note(services.context.root)
    if found is None:
        raise NotFoundError("no audit was made yet; the scheduler makes one every hour")
    return found


@operation("GET /endpoints/{name}/capture", role="viewer", of=("name", of_endpoint))
def capture_stats(services: Services, name: Endpoint) -> Json:
    """Count what the capture table of an endpoint holds, and what is known to be lost."""
    endpoint = known_endpoint(services.context, name)
    return next(_counted(services.context, [endpoint], _declared(services.context)))


@operation(
    "POST /endpoints/{name}/capture/decoding", role="analyst", of=("name", of_endpoint),
    command="capture decode",
)  # fmt: skip
def decode_captured(services: Services, name: Endpoint) -> Json:
    """Read stored bodies again, by the signature that the endpoint has now.

    For requests that came before the endpoint was declared, or before its signature was corrected.
    The process with the sink does so by itself within a minute after apply. Asking again is safe;
    monitors judge the windows whose rows have changed again.

    Example: driftline capture decode flights
    """
    context = services.context
    with read_connection(context.engine) as connection:
        endpoint = store.get(connection, "Endpoint", name).name
    signature = signature_of(context.engine, endpoint)
    if signature is None:
        raise InputError(
            f'Endpoint "{endpoint}" has no signature to decode by; declare it with a baseline '
            "or a signature, then decode again"
        )
    with _turn:
        names = WriterName(context.spool_dir / NAMES)
        try:
            dataset = Dataset(context.root, endpoint, writer=f"upkeep-{names.name}")
            served = served_models(context.engine, endpoint)
            decoded = decode_again(dataset, signature, served=served)
            return {"endpoint": endpoint, **asdict(decoded)}
        finally:
            names.close()


def _declared(context: ServerContext) -> Mapping[str, bool]:
    """Name the declared endpoints, each with whether it has a signature."""
    with read_connection(context.engine) as connection:
        rows = store.list_kind(connection, "Endpoint")
    return {row.name: row.made.get("signature") is not None for row in rows}


def _counted(
    context: ServerContext, names: Sequence[str], typed: Mapping[str, bool]
) -> Iterator[Json]:
    """Count what tables hold; without a signature bodies are kept raw, and it says so."""
    found = capture_documents(
        context.root, context.spool_dir, names,
        retention_days=context.settings.capture.retention_days, now=context.now(),
    )  # fmt: skip
    for one in found:
        name = one["endpoint"]
        yield {**one, "declared": name in typed, "typed": typed.get(name, False)}
