"""Judges every metric of a window: violated or not, page or ticket.

A *page* is a loss of skill that no change of the share of positives explains; a metric that only
moves with that share is a *ticket*. skill.py tests a single metric.
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
from driftline.monitors.kinds.model_quality.blocks import MIN_SUPPORT, Blocks, blocks_of
from driftline.monitors.kinds.model_quality.class_metrics import NEGATIVE, POSITIVE
from driftline.monitors.kinds.model_quality.documents import GREATER, Constraint, is_sagemakers
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.influence import Measure, Range, Scale
from driftline.monitors.kinds.model_quality.metrics import (
    by_lot,
    measure_answers,
    shares_by_lot,
)
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    PINBALL,
    covers_less,
    widest_interval,
)
from driftline.monitors.kinds.model_quality.skill import (
    TOLERANCE,
    Verdict,
    backward,
    forward,
    has_few_failures,
    judge_metric,
    scatter,
    variance_of,
)
from driftline.monitors.results.label_sample import (
    ALL_LABELS,
    LabelSample,
    best_labels,
)
from driftline.monitors.results.metric import (
    INSUFFICIENT,
    TOO_VARIABLE,
    UNDEFINED,
    UNFAIR_LABELS,
    MetricResult,
    too_variable,
)
from driftline.monitors.results.violation import Severity, plural
from driftline.stats.blocks import DAY_US
from driftline.stats.clusters import DECIDING_CLUSTERS, cluster_rows

# What tells skill itself has most of the year's budget: it is what people are woken for.
SKILL_BUDGET = 0.75
SKILL = frozenset(
    {"auc", "balanced_accuracy", "brier_skill", "accuracy_skill", "mae", "mse", "rmse", "r2"}
) | {PINBALL}
ERRORS = frozenset({"mae", "mse", "rmse", PINBALL})
# Which answers that are right make better, or leave as they are; labels that are the prediction are
# not the best of the other quantiles.
MENDED = (SKILL - {PINBALL}) | {"accuracy", "precision", "recall", "f0_5", "f1", "f2"}
# The loss of these is a page below zero: a constant answer would have been better.
BEYOND_GUESSING = frozenset({"brier_skill", "accuracy_skill"})
UNKNOWN = "no such metric of these answers"
# Nine windows in ten lie less far out on one side.
Z90 = 1.2816
# A bound ten times as bad as the reference is none, nor is one that guessing meets.
FAR_WORSE = 10.0
GUESSED_AUC = 0.5
# Where few rows are answered "yes", answers by lot have hardly more of them than a good model.
FALSE_ALARMS = frozenset({"true_negative_rate", "false_positive_rate"})
# Where one class is rare, answers that never name it are right as often as those of a good model.
SHARES_RIGHT = frozenset({"accuracy", "weighted_recall"})


@dataclass(frozen=True, slots=True)
class QualityJudgement:
    """The judgement of a window's metrics."""

    measures: Mapping[str, Measure]
    results: Mapping[str, MetricResult]
    alpha: Mapping[str, float]  # By judged metric: the p-value below which it is a violation.
    # By metric that is too small to judge: rows there are, and rows it takes.
    needed: Mapping[str, str]
    # Metrics beyond their bounds that are not judged, since their labels are no fair sample.
    withheld: tuple[str, ...] = ()


def judge_quality(
    expected: Expectation,
    answers: Answers,
    blocks: list[Blocks],
    *,
    budget: Budget,
    sample: LabelSample = ALL_LABELS,
    lost: frozenset[str] = frozenset(),
) -> QualityJudgement:
    """Judge every metric of a window; labels must be a fair `sample`, except for `lost` metrics."""
    clusters = cluster_rows(answers.time_us)
    measures = expected.extras.measure(answers, clusters)
    days = cluster_rows(answers.time_us, least=DECIDING_CLUSTERS)
    careful = measures
    if clusters is None or days is None or not np.array_equal(clusters, days):
        # What windows of the reference do not explain is judged with fewer, longer clusters.
        careful = expected.judged.measure(answers, days)
    faced = {
        name: one.facing(measures[name].value) if name in measures else one
        for name, one in expected.constraints.items()
    }
    expected = replace(expected, constraints=faced)
    alpha = _alpha([name for name in expected.constraints if name in measures], budget)
    # Of two sides each has half.
    alpha |= {name: alpha[name] / 2.0 for name in alpha if faced[name].is_two_sided}
    results: dict[str, MetricResult] = {}
    withheld = []
    rows, own = len(answers), {one.name for one in expected.extras.own}
    for name, measure in measures.items():
        constraint, reference = expected.constraints.get(name), expected.measures.get(name)
        note = _note(measure, rows, judged=constraint is not None)
        if not note and constraint is not None and name not in expected.own:
            note = _short_reference(expected, reference)
        if not note and name in own and constraint is not None:
            note = _unbounded_note(measure, reference)
        results[name] = _result(name, measure, constraint, reference, rows=rows, note=note)
        if name in own and constraint is None:
            results[name] = _without_threshold(results[name], reference)
        if constraint is None or note:
            continue
        results[name] = judged_result(
            name, results[name], expected, blocks, measure, careful[name],
            rows=rows, alpha=alpha[name],
        )  # fmt: skip
        violated = results[name].violated
        if sample.is_unfair(violated=violated) and not (violated and name in lost):
            withheld += [name] * violated
            note = f"{UNFAIR_LABELS}{sample.words}"
            results[name] = replace(
                results[name], bound=None, p_value=None, severity=None, note=note
            )
    results = _told_by_lot(expected, results)
    broken = [name for name, one in results.items() if one.violated]
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
    return QualityJudgement(measures, results, alpha, needed, tuple(withheld))


