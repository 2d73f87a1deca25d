"""The kind "model-quality": how good the predictions were, by their labels.

Thresholds and documents are SageMaker's; judgement.py and skill.py decide (docs/compat.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
import pyarrow as pa

from driftline.baseline.answers import (
    LARGEST,
    Answers,
    needed_columns,
    read_answers,
)
from driftline.baseline.foreign_values import new_class_rows
from driftline.baseline.outcomes import kept_columns
from driftline.baseline.positive import positive_note
from driftline.baseline.predicate import UNFIT
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.model_quality.blocks import (
    Blocks,
    blocks_like,
    kept_blocks,
    times_note,
    unanswered_blocks,
)
from driftline.monitors.kinds.model_quality.costs import Costs
from driftline.monitors.kinds.model_quality.documents import (
    constraint_document,
    deviations,
    is_sagemakers,
    statistics_document,
    suggested,
)
from driftline.monitors.kinds.model_quality.estimates import estimate_window
from driftline.monitors.kinds.model_quality.expectation import (
    Expectation,
    expectation,
    reference_answers,
)
from driftline.monitors.kinds.model_quality.extras import Extras
from driftline.monitors.kinds.model_quality.influence import Measure, effective_rows
from driftline.monitors.kinds.model_quality.judgement import (
    QualityJudgement,
    findable,
    judge_quality,
    judge_thresholds,
    lost_metrics,
    reference_note,
)
from driftline.monitors.kinds.model_quality.kind import NAMESPACE
from driftline.monitors.kinds.model_quality.loss_segments import find_loss_segment
from driftline.monitors.kinds.model_quality.metrics import (
    calibration,
    confusion_matrix,
    counts_at_thresholds,
    positive_share,
)
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric
from driftline.monitors.kinds.model_quality.parts import part_points, part_results
from driftline.monitors.kinds.model_quality.quantile_metrics import crossing_details
from driftline.monitors.kinds.model_quality.violations import SHOWN, describe_violations
from driftline.monitors.report.report import STATISTICS, Report
from driftline.monitors.results.label_sample import ALL_LABELS, LabelSample, label_sample
from driftline.monitors.results.metric import UNFAIR_LABELS, WITHHELD, MetricPoint
from driftline.monitors.results.unusable import (
    JudgedUnusable,
    Unusable,
    equal_note,
    judge_equal,
    judge_unusable,
    repeated_rows,
    sums_note,
    unfit_note,
    unusable_details,
)
from driftline.monitors.results.violation import JsonValue, plural
from driftline.monitors.rows import Rows as WindowRows
from driftline.roles import Roles

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
    measures = Extras(own=functions, costs=costs).measure(answers)
    names = [one.name for one in functions]
    if compat:
        measures = {name: one for name, one in measures.items() if is_sagemakers(name)}
    spread = deviations(answers, SUGGEST_SEED) | {name: measures[name].error for name in names}
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
    roles = baseline.outcomes.roles
    expected = expectation(CheckContext(baseline, WindowRows(lambda: iter(())), roles))
    found = [*_reference_notes(baseline).values()]
    has_times = expected.answers is not None and expected.answers.time_us is not None
    nothing = NOTHING_TOLD if has_times else NOTHING_TOLD_OF_ROWS
    for rows in WINDOW_SIZES:
        parts = [
            f"{SHOWN.get(name, name)} at {least:.3g} (now {value:.3g})"
            for name, value, least in findable(expected, rows, budget=Budget())
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
    window = _read_window(context, expected)
    table, answers, every = window.table, window.answers, window.every
    blocks = kept_blocks(context, expected, answers)
    like_sagemaker = context.compat
    sample = ALL_LABELS if like_sagemaker else label_sample(every, answers, expected.answers)
    if only := expected.only_class(answers):
        sample = replace(sample, words=f"{only}; {sample.words}")
    found = _judged(context, expected, window, blocks, sample)
    unusable = [] if like_sagemaker else _judged_unusable(context, expected, answers, every)
    parts = () if like_sagemaker else part_results(answers, expected)
    estimates = estimate_window(
        context, expected, table, answers, read=window.read, has_label=window.has_label,
        sample=sample, realised=found.results,
    )  # fmt: skip
    own = [one.name for one in expected.extras.own if one.name in found.measures]
    drawn = deviations(answers, context.seed) | {one: found.measures[one].error for one in own}
    spread = {name: value for name, value in drawn.items() if name in found.measures}
    violations = describe_violations(
        answers, expected, found.results, spread, is_each_told=like_sagemaker,
        place=find_loss_segment(answers, table, expected.answers, context.baseline),
        also=unusable,
    )  # fmt: skip
    left = _left_out(context, expected, window, answers, only)
    details = _details(
        expected, answers, found, blocks, every=every, rows=table.num_rows, left=left
    )
    return Report(
        kind="model-quality",
        violations=violations,
        metrics=(
            # Without labels there is nothing but estimates, and that is told once.
            *(() if estimates.results and not len(answers) else found.results.values()),
            *estimates.results,
            *(one.result for one in unusable),
            *parts,
        ),
        row_count=table.num_rows,
        labelled_count=answers.labelled_count,
        files={
            STATISTICS: statistics_document(answers, found.measures, spread, own),
            CONSTRAINTS: constraint_document(
                expected.problem, suggested(expected.problem, found.measures)
            ),
        },
        points=(*_points(found.measures, spread), *estimates.points, *part_points(parts)),
        alpha=max(found.alpha.values(), default=0.0),
        details={
            **details,
            **times_note(context, expected, table, blocks),
            **_reference_notes(context.baseline),
            **_sample_note(found),
            **estimates.details,
            **({WITHHELD: list[JsonValue](found.withheld)} if found.withheld else {}),
        },
    )


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


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """The judged rows."""

    table: pa.Table
    has_label: bool  # Whether any of the rows came with a column of labels.
    read: Callable[..., Answers]  # Reads answers of rows as the reference's are read.
    answers: Answers  # Of the labelled rows.
    every: Answers  # Of all rows, where predictions are judged before labels come.


def _read_window(context: CheckContext, expected: Expectation) -> _Window:
    """Read the rows, their predictions, and those with a label."""
    table, has_label = _rows(context, expected)
    known = expected.answers.classes if expected.answers else ()
    is_known = not set(known).isdisjoint(known_classes(expected.roles.positives, known))
    if expected.problem == "binary" and not is_known:
        known = ()  # The caller's classes are others than the reference's.
    read = partial(
        read_answers, roles=expected.roles, problem=expected.problem, classes=known,
        chances=expected.chances, reference=expected.classes,
        limits=None if expected.answers is None else expected.answers.limits,
    )  # fmt: skip
    every = answers = read(table)
    if expected.answers is not None and answers.labelled_count < table.num_rows:
        every = read(table, any_label=True)
    return _Window(table, has_label, read, answers, every)


def _judged(
    context: CheckContext,
    expected: Expectation,
    window: _Window,
    blocks: list[Blocks],
    sample: LabelSample,
) -> QualityJudgement:
    """Judge every metric, as SageMaker does with --compat."""
    answers, budget = window.answers, context.budget
    if context.compat:
        return judge_thresholds(expected, answers)
    lost = lost_metrics(expected, answers, window.every, blocks, budget=budget, sample=sample)
    return judge_quality(expected, answers, blocks, budget=budget, sample=sample, lost=lost)


def _rows(context: CheckContext, expected: Expectation) -> tuple[pa.Table, bool]:
    """Read the columns of outcomes and segments; also return whether there was a label column."""
    wanted = set(kept_columns(context.roles)) | {"event_time", context.roles.id_column, UNFIT}
    features = [one for one in context.baseline.signature.columns if one.role == "feature"]
    texts = {one.name for one in features if one.type == "string"} - wanted
    wanted |= texts | {one.name for one in features if one.type == "bool"}
    estimation, label = context.baseline.estimation, context.roles.label
    if estimation is not None:
        wanted |= {*estimation.cells}
    parts, has_label = [], False
    for batch in context.rows.read(sorted(filter(None, wanted))):
        has_label |= label in batch.schema.names
        if label is not None and label not in batch.schema.names:
            # Labels are to come, and until then quality is estimated where it can be.
            batch = batch.append_column(label, pa.nulls(len(batch)))
        needed_columns(context.roles, batch.schema.names)
        parts.append(pa.table({name: _held(batch[name], is_text=name in texts)
                               for name in batch.schema.names}))  # fmt: skip
    if parts:
        whole = pa.concat_tables(parts, promote_options="permissive")
        return whole.unify_dictionaries(), has_label
    roles = context.roles
    names = [name for name in kept_columns(roles) if name != roles.timestamp]
    return pa.table({name: pa.array([], pa.float64()) for name in names}), True


def _held(column: pa.Array, *, is_text: bool) -> pa.Array:
    """Return texts of features as dictionary arrays, to save memory."""
    if is_text:
        return column.dictionary_encode() if pa.types.is_string(column.type) else column
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


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
    blocks: list[Blocks],
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
        "alpha": dict(judged.alpha),
        "own_thresholds": list[JsonValue](sorted(expected.own)),
        "reference_blocks": [
            {"hours": block.length_us / 3.6e9, "count": len(block.measures)} for block in blocks
        ],
        "needed": dict(judged.needed),
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
    notes = [one.note for one in judged.results.values() if one.note.startswith(UNFAIR_LABELS)]
    why = "".join(notes[:1]).removeprefix(UNFAIR_LABELS)
    return {"sample_note": f"the labels are not a representative sample: {why}"} if notes else {}


def _states(answers: Answers, unfit: int, table: pa.Table, roles: Roles) -> list[str]:
    """Describe constant predictions, and labels that are no numbers."""
    said, found = _said(answers), []
    if len(said) and not _is_class(answers):
        found.append(equal_note(len(said), float(said.min()), float(said.max())))
    if unfit:
        found.append(unfit_note(table, str(roles.label), unfit, answers.limits[1]))
    found.append(crossing_details(answers, roles.quantile_columns)[1])
    return found


def _left_out(
    context: CheckContext, expected: Expectation, window: _Window, answers: Answers, only: str
) -> Mapping[str, JsonValue]:
    """Count rows that no metric can use, and repeated rows; also in words."""
    table, every, ids = window.table, window.every, expected.roles.id_column
    repeated = repeated_rows(table[ids].chunks) if ids in table.column_names else 0
    return unusable_details(
        replace(_unusable(every), lost=context.rows.lost_labels, repeated=repeated, id_column=ids),
        *_states(every, answers.unfit, table, expected.roles),
        sums_note(every, expected.answers),
        only,
    )


def _unusable(answers: Answers | None) -> Unusable:
    """Count the rows that no metric can use."""
    if answers is None:
        return Unusable()
    high = answers.limits[1]
    if answers.problem == "regression" and high < LARGEST:
        words = f"beyond {high:.3g}, a million times what is usual, or infinite"
    else:
        words = "of infinite size" if high >= LARGEST else "outside 0 to 1"
    return Unusable(
        answers.labelled_count, answers.unanswered, answers.impossible, words,
        answers.texts, answers.unknown, answers.unknown_words,
        "as classes of their own" if answers.problem == "multiclass" else "as negative",
        unweighed=answers.unweighed, has_quantiles=answers.quantiles is not None,
    )  # fmt: skip


def _with_labels(predictions: Unusable, answers: Answers | None) -> Unusable:
    """Add the number of unusable labels."""
    if answers is None:
        return predictions
    labels = answers.labelled_count + answers.unfit
    return replace(predictions, labels=labels, unfit=answers.unfit)


def _judged_unusable(
    context: CheckContext, expected: Expectation, answers: Answers, every: Answers
) -> list[JudgedUnusable]:
    """Judge unusable labels and predictions by the reference's shares."""
    labelled = reference = expected.answers
    outcomes = context.baseline.outcomes
    if reference is not None and outcomes and reference.labelled_count < outcomes.table.num_rows:
        reference = reference_answers(context.baseline, context.roles, labelled=reference)
    alpha, length = context.budget.per_window, context.rows.length
    new = new_class_rows(outcomes.table, outcomes.roles) if outcomes else 0
    blocks = unanswered_blocks(reference, every, length)
    usual = replace(_with_labels(_unusable(reference), labelled), unknown=new, blocks=blocks)
    found = replace(_with_labels(_unusable(every), answers), lost=context.rows.lost_labels)
    return [
        *judge_unusable(found, usual, alpha),
        *_judged_equal(reference, every, length, alpha),
    ]


