"""Words what the engine says of each metric of a window: violated or not, page or ticket.

A *page* is a loss of skill that no change of the share of positives explains; a metric that only
moves with that share is a *ticket*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from driftline.baseline.answers import Answers
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.engine.block_test import Tested
from driftline.monitors.engine.pooling import WindowSums
from driftline.monitors.kinds.model_quality.documents import LESS, is_sagemakers
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.measures import NEGATIVE, POSITIVE, measure_classes
from driftline.monitors.kinds.model_quality.metrics import aliased, base_of
from driftline.monitors.kinds.model_quality.quantile_metrics import PINBALL, covers_less
from driftline.monitors.kinds.model_quality.testing import (
    SKILL,
    Number,
    TestedWindow,
    judge_window,
    shown_classes,
)
from driftline.monitors.kinds.model_quality.values import CLASS_METRICS, Measure, effective_rows
from driftline.monitors.results.label_sample import LabelSample
from driftline.monitors.results.measured import UNBOUNDED, Measured
from driftline.monitors.results.verdict import with_intervals, with_verdict
from driftline.monitors.results.violation import Severity, plural
from driftline.monitors.state import State

ERRORS = frozenset({"mae", "mse", "rmse", PINBALL})
# The loss of these is a page below zero: a constant answer would have been better.
BEYOND_GUESSING = frozenset({"brier_skill", "accuracy_skill"})
# Metrics that a reader misses where the reference has no value of them.
EXPECTED = SKILL | {"accuracy", "precision", "recall", "f0_5", "f1", "f2"}
UNKNOWN = "no such metric of these answers"
FEW_MAKE_IT = f"{UNBOUNDED}a few of them make most of its variance"


@dataclass(frozen=True, slots=True)
class QualityJudgement:
    """The judgement of a window's metrics."""

    measures: Mapping[str, Measure]
    results: Mapping[str, Measured]
    alpha: float = 0.0  # The p-value of a violation; 0 where nothing is judged.
    # Metrics beyond their bounds that are not judged, since their labels are no fair sample.
    withheld: tuple[str, ...] = ()
    pooled: tuple[Tested, ...] = ()  # Violations of several windows together.
    sums: WindowSums | None = None  # What the window leaves for later ones.
    parts: tuple[Measured, ...] = ()  # Single classes.
    spans: tuple[int, ...] = ()  # Over how many windows, above one, something was judged.


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
    is_fair = len(answers) > 0 and not sample.is_unfair(violated=False)
    window = judge_window(context, expected, answers, measures, length=length, is_fair=is_fair)
    results = {
        name: _result(name, measure, expected, answers, window)
        for name, measure in measures.items()
    }
    results, withheld = _without_unfair(results, sample)
    for name in [name for name, one in results.items() if one.violated]:
        results[name] = replace(results[name], severity=_severity(name, results))
    for name, constraint in expected.constraints.items():
        if name not in measures:
            results[name] = Measured(
                name, operator=constraint.operator, state=State.UNDEFINED, why=UNKNOWN
            )
    own = {one.name for one in expected.extras.own}
    numbers = {name: one.tested for name, one in window.numbers.items()}
    judged = sum(one.state == State.JUDGED and name not in own
                 for each in (numbers, window.written) for name, one in each.items())  # fmt: skip
    level = context.budget.per_window / max(judged, 1)
    return QualityJudgement(
        measures,
        results,
        level if any(one.judged for one in results.values()) else 0.0,
        withheld,
        window.pooled,
        window.sums,
        _part_results(expected, answers, window.numbers),
        window.spans,
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
        if constraint is not None and not measure.undefined:
            is_broken = constraint.is_broken_by(measure.value)
            result = replace(
                result, bound=constraint.threshold,
                severity="ticket" if is_broken else None,
            )  # fmt: skip
        results[name] = result
    return QualityJudgement(measures, results)


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


def _result(
    name: str, measure: Measure, expected: Expectation, answers: Answers, window: TestedWindow
) -> Measured:
    """Return the result of one metric."""
    result = _plain_result(name, measure, expected, len(answers))
    number = window.numbers.get(base_of(name)[0])
    if measure.undefined:
        return result
    shown = None
    if number is not None:
        shown = _as_shown(name, number.tested, measure.value)
        result = _with_number(result, shown, number)
    if name not in expected.constraints:
        if any(one.name == name for one in expected.extras.own) and not result.state.is_unjudged:
            return _without_threshold(result, expected.measures.get(name))
        return result
    if result.state.is_unjudged:
        return result
    if name in window.written:
        shown = _as_shown(name, window.written[name])
    return _decided(result, shown, expected, _worth(answers))


def _plain_result(name: str, measure: Measure, expected: Expectation, rows: int) -> Measured:
    """Build a result of the value alone."""
    reference, constraint = expected.measures.get(name), expected.constraints.get(name)
    return Measured(
        name=name,
        value=_known(measure.value),
        reference=_known(reference.value) if reference else None,
        operator=constraint.operator if constraint else "",
        count=rows,
        state=State.UNDEFINED if measure.undefined and constraint else State.SHOWN,
        why=measure.undefined,
    )


def _with_number(result: Measured, shown: Tested, number: Number) -> Measured:
    """Add the interval, the rows that the metric rests on, and the reference's interval."""
    if number.unbounded:
        return replace(result, state=State.TOO_VARIABLE, why=f"{UNBOUNDED}{number.unbounded}")
    ends = sorted(aliased(result.name, end) for end in number.reference)
    is_open = math.isnan(shown.low) and shown.support > 0
    result = replace(result, count=round(shown.support), why=FEW_MAKE_IT if is_open else "")
    return with_intervals(result, (shown.low, shown.high, *ends))


def _as_shown(name: str, one: Tested, value: float = math.nan) -> Tested:
    """Return what was tested of a base metric as the numbers of one that says the same.

    Brier skill is tested at the reference's share of positives, an area by bins of the scores.
    Limits and bounds move along with the `value` shown, so that they stand to it as they did to the
    tested one.
    """
    moved = np.nan_to_num(value - aliased(name, one.value))
    low, high = sorted(aliased(name, end) + moved for end in (one.low, one.high))
    return replace(
        one, low=low, high=high, reference=aliased(name, one.reference),
        bound=aliased(name, one.bound) + moved,
    )  # fmt: skip


def _decided(result: Measured, one: Tested | None, expected: Expectation, rows: float) -> Measured:
    """Add bound, p-value and whether it is violated; or why it is not judged."""
    if rows < MIN_ROWS:
        return replace(result, state=State.INSUFFICIENT, why="")
    name = result.name
    reference, is_own = expected.measures.get(name), name in expected.own
    if not is_own and expected.answers is not None and len(expected.answers) < MIN_ROWS:
        return replace(result, state=State.TOO_VARIABLE, why=_short_reference(expected.answers))
    why = reference.undefined if reference is not None else ""
    result = with_verdict(result, one, undefined=f"in the reference: {why or UNKNOWN}")
    if result.state == State.TOO_VARIABLE and name in SKILL and result.reference == 1.0:
        return replace(result, why="the reference has no error")
    if result.judged and not expected.constraints[name].is_two_sided:
        return replace(result, operator=expected.constraints[name].operator)
    return result


def _worth(answers: Answers) -> float:
    """Return how many rows of equal weight the rows are worth."""
    return float(len(answers)) if answers.weight is None else effective_rows(answers.weight)


def _short_reference(answers: Answers) -> str:
    left = (
        (answers.unanswered, "without a prediction"),
        (answers.impossible, "whose prediction no metric can use"),
        (answers.unfit, "whose label no metric can use"),
    )
    words = ", ".join(f"{count:,} {why}" for count, why in left if count)
    return (
        f"the reference has {plural(len(answers), 'row')} of use"
        f"{f' beside {words}' * bool(words)}, {MIN_ROWS} are needed; make the baseline again of "
        "more rows with label and prediction"
    )


def _without_threshold(result: Measured, reference: Measure | None) -> Measured:
    """Note why a requested metric is not judged: it failed, here or on the reference."""
    why = reference.undefined if reference is not None else "a reference of documents alone"
    return replace(result, state=State.UNDEFINED, why=f"in the reference: {why}")


def _without_unfair(
    results: dict[str, Measured], sample: LabelSample
) -> tuple[dict[str, Measured], tuple[str, ...]]:
    """Leave metrics unjudged whose labels are no fair sample; also return the violated ones."""
    found, withheld = dict(results), []
    for name, one in results.items():
        if one.judged and sample.is_unfair(violated=one.violated):
            withheld += [name] * one.violated
            found[name] = replace(
                one, bound=None, p_value=None, severity=None, state=State.UNFAIR_LABELS,
                why=sample.words,
            )  # fmt: skip
    return found, tuple(withheld)


def _part_results(
    expected: Expectation, answers: Answers, numbers: Mapping[str, Number]
) -> tuple[Measured, ...]:
    """Return each class without a threshold of its own, with the reference's value."""
    names = [f"{metric}[{label}]" for label in shown_classes(answers) for metric in CLASS_METRICS]
    found, reference = [], dict[str, Measure]()
    if expected.answers is not None:
        reference = measure_classes(expected.answers, names)
    for name, measure in measure_classes(answers, names).items():
        if name in expected.constraints:
            continue
        result = _plain_result(name, measure, expected, len(answers))
        number, before = numbers.get(name), reference.get(name)
        if number is not None and not measure.undefined:
            shown = _as_shown(name, number.tested, measure.value)
            result = _with_number(result, shown, number)
        value = None if before is None else _known(before.value)
        metric, _, label = name.removesuffix("]").partition("[")
        found.append(replace(result, name=metric, label=label, reference=value))
    return tuple(found)


def _severity(name: str, results: Mapping[str, Measured]) -> Severity:
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


def _is_worse(result: Measured) -> bool:
    """Whether a metric is worse than the reference's, regardless of chance."""
    if result.value is None or result.reference is None:
        return False
    if result.operator == LESS:
        return result.value < result.reference
    return result.value > result.reference


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
