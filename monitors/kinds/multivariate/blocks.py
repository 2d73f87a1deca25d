"""How much a mean differs from one stretch of the reference to the next, without any change.

Rows of one day share their weather and their customers, so means of days differ by more than their
rows say. What the reference's own blocks of a window's length vary by, beyond their rows, a window
may vary by, too. The rule is that of single columns (drift-methods.md section 6.3): an upper bound
of the blocks' variance, and the reference's most surprising block must not look surprising.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample

Numbers = NDArray[np.float64]

# Blocks of the window's length, or of half of it, and so on, until there are so many.
WANTED_BLOCKS = 8
LEAST_BLOCKS = 4
# A block with fewer sampled rows than this share of the usual is a ragged end; one row alone shares
# nothing; and means of fewer rows than the third number have the tails of their rows, not of their
# block.
PARTIAL_SHARE = 0.1
FEWEST_ROWS = 2
FEWEST_TO_SURPRISE = 10
DAY_H = 24


@dataclass(frozen=True, slots=True)
class Dependence:
    """What rows of one block share.

    Parameters
    ----------
    variance
        Of a block's mean beyond what its rows explain, an upper bound; in units of the variance of
        one row; any shape.
    tail
        Factor, at least 1, of the same shape, by which a variance must grow for the reference's
        most surprising block not to surprise.
    blocks
        How many it was learned from; 0 when rows count as independent.
    estimate
        Of the variance, no bound; of the same shape.
    """

    variance: Numbers
    tail: Numbers | float = 1.0
    blocks: int = 0
    estimate: Numbers | float = 0.0

    def between(self, reference_rows: Numbers | float, window_rows: Numbers | float) -> Numbers:
        """Give the variance of window mean less reference mean, in units of one row's."""
        own = 1.0 / np.maximum(window_rows, 1.0) + 1.0 / np.maximum(reference_rows, 1.0)
        shared = self.variance * (1.0 + (1.0 / self.blocks if self.blocks else 0.0))
        return np.asarray(self.tail * (own + shared))

    def student(
        self, reference_rows: Numbers | float, window_rows: Numbers | float
    ) -> tuple[Numbers, Numbers]:
        """Give the plain estimate of the variance, and its degrees of freedom; no blocks, no end.

        A variance of few blocks comes out far too small now and then, bound or not: at one in a
        million Student's law for the estimate asks for more than the normal one for the bound.

        References
        ----------
        Satterthwaite, Biometrics Bulletin 2, 1946.
        """
        own = 1.0 / np.maximum(window_rows, 1.0) + 1.0 / np.maximum(reference_rows, 1.0)
        shared = np.asarray(self.estimate) * (1.0 + (1.0 / self.blocks if self.blocks else 0.0))
        with np.errstate(divide="ignore"):
            freedom = (self.blocks - 1) * ((own + shared) / shared) ** 2
        return np.asarray(own + shared), np.where(shared > 0, freedom, np.inf)


def time_blocks(sample: RowSample, length: timedelta | None, share: float) -> NDArray[np.int64]:
    """Give each sampled row the number of its block.

    Parameters
    ----------
    sample
        Rows of the reference.
    length
        Of the window; None where nobody knows it: then it is so much of the reference's time as
        its rows are of the reference's rows.
    share
        The window's rows over the reference's.

    Returns
    -------
    numpy.ndarray
        int64, shape (n,): 0, 1, ... in order of time, -1 for rows that are in none; all -1 when
        there are no times or fewer than four blocks.
    """
    none = np.full(len(sample), -1, np.int64)
    if sample.hours is None:
        return none
    known = sample.hours != UNKNOWN_HOUR
    if not known.any():
        return none
    first, last = int(sample.hours[known].min()), int(sample.hours[known].max())
    span = last - first + 1
    wanted = min(share, 1.0) * span if length is None else length / timedelta(hours=1)
    hours = max(1, round(wanted))
    while hours > 1 and span / hours < WANTED_BLOCKS:
        hours //= 2
    start = first // DAY_H * DAY_H if hours % DAY_H == 0 else first  # Days begin at midnight, UTC.
    _, block, counts = np.unique(
        (sample.hours[known] - start) // hours, return_inverse=True, return_counts=True
    )
    enough = max(PARTIAL_SHARE * float(np.median(counts)), FEWEST_ROWS)
    kept = counts >= enough
    if kept.sum() < LEAST_BLOCKS:
        return none
    numbers = np.where(kept, np.cumsum(kept) - 1, -1)
    none[known] = numbers[block]
    return none


