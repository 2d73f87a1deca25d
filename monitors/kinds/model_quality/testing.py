"""Tests a window by the engine: metrics of sums, written thresholds, and the user's functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from driftline.baseline.answers import Answers
from driftline.baseline.times import EPOCH
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.pooling import (
    DAY,
    WindowSums,
    block_length,
    judge_spans,
    judged_spans,
    smallest_p_value,
)
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.threshold_test import Threshold, judge_thresholds
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.metrics import (
    QualityMetrics,
    aliased,
    base_of,
    base_side,
)
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric
from driftline.monitors.kinds.model_quality.own_test import OwnSums
from driftline.monitors.kinds.model_quality.quantile_metrics import PINBALL, widest_interval
from driftline.monitors.kinds.model_quality.sums import QualitySums, time_length
from driftline.monitors.kinds.model_quality.unusable_answers import length_by_times
from driftline.monitors.kinds.model_quality.values import CLASS_METRICS, Measure
from driftline.monitors.results.verdict import span_violations
from driftline.monitors.state import State

SKILL = frozenset(
    {"auc", "balanced_accuracy", "brier_skill", "accuracy_skill", "mae", "mse", "rmse", "r2"}
) | {PINBALL}
# Of more classes those with most rows are shown.
CLASSES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Number:
    """What the engine says of one metric of a window alone."""

    tested: Tested
    # The 95% interval of the reference's own value, as it is shown; NaN without a reference.
    reference: tuple[float, float] = (math.nan, math.nan)
    unbounded: str = ""  # Why neither an interval nor a bound holds.


@dataclass(frozen=True, slots=True)
class TestedWindow:
    """What the engine says of a window."""

    numbers: Mapping[str, Number]  # By metric, as the engine names it.
    # By thresholds that somebody wrote, which then decide: by the constraint's name.
    written: Mapping[str, Tested]
    spans: tuple[int, ...]  # Over how many windows, above one, something was judged.
    pooled: tuple[Tested, ...]  # Violations of several windows together.
    sums: WindowSums | None  # What the window leaves for later ones.


@dataclass(frozen=True, eq=False)
class QualityReference:
    """What a window is compared with, as the engine takes it."""

    metrics: QualityMetrics
    reference: Reference

    @classmethod
    def of(
        cls, expected: Expectation, answers: Answers, block: timedelta | None = None
    ) -> QualityReference:
        """Count a reference's rows in blocks; without, a window's own, which judge nothing."""
        sums = QualitySums.of(answers, expected.extras.costs)
        buckets = sums.by_group(answers)
        metrics = QualityMetrics.of(sums, buckets.sum(axis=0), _class_names(expected, answers))
        if block is None:
            return cls(metrics, Reference(metrics.metric_set({}), buckets))
        judged, days = _judged_sides(expected, metrics), sums.by_block(answers, block)
        return cls(metrics, Reference(metrics.metric_set(judged), buckets, days, block=block))


def shown_ends(known: Reference) -> dict[str, tuple[float, float]]:
    """Return the 95% intervals of a reference's own values, by metric, as they are shown."""
    ends = zip(*intervals(known.value, known.rows, known.support, known), strict=True)
    found = {}
    for metric, pair in zip(known.metrics.metrics, ends, strict=True):
        low, high = sorted(float(metric.form.show(np.array(end))) for end in pair)
        found[metric.name] = low, high
    return found


def judge_window(
    context: CheckContext,
    expected: Expectation,
    answers: Answers,
    measures: Mapping[str, Measure],
    *,
    length: timedelta,
    is_fair: bool,
) -> TestedWindow:
    """Test all metrics, alone and, of fair samples of labels, with earlier windows."""
    reference = kept_reference(context, expected, length)
    known = reference or QualityReference.of(expected, answers)
    start = EPOCH if context.rows.facts is None else context.rows.facts.window.start
    sums = known.metrics.sums
    window = WindowSums(start, start + length, sums.by_group(answers), sums.layout)
    asked = _thresholds(expected, known, window)
    judged = int(known.reference.metrics.is_judged.sum())
    level = context.budget.per_window / max(judged + len(asked), 1)
    past = context.past.sums if is_fair else None
    tested = judge_spans(known.reference, window, past, level=level * max(judged, 1))
    found = judge_thresholds(
        known.reference.metrics,
        window.buckets,
        list(asked.values()),
        level=level * max(len(asked), 1),
        reference=None if reference is None else reference.reference,
    )
    ends = {} if reference is None else shown_ends(reference.reference)
    written = dict(zip(asked, found, strict=True))
    numbers = {one.name: Number(one, ends.get(one.name, (math.nan, math.nan)))
               for one in tested if one.windows == 1}  # fmt: skip
    for one in expected.extras.own:
        if not measures[one.name].undefined:
            numbers[one.name], by_hand = _own_number(context, expected, one, answers, length)
            written |= {} if by_hand is None else {one.name: by_hand}
    kept = replace(window, p_value=smallest_p_value([*tested, *found]))
    return TestedWindow(
        numbers,
        written,
        judged_spans(tested),
        tuple(one for _, one in span_violations(tested, len(known.metrics.names))),
        kept if is_fair and reference is not None else None,
    )


