"""How much attributions differ from one stretch of the reference to the next, beyond chance.

A week's rows share their weather, so weeks differ by more than their rows' errors say, without any
change. That is learned from the reference's own blocks of a window's length, by moments: what block
means vary by, less what their rows would make them vary by.

Shapes: N rows, M features, B blocks.

References
----------
Searle, Casella and McCulloch, Variance Components, 1992, section 3.6 (one-way layout, unbalanced);
Wu, Annals of Statistics 14, 1986 (multipliers in place of drawing blocks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.kinds.attribution.importance import HOUR_US
from driftline.monitors.kinds.attribution.ranking import (
    REPLICATES,
    Tail,
    ndcg,
    resampled_means,
    tail_of,
)

Numbers = NDArray[np.float64]

DAY_US = 24 * HOUR_US
# So many blocks of the window's length, or of half of it, and so on, tell how they vary.
WANTED_BLOCKS = 8
LEAST_BLOCKS = 3
# A block with fewer rows than this share of the usual is a ragged end.
PARTIAL_SHARE = 0.1
# Means of fewer rows have the tails of their rows, not of their block.
WORST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Between:
    """How much a number, or several at once, differs between blocks.

    Parameters
    ----------
    variance
        Of the blocks' own values, beyond chance.
    chance
        Of a usual block's value by its rows alone.
    blocks
        How many it was learned from.
    """

    variance: Numbers
    chance: Numbers
    blocks: int

    @property
    def added(self) -> Numbers:
        """Variance of a window against the mean of the blocks, rows' errors left out."""
        return np.asarray(self.variance * (1 + 1 / self.blocks))

    def degrees(self, known: Numbers) -> Numbers:
        """Give the degrees of freedom of ``known + added`` (Satterthwaite), at least 2.

        Parameters
        ----------
        known
            Variance by the rows of window and reference, in comparison certain.
        """
        guessed = (1 + 1 / self.blocks) * (self.variance + self.chance)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(guessed > 0, (known + self.added) / guessed, 1.0)
        return np.asarray(np.maximum(2.0, (self.blocks - 1) * ratio**2))


@dataclass(frozen=True, slots=True)
class Spread:
    """How a reference's attributions differ between its blocks, for one output.

    Parameters
    ----------
    shares
        Of each feature's share, shape (M,).
    level
        Of the total's logarithm, shape (1,).
    effects
        Blocks' mean attributions less the reference's, with what chance adds taken off, (B, M).
    length_us
        Of a block, microseconds.
    """

    shares: Between
    level: Between
    effects: Numbers
    length_us: int

    @property
    def blocks(self) -> int:
        """How many blocks it rests on."""
        return self.shares.blocks


def block_length(time_us: NDArray[np.int64], window: timedelta | None, share: float) -> int:
    """Choose the length of blocks: the window's, halved until there are enough of them.

    Shorter ones are taken as they are: what days share may last for a whole week.

    Parameters
    ----------
    time_us
        Event times of the reference, microseconds since 1970.
    window
        The window's length; None where nobody knows it.
    share
        The window's rows over the reference's: then it is taken to be so much of its time.
    """
    span = int(time_us.max() - time_us.min()) + 1
    wanted = share * span if window is None else window / timedelta(microseconds=1)
    length = max(HOUR_US, round(wanted / HOUR_US) * HOUR_US)
    while length > HOUR_US and span / length < WANTED_BLOCKS:
        length = max(HOUR_US, length // (2 * HOUR_US) * HOUR_US)
    return length


def block_spread(
    rows: NDArray[np.float32], time_us: NDArray[np.int64], length_us: int
) -> Spread | None:
    """Learn how blocks of a length differ; None when there are too few of them.

    Parameters
    ----------
    rows
        Absolute attributions, shape (N, M).
    time_us
        When each row was, shape (N,); -1 where that is not known.
    """
    timed = np.flatnonzero(time_us >= 0)
    order = timed[np.argsort(time_us[timed], kind="stable")]
    if not len(order):
        return None
    # Days begin at midnight, UTC.
    unit = DAY_US if length_us % DAY_US == 0 else HOUR_US
    times = time_us[order]
    codes = (times - times[0] // unit * unit) // length_us
    _, block, counts = np.unique(codes, return_inverse=True, return_counts=True)
    held = counts >= PARTIAL_SHARE * np.median(counts)
    exact = rows[order[held[block]]].astype(np.float64)
    counts = counts[held]
    total = float(exact.mean(axis=0).sum())
    if len(counts) < LEAST_BLOCKS or len(exact) == len(counts) or total <= 0:
        return None
    shares = exact.mean(axis=0) / total
    sums = exact.sum(axis=1, keepdims=True)
    # Shares and the total's logarithm as means over rows, linear near the reference's.
    measured = np.hstack([(exact - shares * sums) / total, sums / total, exact])
    found, means = _components(measured, counts)
    width = rows.shape[1]
    at = [slice(0, width), slice(width, width + 1), slice(width + 1, None)]
    parts = [Between(found.variance[one], found.chance[one], found.blocks) for one in at]
    both = parts[2].variance + parts[2].chance
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.sqrt(np.where(both > 0, parts[2].variance / both, 0.0))
    return Spread(parts[0], parts[1], kept * means[:, at[2]], length_us)


def block_tail(rows: NDArray[np.float32], spread: Spread, size: int, *, seed: int) -> Tail:
    """Learn the losses of NDCG of a window of ``size`` rows that fall into a block of their own.

    As `ranking.calibrate`, and the block's effect beside: a mixture of the reference's blocks by
    normal multipliers, which has their covariance, over the root of a chi-square, since so few
    blocks do not know it better.
    """
    random = np.random.default_rng(seed)
    reference = resampled_means(rows, len(rows), REPLICATES, random)
    window = resampled_means(rows, size, REPLICATES, random)
    freedom = spread.blocks - 1
    mixture = random.normal(size=(REPLICATES, spread.blocks)) @ spread.effects
    scale = np.sqrt((1 + 1 / spread.blocks) / random.chisquare(freedom, (REPLICATES, 1)))
    return tail_of(1.0 - ndcg(reference, np.maximum(window + scale * mixture, 0.0)))


def _components(measured: Numbers, counts: NDArray[np.int64]) -> tuple[Between, Numbers]:
    """Part the variance of columns into blocks' and rows', rows of a block below each other.

    Returns
    -------
    tuple
        The components, and the blocks' means less the grand mean, shape (B, columns).
    """
    rows, blocks = len(measured), len(counts)
    starts = np.cumsum(counts) - counts
    weights = counts[:, None]
    centred = measured - measured.mean(axis=0)
    means = np.add.reduceat(centred, starts, axis=0) / weights
    among = (weights * means**2).sum(axis=0)
    within = np.maximum((centred**2).sum(axis=0) - among, 0.0) / (rows - blocks)
    usual = (rows - (counts**2).sum() / rows) / (blocks - 1)
    variance = np.maximum((among / (blocks - 1) - within) / usual, 0.0)
    variance = np.maximum(variance, _worst(means, counts, within))
    return Between(variance, within / usual, blocks), means


def _worst(means: Numbers, counts: NDArray[np.int64], within: Numbers) -> Numbers:
    """Give the variance at which the most surprising block is as usual as the worst of so many."""
    blocks = len(counts)
    usual = float(-special.stdtrit(blocks - 1, 1.0 / (4.0 * blocks)))
    large = counts >= WORST_ROWS
    if not large.any() or not math.isfinite(usual):
        return np.zeros(means.shape[1])
    excess = (means[large] / usual) ** 2 - within / counts[large, None]
    return np.asarray(excess.max(axis=0))
