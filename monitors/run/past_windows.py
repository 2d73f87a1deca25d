"""What a run knows of the windows before its own, and what it leaves for those after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.report.report import Report
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
    """Keep the counts of a judged window, and forget those that nobody asks for any more.

    Parameters
    ----------
    retention
        How long rows are kept, counted back from the window's end; never less than is needed to
        judge the next window.
    """
    if report.counts is None:
        return
    put(connection, known.key, report.counts, report.cell_ids)
    fitting: Window | None = None
    if known.commission is not None:
        # They may be all that tells how windows vary.
        fitting = save(connection, known.key, window, report.commissioning).fitting
    oldest = moment_before(window.end, max(retention, SCALES[-1] * window.length))
    forget(connection, known.key.monitor, oldest, save=fitting)


def moment_before(moment: datetime, span: timedelta) -> datetime:
    """Give the moment a span before another; at most as far back as times go."""
    return moment - min(span, moment - datetime.min.replace(tzinfo=UTC))


def cell_ids(baseline: Baseline) -> Mapping[str, str]:
    """Give the ids of a baseline's cells by column."""
    return {name: one.id for name, one in baseline.cells.items()}
