"""How far two groups of rows differ in one column: Cramér's V without chance, and its test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

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


def associate(first: NDArray[np.int64], second: NDArray[np.int64]) -> Association:
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
        empty group. Rows that hang together, as those of one request, make the p-value too small;
        the effect does not depend on it.

    References
    ----------
    Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", J. Korean Stat. Soc. 42, 2013.
    Cochran, "Some methods for strengthening the common chi-squared tests", Biometrics 10, 1954.
    """
    table = np.stack([first, second]).astype(np.float64)
    rows, total = table.sum(axis=1, keepdims=True), table.sum()
    if not rows.all():
        return Association(0.0, 1.0)
    rare = (rows.min() * table.sum(axis=0) / total) < EXPECTED_MIN
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    places = table.shape[1]
    if places < 2:
        return Association(0.0, 1.0)
    expected = rows * table.sum(axis=0) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    freedom = places - 1
    excess = max(0.0, statistic / total - freedom / (total - 1))
    side = 1.0 - 1.0 / (total - 1)  # Of two groups, corrected, less one.
    other = freedom - freedom**2 / (total - 1)
    least = min(side, other)
    effect = float(np.sqrt(excess / least)) if least > 0 else 0.0
    return Association(min(1.0, effect), float(chdtrc(freedom, statistic)))
