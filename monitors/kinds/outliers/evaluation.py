"""The kind "outliers": whether a window has more outliers than expected."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.monitors.check_context import CheckContext
from driftline.monitors.engine.block_test import Tested
from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.pooling import (
    DAY,
    WindowSums,
    block_length,
    judged_spans,
)
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import add_up, groups_of_units, ratio, sums_by_day
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.outliers.condition import OutlierCondition
from driftline.monitors.kinds.outliers.scorer import RowScorer, repeats, row_scorer
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import UNCOVERED, Measured, MetricPoint, lacking
from driftline.monitors.results.row_references import Pointer, row_pointers
from driftline.monitors.results.verdict import with_intervals, with_verdict
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural

NO_VALUES = "nothing was judged: no column has a value in these rows and in the reference"
WITHOUT_JOINT = (
    "as columns are missing, each other one is looked at alone, not whether values go together"
)
METRIC = "outlier_share"
CHECK = "outlier_share_check"
NAMED = 3
TOGETHER = "columns together"
HOUR = timedelta(hours=1)
# Rows that a violation points to, the worst first.
WORST_ROWS = 20
# Of so many outliers of a batch it is said why: when all are odd, some tell of all.
EXPLAINED_ROWS = 2_000
# The share comes of ten rows of the reference's sample: half as many again are none too many.
TOLERANCE = 0.5
Flags = NDArray[np.bool_]


def _share(sums: Array) -> Array:
    return ratio(sums[..., 1:], sums[..., :1])


# Of sums (..., 2): rows and outliers.
SHARE = MetricSet(
    (Metric(METRIC, worse=1, tolerance=TOLERANCE, relative=True, useless=1.0, lattice=True),),
    measure=_share,
    support=lambda sums: sums[..., :1],
)


@dataclass(frozen=True, slots=True)
class OddRow:
    """One outlier."""

    score: float
    pointer: Pointer
    reason: str


@dataclass(slots=True)
class OutlierReading:
    """What one reading of a window gathers: its outliers, their columns, the worst rows."""

    scorer: RowScorer
    odd: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))  # By row.
    repeats: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))  # The row before it.
    # Outliers by their oddest column, "" for none; of very many, of the worst of each batch.
    columns: Counter[str] = field(default_factory=Counter)
    worst: list[OddRow] = field(default_factory=list)  # The worst first.
    came: set[str] = field(default_factory=set)  # Columns of the rows,
    seen: set[str] = field(default_factory=set)  # and those with a value in any row.

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        found = self.scorer.score(batch)
        self.came.update(batch.schema.names)
        self.seen.update(found.with_values)
        odd = np.flatnonzero(found.is_odd)
        odd = odd[np.argsort(-found.scores[odd], kind="stable")][:EXPLAINED_ROWS]
        why = found.explain(odd)
        self.columns.update(column for _, column in why)
        pointers = row_pointers(batch, odd[:WORST_ROWS], len(self.odd))
        worst = zip(pointers, odd.tolist(), why, strict=False)
        rows = [OddRow(float(found.scores[at]), one, words) for one, at, (words, _) in worst]
        self.worst = _worst([*self.worst, *rows])
        self.odd = np.append(self.odd, found.is_odd)
        self.repeats = np.append(self.repeats, repeats(found.codes))

    def merge(self, other: OutlierReading) -> OutlierReading:
        """Return what is known of the rows of both; the other's rows are numbered after these."""
        moved = [
            replace(one, pointer={"row": int(one.pointer["row"]) + len(self.odd)})
            if "row" in one.pointer
            else one
            for one in other.worst
        ]
        return OutlierReading(
            self.scorer,
            np.append(self.odd, other.odd),
            np.append(self.repeats, other.repeats),
            self.columns + other.columns,
            _worst([*self.worst, *moved]),
            self.came | other.came,
            self.seen | other.seen,
        )