def lost_metrics(
    expected: Expectation,
    answers: Answers,
    every: Answers,
    blocks: list[Blocks],
    *,
    budget: Budget,
    sample: LabelSample,
) -> frozenset[str]:
    """Return the violations of an unfair sample that no further labels could undo."""
    if not sample.is_unfair(violated=True):
        return frozenset()
    lost = {
        name
        for name, one in expected.constraints.items()
        if name in MENDED and not one.is_two_sided and one.is_lower == (name not in ERRORS)
    } - {one.name for one in expected.extras.own}
    if expected.problem == "multiclass":
        lost -= {"brier_skill"}  # More rows of the frequent classes make it worse.
    lost &= _violated(judge_quality(expected, answers, blocks, budget=budget))
    tried = 0
    for best in best_labels(every, answers) if lost else ():
        lost &= _violated(judge_quality(expected, best, blocks, budget=budget))
        tried += 1
    return frozenset(lost) if tried else frozenset()


def reference_note(expected: Expectation) -> str:
    """Return a note on the metrics without a reference value, which are not judged."""
    reasons = dict[str, list[str]]()
    for name, one in expected.measures.items():
        if one.undefined and name in MENDED | ERRORS:
            reasons.setdefault(_of_classes(one.undefined, expected), []).append(name)
    parts = [f"{', '.join(names)} ({why})" for why, names in reasons.items()]
    return f"not judged, as the reference has no value of it: {'; '.join(parts)}" if parts else ""


def _of_classes(why: str, expected: Expectation) -> str:
    """Describe what the reference lacks, by label and class, in the user's terms."""
    if expected.answers is None or why not in (POSITIVE, NEGATIVE):
        return why
    label, positive = expected.roles.label, expected.answers.classes[1]
    return f'{"no" if why == POSITIVE else "every"} label "{label}" is "{positive}"'


def _violated(judged: QualityJudgement) -> set[str]:
    return {name for name, one in judged.results.items() if one.violated}


def judged_result(
    name: str,
    result: MetricResult,
    expected: Expectation,
    blocks: list[Blocks],
    measure: Measure,
    careful: Measure,
    *,
    rows: int,
    alpha: float,
) -> MetricResult:
    """Return a metric with its bound, a "ticket" where it is violated."""
    judged = partial(
        _verdict, name, expected, blocks, measure, careful, rows=rows, alpha=alpha
    )  # fmt: skip
    verdict = judged()
    guess = _guesses(expected).get(name)
    is_bound = partial(_is_bound, expected.constraints[name], measure.scale, guess)
    if not verdict.violated and not is_bound(verdict.bound):
        if (constraint := expected.constraints[name]).is_two_sided:
            # Where nearly all labels are covered, no more can be told, and fewer can.
            turned = constraint.turned
            other = judged_result(
                name, replace(result, operator=turned.operator),
                replace(expected, constraints={**expected.constraints, name: turned}),
                blocks, measure, careful, rows=rows, alpha=alpha,
            )  # fmt: skip
            if other.judged:
                return other
        why = measure.lacking and f"{TOO_VARIABLE}{measure.lacking}"
        days = max((one.fitting * one.length_us / DAY_US for one in blocks[:1]), default=0.0)
        why = why or too_variable(
            rows,
            lambda more: _would_bind(judged(more=more), is_bound),
            days,
            (lambda longer: _would_bind(judged(longer=longer), is_bound)) if days else None,
        )
        return replace(result, note=why)
    severity: Severity | None = "ticket" if verdict.violated else None
    return replace(result, bound=verdict.bound, p_value=verdict.p_value, severity=severity)


