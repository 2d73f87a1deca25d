"""Metrics of rankings over their first ten places: NDCG, MAP, recall and hit rate.

References
----------
Jarvelin and Kekalainen, ACM Transactions on Information Systems 20, 2002 (NDCG); Manning, Raghavan
and Schutze, Introduction to Information Retrieval, 2008, section 8.4 (MAP, recall).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.rankings import PLACES, ndcg
from driftline.monitors.kinds.model_quality.influence import Codes, Measure, Rows, undefined

NDCG, MAP, RECALL, HIT_RATE = (
    f"{one}_at_{PLACES}" for one in ("ndcg", "map", "recall", "hit_rate")
)
RANKING_METRICS = (NDCG, MAP, RECALL, HIT_RATE)


def ranking_metrics(relevant: Codes, hits: NDArray[np.bool_], table: Rows) -> dict[str, Measure]:
    """Measure rankings, a row each: means over rows, of which each has a relevant item.

    Parameters
    ----------
    relevant
        How many items are relevant, at least 1, shape (rows,).
    hits
        Whether a relevant item stands at a place, shape (rows, PLACES).

    Returns
    -------
    dict
        A ranking's average precision is the sum of the precisions at its relevant places, over the
        relevant items, of which no more count than there are places; its recall is the share of
        all relevant items that it holds; it is a hit where it holds any.
    """
    if not len(relevant):
        return dict.fromkeys(RANKING_METRICS, undefined("no rows"))
    precision = np.cumsum(hits, axis=1) / np.arange(1.0, PLACES + 1.0)
    average = np.einsum("ij,ij->i", precision, hits) / np.minimum(relevant, PLACES)
    is_hit = hits.any(axis=1).astype(np.float64)
    values = {
        NDCG: ndcg(relevant, hits),
        MAP: average,
        RECALL: hits.sum(axis=1) / relevant,
        HIT_RATE: is_hit,
    }
    found = {}
    for name, each in values.items():
        mean = table.mean(each)
        found[name] = table.measure(mean, each - mean, "share" if name == HIT_RATE else "score")
    return found
