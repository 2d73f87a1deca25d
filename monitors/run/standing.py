"""The standing of monitors, from stored states and windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select, union_all

from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import COLUMNS, Execution, select_executions
from driftline.monitors.run.judged_windows import (
    NEWEST_FIRST,
    WINDOWS_SHOWN,
    as_runs,
    judged,
    newest_windows,
    second_of,
    windows_around,
)
from driftline.monitors.run.monitor_line import MonitorLine
from driftline.monitors.run.planning import MonitorState, overdue
from driftline.monitors.run.window_queue import list_runs
from driftline.monitors.tables import executions


def standing_lines(
    connection: Connection,
    watched: Sequence[MonitorDefinition],
    known: Sequence[MonitorState],
    now: datetime,
) -> tuple[MonitorLine, ...]:
    """Return monitors with their newest windows; ``known`` are the states of all monitors."""
    newest = newest_windows(connection, [one.name for one in watched])
    late = {one.monitor: one.due_at for one in overdue(connection, now, known)}
    return tuple(
        MonitorLine(
            definition=one,
            baseline_version=one.baseline_version or "",
            runs=as_runs(one, newest[one.name]),
            overdue_since=late.get(one.name),
        )
        for one in watched
    )


def with_older_windows(
    connection: Connection, lines: Sequence[MonitorLine], most: int, shown: ColumnElement[bool]
) -> tuple[MonitorLine, ...]:
    """Add older displayed windows to the newest ones, up to a total over all monitors."""
    each = most // (sum(bool(one.runs) for one in lines) or 1)
    older = [
        select(
            judged(one.definition).with_only_columns(executions.c.id)
            .where(executions.c.window_start < one.runs[0].window_start, shown)
            .order_by(*NEWEST_FIRST).limit(each - len(one.runs)).subquery()
        )
        for one in lines if 0 < len(one.runs) < each
    ]  # fmt: skip
    if not older:
        return tuple(lines)
    found = select(*COLUMNS).where(executions.c.id.in_(union_all(*older))).order_by(*NEWEST_FIRST)
    rows = defaultdict[str, list[Execution]](list)
    for row in select_executions(connection, found):
        rows[row.monitor].append(row)
    added = {one.name: as_runs(one.definition, rows[one.name]) for one in lines}
    return tuple(replace(one, runs=added[one.name] + one.runs) for one in lines)


class NoWindowError(NotFoundError):
    """The monitor is there, but not the window."""


def no_window(monitor: str, stamp: str) -> NoWindowError:
    """Return the error that a monitor has no window with a start."""
    why = "none was judged then, or it is no longer kept"
    return NoWindowError(f'monitor "{monitor}" has no window "{stamp}": {why}')


def require_window(connection: Connection, definition: MonitorDefinition, stamp: str) -> None:
    """Refuse a start of which a monitor has no window."""
    (start, end), begin = second_of(stamp), executions.c.window_start
    found = judged(definition).where(begin >= start, begin < end).limit(1)
    if not select_executions(connection, found):
        raise no_window(definition.name, stamp)


def ran_at(
    connection: Connection,
    watched: Iterable[MonitorDefinition],
    endpoint: str,
    stamp: str,
) -> list[MonitorDefinition]:
    """Return the monitors of an endpoint that ran on a window of a start; NoWindowError: none."""
    known = {one.name: one for one in watched}
    (start, end), begin = second_of(stamp), executions.c.window_start
    ran = select(executions.c.monitor).distinct().where(
        executions.c.monitor.in_(known), executions.c.is_current, begin >= start, begin < end,
    )  # fmt: skip
    if not (found := [known[name] for name in sorted(connection.scalars(ran))]):
        why = "no monitor judged one then, or it is no longer kept"
        raise NoWindowError(f'endpoint "{endpoint}" has no window "{stamp}": {why}')
    return found


def window_line(
    connection: Connection,
    definition: MonitorDefinition,
    stamp: str | None,
    shown: ColumnElement[bool],
) -> tuple[MonitorLine, Execution | None]:
    """Return a monitor and the window with a start, however old, with those around it.

    Without a start it is the newest shown, None before the first. NoWindowError: no execution has
    that start.
    """
    newest = judged(definition).where(shown).order_by(*NEWEST_FIRST).limit(WINDOWS_SHOWN)
    rows, table = select_executions(connection, newest), executions.c

    def counted(*where: ColumnElement[bool]) -> int:
        starts = select(func.count(table.window_start.distinct())).where(
            table.monitor == definition.name, table.is_current, *where
        )
        return connection.scalar(starts) or 0

    version = rows[0].baseline_version if rows else None
    line = MonitorLine(
        definition=definition,
        baseline_version=version or definition.baseline_version or "",
        runs=as_runs(definition, rows),
        begun=tuple(list_runs(connection, definition.name)),
        window_count=counted(shown) if len(rows) == WINDOWS_SHOWN else 0,
    )
    run = line.last
    if stamp is not None:
        run = next((run for run in line.runs[1:] if run.window.stamp == stamp), None)
        if run is None:  # Before the oldest, too, there may be others to step to.
            around = windows_around(connection, definition, stamp)
            line = replace(line, runs=around, are_newest=False, window_count=counted())
            run = next((run for run in line.runs if run.window.stamp == stamp), None)
        if run is None:
            raise no_window(definition.name, stamp)
    return line, run
