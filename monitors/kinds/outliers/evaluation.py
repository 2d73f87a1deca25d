"""The kind "outliers": whether more single rows are odd than the reference would have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from driftline.monitors.check_context import CheckContext
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.outliers.clusters import cluster_size
from driftline.monitors.kinds.outliers.condition import OutlierCondition
from driftline.monitors.kinds.outliers.reading import LEVELS, OutlierReading
from driftline.monitors.kinds.outliers.scorer import (
    LEAST_ROWS,
    OUTLIER_SCORE,
    RowScorer,
    row_scorer,
)
from driftline.monitors.kinds.outliers.share import DEFAULT_LENGTH, ShareVerdict, judge_share
from driftline.monitors.kinds.outliers.terms import share_words
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import INSUFFICIENT, MetricPoint, MetricResult
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural

METRIC = "outlier_share"
CHECK = "outlier_share_check"
NAMED = 3


def evaluate(context: CheckContext) -> Report:
    """Judge a window; against a reference of too few rows nothing is decided.

    Raises
    ------
    InputError
        When the baseline keeps no sample of rows, or the data have none of its columns.
    """
    sample = context.baseline.sample
    if sample is not None and len(sample) < LEAST_ROWS:
        return _undecided(context, len(sample))
    scorer = row_scorer(context.baseline)
    reading = context.rows.gather(partial(OutlierReading, scorer))
    rows = reading.row_count
    # Without rows nobody knows which columns they would have had.
    missing = scorer.missing(sorted(reading.seen)) if rows else ()
    if rows:
        scorer.require(sorted(reading.seen))
    budget, facts = context.budget, context.facts
    length = facts.window.length if facts else None
    verdict = None
    if rows:
        cluster = cluster_size(context.baseline, scorer.columns, length or DEFAULT_LENGTH)
        verdict = judge_share(
            scorer, reading.outlier_count, rows, budget=budget, length=length, cluster=cluster
        )
    return Report(
        kind="outliers",
        violations=() if verdict is None else _violations(scorer, reading, verdict),
        row_count=rows,
        metrics=() if verdict is None else (_metric(verdict, rows),),
        points=() if verdict is None else _points(reading, verdict),
        facts=facts,
        baseline_version=context.baseline.version,
        alpha=budget.false_alarms_per_year / budget.windows_per_year,
        details=_details(scorer, reading, verdict, missing),
        batches=context.rows.batches,
    )


@dataclass(slots=True)
class _Rows:
    """Counts rows, and does nothing else with them."""

    count: int = 0

    def update(self, batch: pa.RecordBatch) -> None:
        self.count += batch.num_rows

    def merge(self, other: _Rows) -> _Rows:
        return _Rows(self.count + other.count)


def _undecided(context: CheckContext, sample_rows: int) -> Report:
    """Say that the reference does not tell what is odd."""
    rows, budget = context.rows.gather(_Rows).count, context.budget
    metric = MetricResult(name=METRIC, value=None, count=rows, note=INSUFFICIENT)
    return Report(
        kind="outliers",
        violations=(),
        row_count=rows,
        metrics=(metric,) if rows else (),
        facts=context.facts,
        baseline_version=context.baseline.version,
        alpha=budget.false_alarms_per_year / budget.windows_per_year,
        details={"threshold": OUTLIER_SCORE, "sample_rows": sample_rows},
        batches=context.rows.batches,
    )


def _metric(verdict: ShareVerdict, rows: int) -> MetricResult:
    judged = verdict.bound is not None
    return MetricResult(
        name=METRIC,
        value=verdict.share,
        low=verdict.low,
        high=verdict.high,
        reference=verdict.reference,
        reference_low=verdict.reference_low,
        reference_high=verdict.reference_high,
        bound=verdict.bound,
        operator="GreaterThanThreshold" if judged else "",
        p_value=verdict.p_value,
        count=rows,
        severity="ticket" if verdict.violated else None,
        note="" if judged else INSUFFICIENT,
    )


def _points(reading: OutlierReading, verdict: ShareVerdict) -> tuple[MetricPoint, ...]:
    return (
        MetricPoint(OWN_METRICS, METRIC, verdict.share),
        MetricPoint(OWN_METRICS, "outliers", float(reading.outlier_count)),
    )


def _violations(
    scorer: RowScorer, reading: OutlierReading, verdict: ShareVerdict
) -> tuple[Violation, ...]:
    """Say that there are too many, and by which columns they are odd."""
    if not verdict.violated or verdict.bound is None:
        return ()
    share, usual = share_words(verdict.share), share_words(verdict.reference)
    total = max(reading.columns.total(), 1)
    named = [
        f"{name} ({percent(count / total)} of them)"
        for name, count in reading.columns.most_common(NAMED)
    ]
    by = f", odd by {', '.join(named)} most" if named else ""
    found = Violation(
        feature_name=METRIC,
        constraint_check_type=CHECK,
        description=(
            f"Share of outliers {verdict.share!r} exceeds threshold {round(verdict.bound, 6)!r}: "
            f"{plural(reading.outlier_count, 'outlier')} of {plural(reading.row_count, 'row')}"
        ),
        severity="ticket",
        ratio=verdict.share / verdict.bound,
        share_of_blame=1.0,
        predicate=OutlierCondition(scorer),
        row_count=reading.outlier_count,
        cause=f"{share} of rows are outliers ({usual} expected){by}",
        first_rows=tuple(one.pointer for one in reading.worst),
    )
    return (found,)


def _details(
    scorer: RowScorer,
    reading: OutlierReading,
    verdict: ShareVerdict | None,
    missing: tuple[str, ...],
) -> dict[str, JsonValue]:
    """Tell what the share rests on, and the worst rows, whether or not there are too many."""
    sample = scorer.sample_scores
    return {
        "threshold": OUTLIER_SCORE,
        "sample_rows": len(sample),
        "missing_columns": list(missing),
        "design_effect": verdict.design_effect if verdict else None,
        "variation": verdict.variation if verdict else None,
        "scores": [
            {
                "from": level,
                "share": float(count) / reading.row_count if reading.row_count else None,
                "reference": float((sample >= level).mean()),
            }
            for level, count in zip(LEVELS, reading.counts.tolist(), strict=True)
        ],
        "columns": [
            {"column": name, "outliers": count} for name, count in reading.columns.most_common()
        ],
        "worst": [
            {"score": one.score, "reason": one.reason, **one.pointer} for one in reading.worst
        ],
    }
