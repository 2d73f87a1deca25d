"""Where one number lies among the reference's, as a standard normal score.

Inside, a value's score is its cell's: that blurs ordinary rows alone. In the last percent of each
side cells are too wide for that, so ranks are read off between the cells' ends by the value itself,
and beyond the range the column's own term goes on: no two values there are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.monitors.kinds.outliers.rarity import Codes

# From here on outwards a cell is a tail's.
TAIL_SHARE = 0.01

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormalScores:
    """The normal scores of a numeric column; shapes: C cells, K points."""

    # At the cell's mean rank, at most that of the last percent; NaN for empty and unfit;
    # shape (C,).
    by_cell: Numbers
    in_tail: NDArray[np.bool_]  # Which cells are looked into, shape (C,).
    first: Numbers  # Shares of the reference's numbers below each cell and in it, shape (C,).
    count: Numbers
    points: Numbers  # Ascending values and the mean rank of each as a share, shape (K,).
    ranks: Numbers
    tied: Numbers  # Begin and end of the ranks of frequent values, ascending, shape (2, ties).

    def of_rows(
        self,
        codes: Codes,
        values: Numbers,
        terms: tuple[NDArray[np.float32], NDArray[np.float32]],
        out: Numbers | None = None,
    ) -> Numbers:
        """Return the score of each row, shape (rows,), from its cell, its number and its terms.

        `terms` are of the low and of the high tail, in nats, and count on beyond the range. The
        scores are written to `out`, or to a new array.
        """
        found: Numbers = self.by_cell.take(codes, out=out, mode="clip")
        at = np.flatnonzero(self.in_tail.take(codes, mode="clip"))
        if not len(at):
            return found
        chosen = values[at]
        low, high = chosen < self.points[0], chosen > self.points[-1]
        found[at] = special.ndtri(np.interp(chosen, self.points, self.ranks))
        found[at[low]] = special.ndtri_exp(-terms[0][at[low]].astype(np.float64))
        found[at[high]] = -special.ndtri_exp(-terms[1][at[high]].astype(np.float64))
        return found

    def of_sample(self, codes: Codes, depth: Numbers) -> Numbers:
        """Return scores of reference rows of which only the cell is known, shape (rows,)."""
        found: Numbers = self.by_cell.take(codes)
        at = np.flatnonzero(self.in_tail.take(codes))
        if not len(at):
            return found
        cell = codes[at]
        is_low = self.first[cell] < 0.5
        rank = self.first[cell] + self.count[cell] * np.where(is_low, 1 - depth[at], depth[at])
        begin, end = self.tied
        if len(begin):
            tie = np.maximum(np.searchsorted(begin, rank, side="right") - 1, 0)
            same = (rank >= begin[tie]) & (rank < end[tie])
            rank = np.where(same, (begin[tie] + end[tie]) / 2, rank)
        found[at] = special.ndtri(np.clip(rank, self.ranks[0], self.ranks[-1]))
        return found


def normal_scores(cells: Cells, column: ColumnProfile) -> NormalScores:
    """Take the scores from the reference's exact counts."""
    assert column.cell_counts is not None
    inside = column.cell_counts[:-2].astype(np.float64)
    present = max(float(inside.sum()), 1.0)
    before = np.concatenate([[0.0], np.cumsum(inside)[:-1]])
    rank = (before + inside / 2) / present
    by_cell = special.ndtri(np.clip(rank, TAIL_SHARE, 1 - TAIL_SHARE))
    points, below, weights = _points(cells, column, before)
    in_tail = (rank < TAIL_SHARE) | (rank > 1 - TAIL_SHARE)
    # Infinite values have no place between others.
    in_tail[[0, -1]] &= inside[[0, -1]] == 0
    in_tail &= len(points) > 0
    ties = weights > 0
    least = 0.5 / present
    return NormalScores(
        by_cell=np.array([*by_cell, np.nan, np.nan]),
        in_tail=np.array([*in_tail, False, False]),
        first=np.array([*before, 0.0, 0.0]) / present,
        count=np.array([*inside, 0.0, 0.0]) / present,
        points=points,
        ranks=np.clip(np.maximum.accumulate(below + weights / 2) / present, least, 1 - least),
        tied=np.array([below[ties], below[ties] + weights[ties]]) / present,
    )


def _points(
    cells: Cells, column: ColumnProfile, before: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """Return values, the rows below each, and the rows that share it where those are many."""
    known = column.numbers
    if known.is_complete or not cells.edges:
        counts = known.counts.astype(np.float64)
        return known.values, before[min(1, len(before) - 1)] + np.cumsum(counts) - counts, counts
    values = np.unique([*cells.edges[:-1], float(cells.maximum or 0.0)])
    items, weights = column.sketch.weighted()
    at = np.minimum(np.searchsorted(items, values), len(items) - 1)
    # One item of a sketch stands for values about it: only several alike tell of a shared value.
    single = 2.0 ** (len(column.sketch.levels) - 1)
    shared = np.where((items[at] == values) & (weights[at] > single), weights[at], 0.0)
    below = before[np.searchsorted(cells.edges, values, side="right")]
    below[-1] = before[-1] - shared[-1]
    return values, below, shared