def judge_thresholds(expected: Expectation, answers: Answers) -> QualityJudgement:
    """Judge a window as SageMaker does: any value beyond its threshold is a violation.

    No intervals, smallest number of rows, budget or severities. Metrics that SageMaker does not
    have are left out, and one without a value is no violation.
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
    """Yield judged metrics of skill and coverage, the reference's value and the one that is found.

    Nine in ten windows of `rows` rows would call the latter a loss.
    """
    assert expected.answers is not None  # Known by documents alone it tells no spread.
    answers = expected.answers
    blocks = blocks_of(answers, answers, timedelta(days=1), expected.judged)
    alpha = _alpha([name for name in expected.constraints if name in expected.measures], budget)
    guesses, found = _guesses(expected), []
    interval = widest_interval(alpha)
    for name in (one for one in alpha if one in SKILL or one == interval):
        measure, constraint = expected.measures[name], expected.constraints[name]
        like = replace(measure, variance=measure.independent, clusters=0)
        like = like.of_more(rows / max(1, len(answers)))
        if _note(like, rows, judged=True):
            continue
        level = alpha[name] / (1.0 + constraint.is_two_sided)
        verdict = _verdict(name, expected, blocks, like, like, rows=rows, alpha=level)
        side = -1.0 if constraint.is_lower else 1.0
        least = forward(verdict.bound, math.inf, like.scale)
        least += side * Z90 * math.sqrt(variance_of(like))
        value = backward(least, like.scale)
        if _is_bound(constraint, like.scale, guesses.get(name), value):
            found.append((name, measure.value, value))
    if _finds_lot(answers, expected.constraints, {name: value for name, _, value in found}):
        yield from found


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
    if judged and not measure.support and measure.unbounded:
        return f"{TOO_VARIABLE}{measure.unbounded}"  # A class has no row.
    return INSUFFICIENT if judged and measure.support < MIN_SUPPORT else ""


def _short_reference(expected: Expectation, reference: Measure | None) -> str:
    """Return why a reference gives no bound: all its rows may be right by chance."""
    if reference is not None and reference.scale == "skill" and reference.value == 1.0:
        # A skill has no exact limits; the share that it is made of has.
        return f"{TOO_VARIABLE}the reference has no error"
    known = expected.answers
    if known is None or len(known) >= MIN_ROWS:
        return ""
    left = (
        (known.unanswered, "without a prediction"),
        (known.impossible, "whose prediction no metric can use"),
        (known.unfit, "whose label no metric can use"),
    )
    words = ", ".join(f"{count:,} {why}" for count, why in left if count)
    return (
        f"{TOO_VARIABLE}the reference has {plural(len(known), 'row')} of use"
        f"{f' beside {words}' * bool(words)}, {MIN_ROWS} are needed; make the baseline again of "
        "more rows with label and prediction"
    )


def _unbounded_note(measure: Measure, reference: Measure | None) -> str:
    """Return why a user's function is not judged: its variance is unknown on one side."""
    sides = [one for one in (measure, reference) if one is not None]
    why = next((one.unbounded for one in sides if one.unbounded and not one.clusters), "")
    return why and f"{TOO_VARIABLE}{why}"


def _without_threshold(result: MetricResult, reference: Measure | None) -> MetricResult:
    """Note why a requested metric is not judged: it failed, here or on the reference."""
    why = reference.undefined if reference is not None else "a reference of documents alone"
    note = result.note or f"{UNDEFINED}in the reference: {why}"
    return replace(result, operator=GREATER, note=note)


def _need(measure: Measure, rows: int) -> str:
    if rows < MIN_ROWS:
        return f"{MIN_ROWS} labelled rows with an answer; there are {rows}"
    return f"{plural(MIN_SUPPORT, 'row')} that it rests on; there are {measure.support:.0f}"


def shown_result(name: str, measure: Measure, reference: Measure | None, rows: int) -> MetricResult:
    """Build the result of a metric that is not judged."""
    note = _note(measure, rows, judged=False)
    return _result(name, measure, None, reference, rows=rows, note=note)


def _result(
    name: str,
    measure: Measure,
    constraint: Constraint | None,
    reference: Measure | None,
    *,
    rows: int,
    note: str,
) -> MetricResult:
    """Build the result of one metric, before its judgement."""
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
    longer: float = 1.0,
) -> Verdict:
    """Judge a metric, as if with `more` times the rows and `longer` times the reference."""
    constraint, reference = expected.constraints[name], expected.measures.get(name)
    found, is_own = None, name in expected.own
    if (
        reference is not None
        and blocks
        and not is_own
        # Days of a few failures in all do not show how they vary: their rows have exact limits.
        and not has_few_failures(reference, is_lower=constraint.is_lower)
    ):
        found = scatter(blocks, name)
        if found is not None and longer != 1.0:
            found = found.of_longer(longer)
    if reference is not None and not reference.variance and expected.answers is None:
        # Of a document alone the rows are known, not on how many of them each metric rests.
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


