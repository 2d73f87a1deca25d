"""Questions to the database, each one function with a small answer; nothing here writes.

Monitors and their windows, alarms and their changes, notifications. What lies in the storage root
is read by stores.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from driftline.alerts import metrics
from driftline.alerts.alarms import AlarmRecord, HistoryItem, history
from driftline.alerts.tables import outbox
from driftline.dashboard.address import monitor_link
from driftline.dashboard.frames import (
    AlarmChange,
    AlarmLine,
    DeliveryLine,
    MonitorLine,
    WindowRun,
    WindowState,
)
from driftline.dashboard.wording import duration, number
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.tables import executions

__all__ = ["alarm_line", "changes", "deliveries", "folder_of", "monitor_line"]

WINDOWS_SHOWN = 400
DELIVERIES_SHOWN = 12
CHANGES_SHOWN = 20
OPERATORS = {
    "GreaterThanOrEqualToThreshold": "≥",
    "GreaterThanThreshold": ">",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "≤",
}


def monitor_line(
    connection: Connection, definition: MonitorDefinition, alarms: Iterable[AlarmRecord]
) -> MonitorLine:
    """Join a definition with its windows and the alarms on its metrics."""
    runs, version = _runs(connection, definition.name)
    return MonitorLine(
        name=definition.name,
        kind=definition.kind.replace("-", " "),
        endpoint=definition.endpoint,
        baseline=definition.baseline,
        baseline_version=version or definition.baseline_version or "",
        schedule=definition.schedule,
        false_alarms_per_year=definition.false_alarms_per_year,
        runs=runs,
        alarms=tuple(record.name for record in alarms if _monitor_of(record) == definition.name),
    )


def _runs(connection: Connection, monitor: str) -> tuple[tuple[WindowRun, ...], str]:
    """Read the newest windows of a monitor, oldest first, and the last baseline's version."""
    table = executions.c
    rows = connection.execute(
        select(executions)
        .where(table.monitor == monitor, table.is_current)
        .order_by(table.window_start.desc(), table.finished_at.desc())
        .limit(WINDOWS_SHOWN)
    ).all()
    runs: dict[datetime, WindowRun] = {}
    for row in rows:
        failed = row.status == "Failed"
        state: WindowState = "failed" if failed else "violations" if row.violation_count else "ok"
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
        )
        runs.setdefault(run.start, run)
    return tuple(reversed(runs.values())), rows[0].baseline_version if rows else ""


def alarm_line(connection: Connection, record: AlarmRecord) -> AlarmLine:
    """Tell how an alarm stands, with the words of its metric's newest datapoint."""
    rule = record.definition
    note = _newest_words(connection, record) if record.state == "ALARM" else {}
    times = f"{rule.required_breaches} of {rule.evaluation_periods}"
    length = duration(timedelta(seconds=rule.period))
    condition = (
        f"{rule.metric_name} {OPERATORS[rule.comparison_operator]} {number(rule.threshold)} "
        f"in {times} periods of {length}"
    )
    return AlarmLine(
        name=record.name,
        state=record.state,
        since=record.state_changed_at,
        severity=rule.severity,
        condition=condition,
        reason=record.state_reason,
        cause=_note_text(note, "cause"),
        link=_note_link(note),
        monitor=_monitor_of(record),
    )


def _monitor_of(record: AlarmRecord) -> str | None:
    return record.definition.dimensions.get("MonitoringSchedule")


def _note_text(note: Mapping[str, object], key: str) -> str | None:
    value = note.get(key)
    return value if isinstance(value, str) and value else None


def _note_link(note: Mapping[str, object]) -> str | None:
    """Take a note's link if it leads to a page of ours; notes are written by others, too."""
    link = (_note_text(note, "link") or "").lstrip("/")
    if link.startswith("monitors/"):
        return f"/{link}"
    monitor = _note_text(note, "monitor")
    return monitor_link(monitor, anchor="rows") if monitor else None


def changes(
    connection: Connection, alarms: Iterable[AlarmRecord], line: MonitorLine
) -> tuple[AlarmChange, ...]:
    """Read how a monitor's alarms changed their states, newest first."""
    found: list[AlarmChange] = []
    for record in alarms:
        if record.name not in line.alarms:
            continue
        for item in history(connection, record.name, type="StateUpdate", limit=CHANGES_SHOWN):
            new = _state(item.data, "newState")
            words = _words_at(connection, record, item) if new[0] == "ALARM" else {}
            found.append(
                AlarmChange(
                    time=item.time,
                    alarm=record.name,
                    old=_state(item.data, "oldState")[0],
                    new=new[0],
                    reason=new[1] or item.summary,
                    cause=_note_text(words, "cause"),
                    link=_note_link(words),
                )
            )
    found.sort(key=lambda change: change.time, reverse=True)
    return tuple(found[:CHANGES_SHOWN])


def _newest_words(connection: Connection, record: AlarmRecord) -> Mapping[str, object]:
    """Give the note of the newest datapoint that has a cause, else of the change to ALARM."""
    rule = record.definition
    note = metrics.latest_note(connection, rule.namespace, rule.metric_name, rule.dimensions)
    if note and _note_text(note, "cause"):
        return note
    newest = history(connection, record.name, type="StateUpdate", limit=1)
    return _words_at(connection, record, newest[0]) if newest else {}


def _words_at(
    connection: Connection, record: AlarmRecord, item: HistoryItem
) -> Mapping[str, object]:
    """Give the note of the datapoint that decided a change of state."""
    end = item.data.get("periodEnd")
    if not isinstance(end, str):
        return {}
    rule = record.definition
    note = metrics.latest_note(
        connection,
        rule.namespace,
        rule.metric_name,
        rule.dimensions,
        before=datetime.fromisoformat(end),
    )
    return note or {}


def _state(data: Mapping[str, object], key: str) -> tuple[str, str]:
    """Read one side of CloudWatch's history data: the state's value and reason."""
    side = data.get(key)
    if not isinstance(side, Mapping):
        return "", ""
    return str(side.get("stateValue", "")), str(side.get("stateReason", ""))


def deliveries(connection: Connection) -> tuple[DeliveryLine, ...]:
    """Read the newest notifications; never their bodies or addresses."""
    table = outbox.c
    columns = (
        table.created_at, table.alarm_name, table.state, table.channel,
        table.status, table.attempts, table.last_status, table.last_error,
    )  # fmt: skip
    query = select(*columns).order_by(table.created_at.desc(), table.id.desc())
    return tuple(
        DeliveryLine(
            time=row.created_at,
            alarm=row.alarm_name,
            state=row.state,
            channel=row.channel,
            status=row.status,
            attempts=row.attempts,
            detail=row.last_error or (f"HTTP {row.last_status}" if row.last_status else None),
        )
        for row in connection.execute(query.limit(DELIVERIES_SHOWN))
    )


def folder_of(connection: Connection, execution: str) -> str:
    """Say where an execution wrote its documents, relative to the storage root; "" for nowhere."""
    query = select(executions.c.folder).where(executions.c.id == execution)
    return connection.scalar(query) or ""
