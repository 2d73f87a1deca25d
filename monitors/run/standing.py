"""How monitors stand, by the rows that jobs keep of them: one statement for all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.run.judged_windows import kept_run, one_a_start
from driftline.monitors.run.monitor_line import MonitorLine
from driftline.monitors.run.overdue import overdue
from driftline.monitors.run.status import MonitorState
from driftline.monitors.run.upstream import MonitorNames
from driftline.monitors.tables import executions, states, warm_ups
from driftline.monitors.warm_up.status import suppressed_columns

_FAILURE = executions.c.failure_reason, executions.c.failure_type, executions.c.failure_record


def standing_lines(
    connection: Connection,
    watched: Sequence[MonitorDefinition],
    known: Sequence[MonitorState],
    now: datetime,
    endpoints: Collection[str] | None,
) -> tuple[MonitorLine, ...]:
    """Return monitors with their newest windows.

    ``known`` are all monitors of the installation; ``endpoints`` those that who asks may see, in
    lower case, None for all.
    """
    table, names = executions.c, MonitorNames(connection, endpoints)
    told = (table.id, table.cause, table.folder, table.finished_at, *_FAILURE)
    query = (
        select(states.c.monitor, states.c.windows, *told)
        .outerjoin(executions, table.id == states.c.execution)
        .where(states.c.monitor.in_([one.name for one in watched]))
    )
    rows = {row.monitor: row for row in connection.execute(query)}
    late = {one.monitor: one.due_at for one in overdue(connection, now, known)}
    warming = select(warm_ups.c.monitor).where(warm_ups.c.finding.is_not(None))
    held = set(connection.scalars(warming))
    lines = []
    for definition in watched:
        row = rows.get(definition.name)
        entries = [
            one
            for one in (row.windows if row else ())
            if endpoints is None or one["endpoint"].lower() in endpoints
        ]
        failure = names.reason(row.failure_reason) if row else None
        runs = one_a_start(definition, (kept_run(one, row, failure) for one in reversed(entries)))
        judged = (one for one in reversed(entries) if one["rows"])
        last: Mapping[str, Any] = next(judged, {"labelled": None})
        is_labelled = definition.kind_value.uses_labels and last["labelled"] is not None
        line = MonitorLine(
            definition=definition,
            baseline_version=definition.baseline_version or "",
            runs=runs,
            labelled=(last["labelled"], last["rows"]) if is_labelled else None,
            overdue_since=late.get(definition.name),
            suppressed=suppressed_columns(connection, definition)
            if definition.name in held else (),
        )  # fmt: skip
        shown = line.standing and line.standing.execution
        expected = next((one["expected"] for one in entries if one["execution"] == shown), None)
        lines.append(replace(line, expected=expected or 0))
    return tuple(lines)
