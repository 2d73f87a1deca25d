"""Metrics of attributions as functions of sums: each feature's share, and the level. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.sums import ratio

# SageMaker's limit.
NDCG_LIMIT = 0.90
LEVEL = "level"
# Smaller changes of a share, and of the level relative to the reference's, are not worth a ticket.
LEAST_SHARE, LEAST_LEVEL = 0.05, 1 / 3
# A level ten times as large, or a tenth, is no bound that a change would break.
FAR_LEVEL = 10.0


def share_name(feature: str) -> str:
    """Return the name of the metric of a feature's share."""
    return f"share_{feature}"


def attribution_metrics(
    features: Sequence[str], outputs: int, *, has_level: bool = True
) -> MetricSet:
    """Return the metrics of a model's outputs: M shares of each, and its level.

    Sums (..., K) are, one output after the other, the rows and each feature's sum of |attribution|.
    A share is a feature's part of all |attribution|, the level their mean over rows. Either way is
    a change.
    """
    shares = [Metric(share_name(name), worse=0, tolerance=LEAST_SHARE, useless=1.0)
              for name in features]  # fmt: skip
    level = Metric(LEVEL, "error", 0, LEAST_LEVEL, FAR_LEVEL, relative=True)
    metrics = [*shares, *[level] * has_level]

    def measure(sums: Array) -> Array:
        table = sums.reshape(*sums.shape[:-1], outputs, -1)
        rows, sizes = table[..., :1], table[..., 1:]
        total = sizes.sum(axis=-1, keepdims=True)
        values = [ratio(sizes, total), *[ratio(total, rows)] * has_level]
        return np.concatenate(values, axis=-1).reshape(*sums.shape[:-1], -1)

    def support(sums: Array) -> Array:
        rows = sums.reshape(*sums.shape[:-1], outputs, -1)[..., 0]
        return np.repeat(rows, len(metrics), axis=-1)

    return MetricSet(metrics * outputs, measure, support)


def ndcg(reference: Array, window: Array) -> float:
    """Return how well the window's ranking of features keeps the reference's: 1 is the same.

    Importances of shape (M,), not negative. NaN where there is nothing to rank: of one feature, or
    of a reference that is all zero. Features of equal importance share the mean of their ranks.

    References
    ----------
    Jarvelin and Kekalainen, ACM TOIS 20, 2002.
    """
    if len(reference) < 2 or not reference.any():
        return math.nan
    discounts = 1.0 / np.log2(np.arange(2, len(reference) + 2))
    _, rank = np.unique(-window, return_inverse=True)
    gains = (np.bincount(rank, reference) / np.bincount(rank))[np.sort(rank)]
    return min(float(gains @ discounts / (np.sort(reference)[::-1] @ discounts)), 1.0)
