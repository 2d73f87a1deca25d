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
    """Variances of G groups, and how far each group agrees."""

    variance: Numbers  # Shape (M,).
    # Degrees of freedom that what is usual in a group counts for, shape (G,); 0: it tells nothing.
    prior: Numbers
    # Whether a variance is the lowest that its own blocks leave possible, shape (M,).
    is_lowest: NDArray[np.bool_]

    def freedom(self, own: float, group_freedom: Numbers) -> Numbers:
        """Return on how many degrees of freedom the variances of a group rest, shape (G,).

        With weight w on what is usual, the squared relative error is 2 / (prior + own), as if that
        were known, and (1 - (1 - w)^2) 2 / group_freedom since it is not.

        Parameters
        ----------
        own
            Degrees of freedom of each variance by itself.
        group_freedom
            Degrees of freedom of what is usual in each group, shape (G,), as `freedom_of_means`
            gives them: variances learnt from the same blocks agree by more than they know.

        References
        ----------
        Smyth, Statistical Applications in Genetics and Molecular Biology 3:3, 2004, section 4.
        """
        left = own / (self.prior + own)
        return np.asarray(1.0 / (left / own + (1.0 - left**2) / group_freedom))


def freedom_of_means(values: Numbers) -> Numbers:
    """Return the degrees of freedom of means over blocks, taken as multiples of chi-squared.

    Parameters
    ----------
    values
        Not negative, shape (B, G), B >= 2 blocks that are independent of each other.

    Returns
    -------
    numpy.ndarray
        Shape (G,), above 0: few where blocks differ much, infinite where all are equal.

    References
    ----------
    Satterthwaite, Biometrics Bulletin 2, 1946 (a chi-squared's mean and variance tell its degrees).
    """
    spread = values.var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 2.0 * len(values) * values.mean(axis=0) ** 2 / spread
    return np.where(spread > 0, np.maximum(found, np.finfo(np.float64).tiny), np.inf)


def shrink_variances(
    variance: Numbers,
    freedom: Numbers | float,
    group: NDArray[np.int64],
    *,
    lowest_chance: float = LOWEST_CHANCE,
) -> Shrunken:
    """Shrink variances towards what is usual in their group, as far as the group agrees.

    Parameters
    ----------
    variance
        Estimates, shape (M,), not negative; those of 0 know nothing and stay.
    freedom
        Degrees of freedom of each, such as the number of blocks less one; at least 1.
    group
        The group of each, shape (M,), from 0; of fewer than 3 estimates all are as they were.
    lowest_chance
        No variance is taken to be lower than its own blocks leave possible, at this chance.

    References
    ----------
    Smyth, Statistical Applications in Genetics and Molecular Biology 3:3, 2004, sections 4 and 6.2.
    """
    known, freedom = variance > 0, np.broadcast_to(np.asarray(freedom, np.float64), variance.shape)
    own, at = freedom[known], group[known]
    count = np.bincount(at, minlength=int(group.max(initial=-1)) + 1)
    logs = np.log(variance[known]) - special.digamma(own / 2) + np.log(own / 2)
    by_chance = np.bincount(at, special.polygamma(1, own / 2), count.size) / np.maximum(count, 1)
    mean = np.bincount(at, logs, count.size) / np.maximum(count, 1)
    spread = np.bincount(at, (logs - mean[at]) ** 2, count.size) / np.maximum(count - 1, 1)
    prior = _inverse_trigamma(spread - by_chance)
    usual = np.exp(mean + special.digamma(prior / 2) - np.log(prior / 2))
    prior = np.where(count < LEAST_GROUP, 0.0, prior)
    weight = prior[group] / (prior[group] + freedom)
    found = np.where(known, weight * usual[group] + (1.0 - weight) * variance, variance)
    lowest = freedom / special.chdtri(freedom, lowest_chance) * variance
    return Shrunken(np.maximum(found, lowest), prior, found < lowest)


def student_factor(chance: float, freedom: Numbers) -> Numbers:
    """Return by how much a variance must grow for a normal tail to be as heavy as Student's.

    Parameters
    ----------
    chance
        Of the tail, one-sided.
    freedom
        Of the variance, above 0.

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
