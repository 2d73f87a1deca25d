"""Estimates a window's quality before its labels come, with an interval; never judged.

Estimates are withheld, with the reason, where the inputs lie outside the reference's. Labels that
contradict them are noted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.baseline.estimation import EstimationRows
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.kinds.model_quality.estimator import (
    ESTIMATED,
    Estimate,
    Estimator,
    learn_estimator,
    why_not,
)
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.kind import NAMESPACE
from driftline.monitors.kinds.model_quality.values import Numbers, measure_answers
from driftline.monitors.kinds.model_quality.violations import shown_number
from driftline.monitors.results.label_sample import LabelSample
from driftline.monitors.results.metric import (
    CANNOT_ESTIMATE,
    ESTIMATED_ROWS,
    MetricPoint,
    MetricResult,
)
from driftline.monitors.results.violation import JsonValue, percent

PREFIX = "estimated_"
# From so many labelled rows on nobody misses an estimate.
ENOUGH_LABELS = 0.5
# As likely at most is it that predictions are all equal by chance.
EQUAL_BY_CHANCE = 1e-6
# So many rows with a value that the reference never had: nothing is known of their outcomes.
MOST_OUTSIDE = 0.1
WEIGHTED = "rows have weights, which estimates without labels do not take"
UNLEARNT = (
    "the size of errors could not be learnt from the reference's {:,} rows: their mean is taken"
)
# So many columns are named.
MOST_NAMED = 3
# What a sentence names first.
HEADLINE = {"binary": "auc", "multiclass": "accuracy", "regression": "mae"}
SHOWN = {"auc": "AUC", "mae": "MAE", "mse": "MSE", "rmse": "RMSE"}


@dataclass(frozen=True, slots=True)
class WindowEstimates:
    """Estimates of a window."""

    results: tuple[MetricResult, ...] = ()
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
    length: timedelta,
) -> WindowEstimates:
    """Estimate a window's metrics; none where the baseline cannot.

    `answers` are the labelled rows of `table`, `read` reads those of any rows, and `realised` holds
    the metrics of labelled rows. Without a label column (`has_label`), no label will come. An
    unfair `sample` of labels contradicts nothing.
    """
    found = _estimates(context, expected, table, answers, read, sample, length)
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
    length: timedelta,
) -> WindowEstimates:
    known, reference = context.baseline.estimation, expected.answers
    if known is None or reference is None or context.compat or not len(table):
        return WindowEstimates()
    scored = read(_with_any_label(table, expected, reference))
    if len(scored) < MIN_ROWS:
        return WindowEstimates()
    is_labelled = not sample.is_unfair(violated=False)
    is_labelled &= len(answers) >= ENOUGH_LABELS * len(scored)
    known, taught = _taught(known, reference)
    reason = WEIGHTED if reference.weight is not None else why_not(taught)
    if reason := reason or _why_nothing_to_learn(reference):
        # Whoever has labels misses nothing.
        return WindowEstimates() if is_labelled else _withheld(expected, reason)
    is_number = reference.problem == "regression"
    if is_labelled and is_number:
        return WindowEstimates()  # Models of losses take seconds, and labels say more.
    codes = known.codes_of(table)
    estimator = _estimator(context, known, taught, length)
    own = _features(known, codes) if is_number else np.zeros((len(table), 0))
    reason = _strangers(reference, answers, scored)
    reason = reason or _outside(known, codes[scored.places]) or _why_equal(reference, scored)
    if reason:
        return _withheld(expected, reason, is_quiet=is_labelled)
    estimates = estimator.estimate(scored, own[scored.places])
    results = _results(expected, len(scored), estimates)
    details: dict[str, JsonValue] = {
        ESTIMATED_ROWS: len(scored),
        "estimates": _beside_labels(estimator, answers, own),
        "estimate_note": (note := _note(expected, results, answers, len(scored))),
    }
    if (fitted := estimator.calibration) is not None:
        details["estimates_are_calibrated"] = fitted.is_kept
        details["calibration_error"] = fitted.error
        details["calibration_error_before"] = fitted.error_without
    elif note and estimator.losses is not None and not estimator.losses.is_kept:
        details["estimate_note"] = f"{note}; {UNLEARNT.format(estimator.rows)}"
    return WindowEstimates(results, details)


def _estimator(
    context: CheckContext, known: EstimationRows, taught: Answers, length: timedelta
) -> Estimator:
    """Return the estimator for windows of a length, learnt once."""

    def learn() -> Estimator:
        inputs = _features(known, known.codes) if len(known.codes) else np.zeros((len(taught), 0))
        return learn_estimator(taught, inputs, _categories(known), length=length)

    return context.kept(("estimator", context.roles, length), learn)


def _with_any_label(table: pa.Table, expected: Expectation, reference: Answers) -> pa.Table:
    """Set the same label in each row, so that all are read; labels are not used."""
    name = expected.roles.label
    value = 0.0 if reference.problem == "regression" else reference.classes[-1]
    labels = pa.array([value] * len(table))
    return table.set_column(table.column_names.index(name), name, labels)


def _why_nothing_to_learn(reference: Answers) -> str:
    """Return why a regression's reference errors do not predict another window's."""
    if reference.problem != "regression":
        return ""
    label = reference.label.astype(np.float64)
    if (label == label[0]).all():
        return f"the labels of the reference are all equal ({label[0]:g})"
    is_exact = bool((label == reference.answer.astype(np.float64)).all())
    return "the reference has no error" * is_exact


def _why_equal(reference: Answers, scored: Answers) -> str:
    """Return why constant predictions, now or in the reference, allow no estimate."""
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
    """Return the rows that estimates are learnt from; of a regression, those usable by metrics."""
    if reference.problem != "regression":
        return known, reference
    known = known.within(reference.limits)
    return known, Answers(
        "regression", known.predictions + known.errors, known.predictions, (), None,
        known.time_us, 0, np.arange(len(known.errors)),
    )  # fmt: skip


def _features(known: EstimationRows, codes: NDArray[np.uint16]) -> Numbers:
    """Return cells as numbers, NaN where a value is missing or unfit."""
    sizes = np.array([cell.size for cell in known.cells.values()], dtype=np.int64)
    return np.where(codes >= sizes - 2, np.nan, codes)


def _categories(known: EstimationRows) -> NDArray[np.bool_]:
    return np.array([not one.is_number and one.size <= 250 for one in known.cells.values()])


def _strangers(reference: Answers, answers: Answers, scored: Answers) -> str:
    """Return a note that labels or predictions are of unseen classes; else ""."""
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
    """Return why the inputs lie outside the reference's; "" where they do not."""
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


