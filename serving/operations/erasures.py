"""The operation that erases what is stored of a person or device on request."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Annotated

from pydantic import Field

from driftline.access import audit
from driftline.capture.erasure.erasing import Erased
from driftline.capture.erasure.erasing import erase as erase_stored
from driftline.capture.erasure.erasures import Kind
from driftline.capture.line.table_maintenance import NAMES
from driftline.errors import InputError
from driftline.monitors.rules.captured_rows import row_condition
from driftline.monitors.run.erasure import clear_windows
from driftline.serving.asynchronous.erasing import clear_requests, remove_files
from driftline.serving.known import known_endpoint
from driftline.serving.operations.registry import operation
from driftline.serving.operations.services import Services
from driftline.serving.resources.endpoints import require_signature

_Id = Annotated[str, Field(min_length=1, max_length=2048)]
_MOST_IDS = 10_000

# Of two erasures at once one would do its work twice.
_turn = threading.Lock()


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
    name = endpoint and known_endpoint(context, endpoint)
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
