"""How much rows alone make a number vary, by leaving groups of rows out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from driftline.monitors.engine.metric import TINY, Array, MetricSet


@dataclass(frozen=True, slots=True, eq=False)
class RowLaw:
    """What one row of support adds to each number: arrays (..., M)."""

    variance: Array
    third: Array  # Third cumulant.
    degrees: Array  # Of freedom of the variance: about 2 e where e rows make it; 0: not known.
    groups: float  # That have rows, the fewest of any leading index.


def jackknife(metrics: MetricSet, buckets: Array) -> RowLaw:
    """Estimate rows' variance and third cumulant by leaving out each group.

    With influences i_g = (G - 1) / G (mean of theta without a group - theta without g), the
    variance is sum i^2 G / (G - 1), the third cumulant sum i^3 G^2 / ((G - 1) (G - 2)), and the
    degrees of freedom 2 / (1 / E - 1 / G), where E = (sum i^2)^2 / sum i^4.

    Parameters
    ----------
    metrics
        M functions of sums.
    buckets
        Sums by group, shape (..., G, K), G from 3 on.

    Returns
    -------
    RowLaw
        Times the support: of one row. A number that is undefined without one of its groups rests on
        that group alone, so its degrees are 0.

    References
    ----------
    Efron and Stein, Annals of Statistics 9, 1981 (variance); Shao and Tu, The Jackknife and
    Bootstrap, 1995, ch. 2 (delete-a-group).
    """
    total = buckets.sum(axis=-2)
    left, support = metrics.measure(total[..., None, :] - buckets), metrics.support(total)
    count = left.shape[-2]
    filled = float(np.count_nonzero((buckets != 0).any(axis=-1), axis=-1).min(initial=count))
    filled = max(filled, 1.0)
    rests_on_one = np.isnan(left).any(axis=-2, keepdims=True)
    left = np.where(rests_on_one, 0.0, left)
    influence = (left.mean(axis=-2, keepdims=True) - left) * (count - 1) / count
    squares = (influence**2).sum(axis=-2)
    third = (influence**3).sum(axis=-2) * count**2 / ((count - 1) * (count - 2))
    concentration = (influence**4).sum(axis=-2) / np.maximum(squares**2, TINY)
    degrees = 2.0 / np.maximum(concentration - 1.0 / filled, 2.0 / filled)
    return RowLaw(
        squares * count / (count - 1) * support,
        third * support**2,
        np.where(squares > 0, degrees, 0.0),
        filled,
    )
