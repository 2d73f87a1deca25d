"""Every metric of a window against what is expected of it: violated or not, page or ticket.

A *page* is a loss of skill that no change of the share of positives explains; what moves with that
share alone is a *ticket*. The test of one metric is skill.py's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np

from driftline.baseline.answers import Answers
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.kinds.model_quality.documents import Constraint, is_sagemakers
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.influence import Measure, Scale
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.monitors.kinds.model_quality.skill import (
    DECIDING_CLUSTERS,
    MIN_SUPPORT,
    Blocks,
    Verdict,
    backward,
    cluster_rows,
    forward,
    judge_metric,
    reference_blocks,
    scatter,
    variance_of,
)
from driftline.monitors.results.metric import INSUFFICIENT, UNDEFINED, MetricResult, too_variable
from driftline.monitors.results.violation import Severity, plural
from driftline.stats.blocks import span_length

# What tells skill itself has most of the year's budget: it is what people are woken for.
SKILL_BUDGET = 0.75
SKILL = frozenset(
    {"auc", "balanced_accuracy", "brier_skill", "accuracy_skill", "mae", "mse", "rmse", "r2"}
)
ERRORS = frozenset({"mae", "mse", "rmse"})
# The loss of these is a page below zero: a constant answer would have been better.
BEYOND_GUESSING = frozenset({"brier_skill", "accuracy_skill"})
UNKNOWN = "no such metric of these answers"
# Nine windows in ten lie less far out on one side.
Z90 = 1.2816
# A bound ten times as bad as the reference is none, nor is an AUC that guessing has.
FAR_WORSE = 10.0
GUESSED_AUC = 0.5


@dataclass(frozen=True, slots=True)
class QualityJudgement:
    """What became of a window's metrics."""

    measures: Mapping[str, Measure]
    results: Mapping[str, MetricResult]
    alpha: Mapping[str, float]  # By judged metric: the p-value below which it is a violation.
    # By metric that is too small to judge: rows there are, and rows it takes.
    needed: Mapping[str, str]


