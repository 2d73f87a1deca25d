"""When a metric is worse than may be: against its threshold, and against chance.

SageMaker's thresholds are the reference's own values, so half of all windows would break them. Here
a metric must be worse by more than a tolerance, and by more than windows of this length differ in
the reference itself: its weeks are the yardstick of a week. That scatter holds everything that rows
of a window share (the weather of a day, a campaign), and what a window's length does to a metric
(within a day ranking is harder than over a year). A threshold that somebody wrote by hand is his
word: no tolerance, and only the window's own uncertainty.

Tests are Student's t on a scale where metrics are nearly symmetric: logit for shares and scores,
logarithm for errors and for what is left of a skill.

References
----------
Student's t for a new block beside B old ones: Hahn, Technometrics 12, 1970 (prediction interval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from driftline.monitors.kinds.model_quality.base_rates import Moves, joined, moves_of
from driftline.monitors.kinds.model_quality.blocks import (
    MIN_BLOCKS,
    MIN_SUPPORT,
    Blocks,
    OnScale,
)
from driftline.monitors.kinds.model_quality.documents import Constraint
from driftline.monitors.kinds.model_quality.influence import (
    FARTHEST,
    TINY,
    Measure,
    NamedScale,
    Numbers,
    Range,
    Scale,
)
from driftline.stats.block_series import SeriesVariation
from driftline.stats.blocks import (
    DAY_US,
    NO_BLOCKS,
)

# Where the variance of a share of nearly 0 or 1 has no end.
LARGEST_VARIANCE = 1e6

# Values come no nearer to the ends of their range than by so much of one row.
LEAST_OF_RANGE = 0.1
# Worse by less than this is no loss that anybody would act on: two points, or 5% of an error.
TOLERANCE = 0.02
ERROR_TOLERANCE = 0.05
# Days that differ by no more than this chance makes them are taken for alike.
ALIKE = 0.05
# How often a longer reference may tell less than was said.
RARE = 0.25
# More blocks than these tell hardly more.
MOST_BLOCKS = 2_000
# With fewer failures than these a share has exact limits: the delta method has too narrow ones.
FEW_FAILURES = 5.0


@dataclass(frozen=True, slots=True)
class Scatter:
    """Between-window variance of a metric for one length, on the test's scale."""

    centre: float  # Mean, on the scale of the test.
    variation: SeriesVariation  # Of windows; by chance as of `support` rows.
    support: float  # The rows that the metric rests on in a usual block.
    moves: Moves | None = None  # Of the share of positives, where they make part of the metric.
    gain: float = 0.0  # What these take from a usual block.

    @property
    def of_moves(self) -> float:
        """Part of alpha for moves farther than any between days."""
        return self.moves.part / 2.0 if self.moves is not None else 0.0

    def explained(self, window: Measure, alpha: float) -> tuple[float, float]:
        """Return what a window's move takes beyond a usual one, and times which its variance is."""
        if self.moves is None or window.odds is None:
            return 0.0, 1.0
        gains, moves = self.moves.explained(window.odds, alpha * self.of_moves)
        ratio = window.odds.variance(moves) / np.maximum(window.odds.variance(0.0 * moves), TINY)
        return float(gains[0]) - self.gain, float(ratio[0])

    def of_longer(self, longer: float) -> Scatter:
        """Return what so many times as long a reference would tell, three times in four no less.

        Its blocks are taken to be normal, and to differ by more than those that there are happen
        to.
        """
        moves = self.moves
        if moves is not None:
            moves = replace(moves, variation=_of_longer(moves.variation, longer))
        return replace(self, variation=_of_longer(self.variation, longer), moves=moves)

    def by_rows(self, rows: float) -> float:
        """Return the variance by rows alone of so many rows less the centre."""
        chance = float(self.variation.chance)
        return chance * self.support / max(rows, 1.0) + chance / (self.variation.beside or 1.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one metric."""

    p_value: float  # Chance of so bad a value or a worse one without any change.
    bound: float  # A violation iff the value is beyond it.
    violated: bool


def _of_longer(known: SeriesVariation, longer: float) -> SeriesVariation:
    freedom = known.blocks - 1.0
    blocks = min(math.ceil(known.blocks * longer), MOST_BLOCKS)
    whole = (float(known.variance) + float(known.chance)) * freedom
    whole /= float(special.chdtri(freedom, 1.0 - RARE))
    places = np.random.default_rng(0).permutation(blocks)
    values = math.sqrt(whole) * special.ndtri((places + 0.5) / blocks)
    return replace(
        known, variance=whole - known.chance, blocks=blocks, values=tuple(values.tolist()),
        beside=(known.beside or 1.0) * longer,
    )  # fmt: skip


def scatter(blocks: Sequence[Blocks], name: str) -> Scatter | None:
    """Estimate how a metric varies among windows of the length of the first blocks.

    Blocks may follow each other, and single ones lie far out (of 90 days of flights two, at five
    and six standard deviations): how much of both there is, the blocks tell. What a moved share of
    positives takes from a skill is no part of their spread.

    With too few of them the spread comes from the longest blocks that are many enough: it shrinks
    with the root of the length, save as far as shorter blocks show that it does not.
    """
    tables = [_values(block, name) for block in blocks]
    chosen = next((i for i, one in enumerate(tables) if len(one.values) >= MIN_BLOCKS), None)
    if chosen is None:
        return None
    known = tables[chosen]
    centre, spread = _moments(known.values, known.support)
    whole = blocks[0].whole[name]
    still = known.values + known.gains  # Had the share of positives not moved.
    middle, measured = _moments(still, known.support)
    away, gain, moves = still - middle, middle - centre, known.moves
    days = max(1, round(blocks[0].length_us / DAY_US))
    part = measured / spread if spread > 0 else 1.0
    if chosen > 0:
        growth = 1.0
        if chosen + 1 < len(tables) and len(tables[chosen + 1].values) >= MIN_BLOCKS:
            shorter = _moments(tables[chosen + 1].values, tables[chosen + 1].support)[1]
            growth = min(max(2.0 * (spread / shorter) ** 2, 1.0), 2.0) if shorter > 0 else 1.0
        shrunk = (growth / 2.0) ** (chosen / 2.0)
        spread, gain = spread * shrunk, gain * shrunk**2
        moves = moves and moves.of_longer(2.0**chosen, shrunk, days)
        own = tables[0]
        centre = (
            _moments(own.values, own.support)[0]
            if len(own.values) > 1
            else forward(whole.value, whole.support, whole.scale)
        )
    support = float(np.median(known.support)) * 2.0**chosen
    if _differ(whole):
        # A dozen blocks may be alike by luck; the days of the whole reference tell that they are.
        spread = max(spread, math.sqrt(variance_of(whole) * whole.support / support))
    spread *= part
    alone = variance_of(replace(whole, variance=whole.independent))
    chance = min(alone * whole.support / support, LARGEST_VARIANCE)
    beside = max(blocks[0].fitting, TINY)
    away = away * (spread / measured if measured > 0 else 0.0)
    variation = SeriesVariation(
        spread**2 - chance, chance, len(still), beside=beside, values=tuple(away.tolist()),
        days=days,
    )  # fmt: skip
    return Scatter(centre, variation, support, moves, gain)


def judge_metric(
    window: Measure,
    constraint: Constraint,
    *,
    reference: Measure | None,
    blocks: Scatter | None,
    is_own: bool,
    alpha: float,
) -> Verdict:
    """Judge one metric of a window, defined and of enough rows; a violation iff p is below `alpha`.

    A reference without variance is known by its document only. Without `blocks` the variances of
    window and reference decide; with `is_own` neither tolerance nor reference apply.
    """
    scale = window.scale
    side = 1.0 if constraint.is_lower else -1.0
    value = forward(window.value, window.support, scale)
    own = _own_variance(window, is_lower=constraint.is_lower, alpha=alpha)
    if side * (window.value - constraint.threshold) > 0:
        # A bound is broken from there, not from where so good a window lies.
        own = min(own, _variance_at(constraint.threshold, window))
    freedom = window.clusters - 1.0 if window.clusters > 1 else math.inf
    start, tolerance, moved, rest = constraint.threshold, 0.0, 0.0, 1.0
    law, variance = NO_BLOCKS, own
    if not is_own:
        if blocks is not None:
            expected = backward(blocks.centre, scale)
            # What the window's length does to a metric is no loss.
            start = min(start, expected) if constraint.is_lower else max(start, expected)
            # The window's own rows, or as many of the reference's: a few rows may be alike by luck.
            least = window.independent / max(window.variance, TINY**2) * own
            moved, ratio = blocks.explained(window, alpha)
            known = blocks.by_rows(window.support)
            variance = max(known, least * ratio + blocks.by_rows(math.inf))
            law, freedom, rest = blocks.variation, math.inf, 1.0 - blocks.of_moves
        elif reference is not None:
            variance = _without_blocks(window, reference, own)
        tolerance = TOLERANCE if scale != "error" else abs(start) * ERROR_TOLERANCE
        if isinstance(scale, Range):
            tolerance = min(abs(start) * ERROR_TOLERANCE, (scale.most - scale.least) * TOLERANCE)
    origin = forward(start, math.inf, scale) - moved
    if reference is not None and not is_own and scale in ("share", "score"):
        origin, doubt = _few_failures(start, reference, is_lower=constraint.is_lower, alpha=alpha)
        if law.blocks:
            variance = max(variance, own + doubt)
        elif doubt:
            # Near 1 the window's own variance has no end: that of as many rows at the reference's.
            share = float(special.expit(origin))
            variance = min(own, _variance_at(share, window)) + doubt
    variance = max(variance, TINY**2)
    away = side * (origin - value)
    if law.blocks:
        p_value = min(law.tail(away, variance) / rest, 1.0)
        far = law.reach(alpha * rest, variance)
    else:
        error = math.sqrt(variance)
        p_value, far = _tail(away / error, freedom), -_quantile(alpha, freedom) * error
    bound = backward(origin - side * far, scale)
    tolerated = start - side * tolerance
    bound = min(bound, tolerated) if constraint.is_lower else max(bound, tolerated)
    violated = p_value < alpha and side * (tolerated - window.value) > 0
    # Rounding, and the smoothing of shares of 0 and 1, must not part the two forms of a decision.
    beyond = side * (bound - window.value) > 0
    if violated != beyond:
        bound = math.nextafter(window.value, side * math.inf) if violated else window.value
    return Verdict(p_value, bound, violated)


def _own_variance(window: Measure, *, is_lower: bool, alpha: float) -> float:
    """Return a window's variance on the scale of the test, by its limit where few rows are right.

    There the delta method's has no end, and shares far below what may be would pass (Hauck and
    Donner, JASA 72, 1977).
    """
    own, right = variance_of(window), window.value if is_lower else 1.0 - window.value
    if window.scale not in ("share", "score") or window.support * right >= FEW_FAILURES:
        return own
    rows, z = _rows(window), -_quantile(alpha, math.inf)
    low, high = window.limits_at(z)
    exact = float(special.betaincinv(rows * right + 1.0, rows * (1.0 - right), 1.0 - alpha))
    most = max(high if is_lower else 1.0 - low, exact)
    reach = float(special.logit(most)) - forward(right, window.support, window.scale)
    return own if math.isnan(reach) or z == 0 else min(own, (reach / z) ** 2)


def _variance_at(threshold: float, window: Measure) -> float:
    """Return the variance of a share or score at the threshold, of as many rows as a window's.

    Near 1 and 0 a window's own has no end on the scale of the test, however many rows there are.
    """
    if window.scale not in ("share", "score") or not 0.0 < threshold < 1.0:
        return math.inf
    effect = window.variance / window.independent if window.independent else 1.0
    return effect / (max(window.support, 1.0) * threshold * (1.0 - threshold))


def has_few_failures(reference: Measure, *, is_lower: bool) -> bool:
    """Whether a reference's share or score has too few failures for days to differ."""
    if reference.scale not in ("share", "score"):
        return False
    failures = 1.0 - reference.value if is_lower else reference.value
    return _rows(reference) * failures < FEW_FAILURES


