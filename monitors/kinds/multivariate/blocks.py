"""Blocks of a reference's sample, and tests of differences by two laws."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample
from driftline.stats.blocks import HOUR_US, NO_BLOCKS, block_length, time_blocks

Numbers = NDArray[np.float64]

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


def student_nats(
    distance: Numbers | float, variance: Numbers | float, freedom: Numbers | float
) -> Numbers:
    """Return the p-value of a difference with an estimated variance, in nats: -ln p."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(special.stdtr(freedom, -distance / np.sqrt(variance))))


def student_distance(needed: float, variance: Numbers | float, freedom: Numbers | float) -> Numbers:
    """Return the distance at which `student_nats` gives so many nats."""
    return np.asarray(-special.stdtrit(freedom, math.exp(-needed)) * np.sqrt(variance))


def weigh_both(
    distance: float,
    variance: float,
    scale: float,
    doubt: tuple[float, float],
    needed: float,
) -> tuple[float, float]:
    """Weigh one difference by a bound of its variance and by Student's law; both must agree.

    `variance` and `scale` are as of `BlockVariation.nats`; `doubt` is the variance's estimate and
    its degrees of freedom. Returns the nats, and the distance that gives the `needed` nats.
    """
    reach = NO_BLOCKS.reach(math.exp(-needed), variance, scale)
    return (
        min(NO_BLOCKS.nats(distance, variance, scale), float(student_nats(distance, *doubt))),
        max(reach, float(student_distance(needed, *doubt))),
    )
