"""The kind "model-quality": how good the answers were, now that the truth is known.

Thresholds and documents are SageMaker's; judgement.py and skill.py decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from driftline.baseline.outcomes import outcome_columns
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.model_quality.answers import Answers, needed_columns, read_answers
from driftline.monitors.kinds.model_quality.documents import (
    constraint_document,
    deviations,
    statistics_document,
    suggested,
)
from driftline.monitors.kinds.model_quality.expectation import (
    Expectation,
    expectation,
    reference_answers,
)
from driftline.monitors.kinds.model_quality.influence import Measure
from driftline.monitors.kinds.model_quality.judgement import (
    QualityJudgement,
    blocks_of,
    judge_quality,
)
from driftline.monitors.kinds.model_quality.kind import NAMESPACE
from driftline.monitors.kinds.model_quality.loss_segments import find_segment
from driftline.monitors.kinds.model_quality.metrics import calibration
from driftline.monitors.kinds.model_quality.skill import Blocks
from driftline.monitors.kinds.model_quality.words import describe
from driftline.monitors.report.report import STATISTICS, Report
from driftline.monitors.results.metric import MetricPoint
from driftline.monitors.results.violation import JsonValue

CONSTRAINTS = "constraints.json"
# The seed of SageMaker's random subsamples in a reference; windows have the context's.
SUGGEST_SEED = 0


def suggest(baseline: Baseline) -> Mapping[str, str]:
    """Give SageMaker's documents of the reference; none when it lacks label or answer."""
    try:
        answers = reference_answers(baseline)
    except InputError:
        return {}  # Whoever asks for a check of quality is told what is wrong.
    if answers is None or not len(answers):
        return {}
    measures = answers.measure()
    spread = deviations(answers, SUGGEST_SEED)
    return {
        QUALITY_STATISTICS: statistics_document(answers, measures, spread),
        QUALITY_CONSTRAINTS: constraint_document(
            answers.problem, suggested(answers.problem, measures)
        ),
    }


def evaluate(context: CheckContext) -> Report:
    """Judge rows that have labels, all or some of them."""
    expected = expectation(context)
    table = _rows(context)
    known = expected.answers.classes if expected.answers else ()
    is_known = not set(known).isdisjoint(known_classes(expected.roles.positives, known))
    if expected.problem == "binary" and not is_known:
        known = ()  # The caller's classes are others than the reference's.
    answers = read_answers(
        table, expected.roles, expected.problem, known, expected.chances, expected.classes
    )
    facts = context.rows.facts
    blocks = blocks_of(expected.answers, answers, facts.window.length if facts else None)
    found = judge_quality(expected, answers, blocks, budget=context.budget)
    spread = deviations(answers, context.seed)
    violations = describe(
        answers,
        expected,
        found.results,
        spread,
        segment=find_segment(answers, table, expected.answers),
    )
    return Report(
        kind="model-quality",
        violations=violations,
        metrics=tuple(found.results.values()),
        row_count=table.num_rows,
        files={
            STATISTICS: statistics_document(answers, found.measures, spread),
            CONSTRAINTS: constraint_document(
                expected.problem, suggested(expected.problem, found.measures)
            ),
        },
        points=_points(found.measures, spread),
        facts=facts,
        baseline_version=context.baseline.version,
        alpha=max(found.alpha.values(), default=0.0),
        details=_details(expected, answers, found, blocks, rows=table.num_rows),
        batches=context.rows.batches,
    )


def _rows(context: CheckContext) -> pa.Table:
    """Read the columns that outcomes are measured on, and those that segments are named by."""
    wanted = set(outcome_columns(context.roles)) | {"event_time"}
    wanted |= {
        column.name
        for column in context.baseline.signature.columns
        if column.role == "feature" and column.type in ("string", "bool")
    }
    parts = []
    for batch in context.rows.batches():
        needed_columns(context.roles, batch.schema.names)
        chosen = [name for name in batch.schema.names if name in wanted]
        parts.append(pa.Table.from_batches([batch.select(chosen)]))
    if parts:
        return pa.concat_tables(parts, promote_options="permissive")
    roles = context.roles
    names = [name for name in outcome_columns(roles) if name != roles.timestamp]
    return pa.table({name: pa.array([], pa.float64()) for name in names})


def _points(
    measures: Mapping[str, Measure], spread: Mapping[str, float]
) -> tuple[MetricPoint, ...]:
    """Give each metric, and its standard deviation where there is one, under SageMaker's names."""
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
    rows: int,
) -> dict[str, JsonValue]:
    """Say what people ask next: which mistakes, how honest the probabilities, what it took."""
    found: dict[str, JsonValue] = {
        "problem": expected.problem,
        "labelled_rows": len(answers),
        "rows_without_label": rows - len(answers) - answers.unanswered,
        "rows_without_answer": answers.unanswered,
        "alpha": dict(judged.alpha),
        "own_thresholds": list[JsonValue](sorted(expected.own)),
        "reference_blocks": [
            {"hours": one.length_us / 3.6e9, "count": len(one.measures)} for one in blocks
        ],
        "needed": dict(judged.needed),
    }
    if answers.classes:
        matrix = answers.confusion()
        found["confusion_matrix"] = {actual: dict(row) for actual, row in matrix.items()}
    if expected.problem == "binary":
        found["positive"] = answers.classes[1]
        found["positive_share"] = _share(answers)
        found["reference_positive_share"] = _share(expected.answers) if expected.answers else None
        # Scores that are no probabilities cannot be right or wrong about a share.
        if answers.probability is not None and not judged.measures["brier"].undefined:
            bins = calibration(answers.label == 1, answers.probability)
            found["calibration"] = [dict(one) for one in bins]
    return found


def _share(answers: Answers) -> float | None:
    return float(np.mean(answers.label == 1)) if len(answers) else None
