"""SageMaker's documents of model quality: statistics.json and constraints.json.

What driftline measures beyond SageMaker stands behind it under the same heading, so that whoever
reads the files finds everything where it is looked for (model-monitor, sections 4.2 and 4.3).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from driftline.baseline.answers import Answers
from driftline.errors import InputError
from driftline.formats.json.jackson import Json, to_jackson
from driftline.monitors.kinds.model_quality.influence import Measure
from driftline.monitors.kinds.model_quality.metrics import BETAS, confusion_matrix, measure_answers
from driftline.monitors.kinds.model_quality.roc import precision_recall_curve, rank, roc_curve
from driftline.roles import Problem

LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
# SageMaker's headings.
HEADINGS: Mapping[Problem, str] = {
    "regression": "regression",
    "binary": "binary_classification",
    "multiclass": "multiclass_classification",
}
# Below so many rows SageMaker gives no standard deviation; from there on that of five subsamples.
DEVIATION_ROWS = 200
SUBSAMPLES, SUBSAMPLE_SHARE = 5, 0.8

# No metric comes near; NaN and what no double holds lie beyond it.
LARGEST = 1e300

CONSTANTS = ("best_constant_classifier", "majority_classifier")
SCORES = tuple(BETAS)
WEIGHTED = ("weighted_recall", "weighted_precision", *(f"weighted_{one}" for one in SCORES))
ROC, PR = "receiver_operating_characteristic_curve", "precision_recall_curve"
# SageMaker's order, then what is ours.
ORDER: Mapping[Problem, tuple[str, ...]] = {
    "regression": ("mae", "mse", "rmse", "r2"),
    "binary": (
        "confusion_matrix",
        "recall",
        "precision",
        "accuracy",
        *(f"{one}_{CONSTANTS[0]}" for one in ("recall", "precision", "accuracy")),
        "true_positive_rate",
        "true_negative_rate",
        "false_positive_rate",
        "false_negative_rate",
        ROC,
        PR,
        "auc",
        *SCORES,
        *(f"{one}_{CONSTANTS[0]}" for one in SCORES),
        *(f"{one}_{CONSTANTS[1]}" for one in ("recall", "precision", "accuracy", *SCORES)),
        "balanced_accuracy",
        "brier",
        "brier_skill",
        "log_loss",
    ),
    "multiclass": (
        "confusion_matrix",
        "accuracy",
        *WEIGHTED,
        *(f"{one}_{CONSTANTS[0]}" for one in ("accuracy", *WEIGHTED)),
        *(f"{one}_{CONSTANTS[1]}" for one in ("accuracy", *WEIGHTED)),
        "balanced_accuracy",
        "accuracy_skill",
        "brier",
        "brier_skill",
        "log_loss",
    ),
}
# What SageMaker does not measure.
EXTRAS = frozenset({"balanced_accuracy", "brier", "brier_skill", "log_loss", "accuracy_skill"})
RATES = ("true_positive_rate", "true_negative_rate", "false_positive_rate", "false_negative_rate")
# What gets a threshold, in order.
CONSTRAINED: Mapping[Problem, tuple[str, ...]] = {
    "regression": ("mae", "mse", "rmse", "r2"),
    "binary": ("recall", "precision", "accuracy", *RATES, "auc", *SCORES, "brier_skill"),
    "multiclass": ("accuracy", *WEIGHTED, "balanced_accuracy", "accuracy_skill", "brier_skill"),
}
RISING = frozenset({"mae", "mse", "rmse", "false_positive_rate", "false_negative_rate"})


@dataclass(frozen=True, slots=True)
class Constraint:
    """One line of constraints.json."""

    threshold: float
    operator: str  # The side that is a violation: "LessThanThreshold" or "GreaterThanThreshold".

    @property
    def is_lower(self) -> bool:
        """Whether values below the threshold are the violation."""
        return self.operator == LESS

    def is_broken_by(self, value: float) -> bool:
        """Whether a value lies on the side that is a violation; the threshold itself does not."""
        return value < self.threshold if self.is_lower else value > self.threshold


def is_sagemakers(name: str) -> bool:
    """Whether SageMaker measures this, too."""
    return name not in EXTRAS and not name.endswith(CONSTANTS[1])


def suggested(problem: Problem, measures: Mapping[str, Measure]) -> dict[str, Constraint]:
    """Return the thresholds of a reference: its own values, as SageMaker has them.

    Without probabilities balanced accuracy stands for the area under the curve: both ask how the
    classes are told apart, however frequent they are.
    """
    names = list(CONSTRAINED[problem])
    if problem == "binary" and "auc" not in measures:
        names.append("balanced_accuracy")
    return {
        name: Constraint(measures[name].value, GREATER if name in RISING else LESS)
        for name in names
        if name in measures and not measures[name].undefined
    }


def deviations(answers: Answers, seed: int) -> dict[str, float]:
    """Return each metric's standard deviation over five random subsamples of 80% of the rows.

    NaN below 200 rows, as SageMaker has it; with a seed, so that equal rows give equal numbers.
    """
    count = len(answers)
    if count < DEVIATION_ROWS:
        return {}
    rng, kept = np.random.default_rng(seed), int(SUBSAMPLE_SHARE * count)
    drawn = [
        measure_answers(answers.take(np.sort(rng.permutation(count)[:kept])))
        for _ in range(SUBSAMPLES)
    ]
    return {name: float(np.std([one[name].value for one in drawn], ddof=1)) for name in drawn[0]}


def statistics_document(
    answers: Answers, measures: Mapping[str, Measure], spread: Mapping[str, float]
) -> str:
    """Write statistics.json."""
    found: dict[str, Json] = {}
    for name in ORDER[answers.problem]:
        if name == "confusion_matrix":
            found[name] = confusion_matrix(answers)
        elif name in (ROC, PR):
            if "auc" in measures:
                found[name] = _curve(answers, name)
        elif name in measures:
            found[name] = {
                "value": measures[name].value,
                "standard_deviation": spread.get(name, math.nan),
            }
    heading = f"{HEADINGS[answers.problem]}_metrics"
    return to_jackson({"version": 0.0, "dataset": {"item_count": len(answers)}, heading: found})


def constraint_document(problem: Problem, constraints: Mapping[str, Constraint]) -> str:
    """Write constraints.json."""
    found: dict[str, Json] = {
        name: {"threshold": one.threshold, "comparison_operator": one.operator}
        for name, one in constraints.items()
    }
    return to_jackson({"version": 0.0, f"{HEADINGS[problem]}_constraints": found})


def read_constraints(text: str) -> tuple[Problem, dict[str, Constraint]]:
    """Read constraints.json."""
    document = _parsed(text, "constraints")
    for problem, heading in HEADINGS.items():
        lines = document.get(f"{heading}_constraints")
        if isinstance(lines, Mapping):
            return problem, {name: _constraint(name, line) for name, line in lines.items()}
    expected = ", ".join(f"{one}_constraints" for one in HEADINGS.values())
    raise InputError(f"constraints of model quality: expected an object with one of {expected}")


def read_statistics(text: str) -> tuple[int, dict[str, float]]:
    """Read statistics.json: how many rows, and each metric's value; what has none is left out."""
    document = _parsed(text, "statistics")
    dataset = document.get("dataset")
    rows = dataset.get("item_count", 0) if isinstance(dataset, Mapping) else 0
    found: dict[str, float] = {}
    for heading in HEADINGS.values():
        lines = document.get(f"{heading}_metrics")
        for name, line in lines.items() if isinstance(lines, Mapping) else ():
            value = line.get("value") if isinstance(line, Mapping) else None
            if isinstance(value, int | float) and math.isfinite(value):
                found[name] = float(value)
    return int(rows), found


def _curve(answers: Answers, name: str) -> dict[str, Sequence[float]]:
    assert answers.probability is not None  # There is an area under it.
    ranking = rank(answers.label == 1, answers.probability)
    if name == ROC:
        false, true = roc_curve(ranking)
        return {"false_positive_rates": false.tolist(), "true_positive_rates": true.tolist()}
    precisions, recalls = precision_recall_curve(ranking)
    return {"precisions": precisions.tolist(), "recalls": recalls.tolist()}


def _parsed(text: str, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} of model quality: no JSON ({error})") from error
    if not isinstance(found, Mapping):
        raise InputError(f"{what} of model quality: expected an object")
    return found


def _constraint(name: str, line: object) -> Constraint:
    threshold = line.get("threshold") if isinstance(line, Mapping) else None
    operator = line.get("comparison_operator") if isinstance(line, Mapping) else None
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, int | float)
        or not abs(threshold) < LARGEST
    ):
        raise InputError(f'constraint "{name}": threshold {threshold!r:.60}; expected a number')
    if operator not in (LESS, GREATER):
        raise InputError(
            f'constraint "{name}": comparison_operator {operator!r}; expected {LESS} or {GREATER}'
        )
    return Constraint(float(threshold), operator)
