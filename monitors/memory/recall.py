"""What a run knows of the windows before its own, and what it leaves for those after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.decision.decider import SCALES
from driftline.monitors.decision.window_counts import WindowCounts
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.memory.store import Key, forget, put, read
from driftline.monitors.report import Report

__all__ = ["RETENTION", "Recall", "recall", "remember"]

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
    """

    key: Key
    past: tuple[WindowCounts, ...] = ()


def recall(
    connection: Connection, definition: MonitorDefinition, baseline: Baseline, window: Window
) -> Recall:
    """Read what is remembered of the windows before one."""
    key = Key.of(definition, baseline.version)
    return Recall(key, read(connection, key, window.start, cell_ids(baseline), limit=MEMORY))


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
    forget(connection, known.key.monitor, window.end - max(retention, SCALES[-1] * window.length))


def cell_ids(baseline: Baseline) -> Mapping[str, str]:
    """Give the ids of a baseline's cells by column."""
    return {name: one.id for name, one in baseline.cells.items()}
