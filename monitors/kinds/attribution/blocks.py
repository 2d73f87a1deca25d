"""Between-block variance of attributions in the reference, by moments.

A week's rows share their weather, so weeks differ by more than their rows' errors without any
change. The variance is that of the means of blocks of a window's length, less the part of their
rows.

Shapes: N rows, M features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.stats.blocks import (
    MINIMUM_BLOCKS,
    BlockVariation,
    time_blocks,
    variation_of_rows,
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Between-block variance of a reference's attributions, for one output."""

    shares: BlockVariation  # Of each feature's share, shape (M,).
    level: BlockVariation  # Of the total's logarithm, shape (1,).
    length_us: int  # Of a block, microseconds.

    @property
    def blocks(self) -> int:
        """Number of blocks behind it."""
        return self.shares.blocks


def block_spread(
    rows: NDArray[np.float32], time_us: NDArray[np.int64], length_us: int
) -> Spread | None:
    """Estimate how blocks of a length differ; None when there are too few of them.

    Absolute attributions have shape (N, M), their times (N,), -1 where a time is not known.
    """
    timed = np.flatnonzero(time_us >= 0)
    order = timed[np.argsort(time_us[timed], kind="stable")]
    if not len(order):
        return None
    block = time_blocks(time_us[order], length_us)
    order, counts = order[block >= 0], np.bincount(block[block >= 0])
    exact = rows[order].astype(np.float64)
    total = float(exact.mean(axis=0).sum())
    if len(counts) < MINIMUM_BLOCKS or len(exact) == len(counts) or total <= 0:
        return None
    shares = exact.mean(axis=0) / total
    sums = exact.sum(axis=1, keepdims=True)
    # Shares and the total's logarithm as means over rows, linear near the reference's.
    measured = np.hstack([(exact - shares * sums) / total, sums / total])
    found, _ = variation_of_rows(measured, counts)
    width = rows.shape[1]
    at = [slice(0, width), slice(width, width + 1)]
    variance, chance = np.asarray(found.variance), np.asarray(found.chance)
    parts = [BlockVariation(variance[one], chance[one], found.blocks) for one in at]
    return Spread(parts[0], parts[1], length_us)