def _rows(reference: Measure) -> float:
    """Return the effective rows behind a share."""
    effect = reference.variance / reference.independent if reference.independent else 1.0
    return max(reference.support / max(effect, TINY), 1.0)


def _few_failures(
    start: float, reference: Measure, *, is_lower: bool, alpha: float
) -> tuple[float, float]:
    """Return where a share of a reference with few failures lies on the scale, and its variance.

    None in 100 rows is no proof that there are none: the share is taken to be the one that has none
    as often as not, and its variance to reach down to the exact limit of Clopper and Pearson at the
    level of the test. The delta method has no variance there, and too little beside it.
    """
    rows = _rows(reference)
    right = start if is_lower else 1.0 - start
    failures = rows * (1.0 - right)
    if failures >= FEW_FAILURES or not 0.0 < right <= 1.0:
        return forward(start, math.inf, "share"), 0.0
    if right == 1.0:
        right = 0.5 ** (1.0 / rows)
    origin = float(special.logit(right))
    least = float(special.betaincinv(rows - failures, failures + 1.0, alpha))
    z = -_quantile(alpha, math.inf)  # 0 for a level of 0.5, of which limits tell no error.
    doubt = (origin - float(special.logit(least))) / z if z else 0.0
    return origin if is_lower else -origin, doubt**2


