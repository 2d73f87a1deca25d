"""The kind "model-quality": how good the predictions were, by their labels.

Thresholds and documents are SageMaker's; judgement.py decides by the engine (docs/compat.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from driftline.baseline.answers import Answers
from driftline.baseline.positive import positive_note
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.model_quality.costs import Costs
from driftline.monitors.kinds.model_quality.documents import (
    constraint_document,
    is_sagemakers,
    statistics_document,
)
from driftline.monitors.kinds.model_quality.estimates import estimate_window
from driftline.monitors.kinds.model_quality.expectation import (
    Expectation,
    expectation,
    reference_answers,
    suggested,
)
from driftline.monitors.kinds.model_quality.judgement import (
    QualityJudgement,
    judge_compat,
    judge_quality,
    reference_note,
)
from driftline.monitors.kinds.model_quality.kind import NAMESPACE
from driftline.monitors.kinds.model_quality.loss_segments import find_loss_segment
from driftline.monitors.kinds.model_quality.measures import Extras
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric
from driftline.monitors.kinds.model_quality.quantile_metrics import crossing_details
from driftline.monitors.kinds.model_quality.testing import findable, window_length
from driftline.monitors.kinds.model_quality.unusable_answers import (
    judged_unusable,
    left_out,
    times_note,
)
from driftline.monitors.kinds.model_quality.values import (
    Measure,
    calibration,
    confusion_matrix,
    counts_at_thresholds,
    effective_rows,
    positive_share,
)
from driftline.monitors.kinds.model_quality.violations import (
    SHOWN,
    describe_violations,
    pooled_violations,
)
from driftline.monitors.kinds.model_quality.window import read_window
from driftline.monitors.report.report import STATISTICS, Report
from driftline.monitors.results.label_sample import ALL_LABELS, label_sample
from driftline.monitors.results.measured import WITHHELD, Measured, MetricPoint
from driftline.monitors.results.violation import JsonValue, plural
from driftline.monitors.rows import Rows as WindowRows
from driftline.monitors.state import State

CONSTRAINTS = "constraints.json"
# The seed of SageMaker's random subsamples in a reference; windows have the context's.
SUGGEST_SEED = 0
# Windows of so many rows are told what they find.
WINDOW_SIZES = (1_000, 10_000)
NOTHING_TOLD = "no loss can be told from how the days of the reference differ"
NOTHING_TOLD_OF_ROWS = "no loss can be told, since the rows of the reference allow guessing"


def suggest(
    baseline: Baseline, functions: tuple[OwnMetric, ...] = (), costs: Costs | None = None, *,
    compat: bool = False,
) -> Mapping[str, str]:  # fmt: skip
    """Return SageMaker's documents of the reference; none when it lacks labels or predictions.

    The user's metrics and prices follow SageMaker's; with `compat`, other metrics are left out.
    """
    try:
        answers = reference_answers(baseline)
    except InputError:
        return {}  # Whoever asks for a check of quality is told what is wrong.
    if answers is None or not len(answers):
        return {}
    extras = Extras(own=functions, costs=costs)
    measures = extras.measure(answers)
    names = [one.name for one in functions]
    if compat:
        measures = {name: one for name, one in measures.items() if is_sagemakers(name)}
    spread = extras.deviations(answers, SUGGEST_SEED)
    return {
        QUALITY_STATISTICS: statistics_document(answers, measures, spread, names),
        QUALITY_CONSTRAINTS: constraint_document(
            answers.problem,
            suggested(answers.problem, measures),
            listed=[one.listed for one in functions],
            costs=costs,
        ),
    }


suggest_compat = partial(suggest, compat=True)


def detectable(baseline: Baseline) -> list[str]:
    """Return the losses that windows of some sizes find nine times in ten, one sentence each."""
    if not suggest(baseline) or baseline.outcomes is None:
        return []
    context = CheckContext(baseline, WindowRows(lambda: iter(())), baseline.outcomes.roles)
    expected = expectation(context)
    found = [*_reference_notes(baseline).values()]
    has_times = expected.answers is not None and expected.answers.time_us is not None
    nothing = NOTHING_TOLD if has_times else NOTHING_TOLD_OF_ROWS
    for rows in WINDOW_SIZES:
        parts = [
            f"{SHOWN.get(name, name)} at {least:.3g} (now {value:.3g})"
            for name, value, least in findable(context, expected, rows, budget=Budget())
        ]
        told = f" find, nine times in ten, {'; '.join(parts)}" if parts else f": {nothing}"
        found.append(f"{rows:,} labelled rows a day{told}")
    return found


def _reference_notes(baseline: Baseline) -> dict[str, str]:
    """Return notes on the reference's classes, by key of the details."""
    note = "" if baseline.outcomes is None else baseline.outcomes.classes_note
    return {"classes_note": note} if note else {}


