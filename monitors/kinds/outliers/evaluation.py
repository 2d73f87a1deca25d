"""The kind "outliers": whether a window has more outliers than expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.pooling import (
    DAY,
    WindowSums,
    block_length,
    judge_spans,
    judged_spans,
    smallest_p_value,
)
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import add_up, groups_of_units, ratio, sums_by_day
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.outliers.condition import OutlierCondition
from driftline.monitors.kinds.outliers.reading import OutlierReading
from driftline.monitors.kinds.outliers.scorer import LEAST_ROWS, RowScorer, row_scorer
from driftline.monitors.kinds.outliers.terms import share_words
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import (
    INSUFFICIENT,
    TOO_VARIABLE,
    UNCOVERED,
    UNDEFINED,
    MetricPoint,
    MetricResult,
)
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural
from driftline.stats.intervals import may_lack, wilson

NO_VALUES = "nothing was judged: no column has a value in these rows and in the reference"
METRIC = "outlier_share"
CHECK, ABOVE = "outlier_share_check", "GreaterThanThreshold"
NOT_TESTABLE = f"{TOO_VARIABLE}a longer window or reference would do"
NAMED = 3
TOGETHER = "columns together"
HOUR = timedelta(hours=1)
Flags = NDArray[np.bool_]
# The share comes of ten rows of the reference's sample: half as many again are none too many.
TOLERANCE = 0.5


def _share(sums: Array) -> Array:
    return ratio(sums[..., 1:], sums[..., :1])


# Of sums (..., 2): rows and outliers.
SHARE = MetricSet(
    (Metric(METRIC, worse=1, tolerance=TOLERANCE, relative=True, useless=1.0, lattice=True),),
    measure=_share,
    support=lambda sums: sums[..., :1],
)


def evaluate(context: CheckContext) -> Report:
    """Judge a window; against a reference of too few rows nothing is decided."""
    sample = context.baseline.sample
    if sample is not None and len(sample) < LEAST_ROWS:
        return _undecided(context, len(sample))
    scorer = context.kept((METRIC,), lambda: row_scorer(context.baseline))
    reading = context.rows.gather(lambda: OutlierReading(scorer))
    if not reading.row_count:  # Nobody knows which columns they would have had.
        return Report(
            kind="outliers", violations=(), row_count=0, alpha=context.budget.per_window,
            details=_details(scorer, reading, ()),
        )  # fmt: skip
    missing = scorer.missing(sorted(reading.seen))
    scorer.require(sorted(reading.seen))
    tested, sums = _judge(scorer, reading, context)
    idle = _idle(context.baseline, reading)
    violations = tuple(
        _too_many(scorer, reading, one, idle) for one in [one for one in tested if one.violated][:1]
    )
    is_uncovered = not violations and {*scorer.columns} <= {*missing, *idle}
    # A column without a value that makes rows outliers is told by the violation.
    untold = {name: why for name, why in idle.items() if not (violations and reading.columns[name])}
    return Report(
        kind="outliers",
        violations=violations,
        row_count=reading.row_count,
        metrics=(_metric(scorer, reading, tested[0]), *_without_values(untold)),
        points=(
            MetricPoint(OWN_METRICS, METRIC, tested[0].value),
            MetricPoint(OWN_METRICS, "outliers", float(reading.outlier_count)),
        ),
        alpha=context.budget.per_window,
        sums=sums,
        spans=judged_spans(tested),
        details={
            **_details(scorer, reading, missing),
            **({UNCOVERED: NO_VALUES} if is_uncovered else {}),
        },
    )


def _judge(
    scorer: RowScorer, reading: OutlierReading, context: CheckContext
) -> tuple[list[Tested], WindowSums | None]:
    """Test a window's share, and that of the spans that end with it."""
    facts, level = context.rows.facts, context.budget.per_window
    block = block_length(DAY if facts is None else facts.window.length)
    reference = context.kept((METRIC, block), lambda: reference_of(scorer, block))
    buckets = _buckets(reading.flags, scorer.unit)
    if facts is None:
        return judge(reference, buckets, length=1.0, level=level), None
    sums = WindowSums(facts.window.start, facts.window.end, buckets, METRIC)
    past = context.past.sums
    tested = judge_spans(reference, sums, past, level=level)
    return tested, None if past is None else replace(sums, p_value=smallest_p_value(tested))


