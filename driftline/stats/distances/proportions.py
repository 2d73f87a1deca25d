"""Shares of rows: without a value, unfit, zero, of a level never seen. Exact, by counts alone.

References
----------
Fisher, Journal of the Royal Statistical Society 98, 1935 (exact test); Newcombe, Statistics in
Medicine 17, 1998 (interval).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from driftline.stats.distances.counts import EmptyDistributionError
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.sample import Sample
from driftline.stats.intervals import newcombe, wilson

# Of what is not known any more when a profile keeps no count of it.
NOT_KEPT = "a profile does not keep how many {}; compare the rows themselves"


def share_difference(
    name: str, reference_count: float, reference_rows: float, count: float, rows: float
) -> Distance:
    """Measure the difference of two shares of rows, 0-1.

    The p-value is Fisher's, two-sided by doubling; the interval Newcombe's.

    References
    ----------
    Fisher, Journal of the Royal Statistical Society 98, 1935; Newcombe, Statistics in Medicine 17,
    1998 (method 10).
    """
    if min(reference_rows, rows) <= 0:
        raise EmptyDistributionError(f"{name} of no rows; expected rows on both sides")
    a, n, x, m = (round(number) for number in (reference_count, reference_rows, count, rows))
    p, q = a / n, x / m
    share = (a + x) / (n + m)
    chance = share * (1 - share) * (1 / n + 1 / m)
    low, high = newcombe(x, m, a, n)
    law = stats.hypergeom(n + m, a + x, m)
    return Distance(
        name,
        abs(q - p),
        "share",
        corrected=math.sqrt(max(0.0, (q - p) ** 2 - chance)),
        p_value=min(1.0, 2.0 * min(float(law.cdf(x)), float(law.sf(x - 1)))),
        lower=max(0.0, low, -high),
        upper=max(high, -low),
        note=f"{q:.3g} of the rows, {p:.3g} in the reference",
    )


def missing(reference: Sample, window: Sample) -> Distance:
    """Compare the shares of rows without a value (null, NaN, empty text)."""
    return _of_rows("missing", reference, reference.missing_count, window, window.missing_count)


def unfit(reference: Sample, window: Sample) -> Distance:
    """Compare the shares of rows whose value is not of the column's type."""
    return _of_rows("unfit", reference, reference.unfit_count, window, window.unfit_count)


def infinite(reference: Sample, window: Sample) -> Distance:
    """Compare the shares of rows that hold an infinite number."""
    return _of_rows("infinite", reference, reference.infinite_count, window, window.infinite_count)


def zeros(reference: Sample, window: Sample) -> Distance:
    """Compare the shares of rows that hold exactly 0."""
    counts = [_zero_count(side) for side in (reference, window)]
    if counts[0] is None or counts[1] is None:
        return Distance("zeros", None, "share", note=NOT_KEPT.format("zeros there are"))
    return _of_rows("zeros", reference, counts[0], window, counts[1])


def empty_text(reference: Sample, window: Sample) -> Distance:
    """Compare the shares of rows that hold a text without a character; they are also missing."""
    first, second = reference.empty_text_count, window.empty_text_count
    if first is None or second is None:
        return Distance("empty_text", None, "share", note=NOT_KEPT.format("missing are texts"))
    return _of_rows("empty_text", reference, first, window, second)


def unseen(reference: Sample, window: Sample) -> Distance:
    """Measure the share of the window's values that the reference never held, 0-1.

    Without a change a share of about f / n is new, f being the values that the reference holds
    once. The p-value is binomial at the upper end of that share.

    References
    ----------
    Good, Biometrika 40, 1953; McAllester and Schapire, COLT 2000;
    docs/reference/statistics.md, "Unseen values".
    """
    first, second = reference.levels, window.levels
    if first is None or second is None or not first.count or not second.count:
        raise EmptyDistributionError("unseen of no values; expected some on both sides")
    if first.error or second.error:
        return Distance("unseen", None, "share", note=NOT_KEPT.format("values are new"))
    is_seen = np.isin(second.codes, first.codes)
    count, rows = int(second.counts[~is_seen].sum()), second.count
    once = int((first.counts == 1).sum())
    most = (once + 2.42 * math.sqrt(once) + 1 if once else 3.0) / first.count
    low, high = wilson(count, rows)
    return Distance(
        "unseen",
        count / rows,
        "share",
        corrected=max(0.0, count / rows - once / first.count),
        p_value=float(stats.binom.sf(count - 1, rows, min(1.0, most))),
        lower=low,
        upper=high,
        note=f"about {once / first.count:.3g} is new without a change (Good-Turing)",
    )


def _of_rows(name: str, reference: Sample, first: float, window: Sample, second: float) -> Distance:
    return share_difference(name, first, reference.row_count, second, window.row_count)


def _zero_count(side: Sample) -> float | None:
    """Count the zeros; None where numbers are kept in a sketch."""
    if side.numbers is None:
        return 0.0
    if side.numbers.rank_error:
        return None
    return float(side.numbers.weights[side.numbers.values == 0.0].sum())
