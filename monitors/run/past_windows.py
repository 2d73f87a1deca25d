"""Window history that a run reads, and that it stores for later windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, select, update

from driftline.baseline.sample import SAMPLE_ROWS
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import EXPECTED, Annotation
from driftline.monitors.check_context import EarlierRows, PastWindows
from driftline.monitors.day_test.day_test import LEAST_SPAN, day_scales
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.drift_test.spans import window_index
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.engine.pooling import MOST_PAST, WindowSums
from driftline.monitors.executions import WITHOUT_REPORT, Execution
from driftline.monitors.report.report import Report
from driftline.monitors.results.cause_identity import (
    REMEMBERED_WINDOWS,
    told_causes,
    with_first_windows,
)
from driftline.monitors.run.apply_annotations import unexpected, without_expected
from driftline.monitors.tables import executions
from driftline.monitors.window_history.first_windows import (
    FirstWindows,
    first_span,
    read_first_windows,
)
from driftline.monitors.window_history.store import Key, forget, put, read
from driftline.monitors.window_history.sums import put_sums, read_sums

# Windows before the evaluated one that the longest span needs.
EARLIER_WINDOWS = SCALES[-1] - 1
# As long as capture keeps rows, when nobody says otherwise.
RETENTION = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class WindowHistory:
    """History of earlier windows for a window's evaluation."""

    key: Key
    counts: tuple[WindowCounts, ...]  # In order of time, without drift that was expected.
    pooled: Window | None  # The windows whose rows are evaluated together with its own.
    # Where the reference has no times; None for others, and for kinds without drift of columns.
    first_windows: FirstWindows | None
    # Of each window before, in order of time: its causes, and where each was told first.
    told: tuple[Mapping[str, datetime], ...] = ()
    days: tuple[WindowCounts, ...] = ()  # Before those of the counts; see `PastWindows`.
    sums: tuple[WindowSums, ...] = ()  # In order of time, without windows that were expected.

    def past(self, rows: EarlierRows | None, drift_tests: DriftTestCache | None) -> PastWindows:
        """Return it as a kind is given it, with the rows to pool."""
        return PastWindows(
            self.counts, rows, self.first_windows, drift_tests, self.days, self.sums,
        )  # fmt: skip


def read_history(
    connection: Connection,
    definition: MonitorDefinition,
    baseline: Baseline,
    window: Window,
    *,
    row_count: int,
    annotations: Sequence[Annotation],
) -> WindowHistory:
    """Read what is stored of the windows before one."""
    key, ids = Key.of(definition, baseline.version), cell_ids(baseline)
    counts = read(connection, key, window.start, ids, limit=EARLIER_WINDOWS)
    first = None
    if definition.kind_value.judges_columns and not definition.compat and baseline.blocks is None:
        first = read_first_windows(connection, key, window, ids)
    pooled = pooled_window(
        connection, definition, baseline.version, window, row_count=row_count,
        annotations=annotations,
    )  # fmt: skip
    told = read_told(connection, definition, baseline.version, window)
    return WindowHistory(
        key,
        without_expected(counts, annotations),
        pooled,
        first,
        told,
        _days_before(connection, key, window, ids, annotations),
        unexpected(read_sums(connection, key, window.start, window.length), annotations),
    )


def windows_read(window: Window) -> int:
    """Return how many windows before one are read.

    If a longer span of days ends with it, these are its windows and those right before it, which
    show whether the change began with the span.
    """
    count = window_index(window.start, window.length) + 1
    scales = [
        scale
        for scale in day_scales(window.length)
        if scale > SCALES[-1] and count % scale == 0 and scale * window.length >= LEAST_SPAN
    ]
    return EARLIER_WINDOWS + max(scales, default=0)


