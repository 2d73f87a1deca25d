"""How far two groups of rows differ in one column, without what chance gives, and its test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, erfc

# A place with fewer expected rows in either group is joined with others (Cochran's rule).
EXPECTED_MIN = 5.0


@dataclass(frozen=True, slots=True)
class Association:
    """How far two groups differ.

    ``effect``: 0 for no more than chance, nearly 1 where no value is in both groups.
    ``p_value``: of the hypothesis that both are drawn alike, rows independent; 1 where nothing can
    be tested.
    """

    effect: float
    p_value: float


def associate(
    first: NDArray[np.int64], second: NDArray[np.int64], *, ordered: int = 0
) -> Association:
    """Measure how far two groups of rows differ in their counts by place.

    Parameters
    ----------
    first, second
        Rows by place of each group, shape (places,), same places in the same order. Places in
        which either group is expected to have fewer than 5 rows count as one.

    Returns
    -------
    Association
        The bias-corrected Cramér's V of the table of both groups, 0-1, and the p-value of Pearson's
        chi-squared test. Effect 0 and p-value 1 where fewer than two places are left, as with an
        empty group. Of ordered places of few rows the larger of V and the rank-biserial
        correlation, corrected likewise, and twice the smaller p-value of this test and of
        Wilcoxon's (its normal law, ties and half a rank taken into account). Rows that hang
        together, as those of one request, make the p-value too small; the effect does not depend
        on it.

    References
    ----------
    Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945.
    Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", J. Korean Stat. Soc. 42, 2013.
    Cochran, "Some methods for strengthening the common chi-squared tests", Biometrics 10, 1954.
    """
    table = np.stack([first, second]).astype(np.float64)
    rows, total = table.sum(axis=1), table.sum()
    if not rows.all():
        return Association(0.0, 1.0)
    rare = (rows.min() * table.sum(axis=0) / total) < EXPECTED_MIN
    joined = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    found = _by_places(joined[:, joined.sum(axis=0) > 0])
    if not (ordered and rare.any() and table[:, :ordered].any(axis=1).all()):
        return found
    ranked = _by_ranks(table[:, :ordered])
    p_value = min(1.0, 2.0 * min(found.p_value, ranked.p_value))
    return Association(max(found.effect, ranked.effect), p_value)


def _by_places(table: NDArray[np.float64]) -> Association:
    places, total = table.shape[1], table.sum()
    if places < 2:
        return Association(0.0, 1.0)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    freedom = places - 1
    excess = max(0.0, statistic / total - freedom / (total - 1))
    side = 1.0 - 1.0 / (total - 1)  # Of two groups, corrected, less one.
    other = freedom - freedom**2 / (total - 1)
    least = min(side, other)
    effect = float(np.sqrt(excess / least)) if least > 0 else 0.0
    return Association(min(1.0, effect), float(chdtrc(freedom, statistic)))


def _by_ranks(table: NDArray[np.float64]) -> Association:
    (first, second), both = table.sum(axis=1), table.sum(axis=0)
    total, pairs = first + second, first * second
    # For each place the rows of the second group below it, and half of those in it.
    below = np.cumsum(table[1]) - table[1] / 2
    apart = abs(float((table[0] * below).sum()) - pairs / 2)
    ties = float((both**3 - both).sum()) / (total * (total - 1))
    variance = pairs / 12 * (total + 1 - ties)
    if variance <= 0:
        return Association(0.0, 1.0)
    z = max(0.0, apart - 0.5) / np.sqrt(variance)
    chance = variance / (pairs / 2) ** 2
    excess = max(0.0, (apart / (pairs / 2)) ** 2 - chance)
    effect = float(np.sqrt(excess / (1 - chance))) if chance < 1 else 0.0
    return Association(min(1.0, effect), float(erfc(z / np.sqrt(2))))
