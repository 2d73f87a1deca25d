"""How far two groups of rows differ in one column, without what chance gives, and its test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln

# A place with fewer expected rows in either group is joined with others (Cochran's rule).
EXPECTED_MIN = 5.0
# Rows of the smaller group up to which the order of numbers tells more than their places.
FEW = 100

Table = NDArray[np.float64]


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
        which either group is expected to have fewer than 5 rows count as one, with the next
        smallest where they have fewer together.
    ordered
        How many of the first places are of numbers, from low to high. Of at most 100 rows of the
        smaller group, of which six among 48 leave no two places with enough of them, it is asked
        as well whether they lie above one place or below it.

    Returns
    -------
    Association
        The bias-corrected Cramér's V of the table of both groups, 0-1, and the p-value of Pearson's
        chi-squared test. Effect 0 and p-value 1 where fewer than two places are left, as with an
        empty group. Of few ordered rows the larger of V and the rank-biserial correlation,
        corrected likewise, and twice the smaller of two p-values: of that test, and of Fisher's
        exact one beside each place (one-sided, Bonferroni over places and sides). No normal law of
        ranks stands in for it: where nearly all rows tie, as zeros, that finds far too much. Rows
        that hang together, as those of one request, make the p-value too small; the effect does not
        depend on it.

    References
    ----------
    Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", J. Korean Stat. Soc. 42, 2013.
    Cochran, "Some methods for strengthening the common chi-squared tests", Biometrics 10, 1954.
    Fisher, "The logic of inductive inference", J. R. Stat. Soc. 98, 1935.
    Cureton, "Rank-biserial correlation", Psychometrika 21, 1956.
    """
    table = np.stack([first, second]).astype(np.float64)
    if not table.any(axis=1).all():
        return Association(0.0, 1.0)
    found = _by_places(_joined(table))
    numbers = table[:, :ordered]
    numbers = numbers[:, numbers.any(axis=0)]
    if numbers.shape[1] < 2 or not 0 < numbers.sum(axis=1).min() <= FEW:
        return found
    p_value = min(1.0, 2.0 * min(found.p_value, _beside_places(numbers)))
    return Association(max(found.effect, _rank_biserial(numbers)), p_value)


def _joined(table: Table) -> Table:
    """Join places of few expected rows; first come those of most rows."""
    table = table[:, np.argsort(-table.sum(axis=0), kind="stable")]
    expected = table.sum(axis=1).min() * table.sum(axis=0) / table.sum()
    kept = int((expected >= EXPECTED_MIN).sum())
    if 0 < expected[kept:].sum() < EXPECTED_MIN:
        kept = max(0, kept - 1)
    joined = np.column_stack([table[:, :kept], table[:, kept:].sum(axis=1)])
    return joined[:, joined.any(axis=0)]


def _by_places(table: Table) -> Association:
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


def _beside_places(table: Table) -> float:
    """Return Fisher's p-value of the cut that tells the groups apart best, for all cuts."""
    few = table[table.sum(axis=1).argmin()]
    total, drawn = table.sum(), few.sum()
    below = np.cumsum(table.sum(axis=0))[:-1, None]
    found, counts = np.cumsum(few)[:-1, None], np.arange(drawn + 1)
    ways = _log_ways(below, counts) + _log_ways(total - below, drawn - counts)
    chance = np.exp(ways - _log_ways(total, drawn))
    lower = np.where(counts <= found, chance, 0.0).sum(axis=1)
    upper = np.where(counts >= found, chance, 0.0).sum(axis=1)
    return float(min(1.0, 2 * len(lower) * min(lower.min(), upper.min())))


def _log_ways(rows: NDArray[np.float64], chosen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of how many ways there are to choose; -inf where there is none."""
    left = np.maximum(rows - chosen, 0.0)
    ways = gammaln(rows + 1) - gammaln(chosen + 1) - gammaln(left + 1)
    return np.where(chosen <= rows, ways, -np.inf)


def _rank_biserial(table: Table) -> float:
    """Return the rank-biserial correlation, 0-1, without what chance gives."""
    (first, second), both = table.sum(axis=1), table.sum(axis=0)
    total, pairs = first + second, first * second
    # For each place the rows of the second group below it, and half of those in it.
    below = np.cumsum(table[1]) - table[1] / 2
    apart = float((table[0] * below).sum()) / (pairs / 2) - 1
    ties = float((both**3 - both).sum()) / (total * (total - 1))
    chance = (total + 1 - ties) / (3 * pairs)  # Its variance where both are drawn alike.
    if chance >= 1:
        return 0.0
    return min(1.0, float(np.sqrt(max(0.0, apart**2 - chance) / (1 - chance))))
