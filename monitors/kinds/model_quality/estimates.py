"""A window's quality before its labels come, and whether those that came agree with it.

Estimates are judged while fewer than half of the rows have a label. They are withheld, and say why,
where the window's inputs lie outside of the reference's, and where labels contradict them: its own,
or those of an earlier window, until labels of a later one agree. Labels deny by a test, and by what
they violate where estimates of the same rows did not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.baseline.estimation import EstimationRows
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.kinds.model_quality.blocks import Blocks, kept_blocks
from driftline.monitors.kinds.model_quality.estimator import (
    Estimate,
    Estimator,
    learn_estimator,
    realised_on_scale,
    why_not,
)
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.influence import Numbers
from driftline.monitors.kinds.model_quality.judgement import GUESSED_AUC, judged_result
from driftline.monitors.kinds.model_quality.kind import NAMESPACE
from driftline.monitors.kinds.model_quality.score_forms import why_turned
from driftline.monitors.kinds.model_quality.stale_estimates import why_other_model, why_stale
from driftline.monitors.kinds.model_quality.violations import (
    same_metrics,
    same_words,
    shown_number,
)
from driftline.monitors.results.label_sample import LabelSample
from driftline.monitors.results.metric import (
    CANNOT_ESTIMATE,
    ESTIMATES_DENIED,
    MetricPoint,
    MetricResult,
)
from driftline.monitors.results.unusable import far_note
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural

PREFIX = "estimated_"
ESTIMATE_CHECK = "estimate_check"
# Of the year's budget, for estimates that are too bad, and as much for those that labels deny.
BUDGET_SHARE = 0.1
# From so many labelled rows on labels are judged, and estimates only shown beside them.
ENOUGH_LABELS = 0.5
# As likely at most is it that predictions are all equal by chance.
EQUAL_BY_CHANCE = 1e-6
# From so many on estimates are held against labels, whatever those still to come may say.
NEARLY_ALL_LABELS = 0.9
# Labels that lie so far apart less often by chance do not clear what earlier ones denied.
AGREEMENT = 0.05
# So many rows with a value that the reference never had: nothing is known of their outcomes.
MOST_OUTSIDE = 0.1
WEIGHTED = "rows have weights, which estimates without labels do not take"
UNLEARNT = (
    "the size of errors could not be learnt from the reference's {:,} rows: their mean is taken"
)
# So few predictions may be far off for the others to be asked without them.
FEW_FAR = 0.05
CONCEPT_DRIFT = (
    ": outcomes no longer follow from inputs as in the reference (concept drift); make a new "
    "baseline"
)
# So many columns are named.
MOST_NAMED = 3
# What a sentence names first.
HEADLINE = {"binary": "auc", "multiclass": "accuracy", "regression": "mae"}
SHOWN = {"auc": "AUC", "mae": "MAE", "mse": "MSE", "rmse": "RMSE"}


@dataclass(frozen=True, slots=True)
class WindowEstimates:
    """What is estimated of a window."""

    results: tuple[MetricResult, ...] = ()
    violations: tuple[Violation, ...] = ()
    details: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def points(self) -> tuple[MetricPoint, ...]:
        """The estimates for the metric store."""
        return tuple(
            MetricPoint(NAMESPACE, one.name, one.value)
            for one in self.results
            if one.value is not None
        )


def estimate_window(
    context: CheckContext,
    expected: Expectation,
    table: pa.Table,
    answers: Answers,
    *,
    read: Callable[[pa.Table], Answers],
    has_label: bool,
    sample: LabelSample,
    realised: Mapping[str, MetricResult],
) -> WindowEstimates:
    """Estimate a window's metrics; nothing of a baseline that does not know how.

    Parameters
    ----------
    table, answers
        The window's rows, and those of them that have a label and an answer.
    read
        Reads answers of rows.
    has_label
        Whether the data has a column of labels; where a name is wrong, nobody waits for them.
    sample
        How the rows with a label differ from all; an unfair one judges nothing.
    realised
        What the rows with a label say, by metric.
    """
    found = _estimates(context, expected, table, answers, read, sample, realised)
    if not sample.is_unfair(violated=False):
        found = _with_disagreement(found, realised, HEADLINE.get(expected.problem, ""))
    if has_label:
        return found
    note, lack = (
        found.details.get("estimate_note"),
        f'the data has no column "{expected.roles.label}"',
    )
    return replace(
        found, details={**found.details, "estimate_note": f"{note}; {lack}" if note else lack}
    )


def _estimates(
    context: CheckContext,
    expected: Expectation,
    table: pa.Table,
    answers: Answers,
    read: Callable[[pa.Table], Answers],
    sample: LabelSample,
    realised: Mapping[str, MetricResult],
) -> WindowEstimates:
    known, reference = context.baseline.estimation, expected.answers
    if known is None or reference is None or context.compat is not None or not len(table):
        return WindowEstimates()
    scored = read(_with_any_label(table, expected, reference))
    if len(scored) < MIN_ROWS:
        return WindowEstimates()
    is_labelled = not sample.is_unfair(violated=False)
    is_labelled &= len(answers) >= ENOUGH_LABELS * len(scored)
    known, taught = _taught(known, reference)
    reason = WEIGHTED if reference.weight is not None else why_not(taught)
    if reason := reason or _why_nothing_to_learn(reference) or far_note(reference):
        # Whoever has labels misses nothing.
        return WindowEstimates() if is_labelled else _withheld(expected, reason)
    codes = known.codes_of(table)
    estimator = _estimator(context, known, taught, len(scored))
    is_number = reference.problem == "regression"
    own = _features(known, codes) if is_number else np.zeros((len(table), 0))
    reason = estimator.lacking or _denied_by_reference(expected, estimator, reference)
    if reason := reason or _strangers(reference, answers, scored):
        return _withheld(expected, reason, is_quiet=is_labelled)
    reason = _outside(known, codes[scored.places]) or why_turned(reference, scored)
    reason = reason or _why_equal(reference, scored)
    labels = _Labels()
    if not reason:
        labels = _held_against_labels(
            context, expected, estimator, taught, answers, scored, own, realised
        )
        reason = labels.reason or ("" if labels.denies is False else why_stale(context))
    if reason:
        told = () if labels.violation is None else (labels.violation,)
        withheld = _withheld(expected, reason, is_quiet=is_labelled and not told)
        return replace(withheld, violations=told, details={**withheld.details, **labels.details})
    estimates = estimator.estimate(scored, own[scored.places])
    # As long as all of the rows, not as those whose labels have come.
    blocks = [] if is_labelled else kept_blocks(context, expected, scored)
    results = _results(context, expected, scored, estimator, estimates, blocks, is_labelled)
    violations = _violations(results, expected)
    details: dict[str, JsonValue] = {
        "estimated_rows": len(scored),
        "estimates": {},
        **labels.details,
        "estimates_are_calibrated": estimator.learnt.is_kept,
        "calibration_error": estimator.learnt.error,
        "calibration_error_before": estimator.learnt.error_without,
        "estimate_note": (note := _note(expected, results, answers, len(scored))),
    }
    if (losses := estimator.learnt.losses) is not None:
        details = {name: one for name, one in details.items() if "calibrat" not in name}
        details["loss_models"] = dict(losses.shares)
        if note and not estimator.learnt.is_kept:
            details["estimate_note"] = f"{note}; {UNLEARNT.format(estimator.rows)}"
    return WindowEstimates(results, violations, details)


def _estimator(
    context: CheckContext, known: EstimationRows, taught: Answers, rows: int
) -> Estimator:
    """Return what estimates windows of a length, or of so many rows where that is not known."""
    length = context.rows.length
    rows = rows if length is None else len(taught)

    def learn() -> Estimator:
        inputs = _features(known, known.codes) if len(known.codes) else np.zeros((len(taught), 0))
        return learn_estimator(taught, inputs, _categories(known), length=length, rows=rows)

    return context.kept(("estimator", context.roles, length, rows), learn)


def _denied_by_reference(expected: Expectation, estimator: Estimator, reference: Answers) -> str:
    """Return why estimates of a reference's own rows are denied by its labels; "" where not."""
    if not estimator.denied:
        return ""
    headline = HEADLINE[expected.problem]
    name = headline if headline in estimator.denied else next(iter(estimator.denied))
    estimate, realised = (shown_number(one) for one in estimator.denied[name])
    told = (
        f"on the reference itself the estimate of {SHOWN.get(name, name)} is {estimate} and its "
        f"labels say {realised}"
    )
    auc = expected.measures.get("auc")
    if auc is not None and auc.support and auc.interval[1] < GUESSED_AUC:
        score = "".join(expected.roles.probability[-1:])
        positive = reference.classes[1]
        return f'{told}: "{score}" may be a score of another class than "{positive}"'
    return (
        f"{told}; check that each score is of the class that it is named for, and rises with the "
        "chance of it"
    )


