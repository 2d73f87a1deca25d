"""How well a ranking of features still holds: NDCG, and how low it falls without any change.

NDCG of a small sample lies below 1 by chance alone, and for some models below 0.90 in every other
hour. So what is called low is learned from the reference's own rows: two samples are drawn from
them over and over, one as large as the reference, one as large as a window. Its tail is needed far
beyond what can be drawn (one window in 8,760), and is taken as exponential there: the loss is close
to a quadratic form in normal errors, whose tail is.

Shapes: R replicates, N rows, M features.

References
----------
Jarvelin and Kekalainen, ACM TOIS 20, 2002 (NDCG); scikit-learn's ``ndcg_score`` averages over
ties; docs/reference/statistics.md, "Attribution" (two samples, not one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.stats.intervals import resampled_means

Numbers = NDArray[np.float64]

# Sizes of windows that the tail is learned at; in between it is interpolated.
SIZES = (10, 30, 100, 300, 1_000, 3_000)
# How often a window without a change is drawn.
REPLICATES = 2_000
# The share of replicates that makes up the tail.
TAIL_SHARE = 0.05
# Shares of replicates at which the exponential may not lie below what was drawn.
CHECKED_SHARES = (0.02, 0.01, 0.005, 0.0025)


def ndcg(reference: Numbers, current: Numbers) -> Numbers:
    """Score the order of features by current importance, gains being the reference's.

    Importances >= 0 of shape (M,) or (R, M) give scores of shape (R,), 1 for the same order. Equal
    importances share the mean of their places; NaN where the reference's are all zero.
    """
    gains, scores = np.broadcast_arrays(np.atleast_2d(reference), np.atleast_2d(current))
    replicates, width = scores.shape
    discounts = 1.0 / np.log2(np.arange(2, width + 2))
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    starts = np.ones(ranked.shape, dtype=bool)
    starts[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    tied = np.cumsum(starts.ravel()) - 1
    own = np.take_along_axis(gains, order, axis=1).ravel()
    means = np.bincount(tied, own) / np.bincount(tied)
    found = means[tied].reshape(replicates, width) @ discounts
    best = -np.sort(-gains, axis=1) @ discounts
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(best > 0, np.minimum(found / best, 1.0), np.nan)


@dataclass(frozen=True, slots=True)
class Tail:
    """The upper end of the losses 1 - NDCG that come about without a change."""

    threshold: float  # The loss that 5% of windows exceed.
    excess: float  # By how much they exceed it on average; 0 when none does.

    def chance(self, loss: float) -> float:
        """Return the chance of a loss at least this large; 1 for the usual ones."""
        if loss <= self.threshold:
            return 1.0
        if self.excess <= 0:
            return 0.0
        return TAIL_SHARE * math.exp((self.threshold - loss) / self.excess)

    def loss(self, alpha: float) -> float:
        """Return the loss that is exceeded with this chance, at most 0.05."""
        return self.threshold + self.excess * max(0.0, math.log(TAIL_SHARE / alpha))


def calibrate(rows: NDArray[np.float32], *, seed: int) -> Mapping[int, Tail]:
    """Learn the tails by the window's size from a reference's attributions, shape (N, M), >= 0."""
    random = np.random.default_rng(seed)
    reference = resampled_means(rows, len(rows), REPLICATES, random)
    found = {}
    for size in SIZES:
        found[size] = tail_of(
            1.0 - ndcg(reference, resampled_means(rows, size, REPLICATES, random))
        )
    return found


def tail_of(losses: Numbers) -> Tail:
    """Fit the exponential to losses, shape (R,), from above; NaN losses rank nothing.

    Losses may come in jumps, when two features change places.
    """
    losses = losses[np.isfinite(losses)]
    if not losses.size:
        return Tail(0.0, 0.0)
    threshold = float(np.quantile(losses, 1.0 - TAIL_SHARE, method="higher"))
    beyond = losses[losses > threshold]
    excess = float(np.mean(beyond - threshold)) if beyond.size else 0.0
    for share in CHECKED_SHARES:
        drawn = float(np.quantile(losses, 1.0 - share, method="higher"))
        excess = max(excess, (drawn - threshold) / math.log(TAIL_SHARE / share))
    return Tail(threshold, excess)


def tail_at(tails: Mapping[int, Tail], size: int) -> Tail:
    """Return the tail for windows of any size, interpolated over its logarithm."""
    sizes = sorted(tails)
    size = min(max(size, sizes[0]), sizes[-1])
    if size in tails:  # To the last digit, which exp(log(x)) keeps on some processors only.
        return tails[size]
    at = np.log(sizes)
    tiny = 1e-12

    def between(values: list[float]) -> float:
        logs = np.log(np.maximum(values, tiny))
        found = math.exp(float(np.interp(math.log(size), at, logs)))
        return found if found > 2 * tiny else 0.0

    return Tail(
        between([tails[one].threshold for one in sizes]),
        between([tails[one].excess for one in sizes]),
    )
