"""The kind "outliers": whether more single rows are odd than the reference would have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kind import OWN_METRICS
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

# Cells that hold at most this share of the rows are rare.
RARE_SHARE = 0.02
# With fewer blocks of the window's length shorter ones are taken.
WANTED_BLOCKS = 28
STRETCHES = 50
# Data that were sorted look like one group: never are more rows than these taken for one.
LARGEST = 100.0
# Deviations by which stretches of a sample must vary more than chance has them.
CLEAR = 3.0

METRIC = "outlier_share"
CHECK = "outlier_share_check"
NAMED = 3


def evaluate(context: CheckContext) -> Report:
    """Judge a window; against a reference of too few rows nothing is decided."""
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
    budget, facts = context.budget, context.rows.facts
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
        facts=context.rows.facts,
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


def cluster_size(baseline: Baseline, columns: Sequence[str], length: timedelta) -> float:
    """Give how many times more the counts of rare cells vary than those of independent rows."""
    if baseline.blocks is not None and len(baseline.blocks.hours):
        hours = int(baseline.blocks.hours[-1] - baseline.blocks.hours[0]) + 1
        most = max(1, hours // WANTED_BLOCKS)
        long = timedelta(hours=max(1, min(length // timedelta(hours=1), most)))
        blocks = baseline.blocks.blocks(long)
        found = [_dispersion(blocks[name])[0] for name in columns if name in blocks]
    else:
        found = _of_sample(baseline, columns)
    return min(max([1.0, *found]), LARGEST)


def _of_sample(baseline: Baseline, columns: Sequence[str]) -> list[float]:
    """Measure stretches of the sample; of a group only as many rows are there as were drawn."""
    sample, found = baseline.sample, []
    if sample is None or len(sample) < STRETCHES:
        return []
    stretch = np.arange(len(sample)) * STRETCHES // len(sample)
    for name in columns:
        size = baseline.cells[name].size
        flat = np.bincount(stretch * size + sample.codes[name], minlength=STRETCHES * size)
        effect, error = _dispersion(flat.reshape(STRETCHES, size))
        if effect > 1 + CLEAR * error:
            found.append(1 + (effect - 1) * sample.row_count / len(sample))
    return found


def _dispersion(counts: NDArray[np.integer]) -> tuple[float, float]:
    """Give chi-squared of the rare cells over its degrees of freedom, and how far 1 is by chance.

    Parameters
    ----------
    counts
        Shape (blocks, cells).
    """
    rows, held = counts.sum(axis=1, keepdims=True), counts.sum(axis=0)
    share = held / max(float(held.sum()), 1.0)
    rare = (held > 0) & (share <= RARE_SHARE)
    freedom = (np.count_nonzero(rows) - 1) * np.count_nonzero(rare)
    if freedom < 1:
        return 1.0, 0.0
    expected = np.maximum(rows * share[rare], np.finfo(np.float64).tiny)
    found = float(np.sum((counts[:, rare] - rows * share[rare]) ** 2 / expected)) / freedom
    return found, math.sqrt(2.0 / freedom)