def _with_any_label(table: pa.Table, expected: Expectation, reference: Answers) -> pa.Table:
    """Return the rows with a label each, so that all of them are read: none is looked at."""
    name = expected.roles.label
    value = 0.0 if reference.problem == "regression" else reference.classes[-1]
    labels = pa.array([value] * len(table))
    return table.set_column(table.column_names.index(name), name, labels)


def _why_nothing_to_learn(reference: Answers) -> str:
    """Return why errors of a regression's reference say nothing of another window's."""
    if reference.problem != "regression":
        return ""
    label = reference.label.astype(np.float64)
    if (label == label[0]).all():
        return f"the labels of the reference are all equal ({label[0]:g})"
    is_exact = bool((label == reference.answer.astype(np.float64)).all())
    return "the reference has no error" * is_exact


def _why_equal(reference: Answers, scored: Answers) -> str:
    """Return why predictions say nothing of a model that answers, or answered, the same to all."""
    said, usual = (
        (one.answer if one.probability is None else one.probability).reshape(len(one), -1)
        for one in (scored, reference)
    )
    if len(usual) and (usual == usual[0]).all():
        return "the predictions of the reference are all equal"
    if (said != said[0]).any():
        return ""
    share = float((usual == said[0]).all(axis=1).mean())
    is_chance = share ** len(said) > EQUAL_BY_CHANCE
    return "" if is_chance else "all predictions are equal, and those of the reference are not"


