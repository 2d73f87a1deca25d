"""What a baseline's reference holds in the cells of each column."""

from __future__ import annotations

import numpy as np

from driftline.baseline.column import ColumnProfile
from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.drift import ReferenceColumn


def reference_columns(baseline: Baseline) -> dict[str, ReferenceColumn]:
    """Give, by column, the cells and what the reference holds in them."""
    found = {}
    for name, cells in baseline.cells.items():
        column = baseline.profile.columns.get(name) if baseline.profile else None
        if column is None or column.cell_counts is None:
            continue
        found[name] = ReferenceColumn(
            cells, column.cell_counts.astype(np.float64), _seen_once(column)
        )
    return found


def _seen_once(column: ColumnProfile) -> int:
    """Count the texts that occur once: so many new ones are to be expected."""
    if column.is_number or not column.levels.is_exact:
        return 0
    return int(np.sum(column.levels.counts == 1))
