"""Counts the rows of a window by hour and cell, and its steps from row to row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import BlockCounter
from driftline.baseline.cells import Cells
from driftline.baseline.steps import StepCounter
from driftline.baseline.value_runs import TimeOrder


@dataclass(slots=True)
class DayCounter:
    """Counts for the day test, collected while a window is read."""

    cells: Mapping[str, Cells]  # Of the columns that are scored.
    blocks: BlockCounter
    steps: StepCounter

    @classmethod
    def start(cls, time_column: str, cells: Mapping[str, Cells]) -> DayCounter:
        """Begin without rows."""
        numbers = [name for name, one in cells.items() if one.is_number]
        sizes = {name: one.size for name, one in cells.items()}
        return cls(cells, BlockCounter(sizes), StepCounter.start(time_column, numbers))

    def update(self, batch: pa.RecordBatch, order: TimeOrder) -> None:
        """Add rows, given their order in time; those without a time are left out."""
        if not self.cells:
            return
        present = set(batch.schema.names)
        codes = {}
        for name, cells in self.cells.items():
            if name in present:
                found = cells.assign(batch.column(name))
                codes[name] = found if order.places is None else found[order.places]
            else:
                codes[name] = np.full(len(order.times_us), cells.size - 2)
        self.blocks.update(order.times_us, codes)
        self.steps.update(batch, order)

    def merge(self, other: DayCounter) -> DayCounter:
        """Return the counter of the rows of both; neither input changes."""
        return DayCounter(
            self.cells, self.blocks.merge(other.blocks), self.steps.merge(other.steps)
        )
