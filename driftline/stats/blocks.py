"""Variation between blocks of time: how much a number differs from one to the next beyond chance.

Rows of one day share their weather and their customers, so days differ by more than their rows say,
without any change. What the reference's own blocks vary by, a window may vary by, too
(docs/reference/statistics.md, "Variation between blocks"). Shapes: N rows, M numbers, B blocks.
"""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NO_TIME = int(np.iinfo(np.int64).min)
"""Among times in microseconds: that of a row whose time is not known; it is in no block."""

MINIMUM_BLOCKS = 3
"""With fewer blocks nothing is learnt of their variation."""

# Blocks of the window's length, or of half of it, and so on, until there are so many.
WANTED_BLOCKS = 8
# A block with fewer rows than this share of the usual is a ragged end, not a window.
PARTIAL_SHARE = 0.1
# Means of fewer rows have the tails of their rows, not of their block.
WORST_ROWS = 10


def block_length(span_us: int, window: timedelta | None, share: float) -> int:
    """Return the length of blocks, whole hours in microseconds: the window's, halved until 8 fit.

    Shorter ones are taken as they are: what days share may last for a whole week.

    Parameters
    ----------
    span_us
        Of the reference, in microseconds.
    window
        The window's length; None where nobody knows it.
    share
        The window's rows over the reference's: then it is taken to be so much of its time.
    """
    span_h = span_us / HOUR_US
    wanted_h = min(share, 1.0) * span_h if window is None else window / timedelta(hours=1)
    hours = max(1, round(wanted_h))
    while hours > 1 and span_h / hours < WANTED_BLOCKS:
        hours //= 2
    return hours * HOUR_US


def span_length(span_us: int) -> timedelta:
    """Return the length of a window whose rows' times lie so far apart: whole days or hours.

    Parameters
    ----------
    span_us
        From its first to its last row, in microseconds, at least 0.

    References
    ----------
    docs/reference/statistics.md, "Variation between blocks".
    """
    unit = timedelta(days=1) if span_us >= DAY_US else timedelta(hours=1)
    return -(-timedelta(microseconds=span_us + 1) // unit) * unit


def time_span(time_us: NDArray[np.int64]) -> int:
    """Return how far apart the first and the last time lie.

    Parameters
    ----------
    time_us
        Microseconds since 1970, shape (rows,); `NO_TIME` where there is none.

    Returns
    -------
    int
        Microseconds; 0 without any time.
    """
    known = time_us[time_us != NO_TIME]
    return int(np.ptp(known)) if len(known) else 0


def time_blocks(
    time_us: NDArray[np.int64],
    length_us: int,
    *,
    partial_share: float = PARTIAL_SHARE,
    fewest_rows: int = 1,
) -> NDArray[np.int64]:
    """Return the block that each row lies in.

    Parameters
    ----------
    time_us
        Microseconds since 1970-01-01T00:00Z, shape (N,), in any order; `NO_TIME` where unknown.
    length_us
        Of a block; those of whole days begin at midnight UTC, others at a full hour.
    partial_share, fewest_rows
        Blocks of fewer rows than this share of the median block, or than this number, are left out.

    Returns
    -------
    numpy.ndarray
        0, 1 ... in order of time, shape (N,); -1 for rows of blocks that are left out, and without
        a time.
    """
    blocks, known = np.full(len(time_us), -1, np.int64), time_us != NO_TIME
    if not known.any():
        return blocks
    unit = DAY_US if length_us % DAY_US == 0 else min(length_us, HOUR_US)
    origin = int(time_us[known].min()) // unit * unit
    _, block, counts = np.unique(
        (time_us[known] - origin) // length_us, return_inverse=True, return_counts=True
    )
    kept = counts >= max(partial_share * float(np.median(counts)), fewest_rows)
    blocks[known] = np.where(kept, np.cumsum(kept) - 1, -1)[block]
    return blocks


def upper_factor(blocks: float) -> float:
    """Return how far above an estimate from so many blocks the true variance may lie.

    Two standard errors of a variance from B normal values, 1 + 2 sqrt(2 / B).

    Parameters
    ----------
    blocks
        At least 1; degrees of freedom do as well.

    References
    ----------
    Searle, Casella and McCulloch, Variance Components, 1992, section 2.2.
    """
    return 1.0 + 2.0 * math.sqrt(2.0 / blocks)


def laws_of_means(
    sums: Numbers, counts: Numbers, of_rows: Numbers, variance: Numbers | float = 1.0
) -> tuple[Numbers, Numbers, Numbers]:
    """Return two variances of a mean less the reference's, and the second one's degrees of freedom.

    The first is an upper bound for the normal law, large enough for the reference's most surprising
    block not to surprise; the second an estimate for Student's. A variance of few blocks comes out
    far too small now and then, bound or not: at one in a million Student's law for the estimate
    asks for more than the normal one for the bound.

    Parameters
    ----------
    sums, counts
        Of values with mean 0 in each block, and how many they are, shape (B, M); with fewer than
        three blocks rows count as independent.
    of_rows
        The variance of the difference by rows alone, (M,), in units of one row's.
    variance
        Of one row.

    References
    ----------
    docs/reference/statistics.md, "Design effect": E[sum^2 / rows] is 1 + (rows - 1) x shared.
    Satterthwaite, Biometrics Bulletin 2, 1946; Hahn, Technometrics 12, 1970.
    """
    blocks = len(sums)
    if blocks < MINIMUM_BLOCKS:
        return of_rows, of_rows, np.full(of_rows.shape, np.inf)
    counts = np.maximum(counts, 1.0)
    squares = sums**2 / counts / np.maximum(variance, np.finfo(np.float64).tiny)
    usual = np.maximum(counts.mean(axis=0) - 1.0, 0.5)
    mean_square, new_block = squares.mean(axis=0), 1.0 + 1.0 / blocks
    bound = np.maximum(mean_square * upper_factor(blocks) - 1.0, 0.0) / usual
    surprise = np.where(counts >= WORST_ROWS, squares / (1.0 + (counts - 1.0) * bound), 0.0)
    tail = np.maximum(1.0, surprise.max(axis=0) / (2.0 * math.log(4.0 * squares.size)))
    shared = np.maximum(mean_square * blocks / (blocks - 1) - 1.0, 0.0) / usual * new_block
    whole = of_rows + shared
    with np.errstate(divide="ignore"):
        degrees = np.maximum(2.0, (blocks - 1) * (whole / shared) ** 2)
    return tail * (of_rows + bound * new_block), whole, degrees
