"""The reference cut into blocks, each with the counts expected from the rest of the reference.

A block is compared with hours of the same kind; hours close to it are left out, so that a slow
process is not compared with itself. Shapes: H hours, B blocks, P pairs of a block and a kind of
hour in it, C cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import PARTIAL_SHARE
from driftline.monitors.drift_test.layout import Indices
from driftline.monitors.drift_test.season import DAY_H, Grid
from driftline.monitors.drift_test.significance import Numbers

# From so many blocks on, a block's neighbours are left out of the reference together with it.
BLOCKS_TO_LEAVE_OUT_NEIGHBOURS = 10
GOLDEN_SECTION = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class ReferenceBlocks:
    """Blocks of one length and the indices of the rows that each is compared with."""

    first: Indices  # Index of the first hour of each block.
    chosen: Indices  # Blocks that are looked at, shape (B,), as an index into `first`.
    rows: Numbers
    expected_rows: Numbers  # Rows that the expected shares rest on, shape (B,).
    # Blocks that are windows and have something to be compared with, shape (B,).
    keep: NDArray[np.bool_]
    order: Indices  # Hours sorted by kind, then by time, shape (H,).
    kind_ends: Indices  # Ends of each kind in `order`, from 0, shape (G + 1,).
    pair_first: Indices  # First pair of each block, shape (B,).
    pair_kind: Indices  # Kind of each pair, shape (P,).
    pair_out: Indices  # The stretch of `order` that is left out, shape (P, 2).
    # Pairs without rows of their kind: all others stand for them, shape (P,).
    pair_bare: NDArray[np.bool_]
    pair_block: Indices  # The hours that are left out for those, shape (P, 2).
    pair_weight: Numbers  # Weight of a reference row in the block's expected shares, shape (P,).

    @classmethod
    def of(
        cls,
        hours: Indices,
        hour_rows: Numbers,
        grid: Grid,
        *,
        length_h: int,
        unit_h: int,
    ) -> ReferenceBlocks:
        """Cut the hours that have rows, ascending, into blocks; shape (H,).

        Blocks start at multiples of their length since 1970-01-01T00:00Z; blocks of several windows
        mix windows of `unit_h` hours by their own rows. `grid` says which hours are alike.
        """
        _, first, block = np.unique(hours // length_h, return_index=True, return_inverse=True)
        rows = np.add.reduceat(hour_rows, first)
        kind = grid.cells(hours)
        order = np.lexsort((hours, kind))
        kind_ends = np.searchsorted(kind[order], np.arange(grid.size + 1))
        keys, pair = np.unique(block * grid.size + kind, return_inverse=True)
        pair_block, pair_kind = keys // grid.size, keys % grid.size
        around = max(DAY_H, length_h) if first.size >= BLOCKS_TO_LEAVE_OUT_NEIGHBOURS else 0
        low = hours[first] // length_h * length_h - around
        high = low + length_h + 2 * around
        # One ascending key for kind and time, so that one look-up finds a stretch of a kind.
        extent_h = int(hours[-1] - hours[0]) + 1
        place = kind[order] * extent_h + hours[order] - hours[0]
        edges = np.clip(np.stack([low, high], axis=1)[pair_block] - hours[0], 0, extent_h)
        out = np.searchsorted(place, pair_kind[:, None] * extent_h + edges)
        running = np.concatenate([[0.0], np.cumsum(hour_rows[order])])
        of_kind = np.diff(running[kind_ends])
        left = of_kind[pair_kind] - (running[out[:, 1]] - running[out[:, 0]])
        bare = left <= 0
        near = np.searchsorted(hours, np.stack([low, high], axis=1))[pair_block]
        whole = np.concatenate([[0.0], np.cumsum(hour_rows)])
        left = np.where(bare, whole[-1] - (whole[near[:, 1]] - whole[near[:, 0]]), left)
        # A window that reaches into two blocks is cut in two.
        unit_h = min(unit_h, length_h)
        window = np.unique(
            block * (extent_h + unit_h) + hours // unit_h - hours[0] // unit_h, return_inverse=True
        )[1]
        weight = _weights(hour_rows, pair, window, left, np.maximum(rows[block], 1.0))
        pair_first = np.searchsorted(pair_block, np.arange(first.size))
        safe = np.maximum(left, 1.0)
        spread = np.add.reduceat(weight**2 / safe, pair_first)
        alone = np.minimum.reduceat(left, pair_first) <= 0
        keep = (rows >= PARTIAL_SHARE * np.median(rows)) & ~alone & (spread > 0)
        return cls(
            first=first,
            chosen=np.arange(first.size),
            rows=rows,
            expected_rows=1.0 / np.where(spread > 0, spread, 1.0),
            keep=keep,
            order=order,
            kind_ends=kind_ends,
            pair_first=pair_first,
            pair_kind=pair_kind,
            pair_out=out,
            pair_bare=bare,
            pair_block=near,
            pair_weight=weight / safe,
        )

    def sample(self, at_most: int) -> ReferenceBlocks:
        """Return about this many blocks, spread evenly over time and hours of the week."""
        # Multiples of the golden section leave no gap and fall in step with nothing.
        even = np.arange(self.first.size) * GOLDEN_SECTION % 1.0
        chosen = even * self.first.size < at_most
        sizes = np.diff(self.pair_first, append=self.pair_kind.size)
        pairs = np.repeat(chosen, sizes)
        return replace(
            self,
            chosen=np.flatnonzero(chosen),
            rows=self.rows[chosen],
            expected_rows=self.expected_rows[chosen],
            keep=self.keep[chosen],
            pair_first=np.cumsum(sizes[chosen]) - sizes[chosen],
            pair_kind=self.pair_kind[pairs],
            pair_out=self.pair_out[pairs],
            pair_bare=self.pair_bare[pairs],
            pair_block=self.pair_block[pairs],
            pair_weight=self.pair_weight[pairs],
        )

    def shares(self, counts: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """Return rows and expected shares of the kept blocks, (blocks, C); `counts`: (H, C)."""
        running = _running(counts[self.order])
        of_kind = running[self.kind_ends[1:]] - running[self.kind_ends[:-1]]
        left = of_kind[self.pair_kind]
        left -= running[self.pair_out[:, 1]]
        left += running[self.pair_out[:, 0]]
        if self.pair_bare.any():
            whole, near = _running(counts), self.pair_block[self.pair_bare]
            left[self.pair_bare] = whole[-1] - (whole[near[:, 1]] - whole[near[:, 0]])
        expected = np.add.reduceat(left * self.pair_weight[:, None], self.pair_first, axis=0)
        held = np.add.reduceat(counts, self.first, axis=0, dtype=np.float64)
        return held[self.chosen][self.keep], expected[self.keep]


def _running(counts: NDArray[np.int64]) -> Numbers:
    """Sum up along the hours, from 0, shape (H + 1, C)."""
    found = np.zeros((counts.shape[0] + 1, counts.shape[1]))
    np.cumsum(counts, axis=0, out=found[1:])
    return found


def _weights(
    hour_rows: Numbers, pair: Indices, window: Indices, left: Numbers, block_rows: Numbers
) -> Numbers:
    """Return each pair's weight in its block, shape (P,); they sum to 1 in each block.

    Within a window, hours count by the reference's rows at such hours, and windows by their own
    rows: just as `SeasonTable.weights` mixes them.
    """
    base = np.maximum(left[pair], 0.0)
    whole = np.bincount(window, base)[window]
    share = np.bincount(window, hour_rows)[window] / block_rows
    found = np.bincount(pair, base / np.where(whole > 0, whole, 1.0) * share, minlength=left.size)
    return found.astype(np.float64)
