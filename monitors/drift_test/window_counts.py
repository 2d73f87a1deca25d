"""The counts of one window that the drift test needs: rows of each column by cell.

Also how long each column's last value has lasted, by its cell, so that runs continue over the edges
of windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.baseline.profile import Profile
from driftline.stats.day_scores import DaySums


@dataclass(frozen=True, slots=True)
class LastRun:
    """How long a column's last value has lasted, including earlier windows."""

    cell: int
    length: int  # In times.


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """The rows of one window by column and cell; shapes: C cells."""

    start: datetime | None  # None: rows of no known span.
    end: datetime | None
    row_count: int
    # By column that was counted, shape (C,), as `Cells.count` orders them.
    cells: Mapping[str, NDArray[np.int64]]
    # Of columns of numbers whose rows had times.
    last_runs: Mapping[str, LastRun] = field(default_factory=dict)
    # By column that the day test scores: its scores, added up by the day.
    days: Mapping[str, DaySums] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        profile: Profile,
        start: datetime | None = None,
        end: datetime | None = None,
        before: Mapping[str, LastRun] | None = None,
    ) -> WindowCounts:
        """Take a profile's counts on the reference's cells; `before`: the last window's runs."""
        cells = {
            name: column.cell_counts
            for name, column in profile.columns.items()
            if column.cell_counts is not None and name in profile.seen
        }
        runs = {name: _last_run(profile.columns[name], (before or {}).get(name)) for name in cells}
        known = {name: run for name, run in runs.items() if run is not None}
        return cls(start, end, profile.row_count, cells, known)

    @classmethod
    def merged(cls, windows: Sequence[WindowCounts]) -> WindowCounts:
        """Sum windows, in order of time; a column counts where each of them has it."""
        names = set.intersection(*(set(window.cells) for window in windows))
        cells = {
            name: np.sum([window.cells[name] for window in windows], axis=0)
            for name in sorted(names)
        }
        rows = sum(window.row_count for window in windows)
        return cls(windows[0].start, windows[-1].end, rows, cells)

    @classmethod
    def of_days(cls, windows: Sequence[WindowCounts]) -> WindowCounts:
        """Sum only the day scores of windows, in order of time."""
        parts: dict[str, list[DaySums]] = {}
        for window in windows:
            for name, sums in window.days.items():
                parts.setdefault(name, []).append(sums)
        days = {name: DaySums.merged(own) for name, own in parts.items()}
        rows = sum(window.row_count for window in windows)
        return cls(windows[0].start, windows[-1].end, rows, {}, days=days)


def runs_before(
    past: Sequence[WindowCounts] | None, start: datetime | None
) -> Mapping[str, LastRun]:
    """Return the last runs of the window that ends where another begins; none without it."""
    if not past or start is None or past[-1].end != start:
        return {}
    return past[-1].last_runs


def _last_run(column: ColumnProfile, before: LastRun | None) -> LastRun | None:
    runs, cells = column.runs, column.cells
    if cells is None or not column.is_number or not runs.time_count:
        return before  # Where no value comes, none ends the run.
    if not runs.is_ordered or math.isnan(runs.last_value):
        return None
    cell = cells.place(runs.last_value)
    goes_on = runs.is_one and before is not None and before.cell == cell
    return LastRun(cell, runs.last_length + (before.length if before and goes_on else 0))
