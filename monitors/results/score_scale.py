"""Whether scores that are no probabilities are on another scale altogether.

Scores of single rows that lie outside 0 to 1 are left out by themselves. Where they are at least a
tenth of the rows, those inside mean something else, too, and none is read as a probability.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from driftline.baseline.answers import is_other_scale, outside
from driftline.monitors.results.violation import plural

MOST = 0.1

Numbers = NDArray[np.float64]


def scale_of(scores: Numbers, count: int) -> str:
    """Return in words that finite scores are on another scale; "" where they are not.

    So many rows have one outside of 0 to 1.
    """
    if not count or outside(scores).all() or not is_other_scale(scores.ravel(), MOST):
        return ""
    return f"on another scale ({plural(count, 'row')} outside 0 to 1)"


def distance(some: Numbers, others: Numbers) -> float:
    """Return how far two samples lie apart: Kolmogorov and Smirnov's distance, 0 to 1."""
    return float(stats.ks_2samp(some, others, method="asymp").statistic)
