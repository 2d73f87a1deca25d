"""Two cumulative distributions on the values of both sides. Pure.

References
----------
Kolmogorov, Giornale dell'Istituto Italiano degli Attuari 4, 1933; Dvoretzky, Kiefer and Wolfowitz,
Annals of Mathematical Statistics 27, 1956 (the interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from driftline.stats.distances.counts import Counts, shares
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.sample import Numbers

# Mean square of Kolmogorov's law.
KOLMOGOROV_SQUARE = math.pi**2 / 12


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
    def effective_rows(self) -> float:
        """N_e = nm / (n + m)."""
        n, m = self.reference_rows, self.window_rows
        return n * m / (n + m)

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
    _, first, second = _on_common_values(reference, window, reference_weights, window_weights)
    return float(np.abs(np.cumsum(first - second)).max().clip(0.0, 1.0))


def largest_gap(curves: Curves) -> Distance:
    """Measure the distance of Kolmogorov and Smirnov without its chance; see `edf`."""
    value = float(np.abs(curves.reference - curves.window).max())
    n, m, rows = curves.reference_rows, curves.window_rows, curves.effective_rows
    reach = sum(math.sqrt(math.log(2 / 0.025) / (2 * side)) for side in (n, m)) + curves.error
    return Distance(
        "kolmogorov_smirnov",
        value,
        "share",
        corrected=math.sqrt(max(0.0, value**2 - KOLMOGOROV_SQUARE / rows)),
        lower=max(0.0, value - reach),
        upper=min(1.0, value + reach),
    )


def _on_common_values(
    reference: ArrayLike,
    window: ArrayLike,
    reference_weights: ArrayLike | None,
    window_weights: ArrayLike | None,
) -> tuple[Counts, Counts, Counts]:
    """Return the distinct values of both sides, sorted, and each side's share of rows at them."""
    first = np.asarray(reference, dtype=np.float64)
    second = np.asarray(window, dtype=np.float64)
    values, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    first_weights = np.ones(first.size) if reference_weights is None else reference_weights
    second_weights = np.ones(second.size) if window_weights is None else window_weights
    return (
        values,
        shares(np.bincount(place[: first.size], weights=first_weights, minlength=values.size)),
        shares(np.bincount(place[first.size :], weights=second_weights, minlength=values.size)),
    )
