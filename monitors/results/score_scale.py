"""On which scale scores are that are no probabilities.

Scores of single rows that lie outside 0 to 1, however many, are left out by themselves: all are on
another scale only where that explains them, or where those inside are no denser than just beyond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from driftline.baseline.answers import ROUNDING, are_percents, is_other_scale, outside
from driftline.monitors.results.violation import plural

PERCENT = 0.01
# As percents, at least this part of the rows that would lie above 1 do; on another scale, scores
# just beyond 0 or 1 are at least so dense as between them.
MOST = 0.5
# With fewer scores, or values, outside 0 to 1 none are taken for log-odds: they are faults of rows.
SOME = 0.02
# So many times as near as they themselves lies what is made of scores that are log-odds: 2 p - 1,
# which a sigmoid brings between 0.27 and 0.73, lies half as near.
SURE = 4.0

Numbers = NDArray[np.float64]


def scale_of(scores: Numbers, usual: Numbers | None, count: int) -> str:
    """Return in words on which scale finite scores are; "" where they are probabilities, or faulty.

    Beside the `usual` ones of a reference, by themselves where there are none; so many rows have
    one outside of 0 to 1.
    """
    if not count or not len(scores):
        return ""
    some = f"({plural(count, 'row')} outside 0 to 1)"
    is_outside = outside(scores)
    is_percent = are_percents(scores[is_outside])
    if usual is None:
        is_other = is_other_scale(scores.ravel())
        is_percent = is_percent and is_other
    else:
        is_other, is_percent = _runs_on(scores), is_percent and _is_percent(scores, usual)
    if is_percent:
        return f"in what looks like percent {some}: divide by 100"
    # Log-odds of many models lie between 0 and 1, as a rule.
    is_likely = is_other or is_other_scale(scores.ravel(), SOME)
    if usual is not None and is_likely and (mend := _log_odds(scores, usual)):
        return f"in what looks like log-odds {some}: apply a {mend}"
    return f"on another scale {some}" * (is_other and not is_outside.all())


def _is_percent(scores: Numbers, usual: Numbers) -> bool:
    """Whether a hundredth of scores is distributed as the reference's, and those up to 1 are not.

    Of the reference, what is above 1% is beyond 1 then.
    """
    is_outside = outside(scores)
    expected = usual > PERCENT if usual.ndim == 1 else (usual > PERCENT).any(axis=1)
    if is_outside.mean() < expected.mean() * MOST:
        return False
    near, inside = distance(scores.ravel() * PERCENT, usual.ravel()), scores[~is_outside].ravel()
    return not len(inside) or distance(inside, usual.ravel()) >= 2.0 * near


def _runs_on(scores: Numbers) -> bool:
    """Whether scores do not stop at 0 and 1: they are about as dense just beyond.

    By rows, and by values that differ: -1 in place of any number of scores is one value.
    """
    for values in (scores.ravel(), np.unique(scores)):
        inside = np.count_nonzero(~outside(values))
        below = np.count_nonzero((values >= -1.0) & (values < -ROUNDING))
        above = np.count_nonzero((values > 1.0 + ROUNDING) & (values <= 2.0))
        if max(below, above) <= inside * MOST:
            return False
    return True


def _log_odds(scores: Numbers, usual: Numbers) -> str:
    """Return the function by which scores become distributed as the reference's; "" for none."""
    is_one = scores.ndim == 1
    likely = special.expit(scores) if is_one else special.softmax(scores, axis=1)
    near, far = (distance(one.ravel(), usual.ravel()) for one in (likely, scores))
    return ("sigmoid" if is_one else "softmax") if far >= SURE * near else ""


def distance(some: Numbers, others: Numbers) -> float:
    """Return how far two samples lie apart: Kolmogorov and Smirnov's distance, 0 to 1."""
    return float(stats.ks_2samp(some, others, method="asymp").statistic)
