"""Variation between blocks of time: how much a number differs from one to the next beyond chance.

Rows of one day share their weather and their customers, so days differ by more than their rows say,
without any change. What the reference's own blocks vary by, a window may vary by, too. Every kind
of monitor learns it here, each on the scale of its own numbers (docs/reference/statistics.md,
"Variation between blocks"). Where two kinds differ in a parameter, their decisions were measured
with it. Shapes: N rows, M numbers, B blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.roots import first_beyond

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
# A reference's most surprising block is this rare.
SURPRISE = 0.05
# Knots of an unknown variance's law, between the quantiles that matter at one in a million.
LAW_KNOTS = 120
LAW_ENDS = (1e-11, 1.0 - 1e-6)
# A distance is sought up to so many standard errors, and to this part of one.
FARTHEST, EXACT = 1e6, 1e-11


@dataclass(frozen=True, slots=True)
class BlockVariation:
    """How much a number differs between blocks.

    Parameters
    ----------
    variance
        Of the blocks' own values, beyond chance. Below 0 where blocks happen to differ by less than
        their rows explain.
    chance
        Of a usual block's value by its rows alone.
    blocks
        How many it was learnt from; 0 when nothing is known: rows count as independent.
    """

    variance: float = 0.0
    chance: float = 0.0
    blocks: int = 0

    def nats(self, distance: Numbers | float, known: float) -> Numbers:
        """Return -ln of the chance that a window lies so far to one side without a change.

        The rows' part is that of the window's own rows, `known`; what its block shares is unknown,
        as far as so many blocks leave it: the chance is the mean over all variances that they do.
        It is Student's without rows' part, the normal law's without blocks, and, since more rows
        only ever take from `known`, never larger with more rows.

        Parameters
        ----------
        distance
            Of the window's value from the mean of the blocks, any shape; below 0 as 0.
        known
            Variance of their difference by rows alone; above 0 unless blocks differ.

        References
        ----------
        Tsui and Weerahandi, Journal of the American Statistical Association 84, 1989 (generalised
        p-values); Viechtbauer, Statistics in Medicine 26, 2007 (the law of Cochran's Q); Hahn,
        Technometrics 12, 1970 (a new block beside old ones).
        """
        variances, weights = self._law()
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.maximum(distance, 0.0)[..., None] / np.sqrt(known + variances)
        tails = special.log_ndtr(-np.nan_to_num(z, posinf=np.inf))
        return np.asarray(-special.logsumexp(tails, b=weights, axis=-1))

    def reach(self, chance: float, known: float) -> float:
        """Return the distance at which the chance is this, below a half; arguments as of `nats`."""
        start, unit = np.zeros(1), np.sqrt(known + self._law()[0].max(keepdims=True))
        wanted = -math.log(chance)
        far = first_beyond(
            lambda part: self.nats(part * unit, known) - wanted, start, start + FARTHEST,
            error=EXACT,
        )  # fmt: skip
        return float((far * unit)[0])

    def _law(self) -> tuple[Numbers, Numbers]:
        """Return variances that what blocks share may add, and how likely each is."""
        if not self.blocks:
            return np.zeros(1), np.ones(1)
        freedom = self.blocks - 1.0
        low, high = special.gammaincinv(freedom / 2.0, LAW_ENDS) * 2.0
        logs = np.linspace(math.log(max(low, np.finfo(np.float64).tiny)), math.log(high), LAW_KNOTS)
        density = (freedom / 2.0) * logs - np.exp(logs) / 2.0
        weights = np.exp(density - density.max())
        whole = max(self.variance + self.chance, 0.0) * freedom / np.exp(logs)
        variances = np.maximum(whole - self.chance, 0.0) * (1.0 + 1.0 / self.blocks)
        return variances, weights / weights.sum()


NO_BLOCKS = BlockVariation()
"""Of a reference without times, or of too few blocks: rows count as independent."""


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


def variation_of_means(values: Numbers, blocks: NDArray[np.int64]) -> BlockVariation:
    """Return the variation of the blocks' means of rows.

    Parameters
    ----------
    values
        Of the rows, shape (N,); NaN for rows without one.
    blocks
        Of the rows, shape (N,); -1 for none. Those of one row say nothing.

    Returns
    -------
    BlockVariation
        Without blocks where fewer than three are left.

    References
    ----------
    As of `variation_of_estimates`.
    """
    inside = (blocks >= 0) & ~np.isnan(values)
    counts = np.bincount(blocks[inside])
    held = counts > 1
    if np.count_nonzero(held) < MINIMUM_BLOCKS:
        return NO_BLOCKS
    rows = counts[held]
    means = np.bincount(blocks[inside], values[inside])[held] / rows
    squares = np.bincount(blocks[inside], values[inside] ** 2)[held]
    within = float((squares - rows * means**2).sum() / (rows - 1).sum())
    chance = max(within, float(np.finfo(np.float32).tiny)) / rows
    return variation_of_estimates(means, chance, is_sure=rows >= WORST_ROWS)


def variation_of_estimates(
    values: Numbers,
    chance: Numbers,
    *,
    is_sure: NDArray[np.bool_] | None = None,
) -> BlockVariation:
    """Return the variation of one estimate of each block, whose variances by chance are known.

    At least such that the most surprising block is no farther out than that of one in twenty such
    references: days that share a fate have heavier tails than a normal distribution.

    Parameters
    ----------
    values, chance
        Of the blocks, shape (B,), B >= 2; variances above 0.
    is_sure
        Blocks whose surprise is their own, shape (B,); all when missing. Of few rows it has the
        tails of the rows.

    References
    ----------
    DerSimonian and Laird, Controlled Clinical Trials 7, 1986; Bonferroni's inequality.
    """
    blocks, inverse = len(values), 1 / chance
    total = inverse.sum()
    centre = (inverse * values).sum() / total
    # A usual block's variance by chance: Cochran's Q of blocks that differ by chance alone, over
    # its degrees of freedom, is 1 in its units.
    usual = (blocks - 1) / (total - (inverse**2).sum() / total)
    excess = (inverse * (values - centre) ** 2).sum() / (blocks - 1) - 1.0
    farthest = special.ndtri(SURPRISE / blocks / 2.0) ** 2
    beyond = (values - np.median(values)) ** 2 / farthest - chance
    worst = float(beyond.max() if is_sure is None else beyond[is_sure].max(initial=0.0))
    return BlockVariation(max(float(usual * excess), worst), float(usual), blocks)


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
