"""Questions to the database, each one function with a small answer; nothing here writes.

Monitors and their windows, notifications. Alarms are read by alarm_queries.py, measured series by
series_queries.py; what lies in the storage root by stores.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, func, select

from driftline.alerts.alarms.records import AlarmRecord
from driftline.alerts.tables import outbox
from driftline.capture.windows.window import Window
from driftline.dashboard.queries.alarms import monitor_of
from driftline.dashboard.queries.messages import delivery_line
from driftline.dashboard.queries.views import DeliveryLine, MonitorLine, WindowRun, WindowState
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import INSUFFICIENT
from driftline.monitors.run.captured_window import NO_LABELS
from driftline.monitors.tables import executions
from driftline.monitors.warm_up.status import held_now

WINDOWS_SHOWN = 400
DELIVERIES_SHOWN = 12


def monitor_line(
    connection: Connection, definition: MonitorDefinition, alarms: Iterable[AlarmRecord]
) -> MonitorLine:
    """Join a definition with its windows and the alarms on its metrics."""
    runs, version = _runs(connection, definition)
    return MonitorLine(
        name=definition.name,
        kind=definition.kind.replace("-", " "),
        endpoint=definition.endpoint,
        baseline=definition.baseline,
        baseline_version=version or definition.baseline_version or "",
        schedule=definition.schedule,
        false_alarms_per_year=definition.false_alarms_per_year,
        runs=runs,
        alarms=tuple(record.name for record in alarms if monitor_of(record) == definition.name),
        held=held_now(connection, definition),
    )


def _runs(
    connection: Connection, definition: MonitorDefinition
) -> tuple[tuple[WindowRun, ...], str]:
    """Read the newest windows of a monitor, oldest first, and the last baseline's version.

    Of windows with one start the schedule's own stands, else the one that was judged last.
    """
    table = executions.c
    rows = connection.execute(
        select(executions)
        .where(table.monitor == definition.name, table.is_current)
        .order_by(table.window_start.desc(), table.finished_at.desc())
        .limit(WINDOWS_SHOWN)
    ).all()
    runs: dict[datetime, WindowRun] = {}
    for row in rows:
        failed = row.status == "Failed"
        state: WindowState = "failed" if failed else "violations" if row.violation_count else "ok"
        if failed and (row.failure_reason or "").startswith(NO_LABELS):
            state = "unlabelled"
        elif row.status == INSUFFICIENT:
            state = "insufficient"
        run = WindowRun(
            start=row.window_start,
            end=row.window_end,
            stamp=f"{row.window_start:%Y%m%dT%H%M%SZ}",
            execution=row.id,
            state=state,
            row_count=None if failed else row.row_count,
            violation_count=row.violation_count,
            hard_count=row.page_count,
            ratio=row.max_drift_ratio,
            cause=row.cause or None,
            failure=row.failure_reason,
            folder=row.folder or "",
        )
        # Somebody may have run a part of a window by hand, which must not hide the whole.
        if run.start not in runs or definition.timetable.has_window(Window(run.start, run.end)):
            runs[run.start] = run
    return tuple(reversed(runs.values())), rows[0].baseline_version if rows else ""


def deliveries(connection: Connection) -> tuple[DeliveryLine, ...]:
    """Read the newest notifications; never their bodies or addresses."""
    table = outbox.c
    columns = (
        table.created_at, table.alarm_name, table.state, table.channel,
        table.status, table.attempts, table.last_status, table.last_error,
    )  # fmt: skip
    query = select(*columns).order_by(table.created_at.desc(), table.id.desc())
    return tuple(delivery_line(row) for row in connection.execute(query.limit(DELIVERIES_SHOWN)))


def dead_count(connection: Connection) -> int:
    """Count the messages that were given up."""
    query = select(func.count()).select_from(outbox).where(outbox.c.status == "dead")
    return connection.scalar(query) or 0
