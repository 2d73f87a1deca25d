"""Routes by which captured records come and go as SageMaker's capture lines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from driftline.capture.erasure.erasures import erasure_counts
from driftline.capture.sagemaker.export import Hour, captured_hours, captured_lines, closed_before
from driftline.capture.sagemaker.importing import Stored, store_lines
from driftline.capture.tables.dataset import list_endpoints
from driftline.capture.tap.target import is_name
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import InputError
from driftline.formats.capture_line import write_line
from driftline.serving.api.requests import PAGE, Limit, PageToken, in_utc, page_of
from driftline.serving.api.undeclared import UndeclaredEndpoints
from driftline.serving.bodies.media_types import TEXT_TYPES, UnsupportedMediaError, text_form
from driftline.serving.context import ServerContext
from driftline.serving.known import known_endpoint
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import signature_of

_LINES = TEXT_TYPES["jsonlines"]
# So many lines are joined before they are sent.
_SENT_LINES = 256


def router(context: ServerContext, undeclared: UndeclaredEndpoints) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["capture"])
    _add_imports(routes, context, undeclared)
    _add_exports(routes, context)
    return routes


def _add_imports(
    routes: APIRouter, context: ServerContext, undeclared: UndeclaredEndpoints
) -> None:
    # Two imports of one server wait for each other here, so that both see what is there already.
    turn = threading.Lock()

    @routes.get("/endpoints/{name}/capture/import")
    def prepare(name: str) -> dict[str, Any]:
        """Return what an import into an endpoint meets: its signature, and the retention."""
        with read_connection(context.engine) as connection:
            endpoint, is_declared = _importable(context, connection, name)
        kept = timedelta(days=context.retention_days)
        return {
            "endpoint": endpoint,
            "declared": is_declared,
            "typed": signature_of(context.engine, endpoint) is not None,
            "retention_days": context.retention_days,
            "keep_from": (datetime.now(UTC) - kept).date().isoformat(),
        }

    @routes.post("/endpoints/{name}/capture/lines")
    async def load(
        name: str, request: Request, variant: Annotated[str, Query()] = "AllTraffic"
    ) -> dict[str, Any]:
        """Store capture lines of SageMaker (application/jsonlines) that are not there yet.

        All new ones in one commit. A line that is none is counted, with its place from 0 and the
        reason, and stops nothing. Sending the same again is safe.
        """
        if text_form(request.headers.get("content-type", "")) != "jsonlines":
            raise UnsupportedMediaError(f"Content-Type: expected {_LINES}")
        lines = (await request.body()).split(b"\n")

        def store_all() -> tuple[str, Stored]:
            with read_connection(context.engine) as connection:
                endpoint, is_declared = _importable(context, connection, name)
            _check("variant", variant)
            if not is_declared:
                undeclared.admit(endpoint)
            signature = signature_of(context.engine, endpoint)
            with turn:
                return endpoint, store_lines(
                    context.root, endpoint, lines, signature, variant=variant,
                    redactor=context.redactor,
                )  # fmt: skip

        endpoint, stored = await run_in_threadpool(store_all)
        return {"endpoint": endpoint, "variant": variant, **asdict(stored)}


def _add_exports(routes: APIRouter, context: ServerContext) -> None:
    @routes.get("/endpoints/{name}/capture/hours")
    def hours(
        name: str,
        start: Annotated[datetime | None, Query(alias="from")] = None,
        end: Annotated[datetime | None, Query(alias="to")] = None,
        variant: str | None = None,
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List the hours that are over and have records, with what an export of them holds.

        Others hold nothing any more from ``erased_from`` on; null where nothing was ever erased: a
        table that was made anew says nothing of what was exported before.
        """
        endpoint = known_endpoint(context, name)
        closed = closed_before(context.now())
        last = closed if end is None else min(closed, in_utc(end))
        first = None if start is None else in_utc(start)
        after = place_of(next_token, datetime, str)
        begin = after[0] if after is not None and isinstance(after[0], datetime) else first
        found = captured_hours(context.root, endpoint, begin, last, variant=variant)
        rest = [one for one in found if after is None or (one.start, one.variant) > after]
        return {
            "endpoint": endpoint,
            "before": last.isoformat(),
            "erased_from": _erased_from(context, endpoint, first),
            **page_of(rest, limit, lambda one: (one.start, one.variant), _hour),
        }

    @routes.get("/endpoints/{name}/capture/lines", response_class=StreamingResponse)
    def lines(
        name: str, hour: datetime, variant: Annotated[str, Query()] = "AllTraffic"
    ) -> StreamingResponse:
        """Return the records of one hour of a variant as capture lines of SageMaker."""
        endpoint = known_endpoint(context, name)
        body = _written(context.root, endpoint, in_utc(hour), variant)
        return StreamingResponse(body, media_type=_LINES)


def _hour(one: Hour) -> dict[str, Any]:
    return asdict(one) | {"start": one.start.isoformat()}


def _erased_from(context: ServerContext, endpoint: str, first: datetime | None) -> str | None:
    """Return the time from which hours without records can only have been emptied by erasure."""
    if endpoint not in erasure_counts(context.root):
        return None
    kept = context.now().astimezone(UTC) - timedelta(days=context.retention_days - 1)
    whole = kept.replace(hour=0, minute=0, second=0, microsecond=0)
    return (whole if first is None else max(whole, first)).isoformat()


def _written(root: str, endpoint: str, hour: datetime, variant: str) -> Iterator[bytes]:
    waiting: list[str] = []
    for line in captured_lines(root, endpoint, hour, variant):
        waiting.append(write_line(line) + "\n")
        if len(waiting) >= _SENT_LINES:
            yield "".join(waiting).encode()
            waiting.clear()
    if waiting:
        yield "".join(waiting).encode()


def _importable(context: ServerContext, connection: Connection, name: str) -> tuple[str, bool]:
    """Return the endpoint's name as it is declared or was captured, or else as it is asked."""
    found = store.find(connection, "Endpoint", name)
    if found is not None:
        return found.name, True
    _check("endpoint", name)
    held = {one.casefold(): one for one in list_endpoints(context.root)}
    return held.get(name.casefold(), name), False


def _check(what: str, name: str) -> None:
    if not is_name(name):
        raise InputError(
            f'{what} "{name[:80]}": expected up to 63 letters, digits and inner hyphens'
        )
