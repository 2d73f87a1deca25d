"""The reference at the same time of the week: by hour of the week, of the day, or all hours.

A window is compared with similar hours. The grid is chosen per column: a finer one only if it makes
the reference's own blocks differ less. Hours are whole hours since 1970-01-01T00:00Z; shapes: G
grid cells, C cells of all columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.times import EPOCH
from driftline.monitors.drift_test.layout import Indices
from driftline.monitors.drift_test.significance import Numbers

DAY_H, WEEK_H = 24, 168
# 1970-01-01 was a Thursday; weeks begin on Monday.
EPOCH_WEEKDAY = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """A way to say which hours are alike."""

    name: str
    size: int  # Number of kinds of hours.
    # How long a reference must be to fill it, in hours (docs/reference/statistics.md).
    reference_h: int

    def cells(self, hours: Indices) -> Indices:
        """Return the kind of each hour, 0 to below ``size``."""
        of_day = hours % DAY_H
        weekday = (hours // DAY_H + EPOCH_WEEKDAY) % 7
        if self.size == WEEK_H:
            return weekday * DAY_H + of_day
        if self.size == 2 * DAY_H:
            return (weekday >= 5) * DAY_H + of_day
        return of_day if self.size == DAY_H else np.zeros_like(hours)


# From coarse to fine.
GRIDS = (
    Grid("none", 1, 0),
    Grid("hour of day", DAY_H, 7 * DAY_H),
    Grid("hour of day, weekend apart", 2 * DAY_H, 2 * WEEK_H),
    Grid("hour of week", WEEK_H, 4 * WEEK_H),
)


def possible_grids(hours: Indices, unit_h: int) -> tuple[Grid, ...]:
    """List the grids that a reference can fill and that separate windows of this length."""
    if hours.size == 0:
        return GRIDS[:1]
    span = int(hours[-1] - hours[0]) + 1
    # Whole days are alike at all hours, whole weeks on all days.
    if unit_h % WEEK_H == 0:
        return GRIDS[:1]
    return tuple(
        grid
        for grid in GRIDS
        if span >= grid.reference_h and not (grid.size == DAY_H and unit_h % DAY_H == 0)
    )


def hours_of(start: datetime, end: datetime) -> tuple[Indices, Numbers]:
    """Return the hours that a span overlaps, and the share of each, 0-1."""
    first, last = (start - EPOCH) / timedelta(hours=1), (end - EPOCH) / timedelta(hours=1)
    hours = np.arange(int(np.floor(first)), max(int(np.ceil(last)), int(np.floor(first)) + 1))
    covered = np.minimum(hours + 1, last) - np.maximum(hours, first)
    # A moment is the hour that it lies in.
    return hours, np.maximum(covered, 1e-9)


@dataclass(frozen=True)
class SeasonTable:
    """The reference's rows by kind of hour, for the columns that share a grid."""

    grid: Grid
    counts: Numbers  # Rows by kind of hour and cell, shape (G + 1, C); the last line holds all.
    rows: Numbers  # Rows by kind of hour, shape (G + 1,).

    @classmethod
    def of(
        cls, grid: Grid, hours: Indices, hour_rows: Numbers, counts: NDArray[np.int64]
    ) -> SeasonTable:
        """Sum the hours, shapes (H,), (H,) and (H, C)."""
        order = np.argsort(cells := grid.cells(hours), kind="stable")
        kinds, first = np.unique(cells[order], return_index=True)
        table, rows = np.zeros((grid.size + 1, counts.shape[1])), np.zeros(grid.size + 1)
        table[kinds] = np.add.reduceat(counts[order], first, axis=0)
        rows[kinds] = np.add.reduceat(hour_rows[order], first)
        table[-1], rows[-1] = table[:-1].sum(axis=0), rows[:-1].sum()
        return cls(grid, table, rows)

    def weights(self, spans: list[tuple[datetime, datetime, float]]) -> Numbers:
        """Return how much each kind of hour counts for windows, shape (G + 1,); sums to 1.

        Parameters
        ----------
        spans
            Start, end and rows of each window. Within a window the reference's own rows say how
            they are spread over its hours; between windows their own rows do.
        """
        found = np.zeros(self.rows.size)
        for start, end, rows in spans:
            hours, covered = hours_of(start, end)
            times = np.bincount(self.grid.cells(hours), covered, minlength=self.grid.size)
            share = times * self.rows[:-1]
            total = share.sum()
            if total > 0:
                found[:-1] += rows / total * share
            else:  # The reference knows no such hour: all of its rows stand for it.
                found[-1] += rows
        total = found.sum()
        return found / total if total > 0 else found

    def matched(self, weights: Numbers) -> tuple[Numbers, float]:
        """Return the shares that are expected, shape (C,), and the rows that they rest on.

        References
        ----------
        docs/reference/statistics.md, "Season": p = sum w_c p_c, 1/n = sum w_c^2 / n_c.
        """
        used = np.flatnonzero(weights)
        per_row = weights[used] / self.rows[used]
        return per_row @ self.counts[used], 1.0 / float((weights[used] * per_row).sum())