def _taught(known: EstimationRows, reference: Answers) -> tuple[EstimationRows, Answers]:
    """Return the rows that estimates are learnt of, of a regression those that metrics take."""
    if reference.problem != "regression":
        return known, reference
    known = known.within(reference.limits)
    return known, Answers(
        "regression", known.predictions + known.errors, known.predictions, (), None,
        known.time_us, 0, np.arange(len(known.errors)),
    )  # fmt: skip


def _features(known: EstimationRows, codes: NDArray[np.uint16]) -> Numbers:
    """Return cells as numbers, NaN where a value is missing or does not fit its type."""
    sizes = np.array([cell.size for cell in known.cells.values()], dtype=np.int64)
    return np.where(codes >= sizes - 2, np.nan, codes)


def _categories(known: EstimationRows) -> NDArray[np.bool_]:
    return np.array([not one.is_number and one.size <= 250 for one in known.cells.values()])


def _strangers(reference: Answers, answers: Answers, scored: Answers) -> str:
    """Return that labels or answers are of classes that the reference never had; else ""."""
    words = answers.unknown_words or scored.unknown_words
    if words and reference.problem == "binary":
        return f"some rows have {words}, which the reference never has"
    found = dict.fromkeys((*answers.classes, *scored.classes))
    named = [f'"{one}"' for one in found if one not in reference.classes]
    if not named:
        return ""
    more = f" and {len(named) - MOST_NAMED} more" * (len(named) > MOST_NAMED)
    return f"some rows are {', '.join(named[:MOST_NAMED])}{more}, which the reference never has"