def _beside_labels(estimator: Estimator, answers: Answers, own: Numbers) -> dict[str, JsonValue]:
    """Compare labels with the estimates of the same rows."""
    if len(answers) < MIN_ROWS:
        return {}
    estimates = estimator.estimate(answers, own[answers.places])
    return {
        name: {
            "estimated": estimates[name].value, "low": estimates[name].low,
            "high": estimates[name].high, "realised": value,
        }
        for name, value in _realised(answers).items()
        if name in estimates
    }  # fmt: skip


def _realised(answers: Answers) -> dict[str, float]:
    """Return the estimated metrics as the labels say them."""
    found = measure_answers(answers)
    names = ESTIMATED[answers.problem]
    return {name: found[name].value for name in names if not found[name].undefined}


def _withheld(expected: Expectation, reason: str, *, is_quiet: bool = False) -> WindowEstimates:
    """Return the reason without estimates, also as unjudged metrics, unless labels are."""
    note = f"{CANNOT_ESTIMATE}{reason}"
    names = [] if is_quiet else [HEADLINE[expected.problem]]
    results = tuple(MetricResult(PREFIX + name, None, note=note) for name in names)
    return WindowEstimates(results, {"estimate_note": note})


def _results(
    expected: Expectation, rows: int, estimates: Mapping[str, Estimate]
) -> tuple[MetricResult, ...]:
    """Return each estimate with the reference's value; nothing is judged."""
    measures = {name: expected.measures.get(name) for name in estimates}
    return tuple(
        MetricResult(
            PREFIX + name, one.value, one.low, one.high,
            reference=known.value
            if (known := measures[name]) and math.isfinite(known.value)
            else None,
            count=rows,
        )
        for name, one in estimates.items()
    )  # fmt: skip


def _note(
    expected: Expectation, results: tuple[MetricResult, ...], answers: Answers, scored: int
) -> str:
    """Describe the headline metric's estimate, and how it compares with labels."""
    name = HEADLINE[expected.problem]
    one = next((each for each in results if each.name == PREFIX + name), None)
    if one is None or one.value is None:
        return ""
    shown = SHOWN.get(name, name)
    text = f"estimated without labels: {shown} {_range(one)}"
    if not len(answers):
        return text
    value = _realised(answers).get(name)
    labels = f"labels of {len(answers):,} of {scored:,} rows"
    return text if value is None else f"{text}; {labels} say {shown_number(value)}"


def _with_disagreement(
    found: WindowEstimates, realised: Mapping[str, MetricResult], name: str
) -> WindowEstimates:
    """Note that the headline metric by labels contradicts its estimate, by intervals."""
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
