"""Violations of model quality in words: for SageMaker's document, and for whoever is woken."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from driftline.formats.json.jackson import java_double
from driftline.monitors.drift_test.significance import blame
from driftline.monitors.kinds.model_quality.answers import Answers
from driftline.monitors.kinds.model_quality.documents import Constraint
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.loss_segments import HOUR
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.violation import Segment, Violation, percent

GUESSING = {
    "brier_skill": "worse than guessing the base rate",
    "accuracy_skill": "worse than always saying the most frequent class",
    "r2": "worse than always saying the mean",
}
# Beside which metric a reader wants to see whether ranking still holds.
RANKING = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}
SHOWN = {"auc": "AUC", "r2": "r2", "accuracy": "accuracy"}


def describe(
    answers: Answers,
    expected: Expectation,
    results: Mapping[str, MetricResult],
    spread: Mapping[str, float],
    *,
    segment: Segment | None,
) -> tuple[Violation, ...]:
    """Make a violation of each violated metric, pages and the strongest evidence first."""
    broken = [one for one in results.values() if one.violated]
    broken.sort(key=lambda one: (one.severity != "page", one.p_value))
    weights = blame({one.name: -math.log(max(one.p_value or 0.0, 1e-300)) for one in broken})
    context = _context(answers, expected, results, segment) if broken else []
    found = []
    for place, one in enumerate(broken):
        constraint = expected.constraints[one.name]
        words = [_words(one, constraint, is_own=one.name in expected.own)]
        if place == 0:  # Once is enough.
            words += [text for name, text in context if name != one.name]
        found.append(
            Violation(
                feature_name=one.name,
                constraint_check_type=constraint.operator,
                description=_description(one, constraint, spread),
                severity=one.severity or "ticket",
                ratio=_ratio(one, constraint),
                share_of_blame=weights[one.name],
                row_count=one.count,
                cause="; ".join(words),
                segment=segment,
                fields={
                    "constraint_check_type": constraint.operator,
                    "description": _description(one, constraint, spread),
                    "metric_name": one.name,
                },
            )
        )
    return tuple(found)


def _description(one: MetricResult, constraint: Constraint, spread: Mapping[str, float]) -> str:
    """Write SageMaker's sentence (model-monitor, section 4.3)."""
    deviation = spread.get(one.name, math.nan)
    shown = java_double(0.0 if math.isnan(deviation) else deviation)
    value, threshold = java_double(one.value or 0.0), java_double(constraint.threshold)
    return f"Metric {one.name} with {value} +/- {shown} was {constraint.operator} '{threshold}'"


def _words(one: MetricResult, constraint: Constraint, *, is_own: bool) -> str:
    assert one.value is not None  # It is violated.
    text = _number(one.value)
    if one.low is not None and one.high is not None:
        text += f" (95 % {_number(one.low)} to {_number(one.high)})"
    if one.value < 0 and one.name in GUESSING:
        return f"{text}, {GUESSING[one.name]}"
    if is_own:
        side = "below" if constraint.is_lower else "above"
        return f"{text}, {side} the threshold {_number(constraint.threshold)}"
    if one.reference is not None:
        return f"{text} where the reference has {_number(one.reference)}"
    return text


def _context(
    answers: Answers,
    expected: Expectation,
    results: Mapping[str, MetricResult],
    segment: Segment | None,
) -> list[tuple[str, str]]:
    """Say what else one would ask first: does ranking hold, has the base rate moved, where."""
    found: list[tuple[str, str]] = []
    name = RANKING[answers.problem]
    ranking = results.get(name)
    if ranking is not None and ranking.value is not None and ranking.reference is not None:
        found.append((name, f"{SHOWN[name]} {_beside(ranking.value, ranking.reference)}"))
    reference = expected.answers
    if answers.problem == "binary" and reference is not None and len(reference):
        now, then = float(np.mean(answers.label == 1)), float(np.mean(reference.label == 1))
        what = f"{expected.roles.label} = {answers.classes[1]}"
        found.append(("", f"{_percent(now)} {what} where the reference has {_percent(then)}"))
    if segment is not None:
        level = f"{segment.level} h" if segment.column == HOUR else f'"{segment.level}"'
        found.append(
            (
                "",
                f"{segment.column} = {level} holds {percent(segment.share_of_culprits)} of the "
                f"excess loss ({percent(segment.share_of_rows)} of the rows)",
            )
        )
    return found


def _beside(value: float, reference: float) -> str:
    shown, usual = _number(value), _number(reference)
    if shown == usual:
        return f"{shown} as in the reference"
    return f"{shown} where the reference has {usual}"


def _number(value: float) -> str:
    """Write a number for people: two decimals below ten, four digits above."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if 0.01 <= share <= 0.99 else percent(share)


def _ratio(one: MetricResult, constraint: Constraint) -> float | None:
    """Give how far the value lies beyond the threshold, in terms of what may be."""
    if one.value is None or one.bound is None or one.bound == constraint.threshold:
        return None
    return abs(one.value - constraint.threshold) / abs(one.bound - constraint.threshold)