def _outside(known: EstimationRows, codes: NDArray[np.uint16]) -> str:
    """Return why the inputs are none that the reference knows; "" where they are."""
    strange, lacking = known.outside(codes), known.newly_lacking(codes)
    if not len(codes) or (strange | lacking).any(axis=1).mean() <= MOST_OUTSIDE:
        return ""
    words = []
    for cells, what in (
        (strange, "have values that the reference never had"),
        (lacking, "lack values that the reference has"),
    ):
        share = float(cells.any(axis=1).mean())
        if share > MOST_OUTSIDE / 2:  # As one of the two is.
            often = cells.mean(axis=0)
            worst = [
                name for name, one in zip(known.cells, often, strict=True) if one > often.max() / 2
            ]
            more = f" and {len(worst) - MOST_NAMED} more" * (len(worst) > MOST_NAMED)
            named = ", ".join(worst[:MOST_NAMED]) + more
            words.append(f"{percent(share)} of the rows {what}, most of them of {named}")
    return "; ".join(words)


@dataclass(frozen=True, slots=True)
class _Labels:
    """What labels say of estimates of the same rows."""

    beside: Mapping[str, JsonValue] = field(default_factory=dict)
    violation: Violation | None = None  # Of this window's estimates.
    denies: bool | None = None  # Also those of later windows; None: labels do not tell.

    @property
    def reason(self) -> str:
        """Why the window's estimates are withheld; "" where labels do not contradict them."""
        if self.violation is None:
            return ""
        return f"labels that came contradict the estimates: {self.violation.cause}"

    @property
    def details(self) -> dict[str, JsonValue]:
        """What of it is told and stored."""
        found: dict[str, JsonValue] = {"estimates": dict(self.beside)} if self.beside else {}
        return found if self.denies is None else {**found, ESTIMATES_DENIED: self.denies}


def _held_against_labels(
    context: CheckContext,
    expected: Expectation,
    estimator: Estimator,
    taught: Answers,
    answers: Answers,
    scored: Answers,
    own: Numbers,
    realised: Mapping[str, MetricResult],
) -> _Labels:
    """Lay labels beside estimates of the same rows, and test these where nearly all have come.

    What labels of half of the rows violate, they deny as well where it lies beyond the estimate.
    """
    if len(answers) < MIN_ROWS:
        return _Labels()
    found = estimator.estimate(answers, own[answers.places])
    chances: Mapping[str, float] = {}
    if len(answers) >= NEARLY_ALL_LABELS * len(scored):
        chances = estimator.p_values(answers, scored, own)
    beside, denied = _compare(context, answers, found, chances)
    far = _far_off(taught, scored)
    has_few_far = 0.0 < far.mean() <= FEW_FAR
    near_answers, near_found = answers, found
    if has_few_far:
        near_answers = answers.take(~np.isin(answers.places, scored.places[far]))
        near_found = estimator.estimate(near_answers, own[near_answers.places])
    is_worse = len(answers) >= ENOUGH_LABELS * len(scored)
    is_worse &= _is_worse(near_answers, near_found, realised)
    denies: bool | None = is_worse or None
    if denied is None:
        if _agree(chances) and not any(one.violated for one in realised.values()):
            denies = False
        return _Labels(beside, None, denies)
    denies = True
    if has_few_far and not is_worse:
        near = scored.take(~far)
        chances = estimator.p_values(near_answers, near, own)
        if _compare(context, near_answers, found, chances)[1] is None:
            # Rows without such predictions are estimated as before.
            denies = False if _agree(chances) else None
            denied = replace(denied, cause=_far_words(denied, taught, scored, far))
    if why := expected.only_class(answers) or why_other_model(context):
        denied = replace(denied, cause=denied.cause.replace(CONCEPT_DRIFT, f": {why}"))
    return _Labels(beside, denied, denies)


