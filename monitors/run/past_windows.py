"""Window history that a run reads, and that it stores for later windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from driftline.baseline.sample import SAMPLE_ROWS
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.check_context import PastWindows
from driftline.monitors.day_test.day_test import LEAST_SPAN, day_scales
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.spans import window_index
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.engine.pooling import MOST_PAST
from driftline.monitors.executions import WITHOUT_REPORT
from driftline.monitors.report.report import Report
from driftline.monitors.run.apply_annotations import is_expected, unexpected, without_expected
from driftline.monitors.run.causes import read_causes
from driftline.monitors.schedule import moment_before
from driftline.monitors.tables import executions
from driftline.monitors.window_history.first_windows import (
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
    past: PastWindows  # Without the rows to pool, and without drift that was expected.
    pooled: Window | None  # The windows whose rows are evaluated together with its own.
    # The causes that windows before have reported, each with the first of them.
    causes: Mapping[str, datetime]


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
    key, ids = Key.of(definition, baseline.version), baseline.cell_ids
    counts = read(connection, key, window.start, ids, limit=EARLIER_WINDOWS)
    first = None
    if definition.kind_value.judges_columns and not definition.compat and baseline.blocks is None:
        first = read_first_windows(connection, key, window, ids)
    pooled = pooled_window(
        connection, definition, baseline.version, window, row_count=row_count,
        annotations=annotations,
    )  # fmt: skip
    past = PastWindows(
        without_expected(counts, annotations),
        first_windows=first,
        days=_days_before(connection, key, window, ids, annotations),
        sums=unexpected(read_sums(connection, key, window.start, window.length), annotations),
    )
    causes = read_causes(connection, definition, baseline.version, window)
    return WindowHistory(key, past, pooled, causes)


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
    if history.past.first_windows is not None:  # They are all that shows how windows vary.
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
            table.monitor == definition.name,
            table.endpoint == definition.endpoint,
            table.baseline_version == baseline_version,
            table.window_start >= moment_before(window.start, most * window.length),
            table.window_start < window.start,
            table.is_current,
            table.status.not_in(WITHOUT_REPORT),
        )
        .order_by(table.window_start.desc())
    )
    for row in connection.execute(query):
        before = Window(row.window_start, row.window_end)
        if before.length != window.length:
            continue  # Somebody asked for another span.
        rows += row.row_count
        is_full = before.end != start or rows > SAMPLE_ROWS
        if is_full or is_expected(annotations, before):
            break
        start = before.start
    return Window(start, window.start) if start < window.start else None
