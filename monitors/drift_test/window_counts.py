"""What the decision knows of one window: how many rows each column has in each of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.profile import Profile


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """The rows of one window by column and cell; shapes: C cells."""

    start: datetime | None  # None: rows of no known span.
    end: datetime | None
    row_count: int
    # By column that was counted, shape (C,), as `Cells.count` orders them.
    cells: Mapping[str, NDArray[np.int64]]

    @classmethod
    def of(
        cls, profile: Profile, start: datetime | None = None, end: datetime | None = None
    ) -> WindowCounts:
        """Take the counts of a profile that was made on the reference's cells."""
        cells = {
            name: column.cell_counts
            for name, column in profile.columns.items()
            if column.cell_counts is not None and name in profile.seen
        }
        return cls(start, end, profile.row_count, cells)

    @classmethod
    def merged(cls, windows: Sequence[WindowCounts]) -> WindowCounts:
        """Add up windows, in order of time; a column counts where each of them has it."""
        names = set.intersection(*(set(window.cells) for window in windows))
        cells = {
            name: np.sum([window.cells[name] for window in windows], axis=0)
            for name in sorted(names)
        }
        rows = sum(window.row_count for window in windows)
        return cls(windows[0].start, windows[-1].end, rows, cells)
