"""Measures rows: every metric of their problem, by the table's functions of their sums.

Values are scikit-learn's, and what SageMaker's documents hold, to the last digit.

References
----------
model-monitor, section 4.2 (SageMaker's definitions); Hyndman and Koehler, International Journal of
Forecasting 22, 2006 (relative errors); Hand and Till, Machine Learning 45, 2001 (AUC of several
classes).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from driftline.baseline.answers import LARGEST, NO_PROBABILITIES, Answers
from driftline.monitors.kinds.model_quality.costs import Costs
from driftline.monitors.kinds.model_quality.documents import CONSTANTS, OF_CLASS, ORDER
from driftline.monitors.kinds.model_quality.metrics import QualityMetrics
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric
from driftline.monitors.kinds.model_quality.roc import rank
from driftline.monitors.kinds.model_quality.sums import QualitySums
from driftline.monitors.kinds.model_quality.values import (
    AREAS,
    BETAS,
    NO_ROWS,
    Measure,
    Numbers,
    relative_weights,
    undefined,
)

POSITIVE, NEGATIVE = "no rows of the positive class", "no rows of the negative class"
ONE_LABEL, NO_POSITIVES = "all labels are equal", "no positives at all"
ZERO_LABEL = "a label is 0, or so near it that it has no relative error"
WHY = {
    "recall": POSITIVE, "true_positive_rate": POSITIVE, "false_negative_rate": POSITIVE,
    "true_negative_rate": NEGATIVE, "false_positive_rate": NEGATIVE,
    "precision": "no predicted positives", **dict.fromkeys(BETAS, NO_POSITIVES),
    **dict.fromkeys(("brier_skill", "accuracy_skill", "r2", *AREAS), ONE_LABEL),
    "mape": ZERO_LABEL,
}  # fmt: skip
# Below so many rows SageMaker gives no standard deviation; from there on that of five subsamples.
DEVIATION_ROWS = 200
SUBSAMPLES, SUBSAMPLE_SHARE = 5, 0.8
SCORED = ("brier", "brier_skill", "log_loss")


@dataclass(frozen=True)
class Extras:
    """Metrics that somebody asked for beyond those of the problem."""

    of_class: tuple[str, ...] = ()  # Metrics of one class, such as "recall[cat]".
    costs: Costs | None = None
    own: tuple[OwnMetric, ...] = ()  # The user's functions.

    @classmethod
    def named(
        cls, names: Collection[str], costs: Costs | None, own: tuple[OwnMetric, ...]
    ) -> Extras:
        """Return them with the class metrics that some names request."""
        return cls(tuple(one for one in names if OF_CLASS.fullmatch(one)), costs, own)

    def measure(self, answers: Answers) -> dict[str, Measure]:
        """Measure the problem's metrics, and these."""
        found = measure_answers(answers, self.costs)
        found |= {one.name: one.measure(answers) for one in self.own}
        if answers.problem != "multiclass":
            return found
        if answers.probability is not None:
            found |= _mean_areas(answers)
        return found | measure_classes(answers, self.of_class)

    def deviations(self, answers: Answers, seed: int) -> dict[str, float]:
        """Return each metric's standard deviation over five random subsamples of 80% of the rows.

        None below 200 rows, as in SageMaker; seeded, so that equal rows give equal numbers.
        """
        count = len(answers)
        if count < DEVIATION_ROWS:
            return {}
        rng, kept = np.random.default_rng(seed), int(SUBSAMPLE_SHARE * count)
        drawn = []
        for _ in range(SUBSAMPLES):
            rows = answers.take(np.sort(rng.permutation(count)[:kept]))
            own = {one.name: one.measure(rows) for one in self.own}
            drawn.append(measure_answers(rows) | own)
        return {name: float(np.std([one[name].value for one in drawn], ddof=1))
                for name in drawn[0]}  # fmt: skip


def measure_answers(answers: Answers, costs: Costs | None = None) -> dict[str, Measure]:
    """Measure every metric of the answers' problem, and the mean cost by prices."""
    sums = QualitySums.of(answers, costs, has_areas=False)
    total = _total(sums, answers)
    metrics = QualityMetrics.of(sums, total, ())
    values = metrics.displayed(total)
    if answers.problem == "regression":
        values |= _far_errors(answers)
    elif answers.classes:
        values |= _of_constants(metrics, total)
    if answers.problem == "binary" and answers.probability is not None:
        values["auc"] = _area(answers.label == 1, answers.probability, answers.weight)
    order = [name for name in ORDER[answers.problem] if name in values]
    found = {
        name: _measure(name, values[name], answers) for name in dict.fromkeys([*order, *values])
    }
    if answers.probability is not None and not sums.has_chances:
        found |= dict.fromkeys(SCORED, undefined(NO_PROBABILITIES))
    return found


