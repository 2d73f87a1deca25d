"""Windows with their newest executions: the newest of each monitor, or those around a start.

Of windows with one start, the schedule's own stands for those run by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

from driftline.baseline.times import EPOCH
from driftline.database.columns import UtcDateTime
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import (
    COLUMNS,
    Execution,
    select_executions,
)
from driftline.monitors.tables import definitions, executions

NEWEST_WINDOWS = 30
"""Windows that lists of monitors show of each."""

WINDOWS_SHOWN = 400
LATER_SHOWN = 100
"""Windows after one that is not among the newest."""

STAMP = "%Y%m%dT%H%M%SZ"
NEVER = datetime.fromtimestamp(0, UTC)
NEWEST_FIRST = (executions.c.window_start.desc(), executions.c.finished_at.desc())


def judged(definition: MonitorDefinition) -> Select[Any]:
    """Select the executions of a monitor that stand."""
    return select(*COLUMNS).where(executions.c.monitor == definition.name, executions.c.is_current)


def newest_windows(
    connection: Connection, monitors: Sequence[str], count: int = NEWEST_WINDOWS
) -> dict[str, list[Execution]]:
    """Return the newest windows of monitors, at least so many, the newest first."""
    newer = executions.alias()
    # Where the last of them begins: each window before it is left alone in the index.
    last = (
        select(newer.c.window_start)
        .where(newer.c.monitor == definitions.c.name, newer.c.is_current)
        .order_by(newer.c.window_start.desc())
        .offset(count - 1).limit(1)
        .scalar_subquery()
    )  # fmt: skip
    since = func.coalesce(last, literal(EPOCH, UtcDateTime)).label("since")
    begin = select(definitions.c.name, since).where(definitions.c.name.in_(monitors)).subquery()
    query = (
        select(*COLUMNS)
        .join(begin, executions.c.monitor == begin.c.name)
        .where(executions.c.is_current, executions.c.window_start >= begin.c.since)
        .order_by(*NEWEST_FIRST)
    )
    found = defaultdict[str, list[Execution]](list)
    for run in select_executions(connection, query):
        found[run.monitor].append(run)
    return found


def as_runs(definition: MonitorDefinition, rows: Sequence[Execution]) -> tuple[Execution, ...]:
    """Turn executions, newest first, into windows, oldest first."""
    runs: dict[datetime, Execution] = {}
    for run in rows:
        # Somebody may have run a part of a window by hand, which must not hide the whole.
        if run.window_start not in runs or definition.timetable.has_window(run.window):
            runs[run.window_start] = run
    return tuple(reversed(runs.values()))


def windows_around(
    connection: Connection, definition: MonitorDefinition, stamp: str
) -> tuple[Execution, ...]:
    """Read the windows around a start, oldest first; none for what is no start."""
    standing, begin, end = judged(definition), executions.c.window_start, second_of(stamp)[1]
    later = standing.where(begin >= end).order_by(begin, executions.c.finished_at.desc())
    earlier = standing.where(begin < end).order_by(*NEWEST_FIRST)
    rows = [
        *reversed(select_executions(connection, later.limit(LATER_SHOWN))),
        *select_executions(connection, earlier.limit(WINDOWS_SHOWN - LATER_SHOWN)),
    ]
    return as_runs(definition, rows)


def second_of(stamp: str) -> tuple[datetime, datetime]:
    """Read a stamp, which leaves out what is shorter than a second; no time where it is none."""
    try:
        start = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
        return start, start + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return NEVER, NEVER
