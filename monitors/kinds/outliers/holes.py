"""On which side of a hole a row of the sample lies, where one cell spans it.

The sample knows cells only. A cell between two clusters holds rows of both, and a value drawn
within it by chance would lay some beside the wrong cluster: far from all rows, so that the
reference itself seems to have rows in the hole. The column that says most tells the side, by the
rows of the cells below and above; where none does, the row's depth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.outliers.rarity import Codes

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
# Cells on each side that tell what rows there are like, and the rows that they have at least.
NEAR_CELLS, NEAR_ROWS = 4, 100
# A side is told from so many nats on, and so many of their standard errors.
CLEAR = 3.0
# The column's sketch, which knows how many rows lie below, may err by this share of all rows.
SKETCH_ERROR = 0.002
# Each tail's cells are one up to this share of the rows: few rows each tell nothing.
TAIL_SHARE = 0.03


def merged_tails(codes: Codes | Places) -> Places:
    """Return cells with the lowest ones of few rows as one, and the highest."""
    ends = np.quantile(codes, [TAIL_SHARE, 1 - TAIL_SHARE], method="inverted_cdf")
    return np.clip(codes.astype(np.int64), *ends)


def above_hole(
    codes: Codes, cell: int, last: int, below: float, others: Sequence[Places], depth: Numbers
) -> NDArray[np.bool_] | None:
    """Return which rows of a cell lie above the hole in it; None where nothing tells.

    ``last`` is the last cell of numbers; ``below`` the share of the cell's rows that lie below. As
    many do as that foretells, within what chance may differ: no side is only what is usual there.
    """
    near = codes <= last
    under = near & (codes < cell) & (codes >= cell - NEAR_CELLS)
    over = near & (codes > cell) & (codes <= cell + NEAR_CELLS)
    within = np.flatnonzero(codes == cell)
    if not len(within) or min(under.sum(), over.sum()) < NEAR_ROWS:
        return None
    told = np.zeros(len(within))
    for one in others:
        sides = [np.bincount(one[side], minlength=one.max() + 1) for side in (under, over)]
        first, second = sides[0][one[within]], sides[1][one[within]]
        nats = np.log((second + 0.5) / over.sum()) - np.log((first + 0.5) / under.sum())
        error = np.sqrt(np.maximum(1.0 / (first + 1.0) + 1.0 / (second + 1.0), 1.0))
        is_clear = (np.abs(nats) > CLEAR * error) & (np.abs(nats) > np.abs(told))
        told = np.where(is_clear, nats, told)
    key = 2.0 * np.sign(told) + depth[within] - below
    expected = below * len(within)
    room = CLEAR * math.sqrt(expected * (1 - below)) + SKETCH_ERROR * len(codes)
    count = np.clip(np.count_nonzero(key < 0), expected - room, expected + room)
    return np.asarray(np.argsort(np.argsort(key)) >= count)
