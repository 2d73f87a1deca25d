"""Variation between blocks of which each may be like the one before it, or a few far out.

How long blocks remember and how heavy their tails are is not known: the law of a new block's
variance is the mean over all that the reference's own blocks leave possible, each as likely as
these make it (docs/reference/statistics.md, "Variation between blocks"). Shapes: B blocks, F
frequencies, M memories, K variances, T tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
# last are beforehand, where rows explain nothing (bench/series_laws.md).
TAILS, HEAVY = (2.0, 3.0, 5.0, math.inf), np.array([0.12, 0.12, 0.2])
# Variances that are tried: from the least share of the blocks' own to the largest.
KNOTS, LEAST, MOST = 60, 0.15, 40.0
TAIL_KNOTS, FINE_TAIL_KNOTS = 16, 40
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
    """

    values: tuple[float, ...] = ()
    days: int = 1

    def _law(self) -> tuple[Numbers, Numbers]:
        found, told = float(np.var(self.values)), float(self.variance + self.chance)
        if not 1.0 / ALIKE < found / max(told, TINY) < ALIKE:
            return BlockVariation._law(self)
        beside = self.beside or self.blocks
        return _law_of_series(self.values, float(self.chance), self.days, beside)


@lru_cache(maxsize=512)
def _law_of_series(
    values: tuple[float, ...],
    chance: float,
    days: int,
    beside: float,
) -> tuple[Numbers, Numbers]:
    """Return the variances that a new block may add, and how likely each is.

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
    shared, chances = _memories(series, chance, memories, own)
    long_run = (1.0 + memories) / (1.0 - memories) / beside
    variances = shared * (1.0 + long_run[:, None])
    is_likely = chances > UNLIKELY
    parts = []
    # Blocks that remember tell as much as fewer that do not (Bartlett).
    alone = float(chances.sum(axis=1) @ ((1.0 - memories**2) / (1.0 + memories**2)))
    tails_chances = _tail_chances(series, chance, days, alone, own)
    for tails, share in zip(TAILS, tails_chances, strict=True):
        factors, weights = _heavy(tails + days - 1, FINE_TAIL_KNOTS, FINE_ENDS)
        weights = share * np.outer(chances[is_likely], weights)
        parts.append((np.outer(variances[is_likely], factors), weights))
    found, weights = (np.concatenate([one[at].ravel() for one in parts]) for at in (0, 1))
    return _thinned(found, weights)


def _memories(
    series: Numbers, chance: float, memories: Numbers, own: float
) -> tuple[Numbers, Numbers]:
    """Return what blocks may share, shape (K,), and how likely it is, shape (M, K)."""
    blocks = len(series)
    power = np.abs(np.fft.rfft(series)[1:]) ** 2 / blocks
    twice = np.full(len(power), 2.0)
    twice[-1] -= 1.0 - blocks % 2
    variance = float(twice @ power) / (blocks - 1)
    whole = variance * np.geomspace(LEAST, MOST, KNOTS)
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
