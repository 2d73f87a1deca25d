"""A baseline's version in use: moved to a newer one with all monitors of it, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import ConflictError
from driftline.monitors.definitions import MonitorDefinition, list_definitions, put_definition
from driftline.monitors.warm_up.captured_baseline import put_captured
from driftline.serving.context import ServerContext
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature


def renew_by_capture(
    context: ServerContext, definition: MonitorDefinition, window: Window
) -> Baseline:
    """Make a version of a monitor's baseline of captured rows, and let its monitors use it."""
    signature = require_signature(context.engine, definition.endpoint)
    # First what nobody names yet; what breaks off here leaves everything as it was.
    made = put_captured(context.root, definition, window, signature, context.now)
    before, version = definition.baseline_version, made.version
    with context.engine.begin() as connection:
        store.hold_all(connection)
        move_version(connection, definition.baseline, before, version, context.now())
    return made


def move_version(
    connection: Connection, baseline: str, before: str | None, version: str, now: datetime
) -> list[MonitorDefinition]:
    """Do it in a transaction that holds all resources; give the definitions as they were."""
    row = store.get(connection, "Baseline", baseline)
    if before is not None and row.made["version"] != before:
        raise ConflictError(
            f'baseline "{row.name}": version {row.made["version"]} is in use, no longer '
            f"{before}; look at it and try again"
        )
    store.put_row(connection, replace(row, made={**row.made, "version": version}), now)
    moved = [
        one
        for one in list_definitions(connection)
        if one.baseline == row.name and one.baseline_version in (before, row.made["version"])
    ]
    for one in moved:
        put_definition(connection, replace(one, baseline_version=version), now)
    return moved