def blocks_of(
    reference: Answers | None, answers: Answers, length: timedelta | None
) -> list[Blocks]:
    """Measure the reference in blocks as long as the window."""
    if reference is None or reference.time_us is None or not len(answers):
        return []
    if length is None and answers.time_us is not None:
        length = span_length(int(np.ptp(answers.time_us)))
    elif length is None:
        span = timedelta(microseconds=int(np.ptp(reference.time_us)) + 1)
        length = span * min(1.0, len(answers) / len(reference))
    return reference_blocks(reference, max(1, length // timedelta(microseconds=1)))


def judge_quality(
    expected: Expectation, answers: Answers, blocks: list[Blocks], *, budget: Budget
) -> QualityJudgement:
    """Judge every metric of a window."""
    measures = measure_answers(answers, cluster_rows(answers.time_us))
    days = cluster_rows(answers.time_us, least=DECIDING_CLUSTERS)
    # What windows of the reference do not explain is judged with fewer, longer clusters.
    careful = measure_answers(answers, days)
    alpha = _alpha([name for name in expected.constraints if name in measures], budget)
    results: dict[str, MetricResult] = {}
    broken: set[str] = set()
    rows = len(answers)
    for name, measure in measures.items():
        constraint, reference = expected.constraints.get(name), expected.measures.get(name)
        note = _note(measure, rows, judged=constraint is not None)
        results[name] = _result(name, measure, constraint, reference, rows=rows, note=note)
        if constraint is None or note:
            continue
        judged = partial(
            _verdict, name, expected, blocks, measure, careful[name],
            rows=rows, alpha=alpha[name],
        )  # fmt: skip
        verdict = judged()
        is_bound = partial(_is_bound, name, constraint, measure.scale)
        if not verdict.violated and not is_bound(verdict.bound):
            note = too_variable(rows, partial(_would_bind, judged, is_bound))
            results[name] = replace(results[name], note=note)
            continue
        results[name] = replace(results[name], bound=verdict.bound, p_value=verdict.p_value)
        if verdict.violated:
            broken.add(name)
    for name in broken:
        results[name] = replace(results[name], severity=_severity(name, results))
    for name, constraint in expected.constraints.items():
        if name not in measures:
            results[name] = MetricResult(
                name, None, operator=constraint.operator, note=f"{UNDEFINED}{UNKNOWN}"
            )
    needed = {
        name: _need(measures[name], rows)
        for name, one in results.items()
        if one.note == INSUFFICIENT
    }
    return QualityJudgement(measures, results, alpha, needed)


def judge_thresholds(expected: Expectation, answers: Answers) -> QualityJudgement:
    """Judge a window as SageMaker does: beyond its threshold, by however little, is a violation.

    Without intervals, a smallest number of rows, a budget, or severities; metrics that SageMaker
    does not have are left out, and one that has no value is no violation.
    """
    found = measure_answers(answers, cluster_rows(answers.time_us))
    measures = {name: one for name, one in found.items() if is_sagemakers(name)}
    results = {}
    for name, measure in measures.items():
        constraint, reference = expected.constraints.get(name), expected.measures.get(name)
        note = f"{UNDEFINED}{measure.undefined}" if measure.undefined else ""
        result = _result(name, measure, constraint, reference, rows=len(answers), note=note)
        if constraint is not None and not note:
            is_broken = constraint.is_broken_by(measure.value)
            result = replace(
                result, bound=constraint.threshold, severity="ticket" if is_broken else None
            )
        results[name] = result
    return QualityJudgement(measures, results, {}, {})


def findable(
    expected: Expectation, rows: int, *, budget: Budget
) -> Iterator[tuple[str, float, float]]:
    """Yield each judged metric of skill, its reference's value and one that a window finds.

    That is the value that nine in ten windows of so many rows would call a loss.
    """
    assert expected.answers is not None  # Known by documents alone it tells no spread.
    answers = expected.answers
    blocks = blocks_of(answers, answers, timedelta(days=1))
    alpha = _alpha([name for name in expected.constraints if name in expected.measures], budget)
    for name in (one for one in alpha if one in SKILL):
        measure, constraint = expected.measures[name], expected.constraints[name]
        like = replace(measure, variance=measure.independent, clusters=0)
        like = like.of_more(rows / max(1, len(answers)))
        if _note(like, rows, judged=True):
            continue
        verdict = _verdict(name, expected, blocks, like, like, rows=rows, alpha=alpha[name])
        side = -1.0 if constraint.is_lower else 1.0
        least = forward(verdict.bound, math.inf, like.scale)
        least += side * Z90 * math.sqrt(variance_of(like))
        if _is_bound(name, constraint, like.scale, found := backward(least, like.scale)):
            yield name, measure.value, found


def _alpha(judged: list[str], budget: Budget) -> dict[str, float]:
    """Divide the year's budget among the windows and the judged metrics."""
    each = budget.per_window
    skill = [name for name in judged if name in SKILL]
    others = [name for name in judged if name not in SKILL]
    share = (SKILL_BUDGET if others else 1.0) if skill else 0.0
    return {
        **{name: each * share / len(skill) for name in skill},
        **{name: each * (1.0 - share) / len(others) for name in others},
    }


def _note(measure: Measure, rows: int, *, judged: bool) -> str:
    if rows < MIN_ROWS:
        return INSUFFICIENT
    if measure.undefined:
        return f"{UNDEFINED}{measure.undefined}"
    return INSUFFICIENT if judged and measure.support < MIN_SUPPORT else ""


def _need(measure: Measure, rows: int) -> str:
    if rows < MIN_ROWS:
        return f"{MIN_ROWS} labelled rows with an answer; there are {rows}"
    return f"{plural(MIN_SUPPORT, 'row')} that it rests on; there are {measure.support:.0f}"


def _result(
    name: str,
    measure: Measure,
    constraint: Constraint | None,
    reference: Measure | None,
    *,
    rows: int,
    note: str,
) -> MetricResult:
    """Put the numbers of one metric together, not judged yet."""
    low, high = measure.interval if measure.support else (math.nan, math.nan)
    known = reference is not None and reference.variance > 0
    bottom, top = reference.interval if reference and known else (math.nan, math.nan)
    return MetricResult(
        name=name,
        value=_known(measure.value),
        low=_known(low),
        high=_known(high),
        unbounded=measure.unbounded,
        reference=_known(reference.value) if reference else None,
        reference_low=_known(bottom),
        reference_high=_known(top),
        operator=constraint.operator if constraint else "",
        count=round(measure.support) or rows,
        note=note,
    )


def _verdict(
    name: str,
    expected: Expectation,
    blocks: list[Blocks],
    measure: Measure,
    careful: Measure,
    *,
    rows: int,
    alpha: float,
    more: float = 1.0,
) -> Verdict:
    """Judge a metric, or what `more` times the rows of the same value would come to."""
    constraint, reference = expected.constraints[name], expected.measures.get(name)
    found, is_own = None, name in expected.own
    if reference is not None and blocks and not is_own:
        found = scatter(blocks, name, is_lower=constraint.is_lower)
    if reference is not None and not reference.variance:
        # Of a document the rows are known, not on how many of them each metric rests.
        share = measure.support / rows
        reference = replace(reference, support=reference.support * share)
    return judge_metric(
        (measure if found is not None else careful).of_more(more),
        constraint,
        reference=reference if reference and reference.support else None,
        blocks=found,
        is_own=is_own,
        alpha=alpha,
    )


def _would_bind(
    judged: Callable[..., Verdict], is_bound: Callable[[float], bool], more: float
) -> bool:
    """Whether so many times the rows would be a violation, or have a bound that one can be."""
    verdict = judged(more=more)
    return verdict.violated or is_bound(verdict.bound)


def _is_bound(name: str, constraint: Constraint, scale: Scale, bound: float) -> bool:
    """Whether anything could break a bound: an answer by chance, or one ten times as bad."""
    threshold = constraint.threshold
    if name == "auc" and threshold > GUESSED_AUC:
        return bound > GUESSED_AUC
    if scale == "skill" or (scale != "error" and not constraint.is_lower):
        # What is left of a skill, and of a share of mistakes, is measured from the other end.
        left, allowed = 1.0 - threshold, 1.0 - bound
        return allowed < left * FAR_WORSE if scale == "skill" else allowed > left / FAR_WORSE
    return bound > threshold / FAR_WORSE if constraint.is_lower else bound < threshold * FAR_WORSE


def _severity(name: str, results: Mapping[str, MetricResult]) -> Severity:
    """Return "page" for lost skill, "ticket" for what another share of positives explains."""
    value = results[name].value
    is_negative = value is not None and value < 0
    if name in ("auc", "balanced_accuracy"):
        return "page"
    if name in BEYOND_GUESSING:
        return "page" if is_negative else "ticket"
    if name == "r2" or name in ERRORS:
        # Labels that spread wider make errors larger, and labels that spread less make r2 smaller;
        # both together are a worse model.
        others = ERRORS if name == "r2" else {"r2"}
        worse = any(_is_worse(results[other]) for other in others)
        return "page" if worse or (name == "r2" and is_negative) else "ticket"
    return "ticket"


def _is_worse(result: MetricResult) -> bool:
    """Whether a metric is worse than the reference's, whatever chance says."""
    if result.value is None or result.reference is None:
        return False
    if result.operator == "LessThanThreshold":
        return result.value < result.reference
    return result.value > result.reference


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
