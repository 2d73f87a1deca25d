"""Metrics of a model's quality as plain functions of rows.

They are what SageMaker's documents hold, to the last digit, and what reports show.

References
----------
model-monitor, section 4.2 (SageMaker's definitions); Murphy, Monthly Weather Review 101, 1973
(Brier skill); Hyndman and Koehler, International Journal of Forecasting 22, 2006 (relative errors);
Hand and Till, Machine Learning 45, 2001 (AUC of several classes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import LARGEST, NO_PROBABILITIES, ROUNDING, Answers
from driftline.monitors.kinds.model_quality.quantile_metrics import quantile_rows
from driftline.monitors.kinds.model_quality.roc import rank
from driftline.stats.intervals import wilson

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]

BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
# So far from 0 are probabilities kept, as scikit-learn does: a sure mistake is dear, not infinite.
SURE = float(np.finfo(np.float64).eps)
ERRORS = ("mape", "smape", "median_absolute_error", "max_error", "mean_error")
AREAS = ("macro_auc", "weighted_auc")
# A metric of one class against the others, as constraints name it: "recall[cat]".
CLASS_METRICS = ("precision", "recall", "f1", "auc")
POSITIVE, NEGATIVE = "no rows of the positive class", "no rows of the negative class"
NO_ROWS, ONE_LABEL, NONE_SAID = "no rows", "all labels are equal", "no predicted positives"
# Rows times classes beyond which ranking each class takes longer than the number is worth.
MOST_RANKED = 1 << 27
# Labels of one class have no skill: of weighed ones rounding leaves so much that they seem to vary.
LEAST_BASE = 1e-12
# Rows that are worth so few have one that is worth nearly all: others' spread is next to nothing.
ONE_ROW = 1.0 + 1e-6
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


def measure_answers(answers: Answers) -> dict[str, Measure]:
    """Measure every metric of the answers' problem."""
    weights = answers.weight
    if answers.problem == "regression":
        label, said = answers.label.astype(np.float64), answers.answer.astype(np.float64)
        found = regression_metrics(label, said, weights)
        if answers.quantiles is not None:
            mean = WeightedMean(weights)
            of_rows = quantile_rows(label, answers.quantiles, answers.levels)
            found |= {
                name: Measure(mean(each)) if len(each) else undefined(NO_ROWS)
                for name, each in of_rows.items()
            }
        return found
    code, said_code = answers.label.astype(np.intp), answers.answer.astype(np.intp)
    if answers.problem == "binary":
        return binary_metrics(code == 1, said_code == 1, answers.probability, weights)
    return multiclass_metrics(code, said_code, len(answers.classes), answers.probability, weights)


class WeightedMean:
    """Returns means of values, shape (rows,), by weight where rows have one."""

    def __init__(self, weights: Numbers | None) -> None:
        self.weights = relative_weights(weights)

    def __call__(self, values: NDArray[np.generic]) -> float:
        """Return the mean; NaN of no rows."""
        if not len(values):
            return math.nan
        numbers = values.astype(np.float64)
        return float(np.mean(numbers if self.weights is None else numbers * self.weights))


