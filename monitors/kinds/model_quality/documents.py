"""SageMaker's documents of model quality: statistics.json and constraints.json.

Metrics beyond SageMaker's follow under the same heading (model-monitor, sections 4.2 and 4.3).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from driftline.baseline.answers import Answers
from driftline.errors import InputError
from driftline.formats.json.jackson import Json, to_jackson
from driftline.formats.json.parsing import fault_of
from driftline.monitors.kinds.model_quality.costs import COST, KEY, Costs
from driftline.monitors.kinds.model_quality.own_metrics import name_of
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    LEVEL_METRICS,
    PINBALL,
    is_of_quantiles,
)
from driftline.monitors.kinds.model_quality.roc import precision_recall_curve, rank, roc_curve
from driftline.monitors.kinds.model_quality.values import (
    AREAS,
    BETAS,
    CLASS_METRICS,
    ERRORS,
    Measure,
    confusion_matrix,
    relative_weights,
)
from driftline.roles import Problem
from driftline.validation import nearest

# A metric of one class, as constraints name it.
OF_CLASS = re.compile(rf"({'|'.join(CLASS_METRICS)})\[(.+)\]")
# Our own key in SageMaker's document, as that of data quality has it.
OWN = "driftline"
# In it, the list of metrics of the user's own.
METRICS = "metrics"
LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
# Ours, after CloudWatch's LessThanLowerOrGreaterThanUpperThreshold: both sides are a violation.
BOTH = "LessThanOrGreaterThanThreshold"
# SageMaker's headings.
HEADINGS: Mapping[Problem, str] = {
    "regression": "regression",
    "binary": "binary_classification",
    "multiclass": "multiclass_classification",
}
# No metric comes near; NaN and what no double holds lie beyond it.
LARGEST = 1e300

CONSTANTS = ("best_constant_classifier", "majority_classifier")
SCORES = tuple(BETAS)
WEIGHTED = ("weighted_recall", "weighted_precision", *(f"weighted_{one}" for one in SCORES))
MACRO = ("macro_precision", "macro_recall", "macro_f1")
ROC, PR = "receiver_operating_characteristic_curve", "precision_recall_curve"
NO_NUMBERS = frozenset({"confusion_matrix", ROC, PR})
# SageMaker's order, then what is ours; of numbers SageMaker's own alone, byte for byte.
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
        *MACRO,
        *AREAS,
        "brier",
        "brier_skill",
        "log_loss",
    ),
}
# What SageMaker does not measure.
EXTRAS = frozenset(
    {
        *("balanced_accuracy", "brier", "brier_skill", "log_loss", "accuracy_skill"),
        *(*MACRO, *AREAS, *ERRORS, COST),
    }
)


@dataclass(frozen=True, slots=True)
class Constraint:
    """One line of constraints.json."""

    threshold: float
    operator: str  # The side that is a violation: "LessThanThreshold" or "GreaterThanThreshold".
    is_two_sided: bool = False  # Whether both are.

    @property
    def is_lower(self) -> bool:
        """Whether values below the threshold are violations."""
        return self.operator == LESS

    def is_broken_by(self, value: float) -> bool:
        """Whether a value violates it; the threshold itself does not."""
        return value < self.threshold if self.is_lower else value > self.threshold


def is_sagemakers(name: str) -> bool:
    """Whether SageMaker has this metric, too."""
    is_ours = name in EXTRAS or name.endswith(CONSTANTS[1]) or is_of_quantiles(name)
    return not is_ours


def statistics_document(
    answers: Answers,
    measures: Mapping[str, Measure],
    spread: Mapping[str, float],
    own: Collection[str] = (),
) -> str:
    """Write statistics.json, the user's own metrics last."""
    found: dict[str, Json] = {}
    quantiles = [name for name in measures if is_of_quantiles(name) and name not in own]
    for name in (*ORDER[answers.problem], *quantiles, *own):
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


def constraint_document(
    problem: Problem,
    constraints: Mapping[str, Constraint],
    *,
    listed: Sequence[str] = (),
    costs: Costs | None = None,
) -> str:
    """Write constraints.json, with the user's own metrics and prices."""
    found: dict[str, Json] = {
        name: {
            "threshold": one.threshold,
            "comparison_operator": BOTH if one.is_two_sided else one.operator,
        }
        for name, one in constraints.items()
    }
    ours: dict[str, Json] = {METRICS: list[Json](listed)} if listed else {}
    if costs is not None:
        ours[KEY] = costs.to_document()
    own: dict[str, Json] = {OWN: ours} if ours else {}
    return to_jackson({"version": 0.0, f"{HEADINGS[problem]}_constraints": found, **own})


