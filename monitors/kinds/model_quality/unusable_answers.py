"""Predictions and labels that no metric can use: counted, noted, and judged by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import LARGEST, Answers, read_times
from driftline.baseline.foreign_values import new_class_rows
from driftline.monitors.check_context import CheckContext
from driftline.monitors.engine.pooling import block_length
from driftline.monitors.engine.sums import time_blocks
from driftline.monitors.kinds.model_quality.expectation import Expectation, reference_answers
from driftline.monitors.kinds.model_quality.quantile_metrics import crossing_details
from driftline.monitors.kinds.model_quality.sums import time_length
from driftline.monitors.results.unusable import (
    JudgedUnusable,
    Unusable,
    judge_equal,
    judge_unusable,
    repeated_rows,
    rows_length,
    unfit_note,
    untimed_note,
    unusable_details,
)
from driftline.monitors.results.violation import JsonValue, plural
from driftline.roles import Roles
from driftline.stats.blocks import NO_TIME, time_span


def judged_unusable(
    context: CheckContext,
    expected: Expectation,
    answers: Answers,
    every: Answers,
    length: timedelta,
) -> list[JudgedUnusable]:
    """Judge unusable labels and predictions by the reference's shares, and those of its blocks."""
    labelled = reference = expected.answers
    outcomes = context.baseline.outcomes
    if reference is not None and outcomes and reference.labelled_count < outcomes.table.num_rows:
        reference = reference_answers(context.baseline, context.roles, labelled=reference)
    alpha = context.budget.per_window
    new = new_class_rows(outcomes.table, outcomes.roles) if outcomes else 0
    block = block_length(length, None if reference is None else time_length(reference))
    blocks = [] if reference is None else _unanswered_blocks(reference, block)
    usual = replace(_with_labels(_unusable(reference), labelled), unknown=new, blocks=blocks)
    found = replace(_with_labels(_unusable(every), answers), lost=context.rows.lost_labels)
    return [
        *judge_unusable(found, usual, alpha),
        *([] if reference is None else _judged_equal(reference, every, block, alpha)),
    ]


def left_out(
    context: CheckContext,
    expected: Expectation,
    table: pa.Table,
    every: Answers,
    unfit: int,
    only: str,
) -> Mapping[str, JsonValue]:
    """Count rows that no metric can use, and repeated rows; also in words."""
    ids = expected.roles.id_column
    repeated = repeated_rows(table[ids].chunks) if ids in table.column_names else 0
    return unusable_details(
        replace(_unusable(every), lost=context.rows.lost_labels, repeated=repeated, id_column=ids),
        *_states(every, unfit, table, expected.roles),
        only,
    )


def times_note(
    context: CheckContext, expected: Expectation, table: pa.Table
) -> dict[str, JsonValue]:
    """Return a note that rows lack the times needed for a comparison with the reference's."""
    outcomes, reference = context.baseline.outcomes, expected.answers
    if outcomes is None or reference is None or not len(table) or context.compat:
        return {}
    when, times, rows = outcomes.roles.timestamp, read_times(table, expected.roles), len(table)
    if when is None and reference.time_us is None:
        return {}
    lacking = rows if times is None else int(np.count_nonzero(times == NO_TIME))
    if context.rows.length is not None:
        lacking *= times is not None  # When they came is known.
    note = untimed_note(when, outcomes.untimed, (lacking, rows))
    return {"times_note": note} if note else {}


def length_by_times(time_us: NDArray[np.int64] | None) -> timedelta | None:
    """Return the time span of a window's rows; None where too few have times."""
    if time_us is None:
        return None
    timed = int(np.count_nonzero(time_us != NO_TIME))
    return rows_length(time_span(time_us), timed, len(time_us))


def _states(answers: Answers, unfit: int, table: pa.Table, roles: Roles) -> list[str]:
    """Describe labels that are no numbers, and quantiles that cross."""
    found = []
    if unfit:
        found.append(unfit_note(table, str(roles.label), unfit, answers.limits[1]))
    found.append(crossing_details(answers, roles.quantile_columns)[1])
    return found


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


def _judged_equal(
    reference: Answers, answers: Answers, block: timedelta, alpha: float
) -> list[JudgedUnusable]:
    """Judge constant predictions by the reference's share of them."""
    said = _said(answers)
    if not len(said) or said.min() != said.max():
        return []
    shown = answers.classes[int(said[0])] if _is_class(answers) else f"{said[0]:g}"
    equal = _said(reference) == said[0]
    counts = [(len(equal), int(equal.sum())), *_by_block(reference.time_us, equal, block)]
    return judge_equal(
        len(said), f"all {plural(len(said), 'prediction')} are {shown}", counts, alpha
    )


def _unanswered_blocks(reference: Answers, block: timedelta) -> list[tuple[int, int]]:
    """Count the reference's labelled and unpredicted rows by block."""
    if reference.time_us is None or not reference.unanswered:
        return []
    assert reference.unanswered_us is not None  # Of the same rows.
    times = np.concatenate([reference.time_us, reference.unanswered_us])
    return _by_block(times, np.arange(len(times)) >= len(reference), block)


def _by_block(
    times: NDArray[np.int64] | None, marks: NDArray[np.bool_], block: timedelta
) -> list[tuple[int, int]]:
    """Count rows, and marked ones, by block of time; none without times."""
    if (blocks := time_blocks(times, block)) is None:
        return []
    rows, index, count = blocks
    counts = (np.bincount(one, minlength=count) for one in (index, index[marks[rows]]))
    return [(int(whole), int(marked)) for whole, marked in zip(*counts, strict=True)]


def _is_class(answers: Answers) -> bool:
    is_score = answers.probability is not None and answers.probability.ndim == 1
    return answers.problem != "regression" and not is_score


def _said(answers: Answers) -> np.ndarray:
    """Return each row's prediction: value, score, or index of the class."""
    if _is_class(answers) or answers.problem == "regression":
        return answers.answer
    assert answers.probability is not None  # It is a score.
    return answers.probability
