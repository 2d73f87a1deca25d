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
# From here on the series of Student's tail is exact; well before its p-value underflows.
_FAR_NATS, _FAR_RATIO = 200.0, 19.0
_TERMS = 10
_NORMAL_FREEDOM = 1e12


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
        ratio = distance / np.sqrt(variance)
        near = -np.log(special.stdtr(freedom, -ratio))
        half = np.minimum(freedom, _NORMAL_FREEDOM) / 2.0
        square = 2.0 * np.log(np.maximum(ratio, _FAR_RATIO))
        growth = np.logaddexp(0.0, square - np.log(2.0 * half))
        far = half * growth + _far_rest(growth, half)
    return np.asarray(np.where(near < _FAR_NATS, near, far))


def student_distance(needed: float, variance: Numbers | float, freedom: Numbers | float) -> Numbers:
    """Return the distance at which `student_nats` gives so many nats."""
    if needed < _FAR_NATS:
        ratio = -special.stdtrit(freedom, math.exp(-needed))
    else:
        half = np.minimum(freedom, _NORMAL_FREEDOM) / 2.0
        growth = needed / half
        for _ in range(_TERMS):  # Each is nearer by the square of the ratio, which is above 19.
            growth = (needed - _far_rest(growth, half)) / half
        with np.errstate(over="ignore"):
            ratio = np.sqrt(-2.0 * half * np.expm1(-growth)) * np.exp(growth / 2.0)
    return np.asarray(ratio * np.sqrt(variance))


def _far_rest(growth: Numbers | float, half: Numbers | float) -> Numbers:
    """Return what -ln p is beside ``half * growth`` in Student's tail.

    `half` is half the degrees of freedom, `growth` is ln(1 + t² / freedom). The tail is an
    incomplete beta function, and that a hypergeometric series in -freedom / t² (DLMF 8.17.8,
    15.8.1), of which far out few terms are needed.
    """
    inverse = -np.exp(-growth) / np.expm1(-growth)
    series: Numbers | float = 1.0
    for term in range(_TERMS, 0, -1):
        series = 1.0 - inverse * (term - 0.5) / (half + term) * series
    whole = np.log(2.0 * half) + special.betaln(half, 0.5)
    return np.asarray(0.5 * np.log(-np.expm1(-growth)) + whole - np.log(series))


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
