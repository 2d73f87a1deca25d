"""Two cumulative distributions on the values of both sides. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from driftline.monitors.distances.counts import Counts, shares

__all__ = ["cdf_distance"]


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
    first, second = _on_common_values(reference, window, reference_weights, window_weights)
    return float(np.abs(np.cumsum(first - second)).max().clip(0.0, 1.0))


def _on_common_values(
    reference: ArrayLike,
    window: ArrayLike,
    reference_weights: ArrayLike | None,
    window_weights: ArrayLike | None,
) -> tuple[Counts, Counts]:
    """Give each side's share of rows at the distinct values of both sides, sorted."""
    first = np.asarray(reference, dtype=np.float64)
    second = np.asarray(window, dtype=np.float64)
    values, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    first_weights = np.ones(first.size) if reference_weights is None else reference_weights
    second_weights = np.ones(second.size) if window_weights is None else window_weights
    return (
        shares(np.bincount(place[: first.size], weights=first_weights, minlength=values.size)),
        shares(np.bincount(place[first.size :], weights=second_weights, minlength=values.size)),
    )
