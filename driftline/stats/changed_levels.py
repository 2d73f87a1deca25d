"""Which levels of a column changed: the fewest without which all others keep their proportions.

What vanished lifts the share of every other level; none of these has changed. So levels are set
apart, one by one, until the rest is distributed as it was (a G-test of two rows of counts).

References
----------
Sokal, Rohlf, Biometry, 1981, ch. 17 (the G-test).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

# More levels are no list to read; the rest is as it was from this chance on.
LEVELS_MOST = 4
CHANCE = 1e-3

Numbers = NDArray[np.float64]


def changed_levels(reference: Numbers, window: Numbers, effect: float) -> tuple[list[int], bool]:
    """Return the levels that changed, and whether all others kept their proportions.

    Parameters
    ----------
    reference, window
        Rows by level, shape (levels,), not negative.
    effect
        How many times more than independent rows the counts vary.
    """
    terms = _terms(reference, window)
    rest = np.flatnonzero(reference + window)
    changed: list[int] = []
    while rest.size > 1:
        found = _statistic(terms[rest].sum(), reference[rest].sum(), window[rest].sum())
        chance = float(special.chdtrc(rest.size - 1, found / effect))
        if chance > CHANCE or len(changed) == LEVELS_MOST:
            return changed, chance > CHANCE
        if rest.size == 2:  # Either may have: the one that moved more, of two alike the gain.
            moved = (window / window.sum() - reference / reference.sum())[rest]
            return [*changed, int(rest[np.lexsort((moved, np.round(np.abs(moved), 9)))[-1]])], True
        left = _statistic(
            terms[rest].sum() - terms[rest],
            reference[rest].sum() - reference[rest],
            window[rest].sum() - window[rest],
        )
        place = int(np.argmin(left))
        changed.append(int(rest[place]))
        rest = np.delete(rest, place)
    return changed, True


def g_statistic(reference: Numbers, window: Numbers) -> float:
    """Return how far two rows of counts lie apart (G): 0 when they are in proportion.

    Parameters
    ----------
    reference, window
        Rows by level, shape (levels,), not negative; empty levels and sides add nothing.

    Returns
    -------
    float
        Twice the log-likelihood ratio, not negative; with levels - 1 degrees of freedom.
    """
    return float(_statistic(_terms(reference, window).sum(), reference.sum(), window.sum()))


def _terms(reference: Numbers, window: Numbers) -> Numbers:
    both = reference + window
    found = special.xlogy(reference, reference) + special.xlogy(window, window)
    return np.asarray(found - special.xlogy(both, both))


def _statistic(terms: Numbers, reference: Numbers, window: Numbers) -> Numbers:
    """Return G, in nats times two, from the sums of the cells' terms and of the rows."""
    whole = reference + window
    found = terms - special.xlogy(reference, reference) - special.xlogy(window, window)
    return np.asarray(2 * np.maximum(found + special.xlogy(whole, whole), 0.0))