def _without_blocks(window: Measure, reference: Measure, own: float) -> float:
    """Return the larger of the window's variance and the one expected by the reference."""
    effect = window.variance / window.independent if window.independent else 1.0
    fewer = reference.support / max(window.support, 1.0)
    if not reference.variance:
        # A document tells the value alone: its rows say as much as so many of the window's.
        return own * (1.0 + 1.0 / fewer)
    of_reference = variance_of(reference)
    return max(own, of_reference * fewer * effect) + of_reference


def _values(blocks: Blocks, name: str) -> OnScale:
    """Return a metric's values on the test's scale, and what moved with base rates."""
    if name not in blocks.on_scale:
        found = [
            one
            for measures in blocks.measures
            if (one := measures.get(name)) is not None
            and not one.undefined
            and one.support >= MIN_SUPPORT
        ]
        values = np.array([forward(one.value, one.support, one.scale) for one in found])
        moves, gains = None, np.zeros(len(values))
        odds = [one.odds for one in found if one.odds is not None]
        if len(odds) == len(found) >= MIN_BLOCKS and (whole := blocks.whole[name].odds) is not None:
            days = max(1, round(blocks.length_us / DAY_US))
            moves = moves_of(odds, values, whole, max(blocks.fitting, TINY), days)
            gains = moves.explained(joined(odds))[0]
        support = np.array([one.support for one in found])
        blocks.on_scale[name] = OnScale(values, support, gains, moves)
    return blocks.on_scale[name]