def mean_dependence(sums: Numbers, counts: Numbers, variance: Numbers | float = 1.0) -> Dependence:
    """Learn from blocks' sums how much means of blocks differ.

    Parameters
    ----------
    sums, counts
        Sum over a block's rows of what has mean 0 over all rows, and how many rows; both of shape
        (B,) or (B, ...).
    variance
        Of one row.
    """
    blocks = len(sums)
    if blocks < LEAST_BLOCKS:
        return Dependence(np.zeros(np.shape(sums)[1:]))
    counts = np.maximum(np.broadcast_to(counts, np.shape(sums)), 1.0)
    squares = sums**2 / counts / np.maximum(variance, np.finfo(np.float64).tiny)
    usual = counts.mean(axis=0)
    mean_square = squares.mean(axis=0)
    shared = _upper(mean_square, usual, blocks)
    beyond = np.maximum(mean_square * blocks / (blocks - 1) - 1.0, 0.0)
    surprise = np.where(
        counts >= FEWEST_TO_SURPRISE, squares / (1.0 + (counts - 1.0) * shared), 0.0
    )
    worst = surprise.max(axis=0)
    tail = np.maximum(1.0, worst / (2.0 * math.log(4.0 * squares.size)))
    return Dependence(shared, np.asarray(tail), blocks, beyond / np.maximum(usual - 1.0, 0.5))


def _upper(mean_square: Numbers, usual: Numbers, blocks: int) -> Numbers:
    """Bound the shared variance from above: E[sum^2 / rows] is 1 + (rows - 1) x shared."""
    wide = np.asarray(mean_square) * (1.0 + 2.0 * math.sqrt(2.0 / blocks))
    return np.asarray(np.maximum(wide - 1.0, 0.0) / np.maximum(usual - 1.0, 0.5))


def weigh(distance: Numbers, variance: Numbers, largest: Numbers | float = 0.0) -> Numbers:
    """Weigh a difference of means in nats: the p-value is at most twice exp of minus this.

    Parameters
    ----------
    distance
        Beyond the tolerance, at least 0.
    variance
        Of it.
    largest
        What one row can add to it, at most; with 0 this is the normal tail.

    References
    ----------
    Bernstein's inequality.
    """
    return np.asarray(distance**2 / (2.0 * (variance + largest * distance / 3.0)))


def distance_needed(
    needed: float, variance: Numbers | float, largest: Numbers | float
) -> Numbers | float:
    """Give the distance at which `weigh` gives so many nats."""
    lead = needed * largest / 3.0
    return lead + np.sqrt(lead**2 + 2.0 * needed * variance)


def student_nats(
    distance: Numbers | float, variance: Numbers | float, freedom: Numbers | float
) -> Numbers:
    """Weigh a difference whose variance is an estimate, in nats as `weigh` gives them."""
    return np.asarray(-stats.t.logsf(distance / np.sqrt(variance), freedom))


def student_distance(needed: float, variance: Numbers | float, freedom: Numbers | float) -> Numbers:
    """Give the distance at which `student_nats` gives so many nats."""
    return np.asarray(stats.t.isf(math.exp(-needed), freedom) * np.sqrt(variance))


def weigh_both(
    distance: float,
    variance: float,
    largest: float,
    doubt: tuple[float, float],
    needed: float,
) -> tuple[float, float]:
    """Weigh one difference by its bound (`weigh`) and by Student's law, which both have to agree.

    Parameters
    ----------
    doubt
        The variance's estimate and its degrees of freedom.
    needed
        In nats.

    Returns
    -------
    tuple
        The nats, and the distance that gives as many as are needed.
    """
    nats = weigh(np.asarray(distance), np.asarray(variance), largest)
    reach = distance_needed(needed, variance, largest)
    return (
        min(float(nats), float(student_nats(distance, *doubt))),
        max(float(reach), float(student_distance(needed, *doubt))),
    )