def read_constraints(text: str, own: Collection[str] = ()) -> tuple[Problem, dict[str, Constraint]]:
    """Read constraints.json, which may hold lines of the user's own metrics."""
    document = _parsed(text, "constraints")
    for problem, heading in HEADINGS.items():
        lines = document.get(f"{heading}_constraints")
        if isinstance(lines, Mapping):
            _require_metrics([name for name in lines if name not in own], problem)
            if COST in lines and read_costs(text) is None:
                raise InputError(
                    f'constraint "{COST}": there are no prices; expected "{OWN}": {{"{KEY}": …}} '
                    f"beside {heading}_constraints; add them, or take the constraint out"
                )
            return problem, {name: _constraint(name, line) for name, line in lines.items()}
    expected = ", ".join(f"{one}_constraints" for one in HEADINGS.values())
    raise InputError(f"constraints of model quality: expected an object with one of {expected}")


def read_costs(text: str) -> Costs | None:
    """Read the prices that a user added to constraints.json; None without any."""
    found = _ours(text).get(KEY)
    return None if found is None else Costs.read(found)


def read_listed(text: str) -> tuple[str, ...]:
    """Read the user's own metrics that constraints.json lists."""
    found = _ours(text).get(METRICS, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InputError(f'constraints of model quality: "{METRICS}" {found!r:.60}; expected names')
    require_own_names([name_of(one) for one in found])
    return tuple(found)


def _ours(text: str) -> Mapping[str, Any]:
    own = _parsed(text, "constraints").get(OWN, {})
    if not isinstance(own, Mapping):
        raise InputError(
            f'constraints of model quality: "{OWN}" is no object with "{KEY}" or "{METRICS}"'
        )
    return own


def require_own_names(names: Iterable[str]) -> None:
    """Refuse the name of a built-in metric."""
    known = {COST, *ERRORS, *(name for order in ORDER.values() for name in order)}
    for name in names:
        if name in known:
            raise InputError(
                f'metric "{name}": driftline has one of this name, shown in every report; leave it '
                f'out, or give yours another name: metrics={{"own_{name}": f}}'
            )


def read_statistics(text: str) -> tuple[int, dict[str, float]]:
    """Read statistics.json: the row count, and each metric with a value."""
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
    weights = relative_weights(answers.weight)
    ranking = rank(answers.label == 1, answers.probability, weights)
    if name == ROC:
        false, true = roc_curve(ranking)
        return {"false_positive_rates": false.tolist(), "true_positive_rates": true.tolist()}
    precisions, recalls = precision_recall_curve(ranking)
    return {"precisions": precisions.tolist(), "recalls": recalls.tolist()}


def _parsed(text: str, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} of model quality: no JSON ({fault_of(error)})") from error
    if not isinstance(found, Mapping):
        raise InputError(f"{what} of model quality: expected an object")
    return found


def _require_metrics(names: Iterable[str], problem: Problem) -> None:
    """Refuse a name that is no metric of the problem: its threshold would judge nothing."""
    known = [*(name for name in ORDER[problem] if name not in NO_NUMBERS), COST]
    if problem == "regression":
        known += [*ERRORS, PINBALL]
    for name in names:
        if name in known or (problem == "multiclass" and OF_CLASS.fullmatch(name)):
            continue
        if problem == "regression" and is_of_quantiles(name):
            continue
        shown = [one for one in known if not one.endswith(CONSTANTS)]
        if problem == "multiclass":
            shown += [f"{one}[CLASS]" for one in CLASS_METRICS]
        if problem == "regression":
            shown += [f"{one}[LEVEL]" for one in LEVEL_METRICS]
        others = [HEADINGS[one] for one in ORDER if name in ORDER[one]]
        raise InputError(
            f'constraint "{name}": no metric of {HEADINGS[problem]}'
            f"{f' but of {others[0]}' if others else ''}; {nearest(name, shown)}; rename it, or "
            "take it out"
        )


def _constraint(name: str, line: object) -> Constraint:
    threshold = line.get("threshold") if isinstance(line, Mapping) else None
    operator = line.get("comparison_operator") if isinstance(line, Mapping) else None
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, int | float)
        or not abs(threshold) < LARGEST
    ):
        raise InputError(f'constraint "{name}": threshold {threshold!r:.60}; expected a number')
    if operator not in (LESS, GREATER, BOTH):
        raise InputError(
            f'constraint "{name}": comparison_operator {operator!r}; expected {LESS}, {GREATER}, '
            f"or {BOTH}"
        )
    is_two_sided = operator == BOTH
    return Constraint(float(threshold), LESS if is_two_sided else str(operator), is_two_sided)
