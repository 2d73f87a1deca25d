"""Chooses the cells of a column from its profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from driftline.baseline.cells import Cells, number_cells, text_cells, time_cells
from driftline.baseline.column import ColumnProfile


def column_cells(column: ColumnProfile) -> Cells:
    """Choose a column's cells from its profile."""
    if column.is_number:
        values, weights = column.sketch.weighted()
        if column.moments.count:
            # The sketch may have lost the ends; they bound what the reference has seen.
            ends = [column.moments.minimum, column.moments.maximum]
            inside = np.isin(ends, values)
            extra = np.asarray(ends)[~inside]
            order = np.argsort(np.concatenate([values, extra]), kind="stable")
            weights = np.concatenate([weights, np.zeros(len(extra))])[order]
            values = np.concatenate([values, extra])[order]
        few = column.distinct.is_exact and column.distinct.value == len(values)
        return number_cells(column.name, column.type, values, weights, few=few)
    if column.type == "timestamp":
        times = column.times
        return time_cells(column.name, times.first, times.last, times.counts)
    return text_cells(
        column.name,
        column.type,
        dict(column.levels.ranked()),
        # Nobody knows what a column holds that was always empty: nothing in it is new.
        complete=column.levels.is_exact and column.present_count > 0,
        row_count=column.present_count,
    )


def repeated_cells(cells: Cells, column: ColumnProfile) -> Cells:
    """Return cells in which a text that occurred once in the reference counts as unseen.

    The share of such rows estimates how often a window brings a new value (Good-Turing;
    docs/reference/statistics.md, "Unseen values"). Otherwise that share would be 0, and a column of
    ever new names would alarm for ever.
    """
    if cells.known is None:
        return cells
    single = {value for value, count in column.levels.ranked() if count == 1}
    return replace(cells, known=tuple(sorted(set(cells.known) - single)))
