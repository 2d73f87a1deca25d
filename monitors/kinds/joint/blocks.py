"""Blocks of a reference's sample."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample
from driftline.stats.blocks import HOUR_US, block_length, time_blocks

# Fewer blocks say nothing of how pairs of columns differ; and one row alone shares nothing.
LEAST_BLOCKS = 4
FEWEST_ROWS = 2


def sample_blocks(sample: RowSample, length: timedelta | None, share: float) -> NDArray[np.int64]:
    """Return the block of each sampled row, (n,): 0, 1 ... in order of time, -1 for none.

    A block has the window's length; without it, the window's `share` of the reference's time. All
    are -1 with fewer than four blocks. Without times the rows' order stands for time: a file is
    mostly in order, and a shuffled one shows the blocks of independent rows.
    """
    none = np.full(len(sample), -1, np.int64)
    if not len(sample):
        return none
    if sample.hours is not None and (sample.hours != UNKNOWN_HOUR).any():
        known = sample.hours != UNKNOWN_HOUR
        hours = sample.hours[known]
    else:
        known, hours = np.ones(len(sample), np.bool_), np.arange(len(sample))
        length = None  # Of rows without times nobody knows how long they took.
    span_us = (int(hours.max()) - int(hours.min()) + 1) * HOUR_US
    length_us = block_length(span_us, length, share)
    found = time_blocks(hours * HOUR_US, length_us, fewest_rows=FEWEST_ROWS)
    if found.max() + 1 >= LEAST_BLOCKS:
        none[known] = found
    return none