def _is_worse(
    answers: Answers, estimates: Mapping[str, Estimate], realised: Mapping[str, MetricResult]
) -> bool:
    """Whether a metric that labels violate is worse than the interval of its estimate."""
    violated = [one for one in realised.values() if one.violated and one.name in estimates]
    if len(answers) < MIN_ROWS or not violated:
        return False
    said = realised_on_scale(answers)
    for one in violated:
        value, estimate = said.get(one.name, (math.nan, 0.0))[0], estimates[one.name]
        is_lower = one.operator == "LessThanThreshold"
        if value < estimate.low if is_lower else value > estimate.high:
            return True
    return False


def _agree(chances: Mapping[str, float]) -> bool:
    """Whether labels are such as estimates expect, all metrics together: else they are in doubt."""
    return bool(chances) and min(chances.values()) * len(chances) >= AGREEMENT


def _compare(
    context: CheckContext,
    answers: Answers,
    estimates: Mapping[str, Estimate],
    chances: Mapping[str, float],
) -> tuple[dict[str, JsonValue], Violation | None]:
    """Lay what labels say beside the estimates of the same rows; a violation where all deny it."""
    beside: dict[str, JsonValue] = {}
    denied: list[tuple[float, str, Estimate, float]] = []
    realised = realised_on_scale(answers)
    names = [name for name in estimates if name in realised]
    alpha = context.budget.per_window * BUDGET_SHARE / max(len(names), 1)
    for name in names:
        one, (value, _) = estimates[name], realised[name]
        p_value = chances.get(name)
        beside[name] = {
            "estimated": one.value, "low": one.low, "high": one.high, "realised": value,
            "p_value": p_value,
        }  # fmt: skip
        if p_value is not None and p_value < alpha:
            denied.append((p_value, name, one, value))
    if not denied:
        return beside, None
    _, name, one, value = min(denied, key=lambda each: each[0])
    words = f"{SHOWN.get(name, name)} {shown_number(value)} where {_range(one)} was estimated"
    description = f"Metric {name} with {value:.4g} was outside its estimate {_range(one)}"
    return beside, Violation(
        feature_name=PREFIX + name,
        constraint_check_type=ESTIMATE_CHECK,
        description=description,
        severity="ticket",
        row_count=len(answers),
        cause=words + CONCEPT_DRIFT,
        fields={
            "constraint_check_type": ESTIMATE_CHECK,
            "description": description,
            "metric_name": PREFIX + name,
        },
    )


def _far_off(reference: Answers, scored: Answers) -> NDArray[np.bool_]:
    """Mark predictions of a regression further outside the reference's than these are apart."""
    if reference.problem != "regression":
        return np.zeros(len(scored), dtype=np.bool_)
    low, high = reference.answer.min(), reference.answer.max()
    reach = high - low
    return np.asarray((scored.answer < low - reach) | (scored.answer > high + reach))


def _far_words(
    denied: Violation, reference: Answers, scored: Answers, far: NDArray[np.bool_]
) -> str:
    """Describe that a few far predictions alone deny an estimate: that is no concept drift."""
    words = denied.cause.partition(CONCEPT_DRIFT)[0]
    worst = scored.answer[far][np.argmax(np.abs(scored.answer[far]))]
    low, high = (shown_number(float(one(reference.answer))) for one in (np.min, np.max))
    return (
        f"{words}: {plural(int(far.sum()), 'prediction')} far outside of the reference's {low} to "
        f"{high} ({shown_number(float(worst))}); without {'it' if far.sum() == 1 else 'them'} "
        "labels agree with the estimates"
    )


def _withheld(expected: Expectation, reason: str, *, is_quiet: bool = False) -> WindowEstimates:
    """Return no numbers but the reason: also as metrics not judged, unless labels are."""
    note = f"{CANNOT_ESTIMATE}{reason}"
    names = [] if is_quiet else [HEADLINE[expected.problem]]
    results = tuple(MetricResult(PREFIX + name, None, note=note) for name in names)
    return WindowEstimates(results, (), {"estimate_note": note})


