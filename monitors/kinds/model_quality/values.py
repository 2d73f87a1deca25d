"""Values of some rows: a metric with or without one, weights, confusion matrix, calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.stats.intervals import wilson

Numbers = NDArray[np.float64]

ERRORS = ("mape", "smape", "median_absolute_error", "max_error", "mean_error")
AREAS = ("macro_auc", "weighted_auc")
BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
# So far from 0 are probabilities kept, as scikit-learn does: a sure mistake is dear, not infinite.
SURE = float(np.finfo(np.float64).eps)
# A metric of one class against the others, as constraints name it: "recall[cat]".
CLASS_METRICS = ("precision", "recall", "f1", "auc")
NO_ROWS = "no rows"
CALIBRATION_BINS, THRESHOLDS = 10, 101


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric of some rows."""

    value: float
    undefined: str = ""  # Why it has no value, which is then NaN.


def undefined(why: str) -> Measure:
    """Return a metric without a value."""
    return Measure(math.nan, why)


def relative_weights(weights: Numbers | None) -> Numbers | None:
    """Scale weights to mean 1; None where all are equal, or all are 0."""
    if weights is None or not len(weights) or weights.min() == weights.max():
        return None
    largest = weights / weights.max()  # No sum of them is infinite.
    return np.asarray(largest / largest.mean())


def effective_rows(weights: Numbers) -> float:
    """Return the effective number of weighted rows (Kish, Survey Sampling, 1965)."""
    largest = float(weights.max(initial=0.0))
    if not largest:
        return 0.0
    found = weights / largest  # No square of them is infinite, nor all are 0.
    return float(found.sum()) ** 2 / float(np.einsum("i,i->", found, found))


def positive_share(answers: Answers) -> float | None:
    """Return the share of positive labels, by weight where rows have one."""
    if not len(answers):
        return None
    return float(np.average(answers.label == 1, weights=relative_weights(answers.weight)))


def confusion_matrix(answers: Answers) -> dict[str, dict[str, int]] | dict[str, dict[str, float]]:
    """Count rows, or sum their weights, by actual, then by predicted class."""
    label, answer = answers.label.astype(np.intp), answers.answer.astype(np.intp)
    size = len(answers.classes)
    matrix = np.bincount(label * size + answer, answers.weight, size * size).reshape(size, size)
    return {
        actual: dict(zip(answers.classes, line, strict=True))
        for actual, line in zip(answers.classes, matrix.tolist(), strict=True)
    }


def calibration(
    label: NDArray[np.bool_], probability: Numbers, weights: Numbers | None = None
) -> list[dict[str, float]]:
    """Compare probabilities with what came of them, in at most ten bins of equal rows.

    Returns
    -------
    list of dict
        By bin: ``count``, ``probability`` (its mean), ``share`` of positives, ``low`` and ``high``
        (the share's 95% interval, Wilson). Of rows with weights, ``count`` is still their number.
    """
    if not len(label):
        return []
    cuts = np.unique(np.quantile(probability, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]))
    bins = np.searchsorted(cuts, probability, side="left")
    weight = np.ones(len(label)) if weights is None else weights
    found = []
    for one in np.unique(bins):
        of_bin = bins == one
        share = float(np.average(label[of_bin], weights=weight[of_bin]))
        worth = effective_rows(weight[of_bin])
        low, high = wilson(share * worth, worth)
        mean = float(np.average(probability[of_bin], weights=weight[of_bin]))
        found.append(
            {
                "count": float(of_bin.sum()),
                "probability": mean,
                "share": share,
                "low": low,
                "high": high,
            }
        )
    return found


def counts_at_thresholds(
    label: NDArray[np.bool_], probability: Numbers, weights: Numbers | None = None
) -> list[list[float]]:
    """Count what each threshold from 0 to 1, a hundredth apart, would call positive.

    Whoever has these draws the curves and the confusion matrix of any threshold without the rows.

    Returns
    -------
    list of [float, float]
        By threshold, 101 of them: rows with a probability at or above it whose label is positive,
        and those whose label is negative. Of rows with weights, the sums of these.
    """
    steps = np.arange(THRESHOLDS) / (THRESHOLDS - 1)  # linspace lies above the decimal 0.57.
    at = np.maximum(np.searchsorted(steps, probability, side="right") - 1, 0)
    table = np.bincount(2 * at + label, weights, 2 * THRESHOLDS).reshape(THRESHOLDS, 2)
    above: list[list[float]] = np.cumsum(table[::-1], axis=0)[::-1, ::-1].tolist()
    return above
