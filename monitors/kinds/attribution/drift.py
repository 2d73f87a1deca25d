"""Tests whether a model uses its features as before: order, shares and level of attributions. Pure.

Two tests for each output of the model, of shares and of level. Each has a size below which a change
does not matter and a p-value; all are corrected together (Holm) within the budget of false alarms.
A window counts as one more block of the reference's time, as far as its blocks are known. The order
has changed where NDCG is below SageMaker's limit and any share has moved.

References
----------
docs/reference/statistics.md, "Attribution"; Holm, Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.kinds.attribution.blocks import Spread
from driftline.monitors.kinds.attribution.importance import Importance
from driftline.monitors.kinds.attribution.ranking import ndcg
from driftline.stats.blocks import NO_BLOCKS, BlockVariation
from driftline.stats.multiple_testing import holm_levels
from driftline.stats.tails import tail_scale

Numbers = NDArray[np.float64]

# SageMaker's limit.
NDCG_LIMIT = 0.90
# Smaller changes of a share, or of the total's logarithm, are not worth a ticket.
LEAST_SHARE = 0.05
LEAST_LEVEL = math.log(1.5)
# Beyond this on the logarithm no double holds the total.
LARGEST_LEVEL = 600.0
# A total ten times as large, or a tenth, is no bound that a change would break.
FAR_LEVEL = math.log(10.0)
# Features whose rows are held as doubles at once: those of float32 that share a line of the cache.
TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Scale:
    """Standard errors of differences: variances of rows, and between blocks."""

    known: Numbers  # Shape (M,).
    between: BlockVariation | None  # Of the same shape; None: rows count as independent.
    tails: Numbers  # How heavy those of the means of rows are (`BlockVariation.nats`), shape (M,).

    def chances(self, differences: Numbers) -> Numbers:
        """Return two-sided p-values; 0 for a difference without any variance."""
        found = zip(self._laws, np.abs(differences), self.known, self.tails, strict=True)
        with np.errstate(divide="ignore"):
            return np.array([2.0 * math.exp(-law.nats(*one)) for law, *one in found])

    def reach(self, alpha: float) -> Numbers:
        """Return the differences with this two-sided p-value."""
        found = zip(self._laws, self.known, self.tails, strict=True)
        return np.array([law.reach(alpha / 2, *one) for law, *one in found])

    @property
    def _laws(self) -> list[BlockVariation]:
        if self.between is None:
            return [NO_BLOCKS] * len(self.known)
        parts = zip(np.asarray(self.between.variance), np.asarray(self.between.chance), strict=True)
        return [BlockVariation(*part, self.between.blocks) for part in parts]


@dataclass(frozen=True, slots=True)
class Pooled:
    """Variances and tails of both sides' rows together, which are alike without a change.

    Each number is of one row: the features' shares, and last the total's logarithm, shape (M + 1,).
    """

    variance: Numbers
    # In the way that each has moved: of the window's rows, and of the reference's.
    tails: tuple[Numbers, Numbers]

    @classmethod
    def of(cls, reference: Importance, window: Importance) -> Pooled | None:
        """Pool the rows of both sides; None where one has none, or the reference is zero.

        A window's share is s or more where the sum of a - s t over its rows is 0 or more, a being
        the feature's attribution in a row and t the row's total. The law of that sum needs no error
        estimated from the window alone, which may lack rare rows. The same holds for its total.
        """
        if reference.rows is None or window.rows is None or reference.total <= 0:
            return None
        sides = (reference.rows, window.rows)
        sums = np.concatenate([one.sum(axis=1, dtype=np.float64) for one in sides])
        usual, way = reference.total, window.shares - reference.shares
        if window.total > 0 and (ratio := math.log(window.total / reference.total)):
            # The logarithmic mean turns a difference into that of logarithms.
            usual = (window.total - reference.total) / ratio
        found = []
        for first in range(0, len(way), TOGETHER):
            part = slice(first, first + TOGETHER)
            rows = np.concatenate([one[:, part].T for one in sides], axis=1, dtype=np.float64)
            for own, share, its_way in zip(rows, window.shares[part], way[part], strict=True):
                found.append(_row_law((own - share * sums) / reference.total, its_way))
        found.append(_row_law(sums / usual, window.total - reference.total))
        variance, ours, theirs = np.array(found).T
        return cls(variance, (ours, theirs))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output's attributions, now and in the reference, and their tests."""

    reference: Importance
    window: Importance
    ndcg: float  # 0-1; NaN when there is nothing to rank.
    # P-values of each share (times the number of shares), and of the total.
    shares: Numbers
    level: float
    is_judged: bool  # Whether there are enough rows.
    spread: Spread | None = None  # None when the reference's times are not known.
    pooled: Pooled | None = None  # None where only means and errors of a side are known.

    @property
    def deltas(self) -> Numbers:
        """Changes of the shares."""
        return self.window.shares - self.reference.shares

    @property
    def log_ratio(self) -> float:
        """Logarithm of the total over the reference's; -inf when all is zero now."""
        if self.reference.total <= 0:
            return math.inf if self.window.total > 0 else 0.0
        if self.window.total <= 0:
            return -math.inf
        return math.log(self.window.total / self.reference.total)

    @property
    def is_all_zero(self) -> bool:
        """Whether the model no longer depends on any feature, though it did."""
        return self.window.total <= 0 < self.reference.total

    @property
    def is_new(self) -> bool:
        """Whether the model depends on features, though it depended on none."""
        return self.reference.total <= 0 < self.window.total

    def of_rows(self, rows: float) -> Comparison:
        """Return the same attributions with another number of explained rows."""
        return replace(self, window=replace(self.window, count=round(rows)))

    @property
    def share_scale(self) -> Scale:
        """Errors of the deltas."""
        between = self.spread.shares if self.spread else None
        return self._scale("share_errors", between, slice(0, -1))

    @property
    def level_scale(self) -> Scale:
        """Error of the log ratio, shape (1,)."""
        between = self.spread.level if self.spread else None
        return self._scale("total_error", between, slice(-1, None))

    def _scale(self, name: str, between: BlockVariation | None, part: slice) -> Scale:
        sides = (self.reference, self.window)
        if self.pooled is None:
            known = np.atleast_1d(sum(getattr(one, name) ** 2 for one in sides))
            return Scale(known, between, np.zeros(len(known)))
        counts = [one.count for one in sides]
        known = self.pooled.variance[part] * sum(1.0 / one for one in counts)
        ours, theirs = (one[part] for one in self.pooled.tails)
        return Scale(known, between, np.maximum(ours / counts[1], theirs / counts[0]))

    @property
    def order(self) -> float:
        """P-value of the order, by any share; the limit decides alone where a side has no rows."""
        if not (self.is_judged and self.ndcg < NDCG_LIMIT and self.window.total > 0):
            return 1.0
        return float(self.shares.min()) if min(self.reference.count, self.window.count) else 0.0

    @property
    def p_values(self) -> tuple[float, float]:
        """P-values of shares and level; 1 where a change is too small to matter."""
        large = np.abs(self.deltas) >= LEAST_SHARE
        shares = min(self.order, float(self.shares[large].min(initial=1.0)))
        return shares, self.level if abs(self.log_ratio) >= LEAST_LEVEL else 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A comparison, judged at the levels of its tests."""

    comparison: Comparison
    share_bounds: Numbers  # Changes of shares from this on are violations, shape (M,).
    level_bound: float  # A change of the total's logarithm from this on is a violation.
    order: bool
    level: bool
    moved: NDArray[np.bool_]
    # At which the shares, and the level, were tested; of no use to SageMaker's limit.
    alphas: tuple[float, float] = (0.0, 0.0)

    @property
    def worst_order(self) -> float:
        """NDCG of the reversed ranking, the lowest possible."""
        mean = self.comparison.reference.mean
        return float(ndcg(mean, mean.max() - mean)[0])

    def is_share_bounded(self, at: int, rows: float) -> bool:
        """Whether a window of this size could exceed the bound of a share."""
        one = self.comparison.of_rows(rows)
        free, usual = _share_reach(one, self.alphas[0])[at], one.reference.shares[at]
        return bool(usual + free < 1.0 or usual - free > 0.0)

    def is_level_bounded(self, rows: float) -> bool:
        """Whether the level of a window of this size has a bound that it could exceed."""
        return _level_reach(self.comparison.of_rows(rows), self.alphas[1]) < FAR_LEVEL

    @property
    def by_limit(self) -> bool:
        """Whether only SageMaker's limit of NDCG decided."""
        return math.isinf(self.level_bound)