def _worst(rows: list[OddRow]) -> list[OddRow]:
    return sorted(rows, key=lambda one: -one.score)[:WORST_ROWS]


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    scorer = context.kept((METRIC,), lambda: row_scorer(context.baseline))
    reading = context.rows.gather(lambda: OutlierReading(scorer))
    details: dict[str, JsonValue] = {
        "threshold": scorer.threshold, "sample_rows": len(scorer.sample_scores)
    }  # fmt: skip
    if not len(reading.odd):  # Nobody knows which columns they would have had.
        return Report("outliers", (), 0, alpha=context.budget.per_window, details=details)
    scorer.require(reading.came)
    missing = [name for name in scorer.columns if name not in reading.seen]
    if missing and scorer.joint is not None:
        details["alone_note"] = WITHOUT_JOINT
    if not reading.seen:
        details[UNCOVERED] = NO_VALUES
    tested, sums = _judge(scorer, reading, context)
    return Report(
        kind="outliers",
        violations=tuple(_too_many(scorer, reading, one) for one in tested if one.violated)[:1],
        row_count=len(reading.odd),
        metrics=(_metric(tested[0]), *(lacking(METRIC, name) for name in missing)),
        points=(
            MetricPoint(OWN_METRICS, METRIC, tested[0].value),
            MetricPoint(OWN_METRICS, "outliers", float(reading.odd.sum())),
        ),
        alpha=context.budget.per_window,
        sums=sums,
        spans=judged_spans(tested),
        details={
            **details,
            "missing_columns": list[JsonValue](missing),
            "columns": [
                {"column": name, "outliers": count}
                for name, count in reading.columns.most_common()
                if name
            ],
            "worst": [
                {"score": one.score, "reason": one.reason, **one.pointer} for one in reading.worst
            ],
        },
    )


def _judge(
    scorer: RowScorer, reading: OutlierReading, context: CheckContext
) -> tuple[list[Tested], WindowSums | None]:
    """Test a window's share, and that of the spans that end with it."""
    facts = context.rows.facts
    block = block_length(DAY if facts is None else facts.window.length)
    reference = context.kept((METRIC, block), lambda: _reference_of(scorer, block))
    return context.judge(reference, _buckets(reading.odd, reading.repeats), METRIC)


def _reference_of(scorer: RowScorer, block: timedelta) -> Reference:
    """Return the outliers among the reference's sample."""
    is_odd = scorer.sample_scores >= scorer.threshold
    hours, days = scorer.sample_hours, None
    if hours is not None and (known := hours != UNKNOWN_HOUR).any():
        days = sums_by_day(_rows(is_odd[known]), hours[known] // max(1, round(block / HOUR)))
    return Reference(SHARE, _buckets(is_odd, scorer.sample_repeats), days)


def _rows(is_odd: Flags) -> Array:
    return np.stack([np.ones(len(is_odd)), is_odd], axis=1)


def _buckets(is_odd: Flags, is_repeated: Flags) -> Array:
    """Return the sums by group; rows that repeat one another, as in a session, are one unit."""
    unit = np.maximum.accumulate(np.where(is_repeated, 0, np.arange(len(is_odd))))
    return add_up(_rows(is_odd), groups_of_units(unit))


def _metric(tested: Tested) -> Measured:
    plain = Measured(METRIC, tested.value, reference=tested.reference, count=round(tested.support))
    result = with_intervals(plain, (tested.low, tested.high, math.nan, math.nan))
    return with_verdict(result, tested, undefined="no rows")


def _too_many(scorer: RowScorer, reading: OutlierReading, tested: Tested) -> Violation:
    """Return the violation of too many outliers, with the columns behind them."""
    total = max(reading.columns.total(), 1)
    named = [
        f"{name or TOGETHER} ({percent(count / total)} of them)"
        for name, count in reading.columns.most_common(NAMED)
    ]
    by = f", odd by {', '.join(named)} most" if named else ""
    span = f" of the last {tested.windows} windows" * (tested.windows > 1)
    count = int(reading.odd.sum())
    return Violation(
        feature_name=METRIC,
        constraint_check_type=CHECK,
        description=(
            f"Share of outliers {tested.value!r}{span} exceeds threshold "
            f"{round(tested.bound, 6)!r}: {plural(count, 'outlier')} of "
            f"{plural(len(reading.odd), 'row')}"
        ),
        severity="ticket",
        ratio=tested.value / tested.bound,
        predicate=OutlierCondition(scorer),
        row_count=count,
        cause=f"{percent(tested.value)} of rows{span} are outliers "
        f"({percent(tested.reference)} expected){by}",
        first_rows=tuple(one.pointer for one in reading.worst),
    )
