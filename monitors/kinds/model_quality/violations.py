"""Words violations of model-quality metrics, in SageMaker's sentence and in ours.

Ours adds the reference's value, whether ranking still holds, the move of the base rate, and the
segment.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from driftline.baseline.answers import Answers
from driftline.formats.json.jackson import java_double
from driftline.monitors.engine.block_test import Tested
from driftline.monitors.kinds.model_quality.documents import GREATER, LESS, Constraint
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.metrics import ALIASES, base_of
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    interval_words,
    is_coverage,
    is_interval,
    width_of,
)
from driftline.monitors.kinds.model_quality.values import positive_share
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.violation import Violation, percent, share_blame
from driftline.monitors.root_cause.segments import SegmentFinding
from driftline.monitors.state import State

# Of more that say the same, how many they are.
SAME_SHOWN = 3
GUESSING = {
    "brier_skill": "worse than guessing the base rate",
    "accuracy_skill": "worse than always saying the most frequent class",
    "r2": "worse than always saying the mean",
}
# A violation, and its evidence in nats, as `share_blame` takes it.
Evidence = tuple[Violation, float]
LEAST_CHANCE = 1e-300
# Beside which metric a reader wants to see whether ranking still holds.
RANKING = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}
SHOWN = {"auc": "AUC", "r2": "r2", "accuracy": "accuracy"}


def pooled_violations(pooled: Sequence[Tested], results: Mapping[str, Measured]) -> list[Evidence]:
    """Word losses that several windows show together, and the newest does not by itself."""
    found = []
    for one in pooled:
        known = results.get(one.name)
        if known is None or known.violated or known.state == State.UNFAIR_LABELS:
            continue
        low, high = (None if math.isnan(end) else end for end in (one.low, one.high))
        words = (
            f"{_interval(one.value, low, high)} over the last {one.windows} windows where the "
            f"reference has {shown_number(one.reference)}"
        )
        operator, rows = LESS if one.value < one.reference else GREATER, round(one.support)
        violation = _violation(
            one.name, one.value, 0.0, operator, one.reference, row_count=rows, cause=words
        )
        found.append((violation, -math.log(max(one.p_value, LEAST_CHANCE))))
    return found


def describe_violations(
    answers: Answers,
    expected: Expectation,
    results: Mapping[str, Measured],
    spread: Mapping[str, float],
    *,
    place: SegmentFinding,
    also: Sequence[Evidence] = (),
    is_each_told: bool = False,
) -> tuple[Violation, ...]:
    """Make a violation of each violated metric, pages and the strongest evidence first.

    Metrics with the same meaning share one, unless `is_each_told`.
    """
    violated = [result for result in results.values() if result.violated]
    also_told = {} if is_each_told else same_metrics(violated, expected.own)
    broken = [one for one in violated if not any(one in same for same in also_told.values())]
    broken.sort(key=lambda result: (result.severity != "page", result.p_value or 0.0))
    context = _context(answers, expected, results, place) if broken else []
    found = [*also]
    for index, one in enumerate(broken):
        constraint = replace(expected.constraints[one.name], operator=one.operator)
        words = [_words(one, constraint, is_own=one.name in expected.own)]
        if meaning := interval_words(one.name, is_lower=constraint.is_lower):
            words.append(meaning)
        if (width := results.get(width_of(one.name))) is not None and width.value is not None:
            words.append(f"their mean width is {_beside(width.value, width.reference)}")
        if same := also_told.get(one.name):
            words.append(same_words(same))
        if index == 0:  # Once is enough.
            words += [text for name, text in context if name != one.name]
        deviation = spread.get(one.name, math.nan)
        violation = _violation(
            one.name, one.value or 0.0, 0.0 if math.isnan(deviation) else deviation,
            constraint.operator, constraint.threshold, row_count=one.count, cause="; ".join(words),
        )  # fmt: skip
        violation = replace(
            violation, severity=one.severity or "ticket", ratio=_ratio(one, constraint),
            segment=place.segment,
        )  # fmt: skip
        found.append((violation, -math.log(max(one.p_value or 0.0, LEAST_CHANCE))))
    return tuple(sorted(share_blame(found), key=lambda one: one.severity != "page"))


def _violation(
    name: str,
    value: float,
    deviation: float,
    operator: str,
    threshold: float,
    *,
    row_count: int,
    cause: str,
) -> Violation:
    """Make a ticket with SageMaker's sentence (model-monitor, section 4.3)."""
    description = (
        f"Metric {name} with {java_double(value)} +/- {java_double(deviation)} was "
        f"{operator} '{java_double(threshold)}'"
    )
    return Violation(
        feature_name=name,
        constraint_check_type=operator,
        description=description,
        severity="ticket",
        row_count=row_count,
        cause=cause,
        fields={
            "constraint_check_type": operator,
            "description": description,
            "metric_name": name,
        },
    )


