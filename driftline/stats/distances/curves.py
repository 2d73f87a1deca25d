"""Two cumulative distributions on the values of both sides. Pure.

References
----------
Kolmogorov, Giornale dell'Istituto Italiano degli Attuari 4, 1933.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from driftline.stats.distances.counts import Counts, as_counts, shares
from driftline.stats.distances.sample import Numbers

# Values that fall no more often than this from one to the next are sorted as runs.
FEW_RUNS = 16


@dataclass(frozen=True, slots=True)
class Curves:
    """Both cumulative distributions at the distinct values of both sides; shapes (K,).

    Parameters
    ----------
    points
        Distinct values, ascending.
    reference, window
        Shares at or below each point; the last is 1.
    reference_rows, window_rows
        Rows behind them, n and m.
    error
        By how much a difference of the two may be off, out of sketches; 0 when all is counted.
    """

    points: Counts
    reference: Counts
    window: Counts
    reference_rows: float
    window_rows: float
    error: float = 0.0

    @classmethod
    def of(cls, reference: Numbers, window: Numbers) -> Curves:
        """Lay two sides on common points.

        Raises
        ------
        EmptyDistributionError
            When a side holds no number.
        """
        points, first, second = _on_common_values(
            reference.values, window.values, reference.weights, window.weights
        )
        return cls(
            points,
            np.minimum(np.cumsum(first), 1.0),
            np.minimum(np.cumsum(second), 1.0),
            reference.count,
            window.count,
            reference.rank_error + window.rank_error,
        )

    @property
    def pooled(self) -> Counts:
        """The cumulative distribution of both sides' rows together."""
        n, m = self.reference_rows, self.window_rows
        return (n * self.reference + m * self.window) / (n + m)


def cdf_distance(
    reference: ArrayLike,
    window: ArrayLike,
    *,
    reference_weights: ArrayLike | None = None,
    window_weights: ArrayLike | None = None,
) -> float:
    """Measure the largest difference of two cumulative distributions (Kolmogorov-Smirnov).

    Parameters
    ----------
    reference, window
        Values, shape (n,) and (m,), any order, ties allowed, not NaN.
    reference_weights, window_weights
        Rows that each value stands for (a sketch's items); 1 each when missing.

    Returns
    -------
    float
        In [0, 1]; SageMaker's ``Simple`` distance of a numeric column.

    Raises
    ------
    EmptyDistributionError
        When a side holds no values.
    """
    sides = _steps(reference, reference_weights), _steps(window, window_weights)
    (points, share), (others, other) = sorted(sides, key=lambda side: side[0].size)
    # The largest gap lies right before or after a step of either: the shorter's are looked at.
    below = other[np.searchsorted(others, points, side="left")] - share[:-1]
    above = share[1:] - other[np.searchsorted(others, points, side="right")]
    return float(np.concatenate([below, above]).max().clip(0.0, 1.0))


def _steps(values: ArrayLike, weights: ArrayLike | None) -> tuple[Counts, Counts]:
    """Return n values ascending, and the n + 1 shares of rows up to each, from 0."""
    found = np.asarray(values, dtype=np.float64)
    # Stable sorting takes runs that ascend as they are, but is slower of values in any order.
    is_in_runs = np.count_nonzero(found[1:] < found[:-1]) <= FEW_RUNS
    kind: Literal["stable", "quicksort"] = "stable" if is_in_runs else "quicksort"
    if weights is None:
        return np.sort(found, kind=kind), np.arange(found.size + 1) / as_counts([found.size])
    order = np.argsort(found, kind=kind)
    part = shares(np.asarray(weights)[order])
    return found[order], np.concatenate([[0.0], np.cumsum(part)])


def _on_common_values(
    first: Counts, second: Counts, first_weights: Counts, second_weights: Counts
) -> tuple[Counts, Counts, Counts]:
    """Return the distinct values of both sides, sorted, and each side's share of rows at them."""
    values, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    return (
        values,
        shares(np.bincount(place[: first.size], weights=first_weights, minlength=values.size)),
        shares(np.bincount(place[first.size :], weights=second_weights, minlength=values.size)),
    )
