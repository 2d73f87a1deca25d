"""Whether there are more outliers than the reference would have, at a budget of false alarms.

One share is judged, and only more of it is a violation. Its reference is what the score promises:
one row in 10,000 at most, or what the sample holds if that is more. How much the share may differ
from window to window is learnt from rows that are a little odd (one in ten), of which a sample has
enough: their rate in blocks of the reference as long as the window. Tails fall exponentially in the
score, so a rate that differs by some percent at a score of 1 differs by four times as much at 4.
Where rows come in groups, a group counts as one (`cluster_size`).

References
----------
drift-methods.md sections 6.2 (evidence) and 6.3; Kish, Survey Sampling, 1965 (design effect).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.monitors.drift_test.budget import TOLERANCE, Budget
from driftline.monitors.drift_test.significance import (
    MIN_ROWS,
    alpha_per_column,
    evidence,
    wilson_interval,
)
from driftline.monitors.kinds.outliers.scorer import OUTLIER_SCORE, RowScorer

COMMON_SCORE = 1.0
# Without blocks the rate of outliers is taken to differ from window to window by as much as it is.
UNKNOWN_VARIATION = 1.0
FEWEST_BLOCKS = 3
DEFAULT_LENGTH = timedelta(days=1)
BISECTIONS = 40


@dataclass(frozen=True, slots=True)
class ShareVerdict:
    """The verdict on one window.

    Parameters
    ----------
    share, low, high
        Of outliers among the rows, and its 95 % interval (Wilson); 0 to 1.
    reference, reference_low, reference_high
        What is expected, and the 95 % interval of the share in the reference's sample.
    bound
        The share above which there are too many; None when there are too few rows to judge.
    p_value
        The chance of so many without any change; None when they were not judged.
    design_effect
        How many times more the count varies than that of independent rows would.
    variation
        By how much the rate of outliers differs between windows, relative to it.
    """

    share: float
    low: float
    high: float
    reference: float
    reference_low: float
    reference_high: float
    bound: float | None
    p_value: float | None
    design_effect: float
    variation: float

    @property
    def violated(self) -> bool:
        """Whether there are too many."""
        return self.bound is not None and self.share > self.bound


def judge_share(
    scorer: RowScorer,
    count: int,
    rows: int,
    *,
    budget: Budget,
    length: timedelta | None,
    cluster: float,
) -> ShareVerdict:
    """Judge how many of a window's rows, at least one, are outliers.

    Parameters
    ----------
    count, rows
        Outliers, and all rows.
    length
        The window's; None when it is not known.
    cluster
        How many rows count as one; see `cluster_size`.
    """
    sample = len(scorer.sample_scores)
    held = int(np.count_nonzero(scorer.sample_scores >= OUTLIER_SCORE))
    expected: float = max(held / sample, 10.0**-OUTLIER_SCORE)
    variation = _variation(scorer, length)
    effect = max(1.0 + rows * expected * variation**2, cluster)
    alpha = alpha_per_column(budget.false_alarms_per_year, budget.windows_per_year, 1)
    free = 2.0 * TOLERANCE * math.sqrt(expected * (1 - expected))

    def weigh(share: float) -> float:
        if share <= expected:
            return 0.0
        one, other = np.array([expected]), np.array([share])
        found = evidence(one, float(sample), other, float(rows), tolerance=free)
        return float(found[0]) / effect

    is_judged = rows >= MIN_ROWS
    share = count / rows
    return ShareVerdict(
        share,
        *wilson_interval(count, rows),
        expected,
        *wilson_interval(held, sample),
        bound=_bound(weigh, expected, math.log(2.0 / alpha)) if is_judged else None,
        p_value=min(1.0, 2.0 * math.exp(-weigh(share))) if is_judged else None,
        design_effect=effect,
        variation=variation,
    )


def _bound(weigh: Callable[[float], float], low: float, needed: float) -> float:
    """Find the share at which the evidence is what a violation needs; 1 when nothing is enough."""
    high = 1.0
    if weigh(high) <= needed:
        return high
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if weigh(middle) > needed else (middle, high)
    return low


def _variation(scorer: RowScorer, length: timedelta | None) -> float:
    """Give the relative deviation of the rate of outliers between the reference's blocks."""
    hours = scorer.sample_hours
    if hours is None:
        return UNKNOWN_VARIATION
    known = hours != UNKNOWN_HOUR
    long = max(1, round((length or DEFAULT_LENGTH) / timedelta(hours=1)))
    _, places = np.unique(hours[known] // long, return_inverse=True)
    rows = np.bincount(places).astype(np.float64)
    odd = np.bincount(places, scorer.sample_scores[known] >= COMMON_SCORE)
    share = odd.sum() / max(rows.sum(), 1.0)
    if len(rows) < FEWEST_BLOCKS or not 0 < share < 1:
        return UNKNOWN_VARIATION
    # Chi-squared over its degrees of freedom, at the upper end of what chance makes of 1.
    spread = np.sum((odd - rows * share) ** 2 / (rows * share * (1 - share))) / (len(rows) - 1)
    excess = spread * (1 + 2 * math.sqrt(2 / len(rows))) - 1
    usual = max(float(rows.mean()), 1.0)
    relative = math.sqrt(max(excess, 0.0) * (1 - share) / (share * usual))
    return min(relative * OUTLIER_SCORE / COMMON_SCORE, UNKNOWN_VARIATION * OUTLIER_SCORE)
