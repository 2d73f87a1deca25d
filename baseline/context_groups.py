"""Groups the values of context columns, given which other columns are judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.cells import Cells

# More groups would explain what they only accompany.
CONTEXT_GROUPS = 12
BASE, UNKNOWN = -1, -2


@dataclass(frozen=True, slots=True)
class ContextGroups:
    """The groups of values of a declared context column; G groups, C cells.

    Numbers are grouped with their neighbours, about as many rows in each; of other values the most
    frequent have a group each, and the rest share one. The most frequent group is the base of
    comparison and has no number.
    """

    # Of each cell: its group, BASE, or UNKNOWN where the reference has no such value.
    groups: tuple[int, ...]
    usual: tuple[float, ...]  # What share of the reference's rows each group is.

    @classmethod
    def of(cls, cells: Cells, counts: NDArray[np.int64] | NDArray[np.float64]) -> ContextGroups:
        """Group the cells of a column by the reference's rows in each, shape (C,)."""
        is_known = counts > 0
        if not is_known.any():
            return cls((UNKNOWN,) * counts.size, ())
        if cells.is_number:
            # The middle of each cell's ranks: cells beyond the reference's are in the last groups.
            ranks = np.cumsum(counts[:-2]) - counts[:-2] / 2
            part = ranks * CONTEXT_GROUPS / max(counts[:-2].sum(), 1)
            found = [*np.clip(part, 0, CONTEXT_GROUPS - 1).astype(int)]
            # What is no number is like none of them.
            groups = np.array([*found, CONTEXT_GROUPS, CONTEXT_GROUPS + 1])
            is_known[:-2] |= np.isin(groups[:-2], groups[:-2][is_known[:-2]])
        else:
            groups = np.full(counts.size, CONTEXT_GROUPS)
            order = np.argsort(-counts, kind="stable")[:CONTEXT_GROUPS]
            groups[order] = np.arange(order.size)
        _, place = np.unique(groups[is_known], return_inverse=True)
        rows = np.bincount(place, weights=counts[is_known])
        base = int(np.argmax(rows))
        numbers = np.full(counts.size, UNKNOWN)
        numbers[is_known] = np.where(place == base, BASE, place - (place > base))
        usual = np.delete(rows / rows.sum(), base)
        return cls(tuple(numbers.tolist()), tuple(usual.tolist()))

    @property
    def indicators(self) -> NDArray[np.float64]:
        """Membership of cells in groups, 0 or 1, shape (C, G)."""
        return np.asarray(np.array(self.groups)[:, None] == np.arange(len(self.usual)), np.float64)

    def shares(self, counts: NDArray[np.int64] | NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return each group's share of rows, shape (H, G), from counts by cell, shape (H, C).

        Unknown shares (`counts` is None or a row is empty) are the reference's.
        """
        usual = np.array(self.usual)
        if counts is None:
            return usual[None, :]
        known = counts @ self.indicators / np.maximum(counts.sum(axis=-1, keepdims=True), 1e-300)
        return np.asarray(known + (1.0 - self.known_part(counts))[..., None] * usual)

    def known_part(self, counts: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of rows with a known value, shape (H,)."""
        rows = np.maximum(counts.sum(axis=-1), 1e-300)
        return np.asarray(counts @ (np.array(self.groups) != UNKNOWN) / rows)
