"""Remembers the causes of violations, so that one that lasts is reported as new once.

A row is one episode of a cause: the first window that reported it, and the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, update

from driftline.capture.windows.window import Window
from driftline.database.dialects import upsert
from driftline.monitors.day_test.day_test import day_scales
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.report.report import Report
from driftline.monitors.results.cause_identity import (
    REMEMBERED_WINDOWS,
    cause_identity,
    with_first_windows,
)
from driftline.monitors.schedule import moment_before
from driftline.monitors.tables import causes, executions

_COLUMNS = causes.c


def read_causes(
    connection: Connection, definition: MonitorDefinition, baseline_version: str, window: Window
) -> Mapping[str, datetime]:
    """Return the causes that windows before one reported, each with the first of them."""
    query = (
        select(_COLUMNS.identity, func.min(_COLUMNS.first_window))
        .where(
            *_own(definition, baseline_version),
            _COLUMNS.first_window < window.start,
            _COLUMNS.last_window >= moment_before(window.start, remembered(window.length)),
        )
        .group_by(_COLUMNS.identity)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def recognize_causes(report: Report, known: Mapping[str, datetime]) -> Report:
    """Record with each violation which window reported it first: what lasts is no news."""
    return replace(report, violations=with_first_windows(report.violations, known))


def store_causes(
    connection: Connection, definition: MonitorDefinition, baseline_version: str, report: Report,
    window: Window, *, retention: timedelta,
) -> None:  # fmt: skip
    """Store the causes of a window of the timetable, and delete those of long ago."""
    timetable, own = definition.timetable, _own(definition, baseline_version)
    if timetable.is_recurring and not timetable.has_window(window):
        return
    later = exists().where(
        executions.c.monitor == definition.name, executions.c.window_start >= window.end,
        executions.c.is_current,
    )  # fmt: skip
    # No alarm looks back: what is new in an earlier window stays news for those to come.
    is_newest = report.violations and not connection.scalar(select(later))
    for violation in report.violations:
        first = violation.first_window or window.start
        identity = cause_identity(violation)
        if violation.first_window is not None:
            lasts = _COLUMNS.identity == identity, _COLUMNS.first_window == first
            longer = update(causes).where(*own, *lasts, _COLUMNS.last_window < window.start)
            connection.execute(longer.values(last_window=window.start))
        elif is_newest:
            statement = upsert(connection, causes).values(
                monitor=definition.name, endpoint=definition.endpoint,
                baseline_version=baseline_version, identity=identity, first_window=first,
                last_window=window.start,
            )  # fmt: skip
            connection.execute(statement.on_conflict_do_nothing())
    # Windows within retention may be judged again, with those that they remember.
    oldest = moment_before(window.start, retention + remembered(window.length))
    connection.execute(delete(causes).where(*own, _COLUMNS.last_window < oldest))


def remembered(length: timedelta) -> timedelta:
    """Return how long a cause is remembered: twice the longest span."""
    return max(REMEMBERED_WINDOWS, 2 * day_scales(length)[-1]) * length


def _own(definition: MonitorDefinition, baseline_version: str) -> tuple[ColumnElement[bool], ...]:
    return (
        _COLUMNS.monitor == definition.name,
        _COLUMNS.endpoint == definition.endpoint,
        _COLUMNS.baseline_version == baseline_version,
    )
