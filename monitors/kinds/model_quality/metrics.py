"""Metrics of a model's quality as pure functions of arrays, each with its variance.

References
----------
model-monitor, section 4.2 (SageMaker's definitions); Murphy, Monthly Weather Review 101, 1973
(Brier skill).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.answers import NO_PROBABILITIES, ROUNDING, Answers
from driftline.monitors.kinds.model_quality.base_rates import count_odds
from driftline.monitors.kinds.model_quality.class_metrics import (
    NEGATIVE,
    POSITIVE,
    area,
    f_limits,
    macro_metrics,
)
from driftline.monitors.kinds.model_quality.error_metrics import error_metrics
from driftline.monitors.kinds.model_quality.influence import (
    TINY,
    Codes,
    Measure,
    Numbers,
    Rows,
    Tally,
    effective_rows,
    relative_weights,
    undefined,
)
from driftline.monitors.kinds.model_quality.quantile_metrics import quantile_metrics
from driftline.monitors.results.metric import UNBOUNDED
from driftline.stats.intervals import Limits, seen_count_limit, wilson

BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
# So far from 0 are probabilities kept, as scikit-learn does: a sure mistake is dear, not infinite.
SURE = float(np.finfo(np.float64).eps)
# In how many bins at most a calibration is shown.
THRESHOLDS = 101
CALIBRATION_BINS = 10
# Rows that are worth so few have one that is worth nearly all: others' spread is next to nothing.
ONE_ROW = 1.0 + 1e-6
# With fewer rows beside the most frequent class, means of losses cannot be bounded.
LEAST_OF_CLASS = 10
# Where they are up to such a share of the rows and lose most of the mean, their number decides it:
# from so many equal losses on the lower 95% limit of a count is at least half of it (Poisson).
RARE, LEAST_OF_RARE = 0.4, 12
# Of their skill the count cancels, and a row that is worth too much leaves it open: the few windows
# that lack one by luck held the truth in 60 to 91% (docs/measured.md).
SELDOM, LEAST_OF_SELDOM = 0.1, 100
# Labels of one class have no skill: of weighed ones rounding leaves so much that they seem to vary.
LEAST_BASE = 1e-12


def measure_answers(answers: Answers, clusters: Codes | None = None) -> dict[str, Measure]:
    """Measure every metric of the answers' problem."""
    if answers.problem == "regression":
        came, said = answers.label.astype(np.float64), answers.answer.astype(np.float64)
        found = regression_metrics(came, said, clusters, answers.weight)
        if answers.quantiles is not None:
            table = Rows(len(came), clusters, weights=answers.weight)
            found |= quantile_metrics(came, answers.quantiles, answers.levels, table)
        return found
    label, answer = answers.label.astype(np.intp), answers.answer.astype(np.intp)
    if answers.problem == "binary":
        return binary_metrics(
            label == 1, answer == 1, answers.probability, clusters, answers.weight
        )
    return multiclass_metrics(
        label, answer, len(answers.classes), answers.probability, clusters, answers.weight
    )


def by_lot(answers: Answers) -> dict[str, float]:
    """Return the expected metrics of skill over all permutations of labels; of rmse, its square."""
    table = Rows(len(answers), weights=answers.weight)
    mean = table.mean
    if answers.problem == "regression":
        label, said = answers.label.astype(np.float64), answers.answer.astype(np.float64)
        came, told = mean(label), mean(said)
        spread = mean((label - came) ** 2)
        mse = spread + mean((said - told) ** 2) + (came - told) ** 2
        mae = _mean_distance(label, said, table.weights)
        r2 = 1.0 - mse / max(spread, TINY)
        return {"mae": mae, "mse": mse, "rmse": math.sqrt(mse), "r2": r2}
    classes = len(answers.classes)
    share, answered = _class_shares(answers)
    right = float(share @ answered)
    found = {"auc": 0.5, "balanced_accuracy": 1.0 / classes}
    found["accuracy_skill"] = 1.0 - (1.0 - right) / max(1.0 - float(share.max()), TINY)
    if answers.probability is not None:
        chance = answers.probability.reshape(len(answers), -1)
        own = share[-chance.shape[1] :]
        loss = float((table.means(chance**2) - 2.0 * table.means(chance) * own + own).sum())
        found["brier_skill"] = 1.0 - loss / max(float((own * (1.0 - own)).sum()), TINY)
    return found


