"""Judges every metric of a window by the engine: violated or not, page or ticket.

A *page* is a loss of skill that no change of the share of positives explains; a metric that only
moves with that share is a *ticket*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

import numpy as np

from driftline.baseline.answers import Answers
from driftline.baseline.times import EPOCH
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.metric import Array
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
from driftline.monitors.kinds.model_quality.documents import GREATER, LESS, is_sagemakers
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.measures import NEGATIVE, POSITIVE, measure_classes
from driftline.monitors.kinds.model_quality.metrics import (
    ALIASES,
    QualityMetrics,
    base_of,
    judged_sides,
    tested_value,
)
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric
from driftline.monitors.kinds.model_quality.own_test import OwnTest, own_test
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    PINBALL,
    covers_less,
    widest_interval,
)
from driftline.monitors.kinds.model_quality.sums import QualitySums, time_length
from driftline.monitors.kinds.model_quality.unusable_answers import length_by_times
from driftline.monitors.kinds.model_quality.values import (
    CLASS_METRICS,
    Measure,
    effective_rows,
)
from driftline.monitors.results.label_sample import LabelSample
from driftline.monitors.results.metric import (
    INSUFFICIENT,
    TOO_VARIABLE,
    UNBOUNDED,
    UNDEFINED,
    UNFAIR_LABELS,
    MetricResult,
)
from driftline.monitors.results.violation import Severity, plural

SKILL = frozenset(
    {"auc", "balanced_accuracy", "brier_skill", "accuracy_skill", "mae", "mse", "rmse", "r2"}
) | {PINBALL}
ERRORS = frozenset({"mae", "mse", "rmse", PINBALL})
# The loss of these is a page below zero: a constant answer would have been better.
BEYOND_GUESSING = frozenset({"brier_skill", "accuracy_skill"})
# Metrics that a reader misses where the reference has no value of them.
EXPECTED = SKILL | {"accuracy", "precision", "recall", "f0_5", "f1", "f2"}
UNKNOWN = "no such metric of these answers"
FEW_MAKE_IT = f"{UNBOUNDED}a few of them make most of its variance"
# Of more classes those with most rows are shown.
CLASSES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class QualityJudgement:
    """The judgement of a window's metrics."""

    measures: Mapping[str, Measure]
    results: Mapping[str, MetricResult]
    alpha: Mapping[str, float] = field(default_factory=dict)  # The p-value of a violation, by name.
    # By metric that is too small to judge: rows there are, and rows it takes.
    needed: Mapping[str, str] = field(default_factory=dict)
    # Metrics beyond their bounds that are not judged, since their labels are no fair sample.
    withheld: tuple[str, ...] = ()
    pooled: tuple[Tested, ...] = ()  # Violations of several windows together.
    sums: WindowSums | None = None  # What the window leaves for later ones.
    parts: tuple[MetricResult, ...] = ()  # Single classes.
    errors: Mapping[str, float] = field(default_factory=dict)  # Of the user's own metrics.
    spans: tuple[int, ...] = ()  # Over how many windows, above one, something was judged.


