"""Operation on what the workers of an endpoint print."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import NotFoundError
from driftline.serving.hosting.log_lines import read_lines
from driftline.serving.operations.authorization import of_endpoint
from driftline.serving.operations.registry import (
    PAGE,
    Json,
    Latest,
    Page,
    PageToken,
    Time,
    operation,
    page_of,
)
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import variants_and_shadows

_SHOWN = ("time", "variant", "container", "worker", "message")


@operation("GET /logs", role="viewer", of=("endpoint", of_endpoint))
def logs(
    services: Services,
    endpoint: Annotated[str, Field(max_length=63, description="The endpoint's name.")],
    variant: Annotated[str | None, Field(max_length=63, description="Only its workers.")] = None,
    since: Annotated[Time | None, "Begin here; included."] = None,
    limit: Latest = PAGE,
    next_token: PageToken = None,
) -> Page[Json]:
    """List what the workers of an endpoint have printed, the newest line first.

    Lines that were printed on the machine of the server that answers; the oldest are deleted.
    """
    before = place_of(next_token, datetime, str)
    with read_connection(services.context.engine) as connection:
        declared = store.get(connection, "Endpoint", endpoint)
    if variant is not None:
        _require_variant(declared, variant)
    found = read_lines(
        services.context.model_logs_of(declared.name), limit=limit + 1, variant=variant,
        since=since,
        before=None if before is None else (before[0], before[1]),  # type: ignore[arg-type]
    )  # fmt: skip
    return page_of(found, limit, lambda one: (one.time, one.file)).map(
        lambda one: {name: getattr(one, name) for name in _SHOWN}
    )


def _require_variant(endpoint: store.Stored, variant: str) -> None:
    names = [one["variant_name"] for one in variants_and_shadows(endpoint.spec)]
    if variant.casefold() not in map(str.casefold, names):
        there = f"it has {', '.join(names)}" if names else "an app of its own answers for it"
        raise NotFoundError(f'Endpoint "{endpoint.name}" has no variant "{variant}"; {there}')
