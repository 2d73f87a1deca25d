"""Whether rows of a judged window are gone since: then its verdict cannot be made again."""

from __future__ import annotations

from sqlalchemy import Engine, select

from driftline.capture.windows.window import Window, WindowRead
from driftline.database.engine import read_connection
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.tables import executions


def removed_since(
    engine: Engine,
    definition: MonitorDefinition,
    baseline_version: str,
    window: Window,
    read: WindowRead,
) -> str | None:
    """Say in one sentence that erasure or retention took requests that the standing verdict saw.

    None: no such verdict stands, it was another question, or all of it is there. A verdict of fewer
    rows would take its place, and an alarm change by it, though nothing has happened.
    """
    table = executions.c
    query = select(table.id, table.request_count).where(
        table.monitor == definition.name,
        table.definition_version == definition.version,
        table.baseline_version == baseline_version,
        table.window_start == window.start,
        table.window_end == window.end,
        table.digest != read.digest,
        table.is_current,
    )
    with read_connection(engine) as connection:
        found = connection.execute(query).first()
    if found is None or found.request_count <= read.request_count:
        return None
    return (
        f"window {window.stamp}: {found.request_count - read.request_count} of "
        f"{found.request_count} requests were erased or are past retention; execution {found.id}, "
        "which saw them, stands"
    )
