"""Route by which what is stored of a person or device is erased on request."""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from driftline.access import audit
from driftline.capture.erasure.erasing import Erased, endpoints_of, erase
from driftline.capture.erasure.erasures import Kind
from driftline.capture.line.table_maintenance import NAMES
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.run.erasure import clear_windows
from driftline.serving.api.requests import Fields
from driftline.serving.api.row_conditions import row_condition
from driftline.serving.asynchronous.erasing import clear_requests, remove_files
from driftline.serving.context import ServerContext
from driftline.serving.resources import store

_Id = Annotated[str, Field(min_length=1, max_length=2048)]
_MOST_IDS = 10_000


class _Asked(Fields):
    """What is to be erased."""

    inference_ids: list[_Id] = Field(default=[], max_length=_MOST_IDS)
    event_ids: list[_Id] = Field(default=[], max_length=_MOST_IDS)
    where: str | None = Field(default=None, min_length=1, max_length=2000)
    endpoint: str | None = None
    dry_run: bool = False


def router(context: ServerContext) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["capture"])
    # Of two erasures at once one would do its work twice.
    turn = threading.Lock()

    @routes.post("/capture/erasures")
    async def erase_ids(asked: _Asked) -> dict[str, Any]:
        """Remove rows, bodies and labels of inference ids and event ids, and drop what comes later.

        Or those of requests of which a stored row meets an expression (`where`, with `endpoint`).
        All rows of a request go, and files that compaction or retention left behind; judged windows
        that held them lose their documents, and asynchronous invocations their bodies and answers.
        What was not found is no error: `unknown` counts such ids. Asking again is safe.
        """
        ids: dict[Kind, list[str]] = {
            "inference_id": asked.inference_ids,
            "event_id": asked.event_ids,
        }
        if not any(ids.values()) and asked.where is None:
            raise InputError("erasure: no id; expected inference_ids, event_ids or where")
        if asked.where is not None and (asked.endpoint is None or any(ids.values())):
            wrong = "without endpoint" if asked.endpoint is None else "together with ids"
            raise InputError(
                f"erasure: where {wrong}; expected where with endpoint, and ids by themselves"
            )

        def run() -> Erased:
            endpoint = asked.endpoint and _endpoint(context, asked.endpoint)
            where = asked.where and row_condition(context.engine, endpoint or "", asked.where)
            with turn:
                erased = erase(
                    context.root,
                    context.spool_dir / NAMES,
                    ids,
                    now=context.now(),
                    keep=timedelta(days=context.erasure_days),
                    endpoint=endpoint,
                    where=where or None,
                    windows=partial(clear_windows, context.engine, context.root),
                    requests=partial(clear_requests, context.engine),
                    spool_dir=context.spool_dir,
                    dry_run=asked.dry_run,
                )
                if not asked.dry_run:
                    remove_files(context.engine, context.lease_clock())
            _note(context, endpoint, erased)
            return erased

        return asdict(await run_in_threadpool(run))

    return routes


def _note(context: ServerContext, endpoint: str | None, erased: Erased) -> None:
    """Write into the audit log how much was erased, and nothing of what."""
    counts = {name: value for name, value in asdict(erased).items() if name != "until"}
    target = "Endpoint/" + endpoint if endpoint else "Endpoints"
    with context.engine.begin() as connection:
        audit.record(connection, "erase", target, context.now(), after=counts)


def _endpoint(context: ServerContext, name: str) -> str:
    """Return the endpoint's name as it is declared, or as it was captured."""
    if name in endpoints_of(context.root):
        return name
    with read_connection(context.engine) as connection:
        return store.get(connection, "Endpoint", name).name
