"""Curves of ranking scores, and the area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Spark's BinaryClassificationMetrics keeps about so many points of a curve, too (its numBins).
CURVE_POINTS = 1000

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows, or sums of their weights, by distinct score, highest first."""

    positives: Numbers  # Rows with each distinct score, shape (distinct,), float64.
    negatives: Numbers

    @property
    def area(self) -> float:
        """Area under the ROC curve: chance that a positive outranks a negative, ties half.

        NaN when one of the classes has no rows.
        """
        positive, negative = self.positives.sum(), self.negatives.sum()
        if not positive or not negative:
            return float("nan")
        above = np.cumsum(self.positives) - self.positives / 2.0
        return float(np.einsum("i,i->", self.negatives, above) / (positive * negative))


def rank(label: NDArray[np.bool_], score: Numbers, weights: Numbers | None = None) -> Ranking:
    """Count rows by distinct score.

    Parameters
    ----------
    label
        Whether the row is positive, shape (rows,).
    score
        Without NaN, shape (rows,).
    weights
        Of mean 1, shape (rows,); None: every row counts once.
    """
    order = np.argsort(-score)
    ranked = score[order]
    first = np.empty(len(ranked), dtype=np.bool_)
    first[:1] = True
    np.not_equal(ranked[1:], ranked[:-1], out=first[1:])
    place = np.cumsum(first) - 1
    count = int(place[-1]) + 1 if len(place) else 0
    weight = np.ones(len(score)) if weights is None else weights
    # Not by a difference, which would leave 1e-17 rows where there are none.
    positives, negatives = (np.bincount(place, (one * weight)[order], count)
                            for one in (label, ~label))  # fmt: skip
    return Ranking(positives.astype(np.float64), negatives.astype(np.float64))


def roc_curve(ranking: Ranking) -> tuple[Numbers, Numbers]:
    """Return false and true positive rates: (0, 0), one point a distinct score, (1, 1).

    Of more than a thousand points about a thousand, evenly spaced. Empty when a class has no rows.

    References
    ----------
    Spark's BinaryClassificationMetrics, whose first and last point are these (model-monitor,
    section 4.2).
    """
    positive, negative = ranking.positives.sum(), ranking.negatives.sum()
    if not positive or not negative:
        return np.empty(0), np.empty(0)
    false = np.cumsum(ranking.negatives)[_kept(ranking)] / negative
    true = np.cumsum(ranking.positives)[_kept(ranking)] / positive
    return np.concatenate([[0.0], false, [1.0]]), np.concatenate([[0.0], true, [1.0]])


def precision_recall_curve(ranking: Ranking) -> tuple[Numbers, Numbers]:
    """Return precisions and recalls: recall 0 with the first precision, then one per score."""
    positive = ranking.positives.sum()
    if not positive:
        return np.empty(0), np.empty(0)
    true = np.cumsum(ranking.positives)
    precision = (true / np.cumsum(ranking.positives + ranking.negatives))[_kept(ranking)]
    recall = true[_kept(ranking)] / positive
    return np.concatenate([precision[:1], precision]), np.concatenate([[0.0], recall])


def _kept(ranking: Ranking) -> NDArray[np.intp]:
    """Choose the distinct scores of a curve, including the last."""
    count = len(ranking.positives)
    if count <= CURVE_POINTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, CURVE_POINTS).astype(np.intp))
