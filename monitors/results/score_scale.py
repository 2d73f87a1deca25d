"""On which scale scores are that are no probabilities.

Scores of single rows that lie outside 0 to 1, however many, are left out by themselves: all are on
another scale only where that explains them, or where those inside are no denser than just beyond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from driftline.baseline.answers import ROUNDING, are_percents
from driftline.monitors.results.violation import plural

PERCENT = 0.01
# As percents, at least this part of the rows that would lie above 1 do; on another scale, scores
# just beyond 0 or 1 are at least so dense as between them.
MOST = 0.5
# From this part of a reference's scores on, those above 1 are percents.
FEW = 0.01

Numbers = NDArray[np.float64]


def scale_of(scores: Numbers, usual: Numbers | None, outside: int) -> str:
    """Return in words on which scale finite scores are; "" where they are probabilities, or faulty.

    Beside the `usual` ones of a reference, by themselves where there are none; so many rows lie
    `outside` of 0 to 1.
    """
    if not outside or not len(scores):
        return ""
    some = f"({plural(outside, 'row')} outside 0 to 1)"
    beyond = scores[_outside(scores)]
    if are_percents(beyond) and _is_percent(scores, usual):
        return f"in what looks like percent {some}: divide by 100"
    if not _runs_on(scores):
        return ""
    if usual is not None and (mend := _log_odds(scores, usual)):
        return f"in what looks like log-odds {some}: apply a {mend}"
    return f"on another scale {some[:-1]}, as dense just beyond)"


def _is_percent(scores: Numbers, usual: Numbers | None) -> bool:
    """Whether a hundredth of scores is distributed as the reference's, and those up to 1 are not.

    Of the reference, what is above 1% is beyond 1 then. Without one, scores above 1 that are not
    few, nor the same again and again, tell.
    """
    outside, inside = _outside(scores), scores[~_outside(scores)].ravel()
    if usual is None:
        values = len(np.unique(scores[outside]))
        return bool(outside.mean() >= FEW and values >= MOST * outside.sum())
    expected = usual > PERCENT if usual.ndim == 1 else (usual > PERCENT).any(axis=1)
    if outside.mean() < expected.mean() * MOST:
        return False
    near = distance(scores.ravel() * PERCENT, usual.ravel())
    return not len(inside) or distance(inside, usual.ravel()) >= 2.0 * near


def _runs_on(scores: Numbers) -> bool:
    """Whether scores do not stop at 0 and 1: they are about as dense just beyond.

    By rows, and by values that differ: -1 in place of any number of scores is one value.
    """
    for values in (scores.ravel(), np.unique(scores)):
        inside = np.count_nonzero(~_outside(values))
        below = np.count_nonzero((values >= -1.0) & (values < -ROUNDING))
        above = np.count_nonzero((values > 1.0 + ROUNDING) & (values <= 2.0))
        if max(below, above) < inside * MOST:
            return False
    return True


def _outside(scores: Numbers) -> NDArray[np.bool_]:
    """Return which rows have a score outside 0 to 1, shape (rows,)."""
    outside = (scores < -ROUNDING) | (scores > 1.0 + ROUNDING)
    return np.asarray(outside if outside.ndim == 1 else outside.any(axis=1))


def _log_odds(scores: Numbers, usual: Numbers) -> str:
    """Return the function by which scores become distributed as the reference's; "" for none."""
    is_one = scores.ndim == 1
    likely = special.expit(scores) if is_one else special.softmax(scores, axis=1)
    near, far = (distance(one.ravel(), usual.ravel()) for one in (likely, scores))
    return ("sigmoid" if is_one else "softmax") if far >= 2.0 * near else ""


def distance(some: Numbers, others: Numbers) -> float:
    """Return how far two samples lie apart: Kolmogorov and Smirnov's distance, 0 to 1."""
    return float(stats.ks_2samp(some, others, method="asymp").statistic)
