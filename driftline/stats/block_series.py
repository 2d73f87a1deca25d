"""Variation between blocks of which each may be like the one before it, or a few far out.

How long blocks remember and how heavy their tails are is not known: the law of a new block's
variance is the mean over all that the reference's own blocks leave possible, each as likely as
these make it (docs/reference/statistics.md, "Variation between blocks"). Shapes: B blocks, F
frequencies, M memories, K variances, T tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.blocks import BlockVariation

Numbers = NDArray[np.float64]

# Correlations r of a day's own part with that of the day before, beforehand as likely as 1 - r.
MEMORIES = np.array([*np.arange(10) / 10.0, 0.95])
REMEMBERED = (1.0 - MEMORIES) / (1.0 - MEMORIES).sum()
# Degrees of freedom of Student's t that a single day's part may have, and how likely all but the
# last are beforehand, where rows explain nothing (docs/measured.md).
TAILS, HEAVY = (2.0, 3.0, 5.0, math.inf), np.array([0.12, 0.12, 0.2])
# Variances that are tried: from the least share of the blocks' own to the largest.
KNOTS, LEAST, MOST = 60, 0.15, 40.0
TAIL_KNOTS, FINE_TAIL_KNOTS = 16, 40
# Few blocks leave larger ones possible: the largest is so rare.
RARE = 1e-8
# A later window that is rarer than this, to one side, is a change.
CHANGED = 1e-3
# Ends of chi-squared between which knots lie.
ENDS = (1e-6, 1.0 - 1e-6)
FINE_ENDS = (1e-11, 1.0 - 1e-6)
# Less likely variances, and finer differences of their logarithm, tell nothing.
UNLIKELY, WIDTH = 1e-9, 0.08
TINY = float(np.finfo(np.float64).tiny)
# Blocks whose variance is further from the one that is given are alike but for rounding.
ALIKE = 1e6


@dataclass(frozen=True, slots=True)
class SeriesVariation(BlockVariation):
    """How much a number differs between blocks that are known one by one.

    Parameters
    ----------
    values
        Of the blocks in order of time, B of them; with the variance ``variance + chance``.
    days
        That a block lasts, at least 1: a mean of k days has lighter tails than one of them.
    longer
        How many blocks a window lasts, at least 1: what they share partly evens out in it.
    remembered
        How likely it is at least, before any is seen, that blocks remember; in any case it is the
        more likely the less rows explain how they differ.
    later
        Of windows that came since: each one's value, and its variance by its own rows. They tell
        how much windows differ, whatever their mean.
    tails
        Degrees of freedom, above 2, of Student's law that what a block shares has, infinite for the
        normal one; None where the blocks themselves tell.
    """

    values: tuple[float, ...] = ()
    days: int = 1
    longer: float = 1.0
    remembered: float = 0.0
    later: tuple[tuple[float, float], ...] = ()
    tails: float | None = None

    def with_later(
        self, values: Numbers, chance: Numbers, known: float, tolerance: float
    ) -> SeriesVariation:
        """Return what is known with windows that came since, in order of time.

        One that is a change beside those before it tells nothing of windows without one.

        Parameters
        ----------
        values, chance
            Of the windows, as distances from the mean of the blocks, and their variances by their
            own rows, above 0, shape (K,).
        known
            Variance of that mean by rows.
        tolerance
            What is no change.
        """
        found = replace(self, tails=math.inf, later=())
        for value, own in zip(values.tolist(), chance.tolist(), strict=True):
            away = abs(value) - tolerance
            if away <= 0.0 or found.tail(away, own + known) > CHANGED:
                found = replace(found, later=(*found.later, (value, own)))
        return replace(self, later=found.later)

    def _law(self) -> tuple[Numbers, Numbers]:
        found, told = float(np.var(self.values)), float(self.variance + self.chance)
        if not 1.0 / ALIKE < found / max(told, TINY) < ALIKE:
            return BlockVariation._law(self)
        series = self.values, float(self.chance), self.days, self.remembered, self.tails
        return _law_of_windows(series, self.longer, self.beside or self.blocks, self.later)


@dataclass(frozen=True, slots=True)
class _Series:
    """What blocks leave possible: what one shares, S of them, with the memory of each."""

    shared: Numbers  # Variances of what a block shares, shape (S,).
    memories: Numbers  # Correlation with that of the block before, shape (S,).
    chances: Numbers  # How likely both are, shape (S,).
    tails: tuple[tuple[float, float], ...]  # Degrees of freedom, and how likely they are.


@lru_cache(maxsize=512)
def _law_of_windows(
    series: tuple[tuple[float, ...], float, int, float, float | None],
    longer: float,
    beside: float,
    later: tuple[tuple[float, float], ...],
) -> tuple[Numbers, Numbers]:
    """Return the variances that a new window may add, and how likely each is."""
    found, days, is_known = _law_of_series(*series), series[2], series[4] is not None
    own = found.shared * _share_of_mean(found.memories, longer)
    variances = own + found.shared * (1.0 + found.memories) / (1.0 - found.memories) / beside
    chances = found.chances
    if later:
        chances = chances * _likelihood(own, np.array(later))
        chances = chances / chances.sum()
    parts = []
    for tails, share in found.tails:
        # A mean of days has lighter tails than one of them.
        degrees = tails + days * longer - 1
        factors, weights = _heavy(degrees, FINE_TAIL_KNOTS, FINE_ENDS)
        if is_known and math.isfinite(degrees):  # So that the variance stays what it is.
            factors = factors * (degrees - 2.0) / degrees
        parts.append((np.outer(variances, factors), share * np.outer(chances, weights)))
    return _thinned(*(np.concatenate([one[at].ravel() for one in parts]) for at in (0, 1)))


@lru_cache(maxsize=512)
def _law_of_series(
    values: tuple[float, ...], chance: float, days: int, remembered: float, tails: float | None
) -> _Series:
    """Return what blocks leave possible.

    References
    ----------
    Whittle, Arkiv för Matematik 2, 1953 (likelihood by frequencies, here of a first-order
    autoregression and of rows' chance; the mean's frequency is left out). Of blocks that remember
    nothing it is the law of chi-squared.
    """
    series = np.array(values) - np.mean(values)
    # Where rows explain how blocks differ, memory and tails are those of next to nothing.
    own = max(0.0, 1.0 - chance * (len(series) - 1) / float(series @ series))
    memories = MEMORIES**days  # Of what days share weeks remember less.
    shared, chances = _memories(series, chance, memories, max(own, remembered))
    if tails is None:
        # Blocks that remember tell as much as fewer that do not (Bartlett).
        alone = float(chances.sum(axis=1) @ ((1.0 - memories**2) / (1.0 + memories**2)))
        laws = tuple(zip(TAILS, _tail_chances(series, chance, days, alone, own), strict=True))
    else:
        laws = ((tails, 1.0),)
    is_likely = chances > UNLIKELY
    return _Series(
        np.broadcast_to(shared, chances.shape)[is_likely],
        np.broadcast_to(memories[:, None], chances.shape)[is_likely],
        chances[is_likely],
        laws,
    )


def _share_of_mean(memories: Numbers, longer: float) -> Numbers:
    """Return the variance of the mean of so many blocks over that of one, shape (S,)."""
    apart = np.arange(1.0, math.ceil(longer))
    correlations = (1.0 - apart / longer) @ memories ** apart[:, None]
    return np.asarray((1.0 + 2.0 * correlations) / longer)


def _likelihood(added: Numbers, later: Numbers) -> Numbers:
    """Return how likely windows' values make each variance beyond chance, the likeliest 1.

    References
    ----------
    Patterson and Thompson, Biometrika 58, 1971 (residual likelihood: the mean is unknown).
    """
    values, chance = later.T
    inverse = 1.0 / (added[:, None] + chance)
    total = inverse.sum(axis=1)
    centre = inverse @ values / total
    squares = (inverse * (values - centre[:, None]) ** 2).sum(axis=1)
    log = (np.log(inverse).sum(axis=1) - np.log(total) - squares) / 2.0
    return np.asarray(np.exp(log - log.max()))


def _memories(
    series: Numbers, chance: float, memories: Numbers, own: float
) -> tuple[Numbers, Numbers]:
    """Return what blocks may share, shape (K,), and how likely it is, shape (M, K)."""
    blocks = len(series)
    power = np.abs(np.fft.rfft(series)[1:]) ** 2 / blocks
    twice = np.full(len(power), 2.0)
    twice[-1] -= 1.0 - blocks % 2
    variance = float(twice @ power) / (blocks - 1)
    most = max(MOST, (blocks - 1) / 2.0 / float(special.gammaincinv((blocks - 1) / 2.0, RARE)))
    whole = variance * np.geomspace(LEAST, most, KNOTS)
    shared = np.maximum(whole - chance, 0.0)
    turn = np.cos(2.0 * np.pi * np.arange(1, len(power) + 1) / blocks)
    memory = memories[:, None]
    shape = (1.0 - memory**2) / (1.0 + memory**2 - 2.0 * memory * turn)
    rest = np.minimum(whole, chance)[:, None]
    spectrum = rest + shared[:, None] * shape[:, None, :]
    likely = -0.5 * ((np.log(spectrum) + power / spectrum) @ twice)
    likely += np.log(np.maximum(own * REMEMBERED + (1.0 - own) * (MEMORIES == 0.0), TINY))[:, None]
    weights = np.exp(likely - likely.max())
    return shared, weights / weights.sum()


def _tail_chances(series: Numbers, chance: float, days: int, alone: float, own: float) -> Numbers:
    """Return how likely each law of tails is, whatever the blocks' variance, shape (T,)."""
    squares = (series - np.median(series)) ** 2
    whole = squares.mean() * np.geomspace(0.02, 20.0, KNOTS)
    rest, shared = np.minimum(whole, chance)[:, None], np.maximum(whole - chance, 0.0)[:, None]
    found = []
    for tails in TAILS:
        factors, weights = _heavy(tails + days - 1, TAIL_KNOTS, ENDS)
        variances = rest + shared * factors
        logs = -0.5 * (squares[:, None, None] / variances + np.log(variances))
        most = logs.max(axis=2)
        density = np.exp(logs - most[:, :, None]) @ weights
        found.append(special.logsumexp(alone * (most + np.log(density)).sum(axis=0)))
    heavy = own * HEAVY
    likely = np.array(found) + np.log(np.maximum([*heavy, 1.0 - heavy.sum()], TINY))
    chances = np.exp(likely - likely.max())
    return np.asarray(chances / chances.sum())


@lru_cache(maxsize=64)
def _heavy(tails: float, knots: int, ends: tuple[float, float]) -> tuple[Numbers, Numbers]:
    """Return factors of a normal variance that make it Student's t, and how likely each is."""
    if math.isinf(tails):
        return np.ones(1), np.ones(1)
    low, high = special.gammaincinv(tails / 2.0, ends) * 2.0
    logs = np.linspace(math.log(max(low, TINY)), math.log(high), knots)
    density = tails / 2.0 * logs - np.exp(logs) / 2.0
    weights = np.exp(density - density.max())
    return tails / np.exp(logs), weights / weights.sum()


def _thinned(variances: Numbers, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Take variances together that lie next to each other, with their mean."""
    least = max(1e-3 * float(np.median(variances)), TINY)
    logs = np.log(np.maximum(variances, least))
    place = ((logs - logs.min()) / WIDTH).astype(np.intp)
    sums = np.bincount(place, weights)
    means = np.bincount(place, weights * variances) / np.maximum(sums, TINY)
    return np.asarray(means[sums > 0]), np.asarray(sums[sums > 0] / sums.sum())