def _judged_equal(
    reference: Answers | None, answers: Answers, length: timedelta | None, alpha: float
) -> list[JudgedUnusable]:
    """Judge constant predictions by the reference's share of them."""
    said = _said(answers)
    if reference is None or not len(said):
        return []
    if said.min() != said.max():
        return []
    shown = answers.classes[int(said[0])] if _is_class(answers) else f"{said[0]:g}"
    equal = _said(reference) == said[0]
    blocks = blocks_like(reference.time_us, answers, length, len(reference))
    counts = [
        (int(np.count_nonzero(blocks == one)), int(np.count_nonzero(equal[blocks == one])))
        for one in range(int(blocks.max(initial=-1)) + 1)
    ]
    words = f"all {plural(len(said), 'prediction')} are {shown}"
    return judge_equal(len(said), words, [(len(equal), int(equal.sum())), *counts], alpha)


def _is_class(answers: Answers) -> bool:
    is_score = answers.probability is not None and answers.probability.ndim == 1
    return answers.problem != "regression" and not is_score


def _said(answers: Answers) -> np.ndarray:
    """Return each row's prediction: value, score, or index of the class."""
    if _is_class(answers) or answers.problem == "regression":
        return answers.answer
    assert answers.probability is not None  # It is a score.
    return answers.probability


def _positive_note(answers: Answers, expected: Expectation) -> str:
    """Describe the positive class, and whether the reference's scores contradict it."""
    auc = expected.measures.get("auc")
    is_lower = auc is not None and auc.support > 0 and auc.interval[1] < 0.5
    return positive_note(
        answers.classes[1],
        answers.positive_reason or expected.positive_reason,
        auc.value if auc is not None and is_lower else None,
        "".join(expected.roles.probability[-1:]),
    )
