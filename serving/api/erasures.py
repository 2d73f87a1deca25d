"""Route by which what is stored of a person or device is erased on request."""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from driftline.alerts.guard import reading
from driftline.capture.erasure.erasing import Erased, endpoints_of, erase
from driftline.capture.erasure.erasures import Kind
from driftline.capture.line.upkeep import NAMES
from driftline.errors import InputError
from driftline.serving import resource_store as store
from driftline.serving.context import ServerContext

__all__ = ["router"]

_Id = Annotated[str, Field(min_length=1, max_length=2048)]
_MOST_IDS = 10_000


class _Asked(BaseModel):
    """What is to be erased."""

    model_config = ConfigDict(extra="forbid")

    inference_ids: list[_Id] = Field(default=[], max_length=_MOST_IDS)
    event_ids: list[_Id] = Field(default=[], max_length=_MOST_IDS)
    endpoint: str | None = None
    dry_run: bool = False


def router(context: ServerContext) -> APIRouter:
    """Give the route."""
    routes = APIRouter(tags=["capture"])
    # Of two erasures at once one would do its work twice.
    turn = threading.Lock()

    @routes.post("/capture/erasures")
    async def erase_ids(asked: _Asked) -> dict[str, Any]:
        """Remove rows, bodies and labels of inference ids and event ids, and drop what comes later.

        All rows of a request go, and files that compaction or retention left behind. What was not
        found is no error: `unknown` counts such ids. Asking again is safe.
        """
        ids: dict[Kind, list[str]] = {
            "inference_id": asked.inference_ids,
            "event_id": asked.event_ids,
        }
        if not any(ids.values()):
            raise InputError("erasure: no id; expected inference_ids or event_ids")

        def run() -> Erased:
            endpoint = asked.endpoint and _endpoint(context, asked.endpoint)
            with turn:
                return erase(
                    context.root,
                    context.spool_dir / NAMES,
                    ids,
                    now=context.now(),
                    keep=timedelta(days=context.erasure_days),
                    endpoint=endpoint,
                    spool_dir=context.spool_dir,
                    dry_run=asked.dry_run,
                )

        return asdict(await run_in_threadpool(run))

    return routes


def _endpoint(context: ServerContext, name: str) -> str:
    """Give the endpoint's name as it is declared, or as it was captured."""
    if name in endpoints_of(context.root):
        return name
    with reading(context.engine) as connection:
        return store.get(connection, "Endpoint", name).name
