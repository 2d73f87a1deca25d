"""How well a ranking of features still holds: NDCG.

Shapes: R replicates, M features.

References
----------
Jarvelin and Kekalainen, ACM TOIS 20, 2002 (NDCG); scikit-learn's ``ndcg_score`` averages over ties.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def ndcg(reference: Numbers, current: Numbers) -> Numbers:
    """Score the order of features by current importance, gains being the reference's.

    Importances >= 0 of shape (M,) or (R, M) give scores of shape (R,), 1 for the same order. Equal
    importances share the mean of their places; NaN where the reference's are all zero.
    """
    gains, scores = np.broadcast_arrays(np.atleast_2d(reference), np.atleast_2d(current))
    replicates, width = scores.shape
    discounts = 1.0 / np.log2(np.arange(2, width + 2))
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    starts = np.ones(ranked.shape, dtype=bool)
    starts[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    tied = np.cumsum(starts.ravel()) - 1
    own = np.take_along_axis(gains, order, axis=1).ravel()
    means = np.bincount(tied, own) / np.bincount(tied)
    found = means[tied].reshape(replicates, width) @ discounts
    best = -np.sort(-gains, axis=1) @ discounts
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(best > 0, np.minimum(found / best, 1.0), np.nan)
