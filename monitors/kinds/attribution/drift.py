"""Whether a model uses its features as it did: order, shares and level of attributions. Pure.

Three tests for each output of the model, each with a size below which a change does not matter and
a p-value, all weighed together (Holm) against the budget of false alarms. A window is weighed as
one more block of the reference's time, as far as its blocks are known.

References
----------
bias-and-attribution.md section 8; Holm, Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.kinds.attribution.blocks import Between, Spread
from driftline.monitors.kinds.attribution.importance import Importance
from driftline.monitors.kinds.attribution.ranking import Tail, ndcg

Numbers = NDArray[np.float64]

# SageMaker's limit.
NDCG_LIMIT = 0.90
# Smaller changes of a share, or of the total's logarithm, are not worth a ticket.
LEAST_SHARE = 0.05
LEAST_LEVEL = math.log(1.5)


@dataclass(frozen=True, slots=True)
class Scale:
    """What a difference is weighed by: standard errors and their degrees of freedom."""

    errors: Numbers
    degrees: Numbers


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output's attributions, now and in the reference, and what of it was tested.

    Parameters
    ----------
    reference, window
        The same features in the same order.
    ndcg
        0-1; NaN when there is nothing to rank.
    tail
        Losses of NDCG without a change at this size; None when the reference has no rows: then
        SageMaker's limit alone decides.
    order, shares, level
        P-values: of the order, of each share (times the number of shares), of the total.
    is_judged
        Whether there are rows enough.
    spread
        Between the reference's blocks of time; None when its times are not known.
    """

    reference: Importance
    window: Importance
    ndcg: float
    tail: Tail | None
    order: float
    shares: Numbers
    level: float
    is_judged: bool
    spread: Spread | None = None

    @property
    def deltas(self) -> Numbers:
        """How much each share has changed."""
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
    def share_scale(self) -> Scale:
        """Errors of the deltas."""
        between = self.spread.shares if self.spread else None
        return _scale(self.reference, self.window, "share_errors", between)

    @property
    def level_scale(self) -> Scale:
        """Error of the log ratio, shape (1,)."""
        between = self.spread.level if self.spread else None
        return _scale(self.reference, self.window, "total_error", between)

    @property
    def p_values(self) -> tuple[float, float, float]:
        """The three tests': order, shares, level; 1 where a change is too small to matter."""
        large = np.abs(self.deltas) >= LEAST_SHARE
        shares = float(self.shares[large].min(initial=1.0))
        order = self.order if self.ndcg < NDCG_LIMIT else 1.0
        return order, shares, self.level if abs(self.log_ratio) >= LEAST_LEVEL else 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a comparison comes to at the levels that its tests were given.

    Parameters
    ----------
    order_bound
        NDCG below this is a violation.
    share_bounds
        Changes of shares from this on are, shape (M,).
    level_bound
        A change of the total's logarithm from this on is.
    order, level
        Whether they are violated.
    moved
        Which shares are, shape (M,).
    """

    comparison: Comparison
    order_bound: float
    share_bounds: Numbers
    level_bound: float
    order: bool
    level: bool
    moved: NDArray[np.bool_]


def compare(
    reference: Importance,
    window: Importance,
    tail: Tail | None,
    spread: Spread | None = None,
) -> Comparison:
    """Measure and test one output of a model.

    Parameters
    ----------
    tail
        For windows of this size; None when the reference has no rows.
    spread
        Between the reference's blocks of the window's length; None: rows count as independent.
    """
    is_judged = window.count == 0 or window.count >= MIN_ROWS
    width = len(reference.features)
    found = float(ndcg(reference.mean, window.mean)[0]) if width > 1 else math.nan
    if math.isnan(found) or not is_judged or window.total <= 0:
        order = 1.0
    elif tail is None:
        order = float(found >= NDCG_LIMIT)
    else:
        order = tail.chance(1.0 - found)
    plain = Comparison(
        reference, window, found, tail, order, np.ones(width), 1.0, is_judged, spread
    )
    # One error at least has to be known, or a difference says nothing.
    if not (is_judged and window.count > 0 and reference.total > 0):
        return plain
    shares, level = plain.shares, plain.level
    if window.total > 0:
        shares = np.minimum(1.0, width * _chance(plain.deltas, plain.share_scale))
    if reference.count:
        level = float(_chance(np.array([plain.log_ratio]), plain.level_scale)[0])
    return replace(plain, shares=shares, level=level)


def settle(comparisons: Sequence[Comparison], alpha: float) -> list[Finding]:
    """Decide all tests of one look together, at the chance ``alpha`` of any false alarm."""
    tests = [value for one in comparisons for value in one.p_values]
    levels = iter(holm_levels(tests, alpha))
    return [_finding(one, next(levels), next(levels), next(levels)) for one in comparisons]


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """Give the level at which each test is decided, by Holm's steps down.

    The smallest p-value is weighed against alpha over the number of tests, the next against alpha
    over one less ... until one fails; the rest are weighed as that one.
    """
    order = np.argsort(p_values, kind="stable")
    left = len(p_values)
    levels = [0.0] * len(p_values)
    for place in order:
        levels[place] = alpha / left
        if p_values[place] < levels[place] and left > 1:
            left -= 1
    return levels


def _finding(one: Comparison, order: float, shares: float, level: float) -> Finding:
    width = len(one.reference.features)
    bound = NDCG_LIMIT if one.tail is None else min(NDCG_LIMIT, 1.0 - one.tail.loss(order))
    share_scale, level_scale = one.share_scale, one.level_scale
    per_share = special.stdtrit(share_scale.degrees, 1.0 - shares / (2 * width))
    needed = special.stdtrit(level_scale.degrees, 1.0 - level / 2) * level_scale.errors
    p_order, _, p_level = one.p_values
    large = np.abs(one.deltas) >= LEAST_SHARE
    return Finding(
        one,
        bound,
        np.maximum(LEAST_SHARE, per_share * share_scale.errors),
        max(LEAST_LEVEL, float(needed[0])),
        p_order < order,
        p_level < level,
        np.asarray(large & (one.shares < shares)),
    )


def _scale(reference: Importance, window: Importance, name: str, between: Between | None) -> Scale:
    """Put the errors of both sides' rows together, and what blocks of time differ by."""
    known = np.atleast_1d(getattr(reference, name) ** 2 + getattr(window, name) ** 2)
    if between is None:
        counts = [one.count for one in (reference, window) if one.count]
        degrees = float(max(1, min(counts, default=2) - 1))
        return Scale(np.sqrt(known), np.full(known.shape, degrees))
    return Scale(np.sqrt(known + between.added), between.degrees(known))


def _chance(differences: Numbers, scale: Scale) -> Numbers:
    """Give two-sided p-values of Student's t; a difference that nothing disturbs is certain."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(differences == 0, 0.0, np.abs(differences) / scale.errors)
    return np.asarray(2.0 * special.stdtr(scale.degrees, -scores), dtype=np.float64)