def shares_by_lot(answers: Answers) -> dict[str, float]:
    """Return precision, recall, F and rates with randomly permuted labels."""
    share, answered = _class_shares(answers)
    hits = share * answered
    each = {"precision": np.where(answered > 0.0, share, 0.0), "recall": answered}
    for name, beta in BETAS.items():
        each[name] = (1.0 + beta**2) * hits / np.maximum(beta**2 * share + answered, TINY)
    if len(share) > 2:
        return {f"weighted_{name}": float(share @ one) for name, one in each.items()}
    found = {name: float(one[-1]) for name, one in each.items()}
    yes = found["recall"]
    found |= {"true_positive_rate": yes, "false_negative_rate": 1.0 - yes}
    for no in answered[:-1].tolist():  # None where one class came alone.
        found |= {"true_negative_rate": no, "false_positive_rate": 1.0 - no}
    return found


def _class_shares(answers: Answers) -> tuple[Numbers, Numbers]:
    """Return each class's share of labels and of predictions, (K,); of two, positive last."""
    weights = Rows(len(answers), weights=answers.weight).weights
    label, answered = (
        np.bincount(one.astype(np.intp), weights, len(answers.classes))
        for one in (answers.label, answers.answer)
    )
    return label / label.sum(), answered / answered.sum()


def _mean_distance(some: Numbers, others: Numbers, weights: Numbers | None) -> float:
    """Return the mean of |x - y| over all pairs of both, whose rows have the same weights."""
    each = np.ones(len(some)) if weights is None else weights
    none = np.zeros(len(some))
    every = np.concatenate([some, others])
    order = np.argsort(every)
    below, under = (
        (np.cumsum(np.concatenate(one)[order]) / each.sum())[:-1]
        for one in ((each, none), (none, each))
    )
    share = below * (1.0 - under) + under * (1.0 - below)
    return float((np.diff(every[order]) * share).sum())


def positive_share(answers: Answers) -> float | None:
    """Return the share of positive labels, by weight where rows have one."""
    if not len(answers):
        return None
    return Rows(len(answers), weights=answers.weight).mean((answers.label == 1).astype(np.float64))


def confusion_matrix(answers: Answers) -> dict[str, dict[str, int]] | dict[str, dict[str, float]]:
    """Count rows, or sum their weights, by actual, then by predicted class."""
    label, answer = answers.label.astype(np.intp), answers.answer.astype(np.intp)
    matrix = confusion(label, answer, len(answers.classes), answers.weight)
    return {
        actual: dict(zip(answers.classes, line, strict=True))
        for actual, line in zip(answers.classes, matrix.tolist(), strict=True)
    }


def regression_metrics(
    label: Numbers,
    answer: Numbers,
    clusters: Codes | None = None,
    weights: Numbers | None = None,
) -> dict[str, Measure]:
    """Measure mae, mse, rmse, r2 (of labels that differ), then others, of finite values (rows,)."""
    rows = len(label)
    table = Rows(rows, clusters, weights)
    more = error_metrics(label, answer, table)
    if not rows:
        return {
            **dict.fromkeys(("mae", "mse", "rmse", "r2"), undefined("no rows", "error")),
            **more,
        }
    error = label - answer
    squared = error * error
    total = partial(_total, weights=table.weights)
    mae, mse = total(np.abs(error)) / rows, total(squared) / rows
    # Large labels lose their mean's last digits in the sum: the rest is added in a second pass.
    rest = label - total(label) / rows
    spread = (rest - total(rest) / rows) ** 2
    variance = table.mean(spread)
    of_squares = table.measure(mse, squared - mse, "error")
    root = table.measure(math.sqrt(mse), (squared - mse) / (2.0 * math.sqrt(mse) or 1.0), "error")
    if of_squares.limits is not None:
        root = replace(root, limits=partial(_roots, of_squares.limits))
    found = {
        "mae": table.measure(mae, np.abs(error) - mae, "error"),
        "mse": of_squares,
        "rmse": root,
        "r2": undefined("all labels are equal", "skill"),
    }
    # Not by their variance: the mean of many times 0.1 is not quite 0.1.
    if weights is not None and effective_rows(weights) < ONE_ROW:
        found["r2"] = undefined("one row has all the weight", "skill")
    elif label.min() < label.max():
        value = 1.0 - total(squared) / total(spread)
        influence = (mse / variance * (spread - variance) - (squared - mse)) / variance
        skill = table.measure(value, influence, "skill")
        # Squares whose tail is too heavy by themselves are no lighter over those of the labels.
        found["r2"] = replace(skill, unbounded=skill.unbounded or of_squares.unbounded)
    return found | more


