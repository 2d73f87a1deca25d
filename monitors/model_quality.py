"""The kind "model-quality": how good the answers were, now that the truth is known.

Thresholds and documents are SageMaker's; the decision is skill.py's. A *page* is a loss of skill
that no change of the share of positives explains; what moves with that share alone is a *ticket*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa

from driftline.baseline.outcomes import outcome_columns
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.monitors.answers import Answers, needed_columns, read_answers
from driftline.monitors.influence import Measure
from driftline.monitors.loss_segments import find_segment
from driftline.monitors.metric import INSUFFICIENT, MetricPoint, MetricResult
from driftline.monitors.quality_documents import (
    Constraint,
    constraint_document,
    deviations,
    statistics_document,
    suggested,
)
from driftline.monitors.quality_expectation import (
    Expectation,
    expectation,
    reference_answers,
)
from driftline.monitors.quality_metrics import calibration
from driftline.monitors.quality_words import describe
from driftline.monitors.question import Question
from driftline.monitors.report import STATISTICS, Report
from driftline.monitors.significance import MIN_ROWS
from driftline.monitors.skill import (
    MIN_SUPPORT,
    Blocks,
    Verdict,
    cluster_rows,
    judge_metric,
    reference_blocks,
    scatter,
)
from driftline.monitors.violation import JsonValue, Severity, plural

__all__ = ["NAMESPACE", "examine", "suggest"]

NAMESPACE = "aws/sagemaker/Endpoints/model-metrics"
CONSTRAINTS = "constraints.json"
# The seed of SageMaker's random subsamples in a reference; windows have the question's.
SUGGEST_SEED = 0
# What tells skill itself; half of the year's budget is theirs.
SKILL = frozenset(
    {"auc", "balanced_accuracy", "brier_skill", "accuracy_skill", "mae", "mse", "rmse", "r2"}
)
ERRORS = frozenset({"mae", "mse", "rmse"})
# The loss of these is a page below zero: a constant answer would have been better.
BEYOND_GUESSING = frozenset({"brier_skill", "accuracy_skill"})


def suggest(baseline: Baseline) -> Mapping[str, str]:
    """Give SageMaker's documents of the reference; none when it lacks label or answer."""
    answers = reference_answers(baseline.outcomes)
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


def examine(question: Question) -> Report:
    """Judge rows that have labels, all or some of them.

    Raises
    ------
    InputError
        When neither the baseline nor the caller names label and answer, or columns are missing.
    """
    expected = expectation(question)
    table = _rows(question)
    known = expected.answers.classes if expected.answers else ()
    answers = read_answers(table, expected.roles, expected.problem, known)
    return _Judgement(question, expected, answers, table).report()


