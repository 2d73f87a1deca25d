"""Whether a window holds as many different values as so many rows of the reference would. Pure.

References
----------
Hurlbert, Ecology 52, 1971 (rarefaction); docs/why/distances.md.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from driftline.stats.distances.counts import Counts, EmptyDistributionError
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.sample import Sample
from driftline.stats.intervals import Z95

CONFIDENCE = 0.95


def distinct(reference: Sample, window: Sample) -> Distance:
    """Measure how far the number of different values is from that of as many rows of the other.

    The larger side is thinned out to the rows of the smaller one (rarefaction): more rows alone
    make more values. The p-value bounds the chance of so large a gap when the rows of both are
    parted at random: half of it must come from one side, and Bernstein's inequality for the
    presence of each value bounds both, or Chebyshev's, whichever is smaller. The interval lets both
    numbers vary as the values that one row alone holds foretell, and leaves 0 out only where the
    p-value is below 0.05.

    Returns
    -------
    Distance
        |found / expected - 1|; 0 when as many as expected, no upper bound.

    References
    ----------
    Hurlbert, Ecology 52, 1971; Good and Toulmin, Biometrika 43, 1956 (how far the number of values
    in new rows varies: the number in twice the rows less it, at most those that came once);
    Joag-Dev and Proschan, Annals of Statistics 11, 1983 (such presences are negatively associated,
    so that the inequality holds).
    """
    first, second = _rows(reference), _rows(window)
    if not first or not second:
        raise EmptyDistributionError("distinct of no values; expected some on both sides")
    larger, smaller, rows = (
        (reference, window, second) if second <= first else (window, reference, first)
    )
    counts, present, error = _counts(larger), *_found(smaller)
    if counts is None or present is None:
        note = (
            "how many rows hold each value is not known: a profile keeps few, and floats do not "
            "tell whole numbers beyond 2^53 apart"
        )
        return Distance("distinct", None, "share of the expected", note=note)
    expected, _ = expected_distinct(counts, rows)
    gap = present / expected - 1.0
    singles = _counts(smaller)
    # Of a sketch it is not known how many values came once: it then varies as the expected one.
    variance = _once(counts, rows) + _once(counts if singles is None else singles, rows)
    # A sketch adds its own error.
    reach = Z95 * math.hypot(math.sqrt(variance) / expected, error * (gap + 1.0))
    chance = _chance(reference, window, rows, present - expected) if error == 0.0 else None
    is_clear = chance is None or chance < 1.0 - CONFIDENCE
    whose = "" if smaller is window else " of the window"
    return Distance(
        "distinct",
        abs(gap),
        "share of the expected",
        corrected=math.sqrt(max(0.0, gap**2 - variance / expected**2)),
        p_value=chance,
        lower=max(0.0, abs(gap) - reach) if is_clear else 0.0,
        upper=abs(gap) + reach,
        note=f"{present:,} different values in {rows:,} rows; {expected:,.1f} in so many{whose} "
        f"by the {'reference' if smaller is window else 'window'}'s counts",
    )


def expected_distinct(counts: Counts, rows: float) -> tuple[float, float]:
    """Return how many different values some of the rows would hold, and a bound of its variance.

    Parameters
    ----------
    counts
        Rows of each value, shape (V,), all above 0.
    rows
        How many of them are drawn, at most all.
    """
    total = float(counts.sum())
    left = total - counts
    possible = left >= rows
    log = (
        special.gammaln(left[possible] + 1)
        - special.gammaln(left[possible] - rows + 1)
        - special.gammaln(total + 1)
        + special.gammaln(total - rows + 1)
    )
    absent = np.exp(np.minimum(log, 0.0))
    return counts.size - float(absent.sum()), float((absent * (1.0 - absent)).sum())


def _once(counts: Counts, rows: float) -> float:
    """Return how many values one row alone would hold among some of the rows."""
    share = min(1.0, rows / float(counts.sum()))
    return float((counts * share * (1.0 - share) ** (counts - 1.0)).sum())


def _chance(reference: Sample, window: Sample, rows: int, gap: float) -> float | None:
    """Bound the chance of a gap as large over all ways to part the rows.

    The number of the smaller side and the one expected of the larger have the same mean; the latter
    is the mean of such numbers and spreads no more than they (Jensen), so that by Cauchy and
    Schwarz the bound of one of them alone at t / 2 bounds their gap at t.
    """
    first, second = _counts(reference), _counts(window)
    if first is None or second is None:
        return None
    if reference.levels is not None and window.levels is not None:
        place = np.concatenate([reference.levels.codes, window.levels.codes])
    else:
        assert reference.numbers is not None and window.numbers is not None
        both = np.concatenate([reference.numbers.values, window.numbers.values])
        place = np.unique(both, return_inverse=True)[1]
    pooled = np.zeros(int(place.max()) + 1)
    np.add.at(pooled, place, np.concatenate([first, second]))
    _, spread = expected_distinct(pooled, rows)
    away = abs(gap) / 2.0
    if away == 0.0:
        return 1.0
    bernstein = 2.0 * math.exp(-(away**2) / (2.0 * (spread + away / 3.0)))
    return min(1.0, bernstein, spread / away**2)


def _rows(side: Sample) -> int:
    if side.levels is not None:
        return side.levels.count
    return 0 if side.numbers is None else round(side.numbers.count)


def _counts(side: Sample) -> Counts | None:
    """Return the rows of each value; None where not all are known."""
    if side.levels is not None:
        return side.levels.counts if side.levels.error == 0 else None
    if side.numbers is None or side.numbers.rank_error:
        return None
    weights = side.numbers.weights[side.numbers.weights > 0]
    # Both infinities are values, too, and among no numbers.
    blurred = side.distinct_error == 0.0 and (side.distinct_count or 0) > weights.size + 2
    return None if blurred else weights


def _found(side: Sample) -> tuple[int | None, float]:
    """Return the number of different values and its relative standard error."""
    counts = _counts(side)
    return (len(counts), 0.0) if counts is not None else (side.distinct_count, side.distinct_error)
