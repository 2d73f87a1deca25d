"""Columns of the tests: cells, a reference by the hour, and windows, from given counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells, number_cells, text_cells
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts

__all__ = ["HOUR", "START", "flag", "flags", "number", "reference", "window"]

HOUR = timedelta(hours=1)
# A Monday, and a multiple of 64 hours since 1970-01-01.
START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=64 * 6942)


def flag(name: str = "x") -> Cells:
    """Cells of a column of two levels: a, b, unseen, empty, unfit, with an empty "other"."""
    return text_cells(name, "string", {"a": 2, "b": 1}, complete=True, row_count=3)


def flags(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Counts per hour of `flag`: so many rows of level a, the rest b; shape (hours, cells)."""
    counts = np.zeros((len(a), flag().size), dtype=np.int64)
    counts[:, 0], counts[:, 1] = a, rows - a
    return counts


def number(name: str = "x", parts: int = 100) -> Cells:
    """Cells of a column whose values are spread evenly over 0 to 1."""
    values = (np.arange(parts * 40) + 0.5) / (parts * 40)
    return number_cells(name, "double", values, np.ones(values.size))


def reference(
    cells: Mapping[str, Cells], counts: Mapping[str, np.ndarray], start: datetime = START
) -> tuple[dict[str, ReferenceColumn], BlockCounts]:
    """Return the reference's columns and hours from counts by column, shape (hours, cells)."""
    first = round(start.timestamp()) // 3600
    hours = np.arange(len(next(iter(counts.values())))) + first
    columns = {
        name: ReferenceColumn(cells[name], table.sum(axis=0).astype(float))
        for name, table in counts.items()
    }
    return columns, BlockCounts(hours.astype(np.int64), counts)


def window(
    counts: Mapping[str, np.ndarray], start: datetime | None = None, length: timedelta = HOUR
) -> WindowCounts:
    """Return a window from counts per cell."""
    rows = max((int(one.sum()) for one in counts.values()), default=0)
    return WindowCounts(start, None if start is None else start + length, rows, counts)