def _would_bind(verdict: Verdict, is_bound: Callable[[float], bool]) -> bool:
    """Whether it is a violation, or has a bound that can be exceeded."""
    return verdict.violated or is_bound(verdict.bound)


def _told_by_lot(
    expected: Expectation, results: Mapping[str, MetricResult]
) -> dict[str, MetricResult]:
    """Leave metrics of skill unjudged where randomly permuted labels would pass all their bounds.

    A day's Brier skill may be far below that of guessing without a change: such a bound only shows
    extreme scores, and a window within it may have lost all skill.
    """
    skills = {name: one for name, one in results.items() if name in SKILL and one.bound is not None}
    is_own = not expected.own.isdisjoint(skills)
    bounds = {name: one.bound for name, one in skills.items() if one.bound is not None}
    if (
        is_own
        or not skills
        or any(one.violated for one in skills.values())
        or _finds_lot(expected.answers, expected.constraints, bounds)
    ):
        return dict(results)
    notes = (one.note for name, one in results.items() if name in SKILL)
    told = (note for note in notes if note.startswith(TOO_VARIABLE))
    note = next(told, f"{TOO_VARIABLE}labels drawn by lot would pass")
    unjudged = {
        name: replace(one, bound=None, p_value=None, note=note) for name, one in skills.items()
    }
    return {**results, **unjudged}


def _finds_lot(
    answers: Answers | None, constraints: Mapping[str, Constraint], bounds: Mapping[str, float]
) -> bool:
    """Whether the reference with randomly permuted labels breaks any of the bounds."""
    if answers is None:
        return True
    lot = by_lot(answers)
    return any(
        lot[name] < bound if constraints[name].is_lower else lot[name] > bound
        for name, bound in bounds.items()
        if name in lot
    )


def _guesses(expected: Expectation) -> dict[str, float]:
    """Return a metric's values by guessing: always the most frequent class, or at random."""
    found = {"auc": GUESSED_AUC}
    if expected.answers is not None and expected.answers.classes:
        found["balanced_accuracy"] = 1.0 / len(expected.answers.classes)
        found |= shares_by_lot(expected.answers)
    if (most := expected.measures.get("accuracy_majority_classifier")) is not None:
        found |= dict.fromkeys(SHARES_RIGHT, most.value)
    for name in (FALSE_ALARMS | SHARES_RIGHT) & found.keys():
        known = expected.constraints.get(name)
        if known is not None and abs(known.threshold - found[name]) <= TOLERANCE:
            # No bound tells them apart; what it does tell is that false alarms, or mistakes, are
            # no more.
            del found[name]
    return found


def _is_bound(constraint: Constraint, scale: Scale, guess: float | None, bound: float) -> bool:
    """Whether anything could exceed a bound: a guess, or a value ten times as bad."""
    threshold = constraint.threshold
    if isinstance(scale, Range):
        return _is_within(scale, constraint, bound)
    side = 1.0 if constraint.is_lower else -1.0
    if guess is not None and side * threshold > side * guess >= side * bound:
        return False  # Answers without any skill would keep it.
    if scale == "skill" or (scale != "error" and not constraint.is_lower):
        # What is left of a skill, and of a share of mistakes, is measured from the other end.
        left, allowed = 1.0 - threshold, 1.0 - bound
        return allowed < left * FAR_WORSE if scale == "skill" else allowed > left / FAR_WORSE
    return bound > threshold / FAR_WORSE if constraint.is_lower else bound < threshold * FAR_WORSE


def _is_within(scale: Range, constraint: Constraint, bound: float) -> bool:
    """Return the same for a scale with two ends; without one any bound can be exceeded."""
    threshold = constraint.threshold
    behind, ahead = threshold - scale.least, scale.most - threshold
    left, gone = scale.most - bound, bound - scale.least
    if constraint.is_lower:
        behind, ahead, left, gone = ahead, behind, gone, left
    is_near = math.isinf(behind) or behind <= 0.0 or gone < behind * FAR_WORSE
    return is_near and (math.isinf(ahead) or left > ahead / FAR_WORSE)


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
        others = ERRORS & {*results} if name == "r2" else {"r2"}
        worse = any(_is_worse(results[other]) for other in others)
        return "page" if worse or (name == "r2" and is_negative) else "ticket"
    return "page" if covers_less(results[name], results) else "ticket"


def _is_worse(result: MetricResult) -> bool:
    """Whether a metric is worse than the reference's, regardless of chance."""
    if result.value is None or result.reference is None:
        return False
    if result.operator == "LessThanThreshold":
        return result.value < result.reference
    return result.value > result.reference


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