def _results(
    context: CheckContext,
    expected: Expectation,
    scored: Answers,
    estimator: Estimator,
    estimates: Mapping[str, Estimate],
    blocks: list[Blocks],
    is_labelled: bool,
) -> tuple[MetricResult, ...]:
    """Return each estimate, judged against the reference's realised value where labels are few."""
    judged = [name for name in estimates if name in expected.constraints]
    alpha = context.budget.per_window * BUDGET_SHARE / max(len(judged), 1)
    found = []
    for name, one in estimates.items():
        constraint, reference = expected.constraints.get(name), expected.measures.get(name)
        result = MetricResult(
            PREFIX + name, one.value, one.low, one.high,
            reference=reference.value if reference and math.isfinite(reference.value) else None,
            count=len(scored),
        )  # fmt: skip
        if constraint is not None and not is_labelled:
            measure = estimator.as_measure(name, one, scored)
            result = replace(result, operator=constraint.operator)
            result = judged_result(
                name, result, expected, blocks, measure, measure, rows=len(scored), alpha=alpha
            )
        found.append(result)
    return tuple(found)


def _violations(results: Sequence[MetricResult], expected: Expectation) -> tuple[Violation, ...]:
    """Make a violation of each violated estimate; those that say the same share one."""
    violated = [one for one in results if one.violated]
    also = same_metrics(violated, expected.own, PREFIX)
    told = [one for one in violated if not any(one in same for same in also.values())]
    return tuple(_violation(one, also.get(one.name, ())) for one in told)


def _violation(one: MetricResult, same: Sequence[MetricResult]) -> Violation:
    assert one.value is not None  # It is violated.
    assert one.reference is not None  # It was held against it.
    description = f"Metric {one.name} with {one.value:.4g} was {one.operator} '{one.reference:.4g}'"
    name = one.name.removeprefix(PREFIX)
    return Violation(
        feature_name=one.name,
        constraint_check_type=one.operator,
        description=description,
        severity="ticket",
        row_count=one.count,
        cause=f"estimated {SHOWN.get(name, name)} {_range(one)} where the reference has "
        f"{shown_number(one.reference)}; {f'{same_words(same)}; ' * bool(same)}labels are to come",
        fields={
            "constraint_check_type": one.operator,
            "description": description,
            "metric_name": one.name,
        },
    )


def _note(
    expected: Expectation, results: tuple[MetricResult, ...], answers: Answers, scored: int
) -> str:
    """Describe the headline's estimate, and what came of it."""
    name = HEADLINE[expected.problem]
    one = next((each for each in results if each.name == PREFIX + name), None)
    if one is None or one.value is None:
        return ""
    shown = SHOWN.get(name, name)
    text = f"estimated without labels: {shown} {_range(one)}"
    if not len(answers):
        return text
    value = realised_on_scale(answers).get(name, (math.nan, 0.0))[0]
    if len(answers) >= NEARLY_ALL_LABELS * scored:
        labels, rest = plural(len(answers), "labelled row"), ""
    else:
        labels = f"labels of {len(answers):,} of {scored:,} rows"
        rest = f", held against the estimate from {percent(NEARLY_ALL_LABELS)} of the rows on"
    return text if math.isnan(value) else f"{text}; {labels} say {shown_number(value)}{rest}"


def _with_disagreement(
    found: WindowEstimates, realised: Mapping[str, MetricResult], name: str
) -> WindowEstimates:
    """Add to the note that the headline by labels lies apart from its estimate, by intervals."""
    one = next((each for each in found.results if each.name == PREFIX + name), None)
    real = realised.get(name)
    if one is None or real is None:
        return found
    low, high, least, most = (
        math.nan if end is None else end for end in (one.low, one.high, real.low, real.high)
    )
    if not (high < least or most < low):
        return found
    note = f"{found.details['estimate_note']}; they disagree: by labels it is {_range(real)}"
    return replace(found, details={**found.details, "estimate_note": note})


def _range(one: Estimate | MetricResult) -> str:
    return f"{shown_number(one.value)} (95% {shown_number(one.low)} to {shown_number(one.high)})"
