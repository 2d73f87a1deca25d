"""The kind "outliers": whether a window has more outliers than expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import TOLERANCE, Budget
from driftline.monitors.drift_test.significance import (
    MIN_ROWS,
    likelihood_ratio,
)
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.outliers.condition import OutlierCondition
from driftline.monitors.kinds.outliers.reading import OutlierReading
from driftline.monitors.kinds.outliers.scorer import (
    LEAST_ROWS,
    RowScorer,
    row_scorer,
)
from driftline.monitors.kinds.outliers.terms import share_words
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import (
    INSUFFICIENT,
    UNCOVERED,
    UNDEFINED,
    MetricPoint,
    MetricResult,
    too_variable,
)
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural
from driftline.stats.blocks import MINIMUM_BLOCKS, dispersion, upper_factor
from driftline.stats.intervals import may_lack, wilson
from driftline.stats.multiple_testing import alpha_per_test
from driftline.stats.roots import first_beyond

# Cells that hold at most this share of the rows are rare.
RARE_SHARE = 0.02
# With fewer blocks of the window's length shorter ones are taken.
WANTED_BLOCKS = 28
STRETCHES = 50
# Data that were sorted look like one group: never are more rows than these taken for one.
LARGEST = 100.0
# Deviations by which stretches of a sample must vary more than chance has them.
CLEAR = 3.0

NO_VALUES = "nothing was judged: no column has a value in these rows and in the reference"
METRIC = "outlier_share"
CHECK, ABOVE = "outlier_share_check", "GreaterThanThreshold"
NAMED = 3
TOGETHER = "columns together"
COMMON_SCORE = 1.0
# Of few blocks the rate of outliers is taken to differ from window to window by as much as it is.
UNKNOWN_VARIATION = 1.0
DEFAULT_LENGTH = timedelta(days=1)


def evaluate(context: CheckContext) -> Report:
    """Judge a window; against a reference of too few rows nothing is decided."""
    sample = context.baseline.sample
    if sample is not None and len(sample) < LEAST_ROWS:
        return _undecided(context, len(sample))
    scorer = row_scorer(context.baseline)
    facts = context.rows.facts
    length = facts.window.length if facts else None
    reading = context.rows.gather(lambda: OutlierReading(scorer))
    rows = reading.row_count
    # Without rows nobody knows which columns they would have had.
    missing = scorer.missing(sorted(reading.seen)) if rows else ()
    if rows:
        scorer.require(sorted(reading.seen))
    budget, verdict = context.budget, None
    if rows:
        cluster = cluster_size(context.baseline, scorer.columns, length or DEFAULT_LENGTH)
        verdict = judge_share(
            scorer, reading.outlier_count, rows, budget=budget, length=length, cluster=cluster
        )
    idle = _idle(context.baseline, reading)
    odd = None if verdict is None else _too_many(scorer, reading, verdict, idle)
    is_uncovered = verdict is not None and odd is None
    is_uncovered &= {*scorer.columns} <= {*missing, *idle}
    return Report(
        kind="outliers",
        violations=() if odd is None else (odd,),
        row_count=rows,
        metrics=()
        if verdict is None
        else (
            _metric(verdict, rows),
            # A column without a value that makes rows outliers is told by the violation.
            *_without_values(
                {
                    name: why
                    for name, why in idle.items()
                    if not (verdict.violated and reading.columns[name])
                }
            ),
        ),
        points=() if verdict is None else _points(reading, verdict),
        alpha=budget.per_window,
        details={
            **_details(scorer, reading, verdict, missing),
            **({UNCOVERED: NO_VALUES} if is_uncovered else {}),
        },
    )


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
        operator=ABOVE if judged else "",
        p_value=verdict.p_value,
        count=rows,
        severity="ticket" if verdict.violated else None,
        note=verdict.note,
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


def _points(reading: OutlierReading, verdict: ShareVerdict) -> tuple[MetricPoint, ...]:
    return (
        MetricPoint(OWN_METRICS, METRIC, verdict.share),
        MetricPoint(OWN_METRICS, "outliers", float(reading.outlier_count)),
    )


def _too_many(
    scorer: RowScorer, reading: OutlierReading, verdict: ShareVerdict, idle: Mapping[str, str]
) -> Violation | None:
    """Return the violation of too many outliers, with the columns behind them."""
    if not verdict.violated or verdict.bound is None:
        return None
    share, usual = share_words(verdict.share), share_words(verdict.reference)
    total = max(reading.columns.total(), 1)
    named = [
        f"{name or TOGETHER} ({f'{idle[name]}, ' if name in idle else ''}"
        f"{percent(count / total)} of them)"
        for name, count in reading.columns.most_common(NAMED)
    ]
    by = f", odd by {', '.join(named)} most" if named else ""
    return Violation(
        feature_name=METRIC,
        constraint_check_type=CHECK,
        description=(
            f"Share of outliers {verdict.share!r} exceeds threshold {round(verdict.bound, 6)!r}: "
            f"{plural(reading.outlier_count, 'outlier')} of {plural(reading.row_count, 'row')}"
        ),
        severity="ticket",
        ratio=verdict.share / verdict.bound,
        predicate=OutlierCondition(scorer),
        row_count=reading.outlier_count,
        cause=f"{share} of rows are outliers ({usual} expected){by}",
        first_rows=tuple(one.pointer for one in reading.worst),
    )


def _details(
    scorer: RowScorer,
    reading: OutlierReading,
    verdict: ShareVerdict | None,
    missing: tuple[str, ...],
) -> dict[str, JsonValue]:
    """Return the details of the share, and the worst rows."""
    sample = scorer.sample_scores
    return {
        **({"missing_note": scorer.missing_note(missing)} if missing else {}),
        "threshold": scorer.threshold,
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


def cluster_size(baseline: Baseline, columns: Sequence[str], length: timedelta) -> float:
    """Return the design effect of counts of rare cells."""
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
    """Measure parts of the sample; a group only has its sampled rows."""
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
    """Return the design effect of rare cells, and its error by chance."""
    rows = counts.sum(axis=1).astype(np.float64)
    counts, rows = counts[rows > 0], rows[rows > 0]
    total = counts.sum(axis=0)
    rare = (total > 0) & (total <= RARE_SHARE * max(float(total.sum()), 1.0))
    freedom = (len(rows) - 1) * np.count_nonzero(rare)
    if freedom < 1:
        return 1.0, 0.0
    found = dispersion(counts[:, rare].astype(np.float64), rows, binomial=False)
    return float(found.mean()), math.sqrt(2.0 / freedom)


@dataclass(frozen=True, slots=True)
class ShareVerdict:
    """The verdict on one window."""

    share: float  # Of outliers among the rows, 0-1, and its 95% interval (Wilson).
    low: float
    high: float
    reference: float  # The expected share, and its 95% interval in the reference's sample.
    reference_low: float
    reference_high: float
    bound: float | None  # None when it is not judged.
    p_value: float | None
    design_effect: float  # Variance of the count over that of independent rows.
    variation: float  # Deviation of the rate of outliers between windows, relative to the rate.
    note: str = ""  # Why it is not judged.

    @property
    def violated(self) -> bool:
        """Whether there are too many."""
        return self.bound is not None and self.share > self.bound


def judge_share(
    scorer: RowScorer,
    count: int,
    rows: int,
    *,
    budget: Budget,
    length: timedelta | None,
    cluster: float,
) -> ShareVerdict:
    """Judge how many of a window's rows, at least one, are outliers.

    Only a larger share is a violation. The reference's share is what its sample holds. How much
    the share differs from window to window is learnt from rows with a score of 1, of which a sample
    has enough: their rate in the reference's blocks of the window's length. Tails fall
    exponentially in the score, so a rate that differs by some percent at a score of 1 differs by
    three times as much at 3. Where rows come in
    groups, a group counts as one (`cluster_size`). Each side weighs as so many independent rows as
    vary by as much, so that a bound never widens with the window's rows.

    References
    ----------
    docs/reference/statistics.md, "Log-likelihood ratio" and "Design effect"; Kish, Survey Sampling,
    1965 (design effect).
    """
    sample = len(scorer.sample_scores)
    held = int(np.count_nonzero(scorer.sample_scores >= scorer.threshold))
    expected: float = max(held, 1) / sample
    variation, blocks = _variation(scorer, length)
    alpha = alpha_per_test(budget.false_alarms_per_year, budget.windows_per_year, 1)
    free = 2.0 * TOLERANCE * math.sqrt(expected * (1 - expected))

    def effect(of_rows: float) -> float:
        return max(1.0 + of_rows * expected * variation**2, cluster)

    known = sample / effect(sample / blocks)

    def weigh(share: float, of_rows: float = rows) -> float:
        if share <= expected:
            return 0.0
        one, other, own = np.array([expected]), np.array([share]), of_rows / effect(of_rows)
        return float(likelihood_ratio(one, known, other, own, tolerance=free)[0])

    note, needed = "", math.log(2.0 / alpha)
    if rows < MIN_ROWS:
        note = INSUFFICIENT
    elif weigh(1.0) <= needed:
        note = too_variable(rows, lambda more: weigh(1.0, rows * more) > needed)
    share = count / rows
    return ShareVerdict(
        share,
        *wilson(count, rows),
        expected,
        *wilson(held, sample),
        bound=None if note else _least_share(weigh, expected, needed),
        p_value=None if note else min(1.0, 2.0 * math.exp(-weigh(share))),
        design_effect=effect(rows),
        variation=variation,
        note=note,
    )


def _least_share(weigh: Callable[[float], float], expected: float, needed: float) -> float:
    """Find the share whose evidence equals the critical value; all rows must exceed it."""
    low, high = np.array([math.log(expected)]), np.zeros(1)
    found = first_beyond(
        lambda log: np.array([weigh(math.exp(log[0])) - needed]), low, high, error=1e-12
    )
    return math.exp(found[0])


def _variation(scorer: RowScorer, length: timedelta | None) -> tuple[float, int]:
    """Return the relative deviation of the blocks' outlier rates, and the number of blocks."""
    hours, sample = scorer.sample_hours, len(scorer.sample_scores)
    if hours is None:  # The rows' order stands for time.
        known, places = np.ones(sample, np.bool_), np.arange(sample) * WANTED_BLOCKS // sample
    else:
        known = hours != UNKNOWN_HOUR
        long = max(1, round((length or DEFAULT_LENGTH) / timedelta(hours=1)))
        _, places = np.unique(hours[known] // long, return_inverse=True)
    rows = np.bincount(places).astype(np.float64)
    odd = np.bincount(places, scorer.sample_scores[known] >= COMMON_SCORE)
    share = odd.sum() / max(rows.sum(), 1.0)
    blocks = max(len(rows), 1)
    if blocks < MINIMUM_BLOCKS or not 0 < share < 1:
        return UNKNOWN_VARIATION, blocks
    spread = float(dispersion(odd[:, None].astype(np.float64), rows)[0])
    excess = spread * upper_factor(blocks) - 1
    usual = max(float(rows.mean()), 1.0)
    relative = math.sqrt(max(excess, 0.0) * (1 - share) / (share * usual))
    times = max(scorer.threshold / COMMON_SCORE, 1.0)
    return min(relative * times, UNKNOWN_VARIATION * times), blocks