def _differ(whole: Measure) -> bool:
    """Whether clusters of the reference's rows differ by more than their rows explain.

    Where they do not, the larger of two estimates of one variance would cost power for nothing.
    """
    freedom = whole.clusters - 1
    if freedom < 1 or not whole.independent:
        return False
    usual = float(special.chdtri(freedom, ALIKE)) / freedom
    return whole.variance > usual * whole.independent


def _moments(values: Numbers, weights: Numbers) -> tuple[float, float]:
    """Return the weighted mean and standard deviation, corrected for small samples."""
    share = weights / weights.sum()
    mean = float(share @ values)
    variance = float(share @ (values - mean) ** 2) * len(values) / max(len(values) - 1, 1)
    return mean, math.sqrt(variance)


def _tail(away: float, freedom: float) -> float:
    return float(special.ndtr(-away) if math.isinf(freedom) else special.stdtr(freedom, -away))


def _quantile(alpha: float, freedom: float) -> float:
    return float(special.ndtri(alpha) if math.isinf(freedom) else special.stdtrit(freedom, alpha))


def forward(value: float, support: float, scale: Scale) -> float:
    """Bring a metric to the scale of the test; half a row keeps shares of 0 and 1 finite.

    `support` is the rows that it rests on; infinite for a value that is no count's share.
    """
    if isinstance(scale, Range):
        # A window without a single dear row is not surer than its rows are.
        least = (scale.most - scale.least) * LEAST_OF_RANGE / support
        if 0.0 < least < math.inf:
            value = min(max(value, scale.least + least), scale.most - least)
        return scale.forward(value)
    return float(forward_all(np.float64(value), support, scale))


def forward_all(values: Numbers | np.float64, support: float, scale: NamedScale) -> Numbers:
    """Convert metrics of one scale and support to the test's scale, as `forward` does one."""
    if scale in ("share", "score"):
        smoothed = values if math.isinf(support) else (values * support + 0.5) / (support + 1.0)
        return np.asarray(special.logit(np.clip(smoothed, TINY, 1.0 - TINY)))
    if scale == "skill":
        return np.asarray(-np.log(np.maximum(1.0 - values, TINY)))
    return np.asarray(np.log(np.maximum(values, TINY)))


def backward(value: float, scale: Scale) -> float:
    """Convert a value on the test's scale back to the metric's own."""
    if isinstance(scale, Range):
        return scale.backward(value)
    if scale in ("share", "score"):
        return float(special.expit(value))
    value = min(max(value, -FARTHEST), FARTHEST)
    return 1.0 - math.exp(-value) if scale == "skill" else math.exp(value)


def variance_of(measure: Measure) -> float:
    """Return the variance on the scale of the test, by the delta method."""
    value, scale = measure.value, measure.scale
    if isinstance(scale, Range):
        return measure.variance * scale.slope(value) ** 2
    if scale in ("share", "score"):
        rows = max(measure.support, 1.0)
        smoothed = (value * rows + 0.5) / (rows + 1.0)
        slope = smoothed * (1.0 - smoothed)
        # A share of 0 or 1 has no variance of its own, and yet is not certain.
        least = slope / (rows + 1.0) if value in (0.0, 1.0) else 0.0
        return max(measure.variance, least) / slope**2
    left = 1.0 - value if scale == "skill" else value
    return measure.variance / max(left, TINY) ** 2
