"""What a run knows of the windows before its own, and what it leaves for those after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select

from driftline.baseline.sample import SAMPLE_ROWS
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import EXPECTED, Mark
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.executions import FAILED
from driftline.monitors.report.report import Report
from driftline.monitors.tables import executions
from driftline.monitors.warm_up.store import holds_back, load, save
from driftline.monitors.warm_up.warm_up import Commission
from driftline.monitors.window_history.store import Key, forget, put, read

# Windows before the judged one that the longest span needs.
MEMORY = SCALES[-1] - 1
# As long as capture keeps rows, when nobody says otherwise.
RETENTION = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Recall:
    """What is remembered when a window is judged.

    Parameters
    ----------
    key
        Whose it is.
    past
        Counts of the windows before, in order of time.
    commission
        Where the monitor stands with its baseline; None for kinds that judge no drift of columns.
    """

    key: Key
    past: tuple[WindowCounts, ...] = ()
    commission: Commission | None = None


def recall(
    connection: Connection, definition: MonitorDefinition, baseline: Baseline, window: Window
) -> Recall:
    """Read what is remembered of the windows before one."""
    key, ids = Key.of(definition, baseline.version), cell_ids(baseline)
    past = read(connection, key, window.start, ids, limit=MEMORY)
    if not holds_back(definition):
        return Recall(key, past)
    has_times = baseline.blocks is not None
    return Recall(key, past, load(connection, key, window, ids, has_times=has_times, past=past))


def remember(
    connection: Connection, *, known: Recall, window: Window, report: Report, retention: timedelta
) -> None:
    """Keep the counts of a judged window, and forget those that nobody asks for any more."""
    if report.counts is None:
        return
    put(connection, known.key, report.counts, report.cell_ids)
    fitting: Window | None = None
    if known.commission is not None:
        # They may be all that tells how windows vary.
        fitting = save(connection, known.key, window, report.commissioning).fitting
    oldest = moment_before(window.end, max(retention, SCALES[-1] * window.length))
    forget(connection, known.key.monitor, oldest, save=fitting)


def stretch_before(
    connection: Connection,
    definition: MonitorDefinition,
    baseline_version: str,
    window: Window,
    *,
    row_count: int,
    marks: Sequence[Mark],
) -> Window | None:
    """Give the stretch of windows that ends where a window begins.

    Its windows adjoin, are as long as this one, and were judged against the same version of the
    baseline: what came before a new one may be what that one has taken leave of. Windows that were
    expected to drift end it, as do failed ones, and more rows than are sampled.
    """
    pooled = definition.kind_value.pooled_windows
    if not pooled:
        return None
    table, start, rows = executions.c, window.start, row_count
    oldest = moment_before(start, pooled * window.length)
    query = (
        select(table.window_start, table.window_end, table.row_count)
        .where(
            table.monitor == definition.name,
            table.endpoint == definition.endpoint,
            table.baseline_version == baseline_version,
            table.window_start >= oldest,
            table.window_start < window.start,
            table.is_current,
            table.status != FAILED,
        )
        .order_by(table.window_start.desc())
    )
    expected = [one for one in marks if one.withdrawn_at is None and one.verdict == EXPECTED]
    for one in connection.execute(query):
        before = Window(one.window_start, one.window_end)
        if before.length != window.length:
            continue  # Somebody asked for another span.
        rows += one.row_count
        if before.end != start or rows > SAMPLE_ROWS:
            break
        if any(mark.reaches(before) for mark in expected):
            break
        start = before.start
    return Window(start, window.start) if start < window.start else None


def moment_before(moment: datetime, span: timedelta) -> datetime:
    """Give the moment a span before another; at most as far back as times go."""
    return moment - min(span, moment - datetime.min.replace(tzinfo=UTC))


def cell_ids(baseline: Baseline) -> Mapping[str, str]:
    """Give the ids of a baseline's cells by column."""
    return {name: one.id for name, one in baseline.cells.items()}
