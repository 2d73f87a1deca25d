"""What a baseline expects of a model's quality: thresholds, and the reference behind them.

Thresholds come from the document that lies in the baseline, edited or not, also one that SageMaker
wrote; without one they are the reference's own values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from driftline.baseline.answers import Answers, read_answers
from driftline.baseline.outcomes import outcome_classes, probability_classes
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.model_quality.documents import (
    Constraint,
    read_constraints,
    read_statistics,
    suggested,
)
from driftline.monitors.kinds.model_quality.influence import Measure
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.monitors.kinds.model_quality.skill import cluster_rows
from driftline.roles import Problem, Roles


@dataclass(frozen=True)
class Expectation:
    """What a baseline says of model quality."""

    problem: Problem
    roles: Roles
    constraints: Mapping[str, Constraint]
    # The reference's metrics; without variance when only documents tell them.
    measures: Mapping[str, Measure]
    own: frozenset[str]  # Names of the metrics whose threshold was written by hand.
    answers: Answers | None  # The reference's rows, if they are there.
    # The class of each column of probabilities, as far as the reference says.
    chances: Mapping[str, str] = field(default_factory=dict)
    # Classes of the reference's labels and predictions; empty for a regression.
    classes: tuple[str, ...] = ()
    positive_reason: str = ""  # Why the reference's positive class is taken as that.


def expectation(context: CheckContext) -> Expectation:
    """Put together what the baseline says, in rows or in documents."""
    baseline, roles = context.baseline, context.roles
    answers = reference_answers(baseline, roles)
    chances = probability_classes(baseline.signature)
    if answers is not None and roles.problem not in (None, answers.problem):
        answers = None  # The caller asks another question than the reference answers.
    document = baseline.documents.get(QUALITY_CONSTRAINTS)
    problem = answers.problem if answers is not None else roles.problem
    constraints: Mapping[str, Constraint] = {}
    if document is not None:
        written, constraints = read_constraints(document)
        problem = problem or written
        if problem != written:
            raise InputError(
                f"{QUALITY_CONSTRAINTS} is of a {written} problem; the roles say {problem}"
            )
    if problem is None or (answers is None and document is None):
        raise InputError(
            "model quality: the baseline holds no labels and answers, and no thresholds; make it "
            "of rows with label, and prediction or probability"
        )
    measures: Mapping[str, Measure] = {}
    if answers is not None:
        measures = measure_answers(answers, cluster_rows(answers.time_us))
        # Whoever takes all thresholds out of the document wants none.
        constraints = suggested(problem, measures) if document is None else constraints
        if problem == "binary" and roles.positive is None:
            roles = replace(roles, positive=answers.classes[1])
    elif QUALITY_STATISTICS in baseline.documents:
        rows, values = read_statistics(baseline.documents[QUALITY_STATISTICS])
        measures = {name: Measure(value, support=rows) for name, value in values.items()}
    own = frozenset(
        name
        for name, one in constraints.items()
        if name in measures and not math.isclose(measures[name].value, one.threshold, rel_tol=1e-9)
    )
    classes = () if baseline.outcomes is None else outcome_classes(baseline.outcomes)
    reason = baseline.outcomes.reason_of(roles) if baseline.outcomes else ""
    return Expectation(
        problem, roles, constraints, measures, own, answers, chances, classes, reason
    )


def reference_answers(baseline: Baseline, asked: Roles | None = None) -> Answers | None:
    """Read the reference's labelled rows; None when it lacks label or answer.

    What is positive in a window, as `asked` for it, is so in the reference.
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
    return read_answers(outcomes.table, roles, roles.problem, chances=chances)