def binary_metrics(
    label: NDArray[np.bool_],
    answer: NDArray[np.bool_],
    probability: Numbers | None = None,
    weights: Numbers | None = None,
) -> dict[str, Measure]:
    """Measure what SageMaker measures of two classes, and Brier score, its skill, and log loss.

    Parameters
    ----------
    label, answer
        Whether the row is, and is said to be, positive, shape (rows,).
    probability
        Of the positive class, in [0, 1] for Brier score and log loss, shape (rows,); None: only
        what answers tell.
    weights
        Each row's weight, at least 0, shape (rows,); None: every row counts once.

    Returns
    -------
    dict
        ``brier_skill`` is 1 - brier / brier of always saying the rows' own share of positives.
    """
    cells = 2 * label.astype(np.intp) + answer
    tn, fp, fn, tp = np.bincount(cells, relative_weights(weights), 4).astype(np.float64).tolist()
    rows = tn + fp + fn + tp
    recall, specificity = _ratio(tp, tp + fn, POSITIVE), _ratio(tn, tn + fp, NEGATIVE)
    share = (tp + fn) / rows if rows else math.nan
    found = {
        "recall": recall,
        "precision": _ratio(tp, tp + fp, NONE_SAID),
        "accuracy": _ratio(tp + tn, rows, NO_ROWS),
        "true_positive_rate": recall,
        "true_negative_rate": specificity,
        "false_positive_rate": _ratio(fp, tn + fp, NEGATIVE),
        "false_negative_rate": _ratio(fn, tp + fn, POSITIVE),
    }
    if probability is not None:
        found["auc"] = _area(label, probability, weights)
    for name, beta in BETAS.items():
        over = (1.0 + beta * beta) * tp
        found[name] = _ratio(over, over + fp + beta * beta * fn, "no positives at all")
    # SageMaker's best constant classifier always says the positive class, however rare it is.
    found |= _one_answer(share, "best_constant_classifier", says_positive=True)
    found |= _one_answer(share, "majority_classifier", says_positive=share > 0.5)
    lacking = recall.undefined or specificity.undefined
    mean = (recall.value + specificity.value) / 2.0
    found["balanced_accuracy"] = undefined(lacking) if lacking else Measure(mean)
    if probability is not None:
        truth = label.astype(np.float64)
        said = np.where(label, probability, 1.0 - probability)
        found |= _proper(truth[:, None], (probability - truth) ** 2, said, weights)
    return found


def multiclass_metrics(
    label: Codes,
    answer: Codes,
    classes: int,
    probability: Numbers | None = None,
    weights: Numbers | None = None,
) -> dict[str, Measure]:
    """Measure SageMaker's metrics of several classes, and skill beyond the majority."""
    matrix = confusion(label, answer, classes, relative_weights(weights)).astype(np.float64)
    rows, support, said = float(matrix.sum()), matrix.sum(axis=1), matrix.sum(axis=0)
    right = np.diag(matrix)
    accuracy = _ratio(float(right.sum()), rows, NO_ROWS)
    found = {"accuracy": accuracy, "weighted_recall": accuracy}
    # F of beta 0 is precision.
    for name, beta in {"precision": 0.0, **BETAS}.items():
        scores = _shares((1.0 + beta * beta) * right, beta * beta * support + said)
        value = float((support * scores).sum()) / rows if rows else math.nan
        found[f"weighted_{name}"] = Measure(value) if rows else undefined(NO_ROWS)
    most = float(support.max() / rows) if rows else math.nan
    last = float(support[-1] / rows) if rows else math.nan
    found |= _one_class(last, "best_constant_classifier")
    found |= _one_class(most, "majority_classifier")
    recall, has_label = _shares(right, support), support > 0
    found["balanced_accuracy"] = _mean(recall[has_label])
    found["accuracy_skill"] = undefined(ONE_LABEL if rows else NO_ROWS)
    if rows and most < 1.0:
        found["accuracy_skill"] = Measure(1.0 - (1.0 - accuracy.value) / (1.0 - most))
    # What a class has no rows for counts as 0, as scikit-learn has it.
    held = support + said > 0
    found["macro_precision"] = _mean(_shares(right, said)[held])
    found["macro_recall"] = _mean(recall[held])
    found["macro_f1"] = _mean(_shares(2.0 * right, support + said)[held])
    if probability is not None:
        truth = np.eye(classes)[label]
        chance = probability[np.arange(len(label)), label]
        found |= _proper(truth, ((probability - truth) ** 2).sum(axis=1), chance, weights)
    return found


def class_areas(answers: Answers) -> dict[str, Measure]:
    """Return the mean AUC of each class against the others, plain and weighted by label shares.

    A class without labels is left out.
    """
    probability, label = answers.probability, answers.label.astype(np.intp)
    assert probability is not None  # Whoever asks has looked.
    counts = np.bincount(label, relative_weights(answers.weight), probability.shape[1])
    held = np.flatnonzero(counts)
    why = ""
    if not len(answers) or len(held) < 2:
        why = ONE_LABEL if len(answers) else NO_ROWS
    elif len(answers) * len(held) > MOST_RANKED:
        why = f"{len(answers):,} rows of {len(held):,} classes take too long to rank"
    if why:
        return dict.fromkeys(AREAS, undefined(why))
    areas = np.array(
        [_area(label == one, probability[:, one], answers.weight).value for one in held]
    )
    shares = counts[held] / counts.sum()
    return {AREAS[0]: Measure(float(areas.mean())), AREAS[1]: Measure(float(shares @ areas))}


