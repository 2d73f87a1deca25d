"""What a baseline expects of a model's quality: thresholds, and the reference behind them.

Thresholds come from the baseline's document, edited or not, also one that SageMaker wrote; without
one they are the reference's own values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from driftline.baseline.answers import Answers, read_answers
from driftline.baseline.outcomes import outcome_classes, probability_classes
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.model_quality.costs import COST
from driftline.monitors.kinds.model_quality.documents import (
    GREATER,
    LESS,
    WEIGHTED,
    Constraint,
    read_constraints,
    read_costs,
    read_listed,
    read_statistics,
    require_own_names,
)
from driftline.monitors.kinds.model_quality.measures import Extras
from driftline.monitors.kinds.model_quality.metrics import is_worse_above
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric, stored_metrics
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    PINBALL,
    is_coverage,
    require_no_quantile_names,
)
from driftline.monitors.kinds.model_quality.values import BETAS, Measure
from driftline.monitors.results.violation import percent
from driftline.roles import Problem, Roles
from driftline.stats.intervals import may_lack

# What gets a threshold, in order.
RATES = ("true_positive_rate", "true_negative_rate", "false_positive_rate", "false_negative_rate")
CONSTRAINED: Mapping[Problem, tuple[str, ...]] = {
    "regression": ("mae", "mse", "rmse", "r2"),
    "binary": ("recall", "precision", "accuracy", *RATES, "auc", *BETAS, "brier_skill"),
    "multiclass": ("accuracy", *WEIGHTED, "balanced_accuracy", "accuracy_skill", "brier_skill"),
}


@dataclass(frozen=True)
class Expectation:
    """A baseline's expectations of model quality."""

    problem: Problem
    roles: Roles
    constraints: Mapping[str, Constraint]
    measures: Mapping[str, Measure]  # The reference's metrics.
    own: frozenset[str]  # Names of the metrics whose threshold was written by hand.
    answers: Answers | None  # The reference's rows, if they are there.
    # The class of each column of probabilities, as far as the reference says.
    chances: Mapping[str, str] = field(default_factory=dict)
    # Classes of the reference's labels and predictions; empty for a regression.
    classes: tuple[str, ...] = ()
    positive_reason: str = ""  # Why the reference's positive class is taken as that.
    extras: Extras = field(default_factory=Extras)  # What is measured beside the usual metrics.
    documented: int = 0  # Rows of a reference that is known by its documents alone.

    def only_class(self, answers: Answers) -> str:
        """Return a note that all labels are of one class, more than by chance; else ""."""
        known, labels = self.answers, answers.label
        if known is None or not known.classes or not len(labels) or labels.min() < labels.max():
            return ""
        only, count = answers.classes[int(labels[0])], 0
        if only in known.classes:
            count = int(np.count_nonzero(known.label == known.classes.index(only)))
        if may_lack(len(known) - count, len(known), len(labels)):
            return ""
        return f'all labels are "{only}"; in the reference {percent(count / len(known))} are'