def measure_classes(answers: Answers, names: Sequence[str]) -> dict[str, Measure]:
    """Measure metrics of one class against the others, such as "recall[cat]"."""
    found, pairs = {}, {}
    for name in names:
        metric, label = name.removesuffix("]").split("[", 1)
        if label not in answers.classes:
            found[name] = undefined(f'no class "{label}"')
        elif metric != "auc":
            pairs[name] = label, metric
        elif answers.probability is not None:
            at = answers.classes.index(label)
            area = _area(answers.label == at, answers.probability[:, at], answers.weight)
            found[name] = _measure(name, area, answers)
    sums = QualitySums.of(answers, has_areas=False)
    total = _total(sums, answers)
    values = QualityMetrics.of(sums, total, pairs.values()).displayed(total)
    found |= {name: _measure(name, values[name], answers) for name in pairs}
    return {name: found[name] for name in names if name in found}


def _total(sums: QualitySums, answers: Answers) -> Numbers:
    return np.asarray(sums.count(answers, np.zeros(len(answers), np.intp), 1)[0])


def _measure(name: str, value: float, answers: Answers) -> Measure:
    """Return the value, or why there is none."""
    if not len(answers):
        return undefined(NO_ROWS)
    if math.isfinite(value) and not (name == "mape" and value > LARGEST):
        return Measure(value)
    base = name.partition("[")[0].removesuffix(f"_{CONSTANTS[0]}").removesuffix(f"_{CONSTANTS[1]}")
    lacks = POSITIVE if not answers.label.any() else NEGATIVE
    return undefined(WHY.get(base, lacks))


def _of_constants(metrics: QualityMetrics, total: Numbers) -> dict[str, float]:
    """Measure the models that always say one class: SageMaker's best constant, and the majority.

    SageMaker's says the last class, of two the positive one, however rare it is.
    """
    count, found = metrics.sums.class_count, dict[str, float]()
    label = total[:count]
    size, kept = len(metrics.sums.classes), ("recall", "precision", "accuracy", *BETAS)
    for suffix, said in zip(CONSTANTS, (size - 1, int(label.argmax())), strict=True):
        constant = total.copy()
        constant[count : 3 * count] = 0.0
        constant[count + said] = label.sum()
        constant[2 * count + said] = label[said]
        found |= {
            f"{name}_{suffix}": value
            for name, value in metrics.displayed(constant).items()
            if name in kept or name.startswith("weighted_")
        }
    return found


def _mean_areas(answers: Answers) -> dict[str, Measure]:
    """Return the mean AUC of each class against the others, plain and weighted by label shares.

    A class without labels is left out.
    """
    probability, label = answers.probability, answers.label.astype(np.intp)
    assert probability is not None  # Whoever asks has looked.
    counts = np.bincount(label, relative_weights(answers.weight), probability.shape[1])
    held = np.flatnonzero(counts)
    areas = [_area(label == one, probability[:, one], answers.weight) for one in held]
    values = [float(np.average(areas, weights=weights)) if len(held) > 1 else math.nan
              for weights in (None, counts[held])]  # fmt: skip
    return {name: _measure(name, value, answers)
            for name, value in zip(AREAS, values, strict=True)}  # fmt: skip


def _area(label: np.ndarray, score: Numbers, weights: Numbers | None) -> float:
    return rank(label, score, relative_weights(weights)).area


def _far_errors(answers: Answers) -> dict[str, float]:
    """Return the median and the largest error, which are no functions of sums.

    Of weighted rows the median is the middle of the errors at half of the weight.
    """
    size = np.abs(answers.label.astype(np.float64) - answers.answer.astype(np.float64))
    if not len(size):
        return dict.fromkeys(("median_absolute_error", "max_error"), math.nan)
    median, weight = float(np.median(size)), relative_weights(answers.weight)
    if weight is not None:
        order = np.argsort(size)
        share = np.cumsum(weight[order]) / weight.sum()
        ends = np.searchsorted(share, [0.5 - 1e-12, 0.5 + 1e-12]).clip(max=len(size) - 1)
        median = float(size[order][ends].mean())
    return {"median_absolute_error": median, "max_error": float(size.max())}