class _Judgement:
    """One window against what is expected of it."""

    def __init__(
        self, question: Question, expected: Expectation, answers: Answers, table: pa.Table
    ) -> None:
        self.question, self.expected, self.answers, self.table = question, expected, answers, table
        self.measures = answers.measure(cluster_rows(answers.time_us))
        self.spread = deviations(answers, question.seed)
        self.blocks = self._blocks()
        self.alpha = self._alpha()

    def report(self) -> Report:
        """Judge every metric, and write down what was found."""
        question, answers = self.question, self.answers
        found = {name: self._result(name) for name in self.measures}
        results = {
            name: (replace(one, severity=self._severity(name, found)) if broken else one)
            for name, (one, broken) in found.items()
        }
        segment = find_segment(answers, self.table, self.expected.answers)
        violations = describe(
            answers, self.expected.answers, results, self.expected.constraints, self.spread,
            roles=self.expected.roles, segment=segment,
        )  # fmt: skip
        facts = question.facts
        return Report(
            kind="model-quality",
            violations=violations,
            metrics=tuple(results.values()),
            row_count=self.table.num_rows,
            files=self._files(),
            points=tuple(self._points()),
            facts=facts,
            baseline_version=question.baseline.version,
            alpha=min(self.alpha.values(), default=0.0),
            details=self._details(results),
            batches=question.batches,
        )

    def _alpha(self) -> dict[str, float]:
        """Divide the year's budget: half to what tells skill, half to the rest."""
        budget = self.question.budget
        judged = [name for name in self.expected.constraints if name in self.measures]
        groups = [[n for n in judged if n in SKILL], [n for n in judged if n not in SKILL]]
        filled = [one for one in groups if one]
        each = budget.false_alarms_per_year / budget.windows_per_year / max(len(filled), 1)
        return {name: each / len(group) for group in filled for name in group}

    def _blocks(self) -> list[Blocks]:
        """Measure the reference in blocks of the window's length."""
        reference = self.expected.answers
        if reference is None or reference.time_us is None or not len(self.answers):
            return []
        facts, times = self.question.facts, self.answers.time_us
        if facts is not None:
            length = facts.window.length
        elif times is not None:
            unit = timedelta(days=1)
            span = timedelta(microseconds=int(np.ptp(times)) + 1)
            unit = unit if span > unit else timedelta(hours=1)
            length = -(-span // unit) * unit
        else:
            span = timedelta(microseconds=int(np.ptp(reference.time_us)) + 1)
            length = span * min(1.0, len(self.answers) / len(reference))
        return reference_blocks(reference, max(1, length // timedelta(microseconds=1)))

    def _result(self, name: str) -> tuple[MetricResult, bool]:
        """Judge one metric; say whether it is violated."""
        measure = self.measures[name]
        constraint = self.expected.constraints.get(name)
        reference = self.expected.measures.get(name)
        low, high = measure.interval
        result = MetricResult(
            name=name,
            value=_known(measure.value),
            low=_known(low) if measure.variance or measure.support else None,
            high=_known(high) if measure.variance or measure.support else None,
            reference=_known(reference.value) if reference else None,
            operator=constraint.operator if constraint else "",
            count=round(measure.support) or len(self.answers),
            note=self._note(measure, judged=constraint is not None),
        )
        if reference is not None and reference.variance:
            bottom, top = reference.interval
            result = replace(result, reference_low=_known(bottom), reference_high=_known(top))
        if constraint is None or result.note:
            return result, False
        verdict = self._verdict(name, measure, constraint, reference)
        return replace(result, bound=verdict.bound, p_value=verdict.p_value), verdict.violated

    def _verdict(
        self, name: str, measure: Measure, constraint: Constraint, reference: Measure | None
    ) -> Verdict:
        blocks = None
        if reference is not None and self.blocks:
            blocks = scatter(self.blocks, name, reference, is_lower=constraint.is_lower)
        return judge_metric(
            measure,
            constraint,
            reference=reference if reference and reference.variance else None,
            blocks=blocks,
            is_own=name in self.expected.own,
            alpha=self.alpha[name],
        )

    def _note(self, measure: Measure, *, judged: bool) -> str:
        if len(self.answers) < MIN_ROWS:
            return INSUFFICIENT
        if measure.undefined:
            return f"undefined: {measure.undefined}"
        return INSUFFICIENT if judged and measure.support < MIN_SUPPORT else ""

    def _severity(self, name: str, found: Mapping[str, tuple[MetricResult, bool]]) -> Severity:
        """Say whether a violated metric tells of lost skill, or of another share of positives."""
        result, _ = found[name]
        if name in ("auc", "balanced_accuracy"):
            return "page"
        if name in BEYOND_GUESSING:
            return "page" if result.value is not None and result.value < 0 else "ticket"
        if name == "r2" or name in ERRORS:
            # Labels that spread wider make errors larger, and labels that spread less make r2
            # smaller; both together are a worse model.
            others = ERRORS if name == "r2" else {"r2"}
            below_zero = name == "r2" and result.value is not None and result.value < 0
            worse = any(_is_worse(found[other][0]) for other in others)
            return "page" if worse or below_zero else "ticket"
        return "ticket"

    def _files(self) -> dict[str, str]:
        problem = self.expected.problem
        return {
            STATISTICS: statistics_document(self.answers, self.measures, self.spread),
            CONSTRAINTS: constraint_document(problem, suggested(problem, self.measures)),
        }

    def _points(self) -> list[MetricPoint]:
        found = []
        for name, measure in self.measures.items():
            if not math.isnan(measure.value):
                found.append(MetricPoint(NAMESPACE, name, measure.value))
            if not math.isnan(self.spread.get(name, math.nan)):
                found.append(MetricPoint(NAMESPACE, f"{name}_std", self.spread[name]))
        return found

    def _details(self, results: Mapping[str, MetricResult]) -> dict[str, JsonValue]:
        """Say what people ask next: which mistakes, how honest the probabilities, what it took."""
        answers, reference = self.answers, self.expected.answers
        found: dict[str, JsonValue] = {
            "problem": self.expected.problem,
            "labelled_rows": len(answers),
            "rows_without_label": self.table.num_rows - len(answers) - answers.unanswered,
            "rows_without_answer": answers.unanswered,
            "alpha": dict(self.alpha),
            "own_thresholds": list[JsonValue](sorted(self.expected.own)),
            "reference_blocks": _block_facts(self.blocks),
            "needed": self._needed(results),
        }
        if answers.classes:
            matrix = answers.confusion()
            found["confusion_matrix"] = {actual: dict(row) for actual, row in matrix.items()}
        if self.expected.problem == "binary":
            found["positive"] = answers.classes[1]
            found["positive_share"] = _share(answers)
            found["reference_positive_share"] = _share(reference) if reference else None
            if answers.probability is not None and "brier" in self.measures:
                bins = calibration(answers.label == 1, answers.probability)
                found["calibration"] = [dict(one) for one in bins]
        return found

    def _needed(self, results: Mapping[str, MetricResult]) -> dict[str, JsonValue]:
        """Say, of what is too small, how many rows there are and how many it takes."""
        small = [name for name, one in results.items() if one.note == INSUFFICIENT]
        rows = len(self.answers)
        if rows < MIN_ROWS:
            return dict.fromkeys(
                small, f"{MIN_ROWS} labelled rows with an answer; there are {rows}"
            )
        return {
            name: f"{plural(MIN_SUPPORT, 'row')} that it rests on; there are "
            f"{self.measures[name].support:.0f}"
            for name in small
        }


def _rows(question: Question) -> pa.Table:
    """Read the columns that outcomes are measured on, and those that segments are named by."""
    wanted = set(outcome_columns(question.roles)) | {"event_time"}
    wanted |= {
        column.name
        for column in question.baseline.signature.columns
        if column.role == "feature" and column.type in ("string", "bool")
    }
    parts = []
    for batch in question.batches():
        needed_columns(question.roles, batch.schema.names)
        chosen = [name for name in batch.schema.names if name in wanted]
        parts.append(pa.Table.from_batches([batch.select(chosen)]))
    if parts:
        return pa.concat_tables(parts, promote_options="permissive")
    roles = question.roles
    names = [name for name in outcome_columns(roles) if name != roles.timestamp]
    return pa.table({name: pa.array([], pa.float64()) for name in names})


def _block_facts(blocks: list[Blocks]) -> JsonValue:
    return [{"hours": one.length_us / 3.6e9, "count": len(one.measures)} for one in blocks]


def _share(answers: Answers) -> float | None:
    return float(np.mean(answers.label == 1)) if len(answers) else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _is_worse(result: MetricResult) -> bool:
    """Tell whether a metric lies on the bad side of the reference's, whatever chance says."""
    if result.value is None or result.reference is None:
        return False
    if result.operator == "LessThanThreshold":
        return result.value < result.reference
    return result.value > result.reference