def _own_number(
    context: CheckContext,
    expected: Expectation,
    metric: OwnMetric,
    answers: Answers,
    length: timedelta,
) -> tuple[Number, Tested | None]:
    """Test a metric of the user's own that has a value here, and by a threshold of its own."""
    before, constraint = expected.measures.get(metric.name), expected.constraints.get(metric.name)
    has_reference = expected.answers is not None and before is not None and not before.undefined
    worse = 0
    if constraint is not None and not constraint.is_two_sided:
        worse = -1 if constraint.is_lower else 1
    sums = OwnSums(
        metric, expected.answers if has_reference else None, answers, worse=worse,
        block_us=length // timedelta(microseconds=1),
    )  # fmt: skip
    known, level = sums.reference, context.budget.per_window / max(len(expected.constraints), 1)
    tested = judge(known, sums.buckets, length=1.0, level=level)[0]
    ends, written = (math.nan, math.nan), None
    if has_reference:
        ends = shown_ends(known)[metric.name]
    if constraint is not None and (metric.name in expected.own or not has_reference):
        threshold = constraint.threshold
        side = worse or (1 if tested.value > threshold else -1)
        asked = [Threshold(0, threshold, side)]
        written = judge_thresholds(known.metrics, sums.buckets, asked, level=level)[0]
    return Number(tested, ends, sums.why_unbounded()), written


def window_length(
    context: CheckContext, expected: Expectation, answers: Answers, rows: int
) -> timedelta:
    """Return the window's length; of rows at hand as their times or their number tell."""
    length = context.rows.length or length_by_times(answers.time_us)
    known = expected.answers
    if length is None and known is not None and (span := time_length(known)) is not None:
        length = span * min(1.0, max(rows, 1) / len(known))
    return length or timedelta(days=365.0 / context.budget.windows_per_year)


def kept_reference(
    context: CheckContext, expected: Expectation, length: timedelta
) -> QualityReference | None:
    """Count a reference's rows in blocks for windows of a length, cached; None without any."""
    known = expected.answers
    if known is None or not len(known):
        return None
    block = block_length(length, time_length(known))
    constraints = tuple(sorted((name, repr(one)) for name, one in expected.constraints.items()))
    key = ("quality", context.roles, block, constraints, repr(expected.extras.costs))
    return context.kept(key, lambda: QualityReference.of(expected, known, block))


def findable(
    context: CheckContext, expected: Expectation, rows: int, *, budget: Budget
) -> Iterator[tuple[str, float, float]]:
    """Yield metrics of skill and coverage, the reference's value and the loss that is found.

    Nine in ten windows of a day with `rows` rows would call the latter a violation.
    """
    known = kept_reference(context, expected, DAY)
    if known is None or expected.answers is None:
        return
    buckets = known.reference.buckets * (rows / len(expected.answers))
    tested = judge(known.reference, buckets, length=1.0, level=budget.per_window)
    by_name = {one.name: one for one in tested}
    for name in expected.constraints:
        one = by_name.get(base_of(name)[0])
        if one is None or name in expected.own or one.state != State.JUDGED:
            continue
        if name in SKILL or name == widest_interval(expected.constraints):
            value, least = (aliased(name, number) for number in (one.reference, one.findable))
            yield name, value, least


def _class_names(expected: Expectation, answers: Answers) -> list[tuple[str, str]]:
    """Return the classes to measure alone with their metrics, asked ones and frequent ones."""
    if answers.problem != "multiclass":
        return []
    found = [(name, metric) for name in shown_classes(answers) for metric in CLASS_METRICS]
    asked = [one.rstrip("]").split("[", 1) for one in expected.extras.of_class]
    return list(dict.fromkeys([*found, *((name, metric) for metric, name in asked)]))


def shown_classes(answers: Answers) -> tuple[str, ...]:
    """Return the classes shown alone, in order; none unless there are several."""
    if answers.problem != "multiclass" or not len(answers):
        return ()
    counts = np.bincount(answers.label.astype(np.intp), minlength=len(answers.classes))
    most = np.sort(np.argsort(-counts, kind="stable")[:CLASSES_SHOWN])
    return tuple(answers.classes[one] for one in most)


def _judged_sides(expected: Expectation, metrics: QualityMetrics) -> dict[str, int]:
    """Return the metrics that the reference's value decides, and which way is worse."""
    return {
        base_of(name)[0]: base_side(name, constraint)
        for name, constraint in expected.constraints.items()
        if name not in expected.own
        and base_of(name)[0] in metrics.names
        and not expected.measures[name].undefined
    }


def _thresholds(
    expected: Expectation, known: QualityReference, window: WindowSums
) -> dict[str, Threshold]:
    """Return the thresholds that decide by themselves: written ones, and those of documents."""
    metrics, total = known.reference.metrics.metrics, window.buckets.sum(axis=0)
    places = {metric.name: at for at, metric in enumerate(metrics)}
    functions = {one.name for one in expected.extras.own}
    values, supports = known.metrics.measure(total), known.metrics.support(total)
    found = {}
    for name, constraint in expected.constraints.items():
        is_written = name in expected.own or expected.answers is None
        base, form = base_of(name)
        if not is_written or name in functions or base not in places:
            continue
        at = places[base]
        wanted = float(form.read(np.array(constraint.threshold)))
        above = 1 if metrics[at].form.show(values[at]) > wanted else -1
        support = math.inf
        if name not in expected.own and expected.documented:
            support = expected.documented * float(supports[at] / max(supports.max(), 1.0))
        side = base_side(name, constraint) or above
        found[name] = Threshold(at, wanted, side, max(support, 1.0))
    return found
