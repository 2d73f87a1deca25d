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
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

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
BISECTIONS = 50


@dataclass(frozen=True, slots=True)
class BlockVariation:
    """How much a number, or several at once, differs between blocks.

    Parameters
    ----------
    variance
        Of the blocks' own values, beyond chance; any shape. Below 0 where blocks happen to differ
        by less than their rows explain.
    chance
        Of a usual block's value by its rows alone, of the same shape.
    blocks
        How many it was learnt from; 0 when nothing is known: rows count as independent.
    beside
        How many blocks' length the mean rests on that a window is compared with; as many as it
        was learnt from when missing.
    """

    variance: Numbers | float = 0.0
    chance: Numbers | float = 0.0
    blocks: int = 0
    beside: float | None = None

    @property
    def added(self) -> Numbers:
        """Variance of a window against the mean of the blocks, rows' errors left out.

        References
        ----------
        Hahn, Technometrics 12, 1970 (a new block beside B old ones).
        """
        return np.maximum(self.variance, 0.0) * self._new_block

    @property
    def _new_block(self) -> float:
        return 1.0 + 1.0 / (self.beside or self.blocks) if self.blocks else 1.0

    def tail(self, distance: float, known: float) -> float:
        """Return the chance that a window lies so far, or farther, to one side without a change.

        The rows' part is that of the window's own rows, `known`; what its block shares is unknown,
        as far as so many blocks leave it: the chance is the mean over all variances that they do.
        It is Student's without rows' part, the normal law's without blocks, and, since more rows
        only ever take from `known`, never larger with more rows.

        Parameters
        ----------
        distance
            Of the window's value from the mean of the blocks; above 0 for a chance below a half.
        known
            Variance of their difference by rows alone.

        References
        ----------
        Tsui and Weerahandi, Journal of the American Statistical Association 84, 1989 (generalised
        p-values); Viechtbauer, Statistics in Medicine 26, 2007 (the law of Cochran's Q).
        """
        variances, weights = self._law()
        with np.errstate(divide="ignore", invalid="ignore"):
            return _tail(distance, np.sqrt(known + variances), weights)

    def nats(self, distance: float, known: float, scale: float = 0.0) -> float:
        """Return -ln of `tail`, however small, for means of rows that have heavy tails.

        Parameters
        ----------
        distance, known
            As of `tail`.
        scale
            Of the rows' tails over the number of rows, 0 for normal ones: the rows' part of the
            variance counts as ``known + scale * distance``, the exponent of Bernstein's inequality.

        References
        ----------
        As of `tail`; Bernstein's inequality under his condition on moments (Boucheron, Lugosi and
        Massart, Concentration Inequalities, 2013, theorem 2.10).
        """
        if distance <= 0:
            return -math.log(0.5)
        variances, weights = self._law()
        errors = np.sqrt(known + scale * distance + variances)
        return -float(special.logsumexp(special.log_ndtr(-distance / errors), b=weights))

    def reach(self, chance: float, known: float, scale: float = 0.0) -> float:
        """Return the distance at which `tail` is this chance, below a half.

        With a `scale` as of `nats` the one at which that is as surprising.

        References
        ----------
        As of `nats`.
        """
        variances, weights = self._law()
        z = float(-special.ndtri(chance))
        lead = z * z * scale / 2.0
        low = lead + math.sqrt(lead**2 + z * z * (known + float(variances.min())))
        if not self.blocks or not math.isfinite(low):
            return low
        tiny = float(np.finfo(np.float64).tiny)
        high = max(low, math.sqrt(known + float(variances.max())), tiny)
        with np.errstate(divide="ignore", invalid="ignore"):
            while _tail(high, np.sqrt(known + scale * high + variances), weights) > chance:
                high *= 2.0
            for _ in range(BISECTIONS):  # Of the logarithm: the law reaches over many magnitudes.
                middle = math.sqrt(max(low, tiny)) * math.sqrt(high)
                errors = np.sqrt(known + scale * middle + variances)
                is_low = _tail(middle, errors, weights) > chance
                low, high = (middle, high) if is_low else (low, middle)
        return high

    def _law(self) -> tuple[Numbers, Numbers]:
        """Return variances that what blocks share may add, and how likely each is."""
        if not self.blocks:
            return np.zeros(1), np.ones(1)
        chance = float(self.chance)
        whole = max(float(self.variance) + chance, 0.0)
        variances, weights = _law_of_blocks(whole, chance, self.blocks)
        return variances * self._new_block, weights

    def degrees(self, known: Numbers | float) -> Numbers:
        """Return the degrees of freedom of ``known + added``, at least 2; infinite without blocks.

        Parameters
        ----------
        known
            Variance that is known exactly, such as that of the rows.

        References
        ----------
        Satterthwaite, Biometrics Bulletin 2, 1946.
        """
        if not self.blocks:
            return np.full(np.shape(known), np.inf)
        guessed = (1 + 1 / self.blocks) * (np.asarray(self.variance) + self.chance)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(guessed > 0, (known + self.added) / guessed, np.inf)
        return np.asarray(np.maximum(2.0, (self.blocks - 1) * ratio**2))