def class_measures(answers: Answers, name: str) -> Mapping[str, Measure]:
    """Measure precision, recall, F1 and, of probabilities, AUC of one class against the others."""
    if name not in answers.classes:
        return dict.fromkeys(CLASS_METRICS, undefined(f'no class "{name}"'))
    at = answers.classes.index(name)
    label, said = answers.label.astype(np.intp) == at, answers.answer.astype(np.intp) == at
    measured = binary_metrics(label, said, None, answers.weight)
    found = {one: measured[one] for one in CLASS_METRICS if one in measured}
    if answers.probability is not None:
        found["auc"] = _area(label, answers.probability[:, at], answers.weight)
    return found


def regression_metrics(
    label: Numbers, answer: Numbers, weights: Numbers | None = None
) -> dict[str, Measure]:
    """Measure mae, mse, rmse, r2 (of labels that differ), then others, of finite values (rows,).

    Relative errors are shares: 0.1 is 10%. ``mape`` is mean(|error| / |label|), undefined with a
    label of 0; ``smape`` is mean(2 |error| / (|label| + |answer|)), 0 where both are 0;
    ``mean_error`` is above 0 where answers are too high.
    """
    rows = len(label)
    if not rows:
        return dict.fromkeys(("mae", "mse", "rmse", "r2", *ERRORS), undefined(NO_ROWS))
    relative, mean = relative_weights(weights), WeightedMean(weights)
    error = label - answer
    squared = error * error
    mse = _total(squared, relative) / rows
    # Large labels lose their mean's last digits in the sum: the rest is added in a second pass.
    rest = label - _total(label, relative) / rows
    spread = (rest - _total(rest, relative) / rows) ** 2
    r2 = undefined(ONE_LABEL)
    # Not by their variance: the mean of many times 0.1 is not quite 0.1.
    if weights is not None and effective_rows(weights) < ONE_ROW:
        r2 = undefined("one row has all the weight")
    elif label.min() < label.max():
        r2 = Measure(1.0 - _total(squared, relative) / _total(spread, relative))
    sizes, beside = np.abs(error), np.abs(label)
    both = beside + np.abs(answer)
    half = np.divide(2.0 * sizes, both, out=np.zeros(rows), where=both > 0)
    return {
        "mae": Measure(_total(sizes, relative) / rows),
        "mse": Measure(mse),
        "rmse": Measure(math.sqrt(mse)),
        "r2": r2,
        "mape": _relative_error(sizes, beside, mean),
        "smape": Measure(mean(half)),
        "median_absolute_error": Measure(_median(sizes, weights)),
        "max_error": Measure(float(sizes.max())),
        "mean_error": Measure(mean(-error)),
    }


def positive_share(answers: Answers) -> float | None:
    """Return the share of positive labels, by weight where rows have one."""
    return WeightedMean(answers.weight)(answers.label == 1) if len(answers) else None


def confusion_matrix(answers: Answers) -> dict[str, dict[str, int]] | dict[str, dict[str, float]]:
    """Count rows, or sum their weights, by actual, then by predicted class."""
    label, answer = answers.label.astype(np.intp), answers.answer.astype(np.intp)
    matrix = confusion(label, answer, len(answers.classes), answers.weight)
    return {
        actual: dict(zip(answers.classes, line, strict=True))
        for actual, line in zip(answers.classes, matrix.tolist(), strict=True)
    }


def confusion(
    label: Codes, answer: Codes, classes: int, weights: Numbers | None = None
) -> NDArray[np.generic]:
    """Count rows, or add up their weights, by actual and predicted class, shape (C, C)."""
    found = np.bincount(label * classes + answer, weights, classes * classes)
    return found.reshape(classes, classes)


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


def _ratio(over: float, under: float, missing: str) -> Measure:
    return Measure(over / under) if under > 0 else undefined(missing)