@dataclass(frozen=True, eq=False)
class QualityReference:
    """A reference's rows as the engine takes them, for windows of one length."""

    metrics: QualityMetrics
    reference: Reference
    row_count: int

    @classmethod
    def of(cls, expected: Expectation, block: timedelta) -> QualityReference | None:
        """Count a reference's rows; None where there are none."""
        answers = expected.answers
        if answers is None or not len(answers):
            return None
        sums = QualitySums.of(answers, expected.extras.costs)
        buckets = sums.by_group(answers)
        shown = _class_names(expected, answers)
        metrics = QualityMetrics.of(sums, buckets.sum(axis=0), shown)
        days = sums.by_block(answers, block // timedelta(microseconds=1))
        judged = _judged_sides(expected, metrics)
        return cls(
            metrics, Reference(metrics.metric_set(judged), buckets, days, block=block), len(answers)
        )

    @cached_property
    def ends(self) -> tuple[Array, Array]:
        """The 95% intervals of the reference's own values, in their tested form."""
        known = self.reference
        return intervals(known.value, known.rows, known.support, known)


def judge_quality(
    context: CheckContext,
    expected: Expectation,
    answers: Answers,
    sample: LabelSample,
    *,
    length: timedelta,
) -> QualityJudgement:
    """Judge every metric of a window of some length; labels must be a fair `sample`."""
    measures = expected.extras.measure(answers)
    known = kept_reference(context, expected, length)
    if known is None:
        known = _without_reference(expected, answers)
    is_fair = len(answers) > 0 and not sample.is_unfair(violated=False)
    window = _window_sums(context, known, answers, length)
    tested, written = _tested(context, expected, known, window, is_fair=is_fair)
    own = _own_tests(context, expected, answers, measures, length)
    single = {one.name: one for one in tested if one.windows == 1}
    results = _results(expected, known, answers, measures, single, written, own)
    results, withheld = _without_unfair(results, sample)
    for name in [name for name, one in results.items() if one.violated]:
        results[name] = replace(results[name], severity=_severity(name, results))
    for name, constraint in expected.constraints.items():
        if name not in measures:
            note = f"{UNDEFINED}{UNKNOWN}"
            results[name] = MetricResult(name, operator=constraint.operator, note=note)
    few = {name for name, one in results.items() if one.note == INSUFFICIENT}
    need = f"{MIN_ROWS} labelled rows with an answer; there are {_worth(answers):.0f}"
    judged = sum(one.state == "judged" for one in (*single.values(), *written.values()))
    level = context.budget.per_window / max(judged, 1)
    kept = replace(window, p_value=smallest_p_value([*tested, *written.values()]))
    return QualityJudgement(
        measures,
        results,
        {name: level for name, one in results.items() if one.judged},
        dict.fromkeys(few, need),
        withheld,
        tuple(one for one in tested if one.windows > 1 and one.violated),
        kept if is_fair and expected.answers is not None else None,
        _part_results(expected, known, answers, single),
        {name: one.error for name, one in own.items()},
        judged_spans(tested),
    )


def judge_compat(expected: Expectation, answers: Answers) -> QualityJudgement:
    """Judge a window as SageMaker does: any value beyond its threshold is a violation.

    No intervals, smallest number of rows, budget or severities. Metrics that SageMaker does not
    have are left out, and one without a value is no violation.
    """
    found = expected.extras.measure(answers)
    measures = {name: one for name, one in found.items() if is_sagemakers(name)}
    results = {}
    for name, measure in measures.items():
        constraint = expected.constraints.get(name)
        result = _plain_result(name, measure, expected, len(answers))
        if constraint is not None and not result.note:
            is_broken = constraint.is_broken_by(measure.value)
            result = replace(
                result, bound=constraint.threshold, severity="ticket" if is_broken else None
            )
        results[name] = result
    return QualityJudgement(measures, results)


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
    """Count a reference's rows in blocks for windows of a length, cached between windows."""
    known = expected.answers
    block = block_length(length, None if known is None else time_length(known))
    constraints = tuple(sorted((name, repr(one)) for name, one in expected.constraints.items()))
    key = ("quality", context.roles, block, constraints, repr(expected.extras.costs))
    return context.kept(key, lambda: QualityReference.of(expected, block))


def findable(
    context: CheckContext, expected: Expectation, rows: int, *, budget: Budget
) -> Iterator[tuple[str, float, float]]:
    """Yield metrics of skill and coverage, the reference's value and the loss that is found.

    Nine in ten windows of a day with `rows` rows would call the latter a violation.
    """
    known = kept_reference(context, expected, DAY)
    if known is None:
        return
    buckets = known.reference.buckets * (rows / known.row_count)
    tested = judge(known.reference, buckets, length=1.0, level=budget.per_window)
    by_name = {one.name: one for one in tested}
    for name in expected.constraints:
        one = by_name.get(base_of(name))
        if one is None or name in expected.own or one.state != "judged":
            continue
        if name in SKILL or name == widest_interval(expected.constraints):
            value, least = (_aliased(name, number) for number in (one.reference, one.findable))
            yield name, value, least


def reference_note(expected: Expectation) -> str:
    """Return a note on the metrics without a reference value, which are not judged."""
    reasons = dict[str, list[str]]()
    for name, one in expected.measures.items():
        if one.undefined and name in EXPECTED:
            reasons.setdefault(_of_classes(one.undefined, expected), []).append(name)
    parts = [f"{', '.join(names)} ({why})" for why, names in reasons.items()]
    return f"not judged, as the reference has no value of it: {'; '.join(parts)}" if parts else ""


def _of_classes(why: str, expected: Expectation) -> str:
    """Describe what the reference lacks, by label and class, in the user's terms."""
    if expected.answers is None or why not in (POSITIVE, NEGATIVE):
        return why
    label, positive = expected.roles.label, expected.answers.classes[1]
    return f'{"no" if why == POSITIVE else "every"} label "{label}" is "{positive}"'


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
    names = [
        name
        for name in expected.constraints
        if name not in expected.own
        and base_of(name) in metrics.names
        and not expected.measures[name].undefined
    ]
    return judged_sides(names, {name: expected.constraints[name].is_lower for name in names})


def _without_reference(expected: Expectation, answers: Answers) -> QualityReference:
    """Return the window's own sums where a reference is known by documents alone."""
    sums = QualitySums.of(answers, expected.extras.costs)
    buckets = sums.by_group(answers)
    metrics = QualityMetrics.of(sums, buckets.sum(axis=0), _class_names(expected, answers))
    return QualityReference(metrics, Reference(metrics.metric_set({}), buckets), len(answers))


def _window_sums(
    context: CheckContext, known: QualityReference, answers: Answers, length: timedelta
) -> WindowSums:
    window = None if context.rows.facts is None else context.rows.facts.window
    start = EPOCH if window is None else window.start
    buckets = known.metrics.sums.by_group(answers)
    layout = known.metrics.sums.layout
    return WindowSums(start, start + length, buckets, layout)


def _tested(
    context: CheckContext,
    expected: Expectation,
    known: QualityReference,
    window: WindowSums,
    *,
    is_fair: bool,
) -> tuple[list[Tested], dict[str, Tested]]:
    """Test all metrics of sums, alone and with earlier windows; then written thresholds by name."""
    metric_set = known.reference.metrics
    asked = _thresholds(expected, known, window)
    judged = int(metric_set.is_judged.sum())
    level = context.budget.per_window / max(judged + len(asked), 1)
    past = context.past.sums if is_fair else None
    tested = judge_spans(known.reference, window, past, level=level * max(judged, 1))
    written = judge_thresholds(
        metric_set,
        window.buckets,
        list(asked.values()),
        level=level * max(len(asked), 1),
        reference=None if expected.answers is None else known.reference,
    )
    return tested, dict(zip(asked, written, strict=True))


def _thresholds(
    expected: Expectation, known: QualityReference, window: WindowSums
) -> dict[str, Threshold]:
    """Return the thresholds that decide by themselves: written ones, and those of documents."""
    found, names = {}, [metric.name for metric in known.reference.metrics.metrics]
    functions = {one.name for one in expected.extras.own}
    total = window.buckets.sum(axis=0)
    values, supports = known.metrics.measure(total), known.metrics.support(total)
    for name, constraint in expected.constraints.items():
        is_written = name in expected.own or expected.answers is None
        if not is_written or name in functions or base_of(name) not in names:
            continue
        at = names.index(base_of(name))
        wanted = tested_value(name, constraint.threshold)
        side = judged_sides([name], {name: constraint.is_lower})[base_of(name)]
        if constraint.is_two_sided:
            side = 1 if values[at] > wanted else -1
        support = math.inf
        if name not in expected.own and expected.documented:
            support = expected.documented * float(supports[at] / max(supports.max(), 1.0))
        found[name] = Threshold(at, wanted, side, max(support, 1.0))
    return found


def _own_tests(
    context: CheckContext,
    expected: Expectation,
    answers: Answers,
    measures: Mapping[str, Measure],
    length: timedelta,
) -> dict[str, OwnTest]:
    """Test the user's own metrics that have a value here and in the reference."""
    functions: Sequence[OwnMetric] = expected.extras.own
    level = context.budget.per_window / max(len(expected.constraints), 1)
    found = {}
    for one in functions:
        known = expected.measures.get(one.name)
        constraint = expected.constraints.get(one.name)
        if measures[one.name].undefined:
            continue
        has_reference = known is not None and not known.undefined and expected.answers is not None
        worse = 0
        if constraint is not None and not constraint.is_two_sided:
            worse = -1 if constraint.is_lower else 1
        is_written = constraint is not None and (one.name in expected.own or not has_reference)
        found[one.name] = own_test(
            one,
            expected.answers if has_reference else None,
            answers,
            worse=worse,
            level=level,
            block_us=length // timedelta(microseconds=1),
            threshold=constraint.threshold if constraint is not None and is_written else None,
        )
    return found


def _results(
    expected: Expectation,
    known: QualityReference,
    answers: Answers,
    measures: Mapping[str, Measure],
    tested: Mapping[str, Tested],
    written: Mapping[str, Tested],
    own: Mapping[str, OwnTest],
) -> dict[str, MetricResult]:
    """Build the result of each metric, in the order of the measures."""
    results = {}
    for name, measure in measures.items():
        result = _plain_result(name, measure, expected, len(answers))
        base = tested.get(base_of(name))
        if name in own:
            result = _own_result(result, own[name])
            one = own[name].tested
        else:
            if base is not None and not measure.undefined:
                result = _with_numbers(
                    result, name, base, known, has_reference=bool(expected.answers)
                )
            one = written.get(name, base)
        if name in expected.constraints and not result.note:
            result = _decided(result, name, one, expected, _worth(answers))
        elif name in {each.name for each in expected.extras.own} and not result.note:
            result = _without_threshold(result, expected.measures.get(name))
        if base is not None and one is base and result.bound is not None:
            result = replace(result, bound=result.bound + _moved(name, result, base))
        results[name] = result
    return results


def _plain_result(name: str, measure: Measure, expected: Expectation, rows: int) -> MetricResult:
    """Build a result of the value alone."""
    reference, constraint = expected.measures.get(name), expected.constraints.get(name)
    return MetricResult(
        name=name,
        value=_known(measure.value),
        reference=_known(reference.value) if reference else None,
        operator=constraint.operator if constraint else "",
        count=rows,
        note=f"{UNDEFINED}{measure.undefined}" if measure.undefined else "",
    )


def _with_numbers(
    result: MetricResult, name: str, one: Tested, known: QualityReference, *, has_reference: bool
) -> MetricResult:
    """Add the interval, the rows that the metric rests on, and the reference's interval."""
    moved = _moved(name, result, one)
    low, high = sorted((_aliased(name, one.low) + moved, _aliased(name, one.high) + moved))
    least = most = math.nan
    if has_reference:
        names = [metric.name for metric in known.reference.metrics.metrics]
        at = names.index(one.name)
        show = known.reference.metrics.metrics[at].show
        ends = [float(show(np.array(end[at]))) for end in known.ends]
        least, most = sorted(_aliased(name, end) for end in ends)
    return replace(
        result,
        low=_known(low),
        high=_known(high),
        reference_low=_known(least),
        reference_high=_known(most),
        count=round(one.support),
        unbounded=FEW_MAKE_IT if math.isnan(low) and one.support > 0 else "",
    )


def _moved(name: str, result: MetricResult, one: Tested) -> float:
    """Return what lies between a shown value and the one that is tested.

    Brier skill is tested at the reference's share of positives, an area by bins of the scores.
    Limits and bounds move along, so that they stand to the shown value as they did to the tested.
    """
    return 0.0 if result.value is None else result.value - _aliased(name, one.value)


def _own_result(result: MetricResult, own: OwnTest) -> MetricResult:
    note = result.note
    if not note and own.unbounded:
        note = f"{TOO_VARIABLE}{own.unbounded}"
    return replace(
        result,
        low=_known(own.low),
        high=_known(own.high),
        reference_low=_known(own.reference_low),
        reference_high=_known(own.reference_high),
        unbounded=own.unbounded,
        note=note,
    )


def _decided(
    result: MetricResult, name: str, one: Tested | None, expected: Expectation, rows: float
) -> MetricResult:
    """Add bound, p-value and whether it is violated; or why it is not judged."""
    if rows < MIN_ROWS:
        return replace(result, note=INSUFFICIENT)
    reference = expected.measures.get(name)
    is_own = name in expected.own
    if one is None or (one.state == "undefined" and not is_own):
        why = reference.undefined if reference is not None else ""
        return replace(result, note=f"{UNDEFINED}in the reference: {why or UNKNOWN}")
    if not is_own and expected.answers is not None and len(expected.answers) < MIN_ROWS:
        return replace(result, note=_short_reference(expected.answers))
    if one.state != "judged":
        if name in SKILL and reference is not None and reference.value == 1.0:
            return replace(result, note=f"{TOO_VARIABLE}the reference has no error")
        return replace(result, note=_why_not(one))
    bound = _aliased(name, one.bound)
    constraint = expected.constraints[name]
    operator = constraint.operator
    if constraint.is_two_sided:
        operator = LESS if (result.value or 0.0) < constraint.threshold else GREATER
    if not math.isfinite(bound):
        return replace(result, note=_why_not(one))
    return replace(
        result,
        bound=bound,
        operator=operator,
        p_value=_known(one.p_value),
        severity="ticket" if one.violated else None,
    )


def _worth(answers: Answers) -> float:
    """Return how many rows of equal weight the rows are worth."""
    return float(len(answers)) if answers.weight is None else effective_rows(answers.weight)


def _why_not(one: Tested) -> str:
    """Return why a number is not testable, with the rows that would do."""
    if not one.support:
        return INSUFFICIENT
    if math.isfinite(one.needed):
        return f"{TOO_VARIABLE}about {one.needed:,.0f} rows that it rests on would do"
    return f"{TOO_VARIABLE}no number of rows would do, only a longer reference or longer windows"


def _short_reference(answers: Answers) -> str:
    left = (
        (answers.unanswered, "without a prediction"),
        (answers.impossible, "whose prediction no metric can use"),
        (answers.unfit, "whose label no metric can use"),
    )
    words = ", ".join(f"{count:,} {why}" for count, why in left if count)
    return (
        f"{TOO_VARIABLE}the reference has {plural(len(answers), 'row')} of use"
        f"{f' beside {words}' * bool(words)}, {MIN_ROWS} are needed; make the baseline again of "
        "more rows with label and prediction"
    )


def _without_threshold(result: MetricResult, reference: Measure | None) -> MetricResult:
    """Note why a requested metric is not judged: it failed, here or on the reference."""
    why = reference.undefined if reference is not None else "a reference of documents alone"
    return replace(result, operator=GREATER, note=f"{UNDEFINED}in the reference: {why}")


def _without_unfair(
    results: dict[str, MetricResult], sample: LabelSample
) -> tuple[dict[str, MetricResult], tuple[str, ...]]:
    """Leave metrics unjudged whose labels are no fair sample; also return the violated ones."""
    found, withheld = dict(results), []
    for name, one in results.items():
        if one.judged and sample.is_unfair(violated=one.violated):
            withheld += [name] * one.violated
            note = f"{UNFAIR_LABELS}{sample.words}"
            found[name] = replace(one, bound=None, p_value=None, severity=None, note=note)
    return found, tuple(withheld)


def _part_results(
    expected: Expectation,
    known: QualityReference,
    answers: Answers,
    tested: Mapping[str, Tested],
) -> tuple[MetricResult, ...]:
    """Return each class without a threshold of its own, with the reference's value."""
    names = [f"{metric}[{label}]" for label in shown_classes(answers) for metric in CLASS_METRICS]
    found, reference = [], dict[str, Measure]()
    if expected.answers is not None:
        reference = measure_classes(expected.answers, names)
    for name, measure in measure_classes(answers, names).items():
        if name in expected.constraints:
            continue
        result = _plain_result(name, measure, expected, len(answers))
        one, before = tested.get(name), reference.get(name)
        if one is not None and not measure.undefined:
            result = _with_numbers(
                result, name, one, known, has_reference=expected.answers is not None
            )
        value = None if before is None else _known(before.value)
        metric, _, label = name.removesuffix("]").partition("[")
        found.append(replace(result, name=metric, label=label, reference=value))
    return tuple(found)


def _severity(name: str, results: Mapping[str, MetricResult]) -> Severity:
    """Return "page" for lost skill, "ticket" for what a moved share of positives explains."""
    value = results[name].value
    is_negative = value is not None and value < 0
    if name in ("auc", "balanced_accuracy"):
        return "page"
    if name in BEYOND_GUESSING:
        return "page" if is_negative else "ticket"
    if name == "r2" or name in ERRORS:
        # Labels that spread wider make errors larger, and labels that spread less make r2 smaller;
        # both together are a worse model.
        others = ERRORS & {*results} if name == "r2" else {"r2"} & {*results}
        worse = any(_is_worse(results[other]) for other in others)
        return "page" if worse or (name == "r2" and is_negative) else "ticket"
    return "page" if covers_less(results[name], results) else "ticket"


def _is_worse(result: MetricResult) -> bool:
    """Whether a metric is worse than the reference's, regardless of chance."""
    if result.value is None or result.reference is None:
        return False
    if result.operator == LESS:
        return result.value < result.reference
    return result.value > result.reference


def _aliased(name: str, value: float) -> float:
    """Convert the displayed value of a base metric to that of one that says the same."""
    return ALIASES[name].of(value) if name in ALIASES else value


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