def compare(
    reference: Importance,
    window: Importance,
    spread: Spread | None = None,
) -> Comparison:
    """Measure and test one output of a model."""
    # None are of a document, whose means count as exact.
    is_judged = all(one.count == 0 or one.count >= MIN_ROWS for one in (reference, window))
    width = len(reference.features)
    found = float(ndcg(reference.mean, window.mean)[0]) if width > 1 else math.nan
    plain = Comparison(
        reference, window, found, np.ones(width), 1.0, is_judged, spread,
        pooled=Pooled.of(reference, window) if is_judged else None,
    )  # fmt: skip
    both = reference.count + window.count
    if is_judged and min(reference.count, window.count) and (plain.is_new or plain.is_all_zero):
        # No row of one side has any value: Fisher's exact test of how many of the other's have.
        other = window if plain.is_new else reference
        held = math.inf if other.rows is None else np.count_nonzero(other.rows.any(axis=1))
        return replace(plain, level=(other.count / both) ** held)
    # One error at least has to be known, or a difference says nothing.
    if not (is_judged and window.count > 0 and reference.total > 0):
        return plain
    shares, level = plain.shares, plain.level
    if window.total > 0:
        shares = np.minimum(1.0, width * plain.share_scale.chances(plain.deltas))
    if reference.count:
        level = float(plain.level_scale.chances(np.array([plain.log_ratio]))[0])
    return replace(plain, shares=shares, level=level)