def _shares(over: Numbers, under: Numbers) -> Numbers:
    return np.divide(over, under, out=np.zeros(len(over)), where=under > 0)


def _mean(values: Numbers) -> Measure:
    return Measure(float(values.mean())) if len(values) else undefined(NO_ROWS)


def _total(values: Numbers, weights: Numbers | None) -> float:
    """Sum in order, as Spark does: numpy's pairwise sum differs in the last digit."""
    return float(np.cumsum(values if weights is None else values * weights)[-1])


def _area(label: NDArray[np.bool_], score: Numbers, weights: Numbers | None) -> Measure:
    if label.all() or not label.any():
        return undefined(POSITIVE if not label.any() else NEGATIVE)
    return Measure(rank(label, score, relative_weights(weights)).area)


def _relative_error(sizes: Numbers, beside: Numbers, mean: WeightedMean) -> Measure:
    if not beside.min() > 0:
        return undefined("a label is 0, and has no relative error")
    with np.errstate(over="ignore"):
        shares = sizes / beside
    if shares.max() > LARGEST:
        return undefined("a label is so near 0 that its relative error is absurd")
    return Measure(mean(shares))


def _median(sizes: Numbers, weights: Numbers | None) -> float:
    """Return the median; of weighted rows the middle of the values at half of the weight."""
    if relative_weights(weights) is None:
        return float(np.median(sizes))
    assert weights is not None  # They differ.
    order = np.argsort(sizes)
    share = np.cumsum(weights[order]) / weights.sum()
    low, high = np.searchsorted(share, [0.5 - 1e-12, 0.5 + 1e-12])
    last = len(sizes) - 1
    return float(sizes[order][[min(low, last), min(high, last)]].mean())


def _proper(
    truth: Numbers, loss: Numbers, said: Numbers, weights: Numbers | None
) -> dict[str, Measure]:
    """Measure Brier score, its skill over the rows' own shares of the classes, and log loss."""
    why = "" if len(said) else NO_ROWS
    if len(said) and (said.min() < -ROUNDING or said.max() > 1.0 + ROUNDING):
        why = NO_PROBABILITIES
    if why:
        return dict.fromkeys(("brier", "brier_skill", "log_loss"), undefined(why))
    mean = WeightedMean(weights)
    share = np.array([mean(column) for column in truth.T])
    base, brier = float((share * (1.0 - share)).sum()), mean(loss)
    return {
        "brier": Measure(brier),
        "brier_skill": Measure(1.0 - brier / base) if base > LEAST_BASE else undefined(ONE_LABEL),
        "log_loss": Measure(mean(-np.log(np.clip(said, SURE, 1.0)))),
    }


def _one_answer(share: float, suffix: str, *, says_positive: bool) -> dict[str, Measure]:
    """Measure the model that always predicts one of two classes."""
    if math.isnan(share):
        names = ("recall", "precision", "accuracy", *BETAS)
        return {f"{name}_{suffix}": undefined(NO_ROWS) for name in names}
    found = {"accuracy": share if says_positive else 1.0 - share}
    found["recall"] = float(says_positive) if share else math.nan
    found["precision"] = share if says_positive else math.nan
    for name, beta in BETAS.items():
        top = (1.0 + beta * beta) * share * says_positive
        found[name] = top / (beta * beta * share + says_positive) if share else math.nan
    why = {"recall": POSITIVE, "precision": NONE_SAID}
    return {
        f"{name}_{suffix}": undefined(why.get(name, POSITIVE))
        if math.isnan(value)
        else Measure(value)
        for name, value in found.items()
    }


def _one_class(share: float, suffix: str) -> dict[str, Measure]:
    """Measure the model that always predicts the class with this share of labels."""
    found = {
        "accuracy": share,
        "weighted_recall": share,
        "weighted_precision": share * share,
    }
    for name, beta in BETAS.items():
        found[f"weighted_{name}"] = share * (1.0 + beta**2) * share / (beta**2 * share + 1.0)
    return {
        f"{name}_{suffix}": undefined(NO_ROWS) if math.isnan(value) else Measure(value)
        for name, value in found.items()
    }