def _days_before(
    connection: Connection,
    key: Key,
    window: Window,
    ids: Mapping[str, str],
    annotations: Sequence[Annotation],
) -> tuple[WindowCounts, ...]:
    """Read the sums of days of windows before those whose counts are read, 64 of them in one."""
    until = moment_before(window.start, EARLIER_WINDOWS * window.length)
    found: list[WindowCounts] = []
    for _ in range((windows_read(window) - EARLIER_WINDOWS) // SCALES[-1]):
        since = moment_before(until, SCALES[-1] * window.length)
        part = without_expected(read(connection, key, until, ids, since=since), annotations)
        if part:
            found.append(WindowCounts.of_days(part))
        until = since
    return tuple(reversed(found))


def _judged_before(
    definition: MonitorDefinition, baseline_version: str, window: Window, count: int
) -> tuple[ColumnElement[bool], ...]:
    """Select a monitor's executions of the windows before one, against the same baseline."""
    table = executions.c
    return (
        table.monitor == definition.name,
        table.endpoint == definition.endpoint,
        table.baseline_version == baseline_version,
        table.window_start >= moment_before(window.start, count * window.length),
        table.window_start < window.start,
    )


def read_told(
    connection: Connection, definition: MonitorDefinition, baseline_version: str, window: Window
) -> tuple[Mapping[str, datetime], ...]:
    """Return the causes reported in the timetable's windows before one, in order of time.

    They were judged against the same version of the baseline. Superseded executions count, because
    their causes were reported.
    """
    table, timetable = executions.c, definition.timetable
    query = (
        select(table.window_start, table.window_end, table.told_causes)
        .where(
            *_judged_before(definition, baseline_version, window, _remembered(window.length)),
            table.window_end <= window.start,
        )
        .order_by(table.window_start)
    )
    return tuple(
        {identity: datetime.fromisoformat(first) for identity, first in row.told_causes.items()}
        for row in connection.execute(query)
        if row.told_causes
        and (
            not timetable.is_recurring
            or timetable.has_window(Window(row.window_start, row.window_end))
        )
    )


def _remembered(length: timedelta) -> int:
    """Return how many windows a cause is remembered for: twice the longest span."""
    return max(REMEMBERED_WINDOWS, 2 * day_scales(length)[-1])


def recognize_causes(report: Report, told: Sequence[Mapping[str, datetime]]) -> Report:
    """Record with each violation which window reported it first: what lasts is no news."""
    return replace(report, violations=with_first_windows(report.violations, told))


def heard_causes(
    connection: Connection, monitor: str, report: Report, window: Window
) -> dict[str, str]:
    """Return, by identity, when each cause of a window was first reported, to be stored."""
    table = executions.c
    later = exists().where(
        table.monitor == monitor, table.window_start >= window.end, table.is_current
    )
    heard = report.violations
    if connection.scalar(select(later)):  # No alarm looks back: it stays news for windows to come.
        heard = tuple(one for one in heard if one.first_window is not None)
    told = told_causes(heard, window.start)
    return {identity: first.isoformat() for identity, first in told.items()}


def store_told(connection: Connection, execution: Execution, report: Report) -> None:
    """Store the causes that an execution reported."""
    told = heard_causes(connection, execution.monitor, report, execution.window)
    query = update(executions).where(executions.c.id == execution.id)
    connection.execute(query.values(told_causes=told or None))


def store_history(
    connection: Connection,
    *,
    history: WindowHistory,
    window: Window,
    report: Report,
    retention: timedelta,
) -> None:
    """Store the counts of an evaluated window, and delete those that nobody needs any more."""
    if report.counts is None and report.sums is None:
        return
    if report.counts is not None:
        put(connection, history.key, report.counts, report.cell_ids)
    if report.sums is not None:
        put_sums(connection, history.key, report.sums, report.row_count)
    saved: Window | None = None
    if history.first_windows is not None:  # They are all that shows how windows vary.
        saved = first_span(connection, history.key, report.cell_ids)
    count = day_scales(window.length)[-1] if report.sums is None else MOST_PAST
    oldest = moment_before(window.end, max(retention, count * window.length))
    forget(connection, history.key.monitor, oldest, save=saved)


def pooled_window(
    connection: Connection,
    definition: MonitorDefinition,
    baseline_version: str,
    window: Window,
    *,
    row_count: int,
    annotations: Sequence[Annotation],
) -> Window | None:
    """Return the span of adjoining windows before one that are evaluated together with it.

    They have its length and the same version of the baseline, because a new version may have
    replaced the data before it. The span ends at windows expected to drift, failed ones, and the
    limit of sampled rows.
    """
    most = definition.kind_value.pooled_windows
    if not most:
        return None
    table, start, rows = executions.c, window.start, row_count
    query = (
        select(table.window_start, table.window_end, table.row_count)
        .where(
            *_judged_before(definition, baseline_version, window, most),
            table.is_current,
            table.status.not_in(WITHOUT_REPORT),
        )
        .order_by(table.window_start.desc())
    )
    expected = [
        annotation
        for annotation in annotations
        if annotation.withdrawn_at is None and annotation.verdict == EXPECTED
    ]
    for row in connection.execute(query):
        before = Window(row.window_start, row.window_end)
        if before.length != window.length:
            continue  # Somebody asked for another span.
        rows += row.row_count
        if before.end != start or rows > SAMPLE_ROWS:
            break
        if any(annotation.includes(before) for annotation in expected):
            break
        start = before.start
    return Window(start, window.start) if start < window.start else None


def moment_before(moment: datetime, span: timedelta) -> datetime:
    """Return the moment a span before another; at most as far back as times go."""
    return moment - min(span, moment - datetime.min.replace(tzinfo=UTC))


def cell_ids(baseline: Baseline) -> Mapping[str, str]:
    """Return the ids of a baseline's cells by column."""
    return {name: cells.id for name, cells in baseline.cells.items()}
