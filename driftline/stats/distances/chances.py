"""p-values of two rows of counts: from the limiting distribution, or by permutation.

Without a change each way to part the pooled rows into two such sides is as likely as the other
(multivariate hypergeometric), whatever the shares are; so the chance from drawn partings is exact
for every size, and at least 1 / (draws + 1).

References
----------
Fisher, The Design of Experiments, 1935 (permutation tests); Phipson and Smyth, Statistical
Applications in Genetics and Molecular Biology 9, 2010 (the value itself counts as a draw).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.distances.counts import Counts
from driftline.stats.distances.divergences import chi_square

# With as many rows expected in each bin on both sides the laws hold to a chance of 1% and below
# (tests/driftline/stats/distances/test_no_drift.py).
LAWFUL_COUNT = 20.0
DRAWS, CELLS = 1_999, 400_000
# Beyond this numpy cannot draw.
ROWS_MAX = 10**9
DRAWN = "p-value by {:,} drawn partings of the rows"


def has_law(first: Counts, second: Counts) -> bool:
    """Whether every bin expects so many rows on both sides that the limiting laws hold."""
    n, m = float(first.sum()), float(second.sum())
    return bool((first + second).min() * min(n, m) / (n + m) >= LAWFUL_COUNT) or n + m >= ROWS_MAX


def chi_square_chance(first: Counts, second: Counts) -> tuple[float, str]:
    """Return the chance of a chi-square as large without a change, and what it rests on.

    Parameters
    ----------
    first, second
        Rows per bin, shape (K,), K >= 2, none empty on both sides.
    """
    statistic = chi_square(first, second)
    if has_law(first, second):
        return float(special.chdtrc(first.size - 1, statistic)), ""
    drawn = parted(first, second)
    both, n, m = first + second, float(first.sum()), float(second.sum())
    # Both sides lie equally far from the pooled shares, each in its own size.
    gaps = drawn - both * (m / (n + m))
    squares = (np.square(gaps) / both).sum(axis=1) * (n + m) ** 2 / (n * m)
    return share_of_draws(squares, statistic), DRAWN.format(len(drawn))


def parted(first: Counts, second: Counts) -> NDArray[np.int64]:
    """Part the pooled rows at random into two sides of these sizes, over and over.

    Returns
    -------
    numpy.ndarray
        The second side's rows per bin, shape (draws, K); the same counts give the same draws.
    """
    random = np.random.default_rng(0)
    draws = max(99, min(DRAWS, CELLS // first.size))
    both = np.rint(first + second).astype(np.int64)
    drawn: NDArray[np.int64] = random.multivariate_hypergeometric(
        both, round(float(second.sum())), size=draws, method="marginals"
    )
    return drawn


def share_of_draws(drawn: Counts, value: float) -> float:
    """Return the chance of at least this value, which counts as one of the draws."""
    reached = int(np.count_nonzero(drawn >= value * (1 - 1e-9)))
    return (1 + reached) / (1 + drawn.size)
