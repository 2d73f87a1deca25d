"""Routes of a baseline's versions: listed, made of captured rows, compared, promoted."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from driftline.access.audit import PROMOTE, AuditEntry, entries
from driftline.baseline import store as baselines
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import InputError
from driftline.monitors.captured_baseline import (
    put_renewed,
    require_over,
    rows_like,
    rows_origin,
    table_rows_like,
)
from driftline.monitors.definitions import list_definitions
from driftline.monitors.kinds.data_quality.version_comparison import compare_versions
from driftline.monitors.run.labelled_baseline import (
    put_labelled,
    read_labelled,
    read_labelled_table,
)
from driftline.serving.api.known import declared_monitor
from driftline.serving.api.requests import PAGE, Fields, Limit, PageToken, in_utc, page_of
from driftline.serving.context import ServerContext
from driftline.serving.provisioning.apply import Applier
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature
from driftline.serving.resources.store import Stored

Wanted = Annotated[str, Field(min_length=1, max_length=64)]


class PromoteRequest(Fields):
    """The version that is to be used, by its number or its digest."""

    version: Wanted


class VersionRequest(Fields):
    """Whose rows of which time, half-open, a version is made of; whether it is used at once."""

    # One of both: what an endpoint captured, or what a monitor reads.
    endpoint: Annotated[str | None, Field(max_length=63)] = None
    monitor: Annotated[str | None, Field(max_length=63)] = None
    start: Annotated[AwareDatetime, Field(alias="from")]
    end: Annotated[AwareDatetime, Field(alias="to")]
    # Of the rows that have a label alone, with all that labels tell made anew.
    labels: bool = False
    promote: bool = False


def router(context: ServerContext, applier: Applier) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["baselines"])

    def stored(name: str) -> Stored:
        with read_connection(context.engine) as connection:
            return store.get(connection, "Baseline", name)

    @routes.get("/baselines/{name}/versions")
    def list_versions(
        name: str, limit: Limit = PAGE, next_token: PageToken = None
    ) -> dict[str, Any]:
        """List the versions of a baseline, the newest first, with the monitors that use each."""
        row, after = stored(name), place_of(next_token, datetime, int, str)
        with read_connection(context.engine) as connection:
            users = [one for one in list_definitions(connection) if one.baseline == row.name]
        found = baselines.list_versions(context.root, row.name)[::-1]
        chosen = [one for one in found if after is None or one.place < after]

        def shown(one: baselines.BaselineVersion) -> dict[str, Any]:
            return {
                **one.to_dict(),
                "in_use": one.version == row.made["version"],
                "monitors": [
                    {"name": user.name, "pinned": user.baseline_pinned}
                    for user in users
                    if user.baseline_version == one.version
                ],
            }

        return page_of(chosen, limit, lambda one: one.place, shown)

    @routes.post("/baselines/{name}/versions")
    async def make_version(name: str, asked: VersionRequest) -> dict[str, Any]:
        """Make a version of captured rows, or of a table's; nobody uses it until it is promoted."""
        made = await asyncio.to_thread(_captured, context, stored(name), asked)
        if asked.promote:
            await applier.promote(name, made["version"])
        return {**made, "promoted": asked.promote}

    @routes.get("/baselines/{name}/comparison")
    def compare(name: str, reference: str, version: str) -> dict[str, Any]:
        """Compare a version of a baseline with another, column by column, as a window is judged."""
        row = stored(name)
        pair = [baselines.find_version(context.root, row.name, one) for one in (reference, version)]
        before, after = (baselines.get(context.root, row.name, one.version) for one in pair)
        found = compare_versions(before, after).to_dict()
        return {
            "baseline": row.name, "before": pair[0].to_dict(), "after": pair[1].to_dict(), **found,
        }  # fmt: skip

    @routes.post("/baselines/{name}/promote")
    async def promote(name: str, asked: PromoteRequest) -> dict[str, Any]:
        """Have a version used by all monitors that follow the baseline; an older one, too."""
        return await applier.promote(name, asked.version)

    @routes.get("/baselines/{name}/promotions")
    def list_promotions(
        name: str, limit: Limit = PAGE, next_token: PageToken = None
    ) -> dict[str, Any]:
        """List which versions came into use, when, and who did it, the newest first."""
        target = f"Baseline/{stored(name).name}"
        with read_connection(context.engine) as connection:
            found = entries(
                connection, limit=limit + 1, after=place_of(next_token, int), target=target,
                action=PROMOTE,
            )  # fmt: skip
        return page_of(found, limit, lambda one: (one.id,), _promotion)

    return routes


def _promotion(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at.isoformat(),
        "by": entry.subject,
        "before": (entry.before or {}).get("version"),
        "after": (entry.after or {})["version"],
    }


def _captured(context: ServerContext, row: Stored, asked: VersionRequest) -> dict[str, Any]:
    """Keep a version of captured rows, in all else as the version in use."""
    window = Window(in_utc(asked.start), in_utc(asked.end))
    require_over(window, context.now())
    if (asked.endpoint is None) == (asked.monitor is None):
        raise InputError("expected endpoint or monitor, one of them")
    source, endpoint, variant, target_model = None, asked.endpoint or "", None, None
    if asked.monitor is not None:
        definition = declared_monitor(context, asked.monitor)
        source, endpoint = definition.external, definition.endpoint
        variant, target_model = definition.variant, definition.target_model
    if source is None:
        with read_connection(context.engine) as connection:
            endpoint = store.get(connection, "Endpoint", endpoint).name
        signature = require_signature(context.engine, endpoint)
        rows = partial(rows_like, context.root, endpoint, window=window, signature=signature)
        labelled = partial(
            read_labelled, context.root, endpoint, window=window, signature=signature,
            variant=variant, target_model=target_model,
        )  # fmt: skip
        origin = rows_origin(window, endpoint=endpoint)
    else:
        rows = partial(table_rows_like, source, context.access, window=window)
        labelled = partial(read_labelled_table, source, context.access, window=window)
        origin = rows_origin(window, source=str(source))
    like = context.root, row.name, row.made["version"]
    if asked.labels:
        made = put_labelled(*like, labelled, context.now, origin)
    else:
        made = put_renewed(*like, rows, context.now, origin)
    version = baselines.find_version(context.root, row.name, made.version)
    return {"baseline": row.name, **version.to_dict()}