def evaluate(context: CheckContext) -> Report:
    """Judge rows that have labels, all or some of them."""
    expected = expectation(context)
    _refuse_compat(context)
    window = read_window(context, expected)
    table, answers, every = window.table, window.answers, window.every
    like_sagemaker = context.compat
    length = window_length(context, expected, answers, table.num_rows)
    sample = ALL_LABELS if like_sagemaker else label_sample(every, answers, expected.answers)
    if only := expected.only_class(answers):
        sample = replace(sample, words=f"{only}; {sample.words}")
    if like_sagemaker:
        found = judge_compat(expected, answers)
    else:
        found = judge_quality(context, expected, answers, sample, length=length)
    unusable = [] if like_sagemaker else judged_unusable(context, expected, answers, every, length)
    estimates = estimate_window(context, expected, window, sample, found.results, length)
    own = [one.name for one in expected.extras.own if one.name in found.measures]
    spread = expected.extras.deviations(answers, context.seed)
    spread = {name: value for name, value in spread.items() if name in found.measures}
    violations = describe_violations(
        answers, expected, found.results, spread, is_each_told=like_sagemaker,
        place=find_loss_segment(answers, table, expected.answers, context.baseline),
        also=[
            *((one.violation, one.evidence) for one in unusable if one.violation is not None),
            *pooled_violations(found.pooled, found.results),
        ],
    )  # fmt: skip
    left = left_out(context, expected, table, every, answers.unfit, only)
    return Report(
        kind="model-quality",
        violations=violations,
        metrics=(
            # Without labels there is nothing but estimates, and that is told once.
            *(() if estimates.results and not len(answers) else found.results.values()),
            *estimates.results,
            *(one.result for one in unusable),
            *found.parts,
        ),
        row_count=table.num_rows,
        labelled_count=answers.labelled_count,
        files={
            STATISTICS: statistics_document(answers, found.measures, spread, own),
            CONSTRAINTS: constraint_document(
                expected.problem, suggested(expected.problem, found.measures)
            ),
        },
        points=(*_points(found.measures, spread), *estimates.points, *_part_points(found.parts)),
        alpha=found.alpha,
        sums=found.sums,
        spans=found.spans,
        details={
            **_details(expected, answers, found, every=every, rows=table.num_rows, left=left),
            **times_note(context, expected, table),
            **_reference_notes(context.baseline),
            **_sample_note(found),
            **estimates.details,
            **({WITHHELD: list[JsonValue](found.withheld)} if found.withheld else {}),
        },
    )


def _part_points(parts: Sequence[Measured]) -> Iterator[MetricPoint]:
    """Return each class's metrics, under the label that names the class."""
    for one in parts:
        if one.value is not None:
            yield MetricPoint(NAMESPACE, one.name, one.value, {"Label": one.label})


def _refuse_compat(context: CheckContext) -> None:
    """Refuse a problem without SageMaker metrics, with --compat."""
    if not context.compat:
        return
    if weight := context.roles.weight:
        raise InputError(
            f'weight "{weight}" with compat: SageMaker counts each row once; leave compat out, or '
            "make a baseline without weight"
        )
    if context.roles.quantiles:
        raise InputError(
            f"quantiles {', '.join(context.roles.quantile_columns)} with compat: SageMaker has no "
            "metrics of quantiles; leave compat out, or make a baseline without quantiles"
        )