def settle(comparisons: Sequence[Comparison], alpha: float) -> list[Finding]:
    """Decide all tests of one look together, at the chance ``alpha`` of any false alarm."""
    tests = [value for comparison in comparisons for value in comparison.p_values]
    levels = iter(holm_levels(tests, alpha))
    return [_finding(comparison, next(levels), next(levels)) for comparison in comparisons]


def settle_by_limit(comparisons: Sequence[Comparison]) -> list[Finding]:
    """Decide as SageMaker does: NDCG below 0.90 is a violation, of however few rows.

    A reference that is all zero scores 0, as in ``ndcg_score``.
    """
    found = []
    for one in comparisons:
        is_zero = len(one.reference.features) > 1 and one.reference.total <= 0
        score = 0.0 if is_zero else one.ndcg
        plain = replace(one, ndcg=score, is_judged=True, spread=None)
        without = np.full(one.deltas.shape, math.inf)
        moved = np.zeros(one.deltas.shape, dtype=np.bool_)
        is_lower = score < NDCG_LIMIT
        found.append(Finding(plain, without, math.inf, is_lower, False, moved))
    return found


def _row_law(values: Numbers, way: float) -> tuple[float, float, float]:
    """Return a row's variance and its two tails: along the mean's move, and against it."""
    moved = (values - values.mean()) * (-1.0 if way < 0 else 1.0)
    variance = float((moved**2).mean())
    return variance, tail_scale(moved, upper=True), tail_scale(-moved, upper=True)


def _finding(one: Comparison, shares: float, level: float) -> Finding:
    _, p_level = one.p_values
    large = np.abs(one.deltas) >= LEAST_SHARE
    return Finding(
        one,
        _share_reach(one, shares),
        min(_level_reach(one, level), LARGEST_LEVEL),
        one.order < shares,
        p_level < level,
        np.asarray(large & (one.shares < shares)),
        (shares, level),
    )


def _share_reach(one: Comparison, alpha: float) -> Numbers:
    """Return the smallest changes of shares that are violations."""
    return np.maximum(LEAST_SHARE, one.share_scale.reach(alpha / len(one.reference.features)))


def _level_reach(one: Comparison, alpha: float) -> float:
    """Return the smallest change of the total's logarithm that is a violation."""
    return max(LEAST_LEVEL, float(one.level_scale.reach(alpha)[0]))
