"""Evenly spaced rows out of an unknown number."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass(slots=True)
class SpacedRows:
    """Keeps all rows up to a limit, then every second, fourth, eighth, …."""

    limit: int  # Most rows kept; at least half as many are, once there were so many.
    stride: int = 1  # Every how many-th row is kept, a power of two.
    seen: int = 0
    # The rows kept, in their order; batches may lack columns that others have.
    parts: list[pa.Table] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Number of rows kept."""
        return sum(len(part) for part in self.parts)

    def turn(self, rows: int) -> np.ndarray:
        """Make room for `rows` rows and return the positions to keep, int64, from 0.

        Rows that would be dropped at once are not among them.
        """
        while True:
            places = np.arange(-self.seen % self.stride, rows, self.stride)
            if self.kept + len(places) <= self.limit:
                return places
            self._thin()

    def add(self, chosen: pa.Table, rows: int) -> None:
        """Take the selected rows out of `rows`."""
        self.seen += rows
        if len(chosen):
            self.parts.append(chosen)
        while self.kept > self.limit:
            self._thin()

    def merge(self, other: SpacedRows) -> SpacedRows:
        """Return the spaced rows of both, the other's after these; neither input changes.

        The result equals one reading of all rows, unless a part was thinned and its first row is
        out of step; then each row is the next one that the part still has.
        """
        merged = SpacedRows(self.limit, self.stride, self.seen, list(self.parts))
        while merged.stride < other.stride:
            merged._thin()
        places = merged.turn(other.seen)
        held = -(-places // other.stride)
        table = other.table()
        held = held[held < len(table)]
        merged.add(table.take(pa.array(held)) if merged.stride > 1 else table, other.seen)
        return merged

    def _thin(self) -> None:
        """Drop every second row; the stride doubles."""
        whole = self.table()
        # Taking makes a copy: a slice would keep all the rest alive.
        self.parts = [whole.take(pa.array(np.arange(0, len(whole), 2)))]
        self.stride *= 2

    def table(self) -> pa.Table:
        """Return the rows kept, in their order."""
        if not self.parts:
            return pa.table({})
        return pa.concat_tables(self.parts, promote_options="permissive")
