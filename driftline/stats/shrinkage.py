"""Variances of one kind that were learnt from few blocks each: shrunken towards each other.

Twenty blocks tell a variance to within a third; eighty variances of one column, from the same
blocks, tell together what is usual and how far they truly differ. Shapes: M numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers = NDArray[np.float64]

# Fewer variances do not tell how far they differ.
LEAST_GROUP = 3
# More degrees of freedom than these are as good as none to spare.
MOST_FREEDOM = 1000.0
# A variance is never taken to be lower than its own blocks leave possible, at this chance.
LOWEST_CHANCE = 0.001
NEWTON_STEPS = 30


@dataclass(frozen=True, slots=True)
class Shrunken:
    """Variances, and on how many degrees of freedom each rests, shape (M,)."""

    variance: Numbers
    freedom: Numbers


def shrink_variances(variance: Numbers, freedom: float, group: NDArray[np.int64]) -> Shrunken:
    """Shrink variances towards what is usual in their group, as far as the group agrees.

    Parameters
    ----------
    variance
        Estimates, shape (M,), not negative; those of 0 know nothing and stay.
    freedom
        Degrees of freedom of each, such as the number of blocks less one; at least 1.
    group
        The group of each, shape (M,), from 0.

    Returns
    -------
    Shrunken
        Where a group has fewer than 3 estimates, they are as they were. Correlated
        estimates agree by more than they know: their degrees of freedom are too many.

    References
    ----------
    Smyth, Statistical Applications in Genetics and Molecular Biology 3:3, 2004, sections 4 and 6.2.
    """
    known = variance > 0
    own, count = group[known], np.bincount(group[known], minlength=int(group.max(initial=0)) + 1)
    logs = np.log(variance[known]) - special.digamma(freedom / 2) + np.log(freedom / 2)
    mean = np.bincount(own, logs, count.size) / np.maximum(count, 1)
    spread = np.bincount(own, (logs - mean[own]) ** 2, count.size) / np.maximum(count - 1, 1)
    prior = _inverse_trigamma(spread - special.polygamma(1, freedom / 2))
    usual = np.exp(mean + special.digamma(prior / 2) - np.log(prior / 2))
    prior = np.where(count < LEAST_GROUP, 0.0, prior)
    d, s = prior[group], np.where(count < LEAST_GROUP, 0.0, usual)[group]
    found = (d * s + freedom * variance) / (d + freedom)
    lowest = freedom / special.chdtri(freedom, LOWEST_CHANCE) * variance
    is_shrunken = known & (d > 0)
    return Shrunken(
        np.where(is_shrunken, np.maximum(found, lowest), variance),
        np.where(is_shrunken, d + freedom, freedom),
    )


def student_factor(chance: float, freedom: Numbers) -> Numbers:
    """Return by how much a variance must grow for a normal tail to be as heavy as Student's.

    Parameters
    ----------
    chance
        Of the tail, one-sided.
    freedom
        Of the variance, at least 1.

    Returns
    -------
    numpy.ndarray
        Factors of 1 and more, in the shape of `freedom`.

    References
    ----------
    Student, "The probable error of a mean", Biometrika 6, 1908.
    """
    return np.asarray((special.stdtrit(freedom, chance) / special.ndtri(chance)) ** 2)


def _inverse_trigamma(value: Numbers) -> Numbers:
    """Return twice the y with trigamma(y) = value by Newton's method; of 0 and less, no end."""
    some = value > special.polygamma(1, MOST_FREEDOM / 2)
    aim = np.where(some, value, 1.0)
    y = 0.5 + 1.0 / aim
    for _ in range(NEWTON_STEPS):
        now = special.polygamma(1, y)
        y += now * (1.0 - now / aim) / special.polygamma(2, y)
    return np.where(some, 2.0 * y, MOST_FREEDOM)
