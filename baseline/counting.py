"""The second reading of a reference: its rows on its own cells, by hour when there is a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.blocks import BlockCounter, BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.formats.coercion import coerce


@dataclass(slots=True)
class CellCounter:
    """Counts rows on cells, column by column."""

    cells: Mapping[str, Cells]  # By column: what is counted on, as repeated_cells gives it.
    counts: dict[str, np.ndarray]  # By column: int64, shape (cells,).
    event_time: str | None = None  # Column by whose hours the counts are kept apart, too.
    blocks: BlockCounter | None = None  # Counts by the hour; None without event time.

    @classmethod
    def start(cls, cells: Mapping[str, Cells], event_time: str | None) -> CellCounter:
        """Begin without rows."""
        sizes = {name: cell.size for name, cell in cells.items()}
        zeros = {name: np.zeros(size, dtype=np.int64) for name, size in sizes.items()}
        blocks = None if event_time is None else BlockCounter(sizes)
        return cls(cells, zeros, event_time, blocks)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if self.event_time is None or self.blocks is None:
            for name, cell in self.cells.items():
                self.counts[name] += cell.count(batch.column(name))
            return
        codes = {name: cell.assign(batch.column(name)) for name, cell in self.cells.items()}
        for name, found in codes.items():
            self.counts[name] += np.bincount(found, minlength=self.cells[name].size)
        times, _ = coerce(batch.column(self.event_time), "timestamp")
        known = times.is_valid().to_numpy(zero_copy_only=False)
        moments = pc.cast(times.drop_null(), pa.int64()).to_numpy(zero_copy_only=False)
        self.blocks.update(moments, {name: found[known] for name, found in codes.items()})

    def merge(self, other: CellCounter) -> CellCounter:
        """Return the counts of the rows of both; neither input changes."""
        counts = {name: count + other.counts[name] for name, count in self.counts.items()}
        blocks = self.blocks
        if blocks is not None and other.blocks is not None:
            blocks = blocks.merge(other.blocks)
        return CellCounter(self.cells, counts, self.event_time, blocks)

    def by_hour(self) -> BlockCounts | None:
        """Return the counts by the hour, when there is an event time."""
        return None if self.blocks is None else self.blocks.result()


def repeated_cells(cells: Cells, column: ColumnProfile) -> Cells:
    """Return the cells to count a reference on, so that it says how often new values come.

    A text value that occurred just once is unknown to the rest of the reference, so its row counts
    as unseen: the share of such rows estimates how often a window will bring a new value
    (Good-Turing; docs/reference/statistics.md, "Unseen values"). Counted the plain way that
    share would always be 0, and a column with ever new names would alarm for ever.
    """
    if cells.known is None:
        return cells
    single = {value for value, count in column.levels.ranked() if count == 1}
    return replace(cells, known=tuple(sorted(set(cells.known) - single)))