def _tail(distance: float, errors: Numbers, weights: Numbers) -> float:
    """Return the normal law's chance beyond a distance, the mean over standard errors."""
    z = distance / errors if distance else np.zeros(len(errors))
    return float(weights @ special.ndtr(-z))


@lru_cache(maxsize=256)
def _law_of_variance(freedom: float) -> tuple[Numbers, Numbers]:
    """Return how many times its estimate a variance may be, freedom / chi-squared, and weights."""
    low, high = special.gammaincinv(freedom / 2.0, LAW_ENDS) * 2.0
    logs = np.linspace(math.log(max(low, np.finfo(np.float64).tiny)), math.log(high), LAW_KNOTS)
    density = (freedom / 2.0) * logs - np.exp(logs) / 2.0
    weights = np.exp(density - density.max())
    return freedom / np.exp(logs), weights / weights.sum()


@lru_cache(maxsize=1024)
def _law_of_blocks(whole: float, chance: float, blocks: int) -> tuple[Numbers, Numbers]:
    """Return the variances beyond chance of blocks whose own variance was `whole`, and weights."""
    factors, weights = _law_of_variance(blocks - 1.0)
    return np.maximum(whole * factors - chance, 0.0), weights


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


@dataclass(frozen=True, slots=True)
class MeanVariation:
    """What rows of one block share, for means of rows, in units of the variance of one row.

    Parameters
    ----------
    bound
        Of a block's mean beyond what its rows explain, from above; any shape.
    tail
        Factor, at least 1, of the same shape, by which a variance must grow for the reference's
        most surprising block not to surprise.
    estimate
        The same variance, no bound.
    """

    bound: Numbers | float = 0.0
    tail: Numbers | float = 1.0
    estimate: BlockVariation = NO_BLOCKS

    def between(self, reference_rows: Numbers | float, window_rows: Numbers | float) -> Numbers:
        """Return a bound of the variance of window mean less reference mean."""
        shared = BlockVariation(self.bound, blocks=self.estimate.blocks).added
        return np.asarray(self.tail * (_of_rows(reference_rows, window_rows) + shared))

    def student(
        self, reference_rows: Numbers | float, window_rows: Numbers | float
    ) -> tuple[Numbers, Numbers]:
        """Return the estimate of that variance, and its degrees of freedom; no blocks, no end.

        A variance of few blocks comes out far too small now and then, bound or not: at one in a
        million Student's law for the estimate asks for more than the normal one for the bound.
        """
        rows = _of_rows(reference_rows, window_rows)
        return rows + self.estimate.added, self.estimate.degrees(rows)


def variation_of_sums(
    sums: Numbers, counts: Numbers, variance: Numbers | float = 1.0
) -> MeanVariation:
    """Return how much means of blocks differ, from the blocks' sums.

    Parameters
    ----------
    sums, counts
        Of values with mean 0 in each block, and how many they are, shape (B, ...).
    variance
        Of one row.

    References
    ----------
    docs/reference/statistics.md, "Design effect": E[sum^2 / rows] is 1 + (rows - 1) x shared.
    """
    blocks = len(sums)
    if blocks < MINIMUM_BLOCKS:
        return MeanVariation(np.zeros(np.shape(sums)[1:]))
    counts = np.maximum(np.broadcast_to(counts, np.shape(sums)), 1.0)
    squares = sums**2 / counts / np.maximum(variance, np.finfo(np.float64).tiny)
    usual = np.maximum(counts.mean(axis=0) - 1.0, 0.5)
    mean_square = squares.mean(axis=0)
    bound = np.maximum(mean_square * upper_factor(blocks) - 1.0, 0.0) / usual
    estimate = np.maximum(mean_square * blocks / (blocks - 1) - 1.0, 0.0) / usual
    surprise = np.where(counts >= WORST_ROWS, squares / (1.0 + (counts - 1.0) * bound), 0.0)
    tail = np.maximum(1.0, surprise.max(axis=0) / (2.0 * math.log(4.0 * squares.size)))
    return MeanVariation(bound, np.asarray(tail), BlockVariation(estimate, 0.0, blocks))


def _of_rows(reference_rows: Numbers | float, window_rows: Numbers | float) -> Numbers:
    return np.asarray(1.0 / np.maximum(window_rows, 1.0) + 1.0 / np.maximum(reference_rows, 1.0))