def expectation(context: CheckContext) -> Expectation:
    """Combine the baseline's rows and documents."""
    baseline, roles = context.baseline, context.roles
    answers = reference_answers(baseline, roles)
    chances = probability_classes(baseline.signature)
    if answers is not None and roles.problem not in (None, answers.problem):
        answers = None  # The caller asks another question than the reference answers.
    document = baseline.documents.get(QUALITY_CONSTRAINTS)
    problem = answers.problem if answers is not None else roles.problem
    constraints: Mapping[str, Constraint] = {}
    require_own_names(one.name for one in context.metrics)  # Those of a document are its own.
    listed = () if document is None else read_listed(document)
    functions = stored_metrics(listed, (*baseline.functions, *context.metrics), context.reach)
    if roles.quantiles:
        require_no_quantile_names(one.name for one in functions)
    if document is not None:
        written, constraints = read_constraints(document, [one.name for one in functions])
        problem = problem or written
        if problem != written:
            raise InputError(
                f"{QUALITY_CONSTRAINTS} is of a {written} problem; the roles say {problem}"
            )
    if problem is None or (answers is None and document is None):
        raise InapplicableKindError(
            "model quality: the baseline holds no labels and answers, and no thresholds; make it "
            "of rows with label, and prediction or probability"
        )
    measures: Mapping[str, Measure] = {}
    documented = 0
    costs = context.costs or (None if document is None else read_costs(document))
    extras = Extras.named(constraints, costs, functions)
    if answers is not None:
        measures = extras.measure(answers)
        # Whoever takes all thresholds out of the document wants none.
        constraints = suggested(problem, measures) if document is None else constraints
        settled = () if baseline.outcomes is None else baseline.outcomes.roles.positives
        if document is not None and settled and roles.positives != settled:
            constraints = _of_asked_class(constraints, measures, reference_answers(baseline))
        if problem == "binary" and roles.positive is None:
            roles = replace(roles, positive=answers.classes[1])
    elif QUALITY_STATISTICS in baseline.documents:
        documented, values = read_statistics(baseline.documents[QUALITY_STATISTICS])
        measures = {name: Measure(value) for name, value in values.items()}
    if COST in measures and COST not in constraints and not measures[COST].undefined:
        constraints = {**constraints, COST: Constraint(measures[COST].value, GREATER)}
    constraints = {**constraints, **_of_functions(functions, constraints, measures)}
    own = frozenset(
        name
        for name, one in constraints.items()
        if name in measures and not math.isclose(measures[name].value, one.threshold, rel_tol=1e-9)
    )
    classes = () if baseline.outcomes is None else outcome_classes(baseline.outcomes)
    reason = baseline.outcomes.reason_of(roles) if baseline.outcomes else ""
    return Expectation(
        problem, roles, constraints, measures, own, answers, chances, classes, reason,
        extras, documented,
    )  # fmt: skip


def _of_asked_class(
    constraints: Mapping[str, Constraint],
    measures: Mapping[str, Measure],
    answers: Answers | None,
) -> dict[str, Constraint]:
    """Return the thresholds for another positive class, where they are the reference's own."""
    usual: Mapping[str, Measure] = {} if answers is None else Extras().measure(answers)
    moved = {
        name: replace(one, threshold=measures[name].value)
        for name, one in constraints.items()
        if name in usual
        and math.isclose(usual[name].value, one.threshold, rel_tol=1e-9)
        and not measures[name].undefined
    }
    return {**constraints, **moved}


def _of_functions(
    functions: Sequence[OwnMetric],
    constraints: Mapping[str, Constraint],
    measures: Mapping[str, Measure],
) -> dict[str, Constraint]:
    """Return the reference's values as thresholds of own metrics without a line."""
    found = {}
    for one in functions:
        measure = measures.get(one.name)
        if one.name not in constraints and measure is not None and not measure.undefined:
            operator = LESS if one.is_higher_better else GREATER
            found[one.name] = Constraint(measure.value, operator, one.is_higher_better is None)
    return found


def suggested(problem: Problem, measures: Mapping[str, Measure]) -> dict[str, Constraint]:
    """Return the thresholds of a reference: its own values, as in SageMaker.

    Without probabilities balanced accuracy replaces the area under the curve: both are independent
    of class frequencies.
    """
    names = list(CONSTRAINED[problem])
    if problem == "binary" and "auc" not in measures:
        names.append("balanced_accuracy")
    if problem == "regression":
        names += [name for name in measures if name == PINBALL or is_coverage(name)]
    return {
        name: Constraint(
            measures[name].value, GREATER if is_worse_above(name) else LESS, is_coverage(name)
        )
        for name in names
        if name in measures and not measures[name].undefined
    }


def reference_answers(
    baseline: Baseline, asked: Roles | None = None, *, labelled: Answers | None = None
) -> Answers | None:
    """Read the reference's labelled rows; None when it lacks labels or predictions.

    Positive means the same as in the window (`asked`). With `labelled` rows given, all rows are
    read, for metrics of predictions alone.
    """
    outcomes = baseline.outcomes
    if outcomes is None:
        return None
    roles = outcomes.roles
    if asked is not None and asked.positive is not None:
        roles = replace(roles, positive=asked.positive, also_positive=asked.also_positive)
    if roles.label is None or roles.problem is None:
        return None
    if roles.prediction is None and (not roles.probability or roles.problem == "regression"):
        return None
    chances = probability_classes(baseline.signature)
    read = partial(read_answers, outcomes.table, roles, roles.problem, chances=chances)
    try:
        if labelled is None:
            return read()
        return read(classes=labelled.classes, limits=labelled.limits, any_label=True)
    except InputError as error:
        raise InputError(f"the reference of the baseline: {error}; make it again") from error