def _points(
    measures: Mapping[str, Measure], spread: Mapping[str, float]
) -> tuple[MetricPoint, ...]:
    """Return each metric, and its standard deviation if any, under SageMaker's name."""
    values = {
        **{name: one.value for name, one in measures.items()},
        **{f"{name}_std": value for name, value in spread.items()},
    }
    return tuple(
        MetricPoint(NAMESPACE, name, value)
        for name, value in values.items()
        if not math.isnan(value)
    )


def _details(
    expected: Expectation,
    answers: Answers,
    judged: QualityJudgement,
    *,
    every: Answers,
    rows: int,
    left: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """Return the confusion matrix, the calibration and details of the judgement."""
    found: dict[str, JsonValue] = {
        "problem": expected.problem,
        "labelled_rows": len(answers),
        "rows_without_label": rows - answers.labelled_count - answers.unfit,
        "rows_without_answer": every.unanswered,
        "unfit_labels": answers.unfit,
        **left,
        "own_thresholds": list[JsonValue](sorted(expected.own)),
    }
    if not expected.constraints:
        found["reference_note"] = "no row of the reference has a label and a prediction of use"
    elif note := reference_note(expected):
        found["lacking_note"] = note
    if answers.weightless and not len(answers):
        found["weight_note"] = (
            f"{plural(answers.weightless, 'row')} of {expected.roles.weight} 0 count nothing"
        )
    if answers.weight is not None and len(answers):
        worth = effective_rows(answers.weight)
        found["weight_note"] = (
            f"each row counts by its {expected.roles.weight}: "
            f"{plural(len(answers), 'row')} {'is' if len(answers) == 1 else 'are'} worth "
            f"{worth:,.0f} that count alike"
        )
    if every.quantiles is not None:
        found["crossing_quantiles"] = crossing_details(every, expected.roles.quantile_columns)[0]
    if answers.classes:
        matrix = confusion_matrix(answers)
        found["confusion_matrix"] = {actual: dict(row) for actual, row in matrix.items()}
    if expected.problem == "binary":
        found["positive"] = answers.classes[1]
        found["positive_note"] = _positive_note(answers, expected)
        found["positive_share"] = positive_share(answers)
        found["reference_positive_share"] = (
            positive_share(expected.answers) if expected.answers else None
        )
        # Scores that are no probabilities cannot be right or wrong about a share.
        brier = judged.measures.get("brier")
        if answers.probability is not None and brier is not None and not brier.undefined:
            bins = calibration(answers.label == 1, answers.probability, answers.weight)
            found["calibration"] = [dict(one) for one in bins]
            sides = {"window": answers, "reference": expected.answers}
            found["counts_at_thresholds"] = {
                name: [
                    list[JsonValue](pair)
                    for pair in counts_at_thresholds(side.label == 1, side.probability, side.weight)
                ]
                for name, side in sides.items()
                if side is not None and side.probability is not None
            }
    return found


def _sample_note(judged: QualityJudgement) -> dict[str, JsonValue]:
    """Return a note on how labelled rows differ from all, where that leaves metrics unjudged."""
    for one in judged.results.values():
        if one.state == State.UNFAIR_LABELS:
            return {"sample_note": f"the labels are not a representative sample: {one.why}"}
    return {}


def _positive_note(answers: Answers, expected: Expectation) -> str:
    """Describe the positive class, and whether the reference's scores contradict it."""
    auc = expected.measures.get("auc")
    is_lower = auc is not None and auc.value < 0.5
    return positive_note(
        answers.classes[1],
        answers.positive_reason or expected.positive_reason,
        auc.value if auc is not None and is_lower else None,
        "".join(expected.roles.probability[-1:]),
    )