def _interval(value: float, low: float | None, high: float | None) -> str:
    text = shown_number(value)
    if low is None or high is None:
        return text
    return f"{text} (95% {shown_number(low)} to {shown_number(high)})"


def _words(one: Measured, constraint: Constraint, *, is_own: bool) -> str:
    assert one.value is not None  # It is violated.
    text = _interval(one.value, one.low, one.high)
    if one.why:
        text += f" ({one.why})"
    if one.value < 0 and one.name in GUESSING:
        return f"{text}, {GUESSING[one.name]}"
    if is_own:
        side = "below" if constraint.is_lower else "above"
        return f"{text}, {side} the threshold {shown_number(constraint.threshold)}"
    if one.reference is not None:
        return f"{text} where the reference has {shown_number(one.reference)}"
    return text


def _context(
    answers: Answers,
    expected: Expectation,
    results: Mapping[str, Measured],
    place: SegmentFinding,
) -> list[tuple[str, str]]:
    """Describe whether ranking still holds, how the base rate moved, and the segment."""
    found: list[tuple[str, str]] = []
    name = RANKING[answers.problem]
    ranking = results.get(name)
    if ranking is not None and ranking.value is not None and ranking.reference is not None:
        found.append((name, f"{SHOWN[name]} {_beside(ranking.value, ranking.reference)}"))
    reference = expected.answers
    if answers.problem == "binary" and reference is not None and len(reference):
        now, then = positive_share(answers) or 0.0, positive_share(reference) or 0.0
        what = f"{expected.roles.label} = {answers.classes[1]}"
        found.append(("", f"{_percent(now)} {what} where the reference has {_percent(then)}"))
    where = place.words if place.segment is None else str(place.segment)
    if where:
        found.append(("", where))
    return found


def _beside(value: float, reference: float | None) -> str:
    shown, usual = shown_number(value), shown_number(reference)
    if reference is None:
        return shown
    if shown == usual:
        return f"{shown} as in the reference"
    return f"{shown} where the reference has {usual}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if 0.01 <= share <= 0.99 else percent(share)


def _ratio(one: Measured, constraint: Constraint) -> float | None:
    """Return the distance from the threshold, relative to the bound's."""
    if one.value is None or one.bound is None or one.bound == constraint.threshold:
        return None
    return abs(one.value - constraint.threshold) / abs(one.bound - constraint.threshold)


def same_metrics(violated: Sequence[Measured], own: Collection[str]) -> dict[str, list[Measured]]:
    """Group violated metrics that say the same; a user's own threshold is always reported."""
    told = [one for one in violated if one.name not in own]
    coverages = sorted(
        (one for one in told if is_coverage(one.name)),
        key=lambda one: (one.severity != "page", not is_interval(one.name), one.p_value or 0.0),
    )
    groups: dict[str, list[Measured]] = {}
    for one in told:
        groups.setdefault(base_of(one.name)[0], []).append(one)
    for group in groups.values():
        group.sort(key=lambda one: (one.severity != "page", one.name in ALIASES))
    return {one[0].name: one[1:] for one in (*groups.values(), coverages) if len(one) > 1}


def same_words(same: Sequence[Measured]) -> str:
    """Name metrics with the same meaning as another, with their values."""
    told = [f"{one.name} {shown_number(one.value)}" for one in same[:SAME_SHOWN]]
    told += [f"{len(same) - SAME_SHOWN} more"] * (len(same) > SAME_SHOWN)
    return f"the same as {' and '.join(told)}"


def shown_number(value: float | None) -> str:
    """Write a number for people: two decimals below ten, four digits above."""
    if value is None:
        return "?"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.4g}"