def reference_of(scorer: RowScorer, block: timedelta) -> Reference:
    """Return the outliers among the reference's sample."""
    is_odd = scorer.sample_scores >= scorer.threshold
    hours, days = scorer.sample_hours, None
    if hours is not None and (known := hours != UNKNOWN_HOUR).any():
        days = sums_by_day(_rows(is_odd[known]), hours[known] // max(1, round(block / HOUR)))
    return Reference(SHARE, _buckets(is_odd, scorer.unit), days)


def _rows(is_odd: Flags) -> Array:
    return np.stack([np.ones(len(is_odd)), is_odd], axis=1)


def _buckets(is_odd: Flags, unit: int) -> Array:
    """Return the sums by group; rows that follow one another are of one unit."""
    return add_up(_rows(is_odd), groups_of_units(np.arange(len(is_odd)) // unit))


def _undecided(context: CheckContext, sample_rows: int) -> Report:
    """Return a report without a judgement: the reference has too few rows."""
    rows = sum(batch.num_rows for batch in context.rows.batches())
    metric = MetricResult(name=METRIC, value=None, count=rows, note=INSUFFICIENT)
    return Report(
        kind="outliers",
        violations=(),
        row_count=rows,
        metrics=(metric,) if rows else (),
        alpha=context.budget.per_window,
        details={"sample_rows": sample_rows},
    )


def _metric(scorer: RowScorer, reading: OutlierReading, tested: Tested) -> MetricResult:
    sample = scorer.sample_scores
    low, high = wilson(reading.outlier_count, reading.row_count)
    before = wilson(int(np.count_nonzero(sample >= scorer.threshold)), len(sample))
    is_judged = tested.state == "judged"
    return MetricResult(
        name=METRIC,
        value=tested.value,
        low=low,
        high=high,
        reference=tested.reference,
        reference_low=before[0],
        reference_high=before[1],
        bound=tested.bound if is_judged else None,
        operator=ABOVE if is_judged else "",
        p_value=tested.p_value if is_judged else None,
        count=reading.row_count,
        severity="ticket" if tested.violated else None,
        note="" if is_judged else NOT_TESTABLE,
    )


def _idle(baseline: Baseline, reading: OutlierReading) -> dict[str, str]:
    """Return the columns empty in the window but not in the reference, where that is no chance."""
    profile, unseen = baseline.profile, reading.unseen
    assert profile is not None  # The scorer was made of it.
    found = {}
    for name, why in unseen.without_values().items():
        counts = profile.columns[name].cell_counts
        if counts is None or not (held := int(counts[:-2].sum())):
            continue
        # Values of another type are no chance.
        if unseen.unfit[name] or not may_lack(held, int(counts.sum()), unseen.rows[name]):
            found[name] = why
    for name, rows in unseen.rows.items():
        counts = profile.columns[name].cell_counts
        values = rows - unseen.empty[name] - unseen.unfit[name]
        if not values or counts is None or counts[:-2].any():
            continue
        if not may_lack(values, rows, int(counts.sum())):
            found[name] = "the reference has no value of it"
    return found


def _without_values(idle: Mapping[str, str]) -> Iterator[MetricResult]:
    """Yield a line for each column without a value on either side."""
    for name, why in idle.items():
        yield MetricResult(METRIC, None, operator=ABOVE, label=name, note=f"{UNDEFINED}{why}")


def _too_many(
    scorer: RowScorer, reading: OutlierReading, tested: Tested, idle: Mapping[str, str]
) -> Violation:
    """Return the violation of too many outliers, with the columns behind them."""
    total = max(reading.columns.total(), 1)
    named = [
        f"{name or TOGETHER} ({f'{idle[name]}, ' if name in idle else ''}"
        f"{percent(count / total)} of them)"
        for name, count in reading.columns.most_common(NAMED)
    ]
    by = f", odd by {', '.join(named)} most" if named else ""
    share, usual = share_words(tested.value), share_words(tested.reference)
    span = f" of the last {tested.windows} windows" * (tested.windows > 1)
    return Violation(
        feature_name=METRIC,
        constraint_check_type=CHECK,
        description=(
            f"Share of outliers {tested.value!r}{span} exceeds threshold "
            f"{round(tested.bound, 6)!r}: {plural(reading.outlier_count, 'outlier')} of "
            f"{plural(reading.row_count, 'row')}"
        ),
        severity="ticket",
        ratio=tested.value / tested.bound,
        predicate=OutlierCondition(scorer),
        row_count=reading.outlier_count,
        cause=f"{share} of rows{span} are outliers ({usual} expected){by}",
        first_rows=tuple(one.pointer for one in reading.worst),
    )


def _details(
    scorer: RowScorer, reading: OutlierReading, missing: Sequence[str]
) -> dict[str, JsonValue]:
    """Return the details of the share, and the worst rows."""
    sample = scorer.sample_scores
    return {
        **({"missing_note": scorer.missing_note(missing)} if missing else {}),
        "threshold": scorer.threshold,
        "sample_rows": len(sample),
        "missing_columns": list(missing),
        "scores": [
            {
                "from": level,
                "share": float(count) / reading.row_count if reading.row_count else None,
                "reference": float((sample >= level).mean()),
            }
            for level, count in zip(reading.levels, reading.counts.tolist(), strict=True)
        ],
        "columns": [
            {"column": name, "outliers": count}
            for name, count in reading.columns.most_common()
            if name
        ],
        "worst": [
            {"score": one.score, "reason": one.reason, **one.pointer} for one in reading.worst
        ],
    }
