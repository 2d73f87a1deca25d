"""Operations on versions of baselines: listed, made of rows, compared, promoted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Annotated

from driftline.baseline import versions
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.definitions import list_definitions
from driftline.monitors.run.captured_baseline import (
    put_renewed,
    read_like,
    read_table_like,
    refuse_pinned,
    require_over,
    rows_origin,
)
from driftline.serving.context import ServerContext
from driftline.serving.known import declared_monitor
from driftline.serving.operations.registry import From, Latest, Page, To, operation
from driftline.serving.operations.services import Services
from driftline.serving.provisioning.baselines import Promoted
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature

Name = Annotated[str, "The baseline's name; `driftline get baseline` lists them."]


@dataclass(frozen=True)
class VersionUser:
    """A monitor that uses a version; if pinned, whichever is promoted."""

    name: str
    pinned: bool


@dataclass(frozen=True, kw_only=True)
class ListedVersion(versions.BaselineVersion):
    """A version, and who uses it."""

    in_use: bool
    monitors: Sequence[VersionUser]


@operation(
    "GET /baselines/{name}/versions", role="viewer", command="baseline show",
    columns="number in_use version created_at rows=row_count made_of=origin used_by=monitors.name",
)  # fmt: skip
def baseline_versions(services: Services, page: Latest, name: Name) -> Page[ListedVersion]:
    """List the versions of a baseline, the newest first, with the monitors that use each.

    Monitors that follow the baseline use the one that is in use. When each came into use:
    driftline audit --target Baseline/NAME.

    Example: driftline baseline show flights
    """
    context, after = services.context, page.after(datetime, int, str)
    with read_connection(context.engine) as connection:
        row = store.get_ready(connection, "Baseline", name)
        users = [one for one in list_definitions(connection) if one.baseline == row.name]
    found = versions.list_versions(context.root, row.name)[::-1]
    chosen = [one for one in found if after is None or one.place < after]

    def shown(one: versions.BaselineVersion) -> ListedVersion:
        return ListedVersion(
            **asdict(one),
            in_use=one.version == row.made["version"],
            monitors=[
                VersionUser(user.name, user.baseline_pinned)
                for user in users
                if user.baseline_version == one.version
            ],
        )

    return page.of(chosen, lambda one: one.place, shown)


@operation("POST /baselines/{name}/versions", role="operator", command="baseline create")
async def make_baseline_version(
    services: Services,
    name: Name,
    start: From,
    end: To,
    endpoint: Annotated[str | None, "Endpoint that captured the rows."] = None,
    monitor: Annotated[str | None, "Monitor that reads them, as from a table."] = None,
    labels: Annotated[bool, "Of rows with a label, and learn from their labels."] = False,
    promote: Annotated[bool, "Use it at once."] = False,
) -> versions.BaselineVersion:
    """Make a version of a baseline of captured rows.

    Or of a table's rows; nobody uses it until it is promoted.

    Its distributions are those of that time, without rows that were erased; labels, other kinds'
    documents and constraints set by hand stay as in the version in use. With labels it is of the
    rows that have a label, and the reference values of model quality and bias, and what quality
    without labels is estimated by, are made anew, as after a concept drift.

    Example: driftline baseline create flights --endpoint flights --from 2026-11-01 --to 2026-11-15
    """
    window = Window(start, end)
    require_over(window, services.context.now())
    made = await asyncio.to_thread(
        _made_of_rows, services.context, name, window,
        endpoint=endpoint, monitor=monitor, labels=labels,
    )  # fmt: skip
    if promote:
        await services.applier.promote(name, made.version)
    return made


@operation("POST /monitors/{name}/baseline", role="operator", command="monitor baseline")
async def renew_baseline(
    services: Services,
    name: Annotated[str, "Monitor whose baseline is made anew."],
    start: From,
    end: To,
) -> versions.BaselineVersion:
    """Make a new version of a monitor's baseline of rows that were captured.

    Its distributions are those of that time; labels, other kinds' documents and constraints set by
    hand stay. Every monitor of this baseline uses it from its next window on.

    Example: driftline monitor baseline flights-data-quality --from 2026-11-01 --to 2026-11-15
    """
    context = services.context
    definition = await asyncio.to_thread(declared_monitor, context, name)
    refuse_pinned(definition)
    baseline, before = definition.baseline, definition.baseline_version
    made = await asyncio.to_thread(
        _made_of_rows, context, baseline, Window(start, end), monitor=name
    )
    await services.applier.promote(baseline, made.version, before)
    return made


@operation(
    "POST /baselines/{name}/promote", role="operator", notes_itself=True,
    command="baseline promote",
)  # fmt: skip
async def promote_baseline(
    services: Services,
    name: Name,
    version: Annotated[str, "Its number or digest; an older one, too."],
) -> Promoted:
    """Have a version of a baseline used.

    All monitors that follow the baseline use it from their next window on.

    Monitors that are pinned to a version (`baseline: NAME@3`) keep it.

    Example: driftline baseline promote flights 4
    """
    return await services.applier.promote(name, version)


def _made_of_rows(
    context: ServerContext,
    name: str,
    window: Window,
    *,
    endpoint: str | None = None,
    monitor: str | None = None,
    labels: bool = False,
) -> versions.BaselineVersion:
    """Keep a version of captured rows, or a table's, in all else as the version in use."""
    with read_connection(context.engine) as connection:
        row = store.get_ready(connection, "Baseline", name)
    if (endpoint is None) == (monitor is None):
        raise InputError("expected endpoint or monitor, one of them")
    source, captured, variant, target_model = None, endpoint or "", None, None
    if monitor is not None:
        definition = declared_monitor(context, monitor)
        source, captured = definition.external, definition.endpoint
        variant, target_model = definition.variant, definition.target_model
    if source is None:
        with read_connection(context.engine) as connection:
            captured = store.get(connection, "Endpoint", captured).name
        signature = require_signature(context.engine, captured)
        rows = partial(
            read_like, context.root, captured, window=window, signature=signature, labels=labels,
            variant=variant, target_model=target_model,
        )  # fmt: skip
        origin = rows_origin(window, endpoint=captured)
    else:
        rows = partial(read_table_like, source, context.access, window=window, labels=labels)
        origin = rows_origin(window, source=str(source))
    made = put_renewed(
        context.root, row.name, row.made["version"], rows, context.now, origin, labels=labels
    )
    return versions.find_version(context.root, row.name, made.version)
