"""Route of what the workers of an endpoint print."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import NotFoundError
from driftline.serving.api.requests import PAGE, Limit, PageToken, in_utc, page_of
from driftline.serving.context import ServerContext
from driftline.serving.hosting.log_lines import LogLine, read_lines
from driftline.serving.resources import store
from driftline.serving.resources.specs import variants_and_shadows


def router(context: ServerContext) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["predictions"])

    @routes.get("/logs")
    def logs(
        endpoint: Annotated[str, Query(max_length=63)],
        variant: Annotated[str | None, Query(max_length=63)] = None,
        since: AwareDatetime | None = None,
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List what the workers of an endpoint have printed, the newest line first.

        Lines that were printed on the machine of the server that answers; the oldest are deleted.
        """
        before = place_of(next_token, datetime, str)
        with read_connection(context.engine) as connection:
            declared = store.get(connection, "Endpoint", endpoint)
        name = declared.name
        if variant is not None:
            _require_variant(declared, variant)
        found = read_lines(
            context.model_logs_of(name),
            limit=limit + 1,
            variant=variant,
            since=None if since is None else in_utc(since),
            before=None if before is None else (before[0], before[1]),  # type: ignore[arg-type]
        )
        return page_of(found, limit, lambda one: (one.time, one.file), _shown)

    return routes


def _require_variant(endpoint: store.Stored, variant: str) -> None:
    names = [one["variant_name"] for one in variants_and_shadows(endpoint.spec)]
    if variant.casefold() not in map(str.casefold, names):
        there = f"it has {', '.join(names)}" if names else "an app of its own answers for it"
        raise NotFoundError(f'Endpoint "{endpoint.name}" has no variant "{variant}"; {there}')


def _shown(line: LogLine) -> dict[str, Any]:
    return {
        "time": line.time.isoformat(),
        "variant": line.variant,
        "container": line.container,
        "worker": line.worker,
        "message": line.message,
    }