def _roots(limits: Callable[[float], Limits], z: float) -> Limits:
    low, high = limits(z)
    return math.sqrt(low), math.sqrt(high)


def binary_metrics(
    label: NDArray[np.bool_],
    answer: NDArray[np.bool_],
    probability: Numbers | None = None,
    clusters: Codes | None = None,
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
    clusters
        Each row's cluster, 0 ..., shape (rows,).
    weights
        Each row's weight, at least 0, shape (rows,); None: every row counts once.

    Returns
    -------
    dict
        ``brier_skill`` is 1 - brier / brier of always saying the rows' own share of positives.
    """
    table = Rows(len(label), clusters, weights=weights)
    cells = 2 * label.astype(np.intp) + answer
    tally = table.tally(cells, 4)  # True negative, false positive, false negative, true positive.
    ratio = tally.ratio
    recall = ratio([0, 0, 0, 1], [0, 0, 1, 1], "share", POSITIVE)
    specificity = ratio([1, 0, 0, 0], [1, 1, 0, 0], "share", NEGATIVE)
    share = table.mean(label.astype(np.float64)) if len(label) else math.nan
    found = {
        "recall": recall,
        "precision": ratio([0, 0, 0, 1], [0, 1, 0, 1], "share", "no predicted positives"),
        "accuracy": ratio([1, 0, 0, 1], [1, 1, 1, 1], "share", "no rows"),
        "true_positive_rate": recall,
        "true_negative_rate": specificity,
        "false_positive_rate": ratio([0, 1, 0, 0], [1, 1, 0, 0], "share", NEGATIVE),
        "false_negative_rate": ratio([0, 0, 1, 0], [0, 0, 1, 1], "share", POSITIVE),
    }
    if probability is not None:
        found["auc"] = area(label, probability, table)
    for name, beta in BETAS.items():
        weight = 1.0 + beta * beta
        score = ratio(
            [0, 0, 0, weight], [0, 1, beta * beta, weight], "score", "no positives at all"
        )
        limits = partial(f_limits, beta * beta, *tally.counts[1:] / score.design)
        found[name] = score if score.undefined else replace(score, limits=limits)
    # SageMaker's best constant classifier always says the positive class, however rare it is.
    found |= _one_answer(share, "best_constant_classifier", says_positive=True)
    found |= _one_answer(share, "majority_classifier", says_positive=share > 0.5)
    found["balanced_accuracy"] = tally.mean_of(
        [([0, 0, 0, 1], [0, 0, 1, 1], POSITIVE), ([1, 0, 0, 0], [1, 1, 0, 0], NEGATIVE)]
    )
    if probability is not None:
        truth = label.astype(np.float64)
        said = np.where(label, probability, 1.0 - probability)
        found |= _proper(truth[:, None], (probability - truth) ** 2, said, table)
        if not (skill := found["brier_skill"]).undefined:
            odds = count_odds(label, probability, table.weights, table.worth)
            found["brier_skill"] = replace(skill, odds=odds)
    return found


def multiclass_metrics(
    label: Codes,
    answer: Codes,
    classes: int,
    probability: Numbers | None = None,
    clusters: Codes | None = None,
    weights: Numbers | None = None,
) -> dict[str, Measure]:
    """Measure SageMaker's metrics of several classes, and skill beyond the majority."""
    table = Rows(len(label), clusters, weights=weights)
    tally = table.tally(label * classes + answer, classes * classes)
    matrix = tally.counts.reshape(classes, classes)
    rows, support = matrix.sum(), matrix.sum(axis=1)
    right = np.eye(classes).ravel()
    accuracy = tally.ratio(right, np.ones(classes**2), "share", "no rows")
    found = {"accuracy": accuracy, "weighted_recall": accuracy}
    # F of beta 0 is precision.
    for name, beta in {"precision": 0.0, **BETAS}.items():
        found[f"weighted_{name}"] = _weighted(tally, classes, beta)
    last = float(support[-1] / rows) if rows else math.nan
    most = float(support.max() / rows) if rows else math.nan
    found |= _one_class(last, "best_constant_classifier")
    found |= _one_class(most, "majority_classifier")
    each = np.eye(classes)
    found["balanced_accuracy"] = _mean_recall(tally, classes)
    found["accuracy_skill"] = _accuracy_skill(accuracy, classes, tally)
    found |= macro_metrics(tally, classes)
    if probability is not None:
        truth = each[label]
        said = probability[np.arange(len(label)), label]
        found |= _proper(truth, ((probability - truth) ** 2).sum(axis=1), said, table)
    return found


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
    size, relative = len(cuts) + 1, relative_weights(weights)
    tally = Rows(len(label), weights=weights).tally(2 * bins + label, 2 * size)
    table = tally.counts.reshape(size, 2)
    counts, positives = table.sum(axis=1), table[:, 1]
    share = np.divide(positives, counts, out=np.zeros(size), where=counts > 0)
    moved = np.column_stack([-share, 1.0 - share]).ravel()
    designs = tally.designs(moved, np.repeat(np.arange(size), 2), size)
    sums = np.bincount(bins, probability if relative is None else probability * relative, size)
    rows, found = np.bincount(bins, minlength=size), []
    for one in np.flatnonzero(counts).tolist():
        low, high = wilson(positives[one] / designs[one], counts[one] / designs[one])
        found.append(
            {
                "count": float(rows[one]),
                "probability": float(sums[one] / counts[one]),
                "share": float(share[one]),
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
    place = np.maximum(np.searchsorted(steps, probability, side="right") - 1, 0)
    table = np.bincount(2 * place + label, weights, 2 * THRESHOLDS).reshape(THRESHOLDS, 2)
    above: list[list[float]] = np.cumsum(table[::-1], axis=0)[::-1, ::-1].tolist()
    return above


def _total(values: Numbers, weights: Numbers | None) -> float:
    """Sum in order, as Spark does: numpy's pairwise sum differs in the last digit."""
    return float(np.cumsum(values if weights is None else values * weights)[-1])


def _proper(truth: Numbers, loss: Numbers, said: Numbers, table: Rows) -> dict[str, Measure]:
    """Measure Brier score, its skill over the rows' own shares of the classes, and log loss."""
    if not len(said):
        why = "no rows"
    elif said.min() < -ROUNDING or said.max() > 1.0 + ROUNDING:
        why = NO_PROBABILITIES
    else:
        why = ""
    if why:
        return {
            "brier": undefined(why, "error"),
            "brier_skill": undefined(why, "skill"),
            "log_loss": undefined(why, "error"),
        }
    share = table.means(truth)
    base = float((share * (1.0 - share)).sum())
    is_rare = truth[:, share.argmax()] <= 0
    if truth.shape[1] == 1 and table.worth_of(is_rare) > table.worth_of(~is_rare):
        is_rare = ~is_rare
    brier = table.mean(loss)
    surprise = -np.log(np.clip(said, SURE, 1.0))
    skill = undefined("all labels are equal", "skill")
    if base > LEAST_BASE:
        moved = ((truth - share) * (1.0 - 2.0 * share)).sum(axis=1)
        influence = (brier / base * moved - (loss - brier)) / base
        skill = table.measure(1.0 - brier / base, influence, "skill")
    mean = table.mean(surprise)
    found = {
        "brier": table.measure(brier, loss - brier, "error"),
        "brier_skill": skill,
        "log_loss": table.measure(mean, surprise - mean, "error"),
    }
    whose = "the rarer class" if truth.shape[1] == 1 else "classes other than the most frequent"
    rows, share_of_rare = table.worth_of(is_rare), table.mean(is_rare.astype(np.float64))
    for name, lost in (("brier", loss), ("brier_skill", loss), ("log_loss", surprise)):
        count, part = _rare_losses(lost, is_rare, table)
        is_decisive = share_of_rare <= RARE and part > table.mean(lost) / 2
        least = 0 if is_decisive else LEAST_OF_CLASS
        if is_decisive and name == "brier_skill" and share_of_rare < SELDOM:
            least = LEAST_OF_SELDOM
        if is_decisive and count < LEAST_OF_RARE:
            why = f"the losses of {whose} count as {math.floor(count)}, {LEAST_OF_RARE} are needed"
            found[name] = replace(found[name], unbounded=UNBOUNDED + why)
        elif rows < least:
            why = f"{rows:.0f} of them have a label of {whose}, {least} are needed"
            found[name] = replace(found[name], unbounded=UNBOUNDED + why)
        elif is_decisive and name != "brier_skill":
            found[name] = _bounded_where_seen(found[name], count, part / count)
    return found


def _bounded_where_seen(measure: Measure, count: float, each: float) -> Measure:
    """Lower the lower limit of a mean that few rare losses decide."""
    if measure.limits is None:
        return measure
    return replace(measure, limits=partial(_limits_where_seen, measure.limits, count, each))


def _rare_losses(loss: Numbers, is_rare: NDArray[np.bool_], table: Rows) -> tuple[float, float]:
    """Return the effective number of equal losses behind some rows, and their part of the mean.

    The number of such rows is random, too: of n rows that are worth n the sum of K losses l varies
    by that of l^2 less its own square over n (Fay and Feuer, Statistics in Medicine 16, 1997).
    """
    part = (loss if table.weights is None else loss * table.weights)[is_rare]
    own = effective_rows(part) or table.worth_of(is_rare)
    return own / max(1.0 - own / table.worth, TINY), float(part.sum()) / len(loss)


def _limits_where_seen(
    limits: Callable[[float], Limits], count: float, each: float, z: float
) -> Limits:
    """Lower the lower limit: such a mean is shown only where many rare losses came."""
    low, high = limits(z)
    usual = float(special.gammaincinv(count, float(special.ndtr(-z))))
    return max(0.0, low - each * (usual - seen_count_limit(count, LEAST_OF_RARE, z))), high


def _weighted(tally: Tally, classes: int, beta: float) -> Measure:
    """Measure the mean of the classes' F scores, each by its share of the labels."""
    rows = tally.worth()
    if not rows:
        return undefined("no rows")
    value, influence = _weighted_score(tally.counts, classes, beta)
    design = float(tally.counts.sum()) / rows
    # Classes that were met once or never have no variance of their own: a quarter of a row is laid
    # beside those of each label.
    smooth = (tally.counts if design == 1.0 else tally.counts / design) + 0.25 / classes
    centre, moved = _weighted_score(smooth, classes, beta)
    squares = tally.spread(moved) / design**2 + 0.25 / classes * float(moved @ moved)
    error = math.sqrt(squares) / float(smooth.sum())
    limits = partial(_logit_limits, value if 0.0 < value < 1.0 else centre, error, value)
    found = tally.measure(value, influence, "score", rows)
    # Such a class tells no variance either: the metric is judged by that of its limits.
    more = max(0.0, error**2 - found.independent)
    matrix = tally.counts.reshape(classes, classes)
    never = int(np.count_nonzero((matrix.sum(axis=1) > 0) & (matrix.sum(axis=0) == 0)))
    return replace(
        found, variance=found.variance + more, independent=found.independent + more, limits=limits,
        lacking=f"the answers lack {never:,} of the labels' classes" if never else "",
        unbounded=f"{UNBOUNDED}all are of one class" if classes == 1 else "",
    )  # fmt: skip


def _weighted_score(counts: Numbers, classes: int, beta: float) -> tuple[float, Numbers]:
    """Return the score, and the influence of a row of each cell, shape (cells,)."""
    matrix = counts.reshape(classes, classes)
    rows, square = float(matrix.sum()), beta * beta
    right = np.diag(matrix)
    support, said = matrix.sum(axis=1), matrix.sum(axis=0)
    below = square * support + said
    score = np.divide((1.0 + square) * right, below, out=np.zeros(classes), where=below > 0)
    weight = support / rows
    value = float(weight @ score)
    # What one more row of a cell changes: the weights, and the scores of its two classes.
    pull = np.divide(weight * rows, below, out=np.zeros(classes), where=below > 0)
    of_label, of_answer = pull * score * square, pull * score
    influence = (score - of_label)[:, None] - of_answer[None, :] - value
    influence = influence + np.diag(pull * (1.0 + square))
    return value, influence.ravel()


def _logit_limits(centre: float, error: float, value: float, z: float) -> Limits:
    """Return limits that are even on the logit around `centre`, and hold the value."""
    middle, half = float(special.logit(centre)), z * error / (centre * (1.0 - centre))
    low, high = float(special.expit(middle - half)), float(special.expit(middle + half))
    return min(low, value), max(high, value)


def _mean_recall(tally: Tally, classes: int) -> Measure:
    """Measure the plain mean of the recalls of classes with rows."""
    matrix = tally.counts.reshape(classes, classes)
    rows, support = float(matrix.sum()), matrix.sum(axis=1)
    if not rows:
        return undefined("no rows")
    held = support > 0
    recall = np.divide(np.diag(matrix), support, out=np.zeros(classes), where=held)
    pull = np.divide(rows / held.sum(), support, out=np.zeros(classes), where=held)
    influence = (np.eye(classes) - recall[:, None]) * pull[:, None]
    parts = np.broadcast_to(np.where(held, np.cumsum(held) - 1, -1)[:, None], influence.shape)
    return tally.mean_of_shares(np.diag(matrix)[held], support[held], influence.ravel(), parts)


def _accuracy_skill(accuracy: Measure, classes: int, tally: Tally) -> Measure:
    """Measure 1 - errors / errors of always predicting the most frequent class."""
    matrix = tally.counts.reshape(classes, classes)
    rows, support = float(matrix.sum()), matrix.sum(axis=1)
    most = float(support.max()) / rows if rows else 1.0
    if most == 1.0:
        return undefined("all labels are equal" if rows else "no rows", "skill")
    wrong = 1.0 - accuracy.value
    is_most = (np.arange(classes) == support.argmax()).astype(np.float64)
    moved = wrong / (1.0 - most) * (is_most - most)
    influence = (np.eye(classes) - accuracy.value - moved[:, None]) / (1.0 - most)
    return tally.measure(1.0 - wrong / (1.0 - most), influence.ravel(), "skill", tally.worth())


def _one_answer(share: float, suffix: str, *, says_positive: bool) -> dict[str, Measure]:
    """Measure the model that always predicts one of two classes."""
    if math.isnan(share):
        names = ("recall", "precision", "accuracy", *BETAS)
        return {f"{name}_{suffix}": undefined("no rows") for name in names}
    found = {"accuracy": share if says_positive else 1.0 - share}
    found["recall"] = float(says_positive) if share else math.nan
    found["precision"] = share if says_positive else math.nan
    for name, beta in BETAS.items():
        top = (1.0 + beta * beta) * share * says_positive
        found[name] = top / (beta * beta * share + says_positive) if share else math.nan
    why = {"recall": POSITIVE, "precision": "no predicted positives"}
    return {
        f"{name}_{suffix}": undefined(why.get(name, POSITIVE))
        if math.isnan(value)
        else Measure(value)
        for name, value in found.items()
    }


def _one_class(share: float, suffix: str) -> dict[str, Measure]:
    """Measure the model that always predicts the class with this share of labels."""
    scores = {
        f"weighted_{name}": share * (1.0 + beta * beta) * share / (beta * beta * share + 1.0)
        for name, beta in BETAS.items()
    }
    found = {
        "accuracy": share,
        "weighted_recall": share,
        "weighted_precision": share * share,
        **scores,
    }
    return {
        f"{name}_{suffix}": undefined("no rows") if math.isnan(value) else Measure(value)
        for name, value in found.items()
    }
