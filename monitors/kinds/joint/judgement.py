"""All joint tests of one window, each with its share of the budget of false alarms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounter, BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.derived_rows import UNKNOWN_HOUR, DerivedRows
from driftline.baseline.sample import RowSample
from driftline.baseline.store import Baseline
from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import DriftTest, DriftTestResult
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.joint.blocks import sample_blocks
from driftline.monitors.kinds.joint.classifier import Domain, Features, judge_domain
from driftline.monitors.kinds.joint.correlation import PairChange, correlations, judge_pairs
from driftline.monitors.kinds.joint.kind import SPANS
from driftline.monitors.kinds.joint.reading import JointReading, traits_of
from driftline.monitors.kinds.joint.scores import (
    Codes,
    Matrix,
    Score,
    cell_counts,
    plan_scores,
    score_rows,
    score_tables,
)
from driftline.stats.blocks import HOUR_US

# Of the budget of false alarms; what has nothing to judge leaves its share unspent.
SHARES = {"correlation": 0.4, "domain": 0.4, "derived": 0.2}
# A classifier takes seconds, and what it finds does not hurry: shorter windows go without.
SHORTEST_FOR_DOMAIN = timedelta(days=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class JointJudgement:
    """Results of the joint tests of one window."""

    plan: tuple[Score, ...]
    pairs: tuple[PairChange, ...]  # Most changed first; each of the shortest span that shows it.
    domain: Domain | None  # None when it could not be judged, or was not due.
    is_domain_due: bool
    derived: DriftTestResult  # What stands for embeddings and free text.
    window: RowSample
    block_count: int  # Blocks of the reference from which its own variation is known; 0 for none.
    # Rows of each span that pairs were judged on, by its number of windows.
    span_rows: Mapping[int, int]


def judge_window(
    context: CheckContext,
    sample: RowSample,
    reading: JointReading,
    earlier: RowSample | None = None,
) -> JointJudgement:
    """Run all joint tests on a window, with rows of the windows before it."""
    baseline, budget = context.baseline, context.budget
    length = context.rows.length
    window = reading.sampler.result()
    alpha = budget.per_window
    known, came = _present(baseline, reading.seen, sample), _present(baseline, reading.seen, window)
    codes, now, cells = _columns(baseline, known, came)
    counts, found = cell_counts(codes, cells), cell_counts(now, cells)
    plan = plan_scores(counts, cells)
    tables, spreads = score_tables(plan, counts, cells)
    scores = score_rows(plan, tables, codes)
    share = window.row_count / max(sample.row_count, 1)
    blocks = sample_blocks(sample, length, share)
    before = earlier and _present(baseline, reading.seen, earlier)
    spans = list(_spans(context, known, now, before))
    span_blocks = [sample_blocks(sample, span.length, share * span.windows) for span in spans]
    pairs = _changed_pairs(
        plan, scores, spreads, cells, spans, span_blocks, alpha=alpha * SHARES["correlation"]
    )
    is_due = length is None or length >= SHORTEST_FOR_DOMAIN
    domain = None
    if is_due:
        names = tuple(name for name in codes if np.count_nonzero(counts[name] + found[name]) > 1)
        domain = judge_domain(
            names,
            _features(names, codes),
            _features(names, now),
            blocks,
            alpha=alpha * SHARES["domain"],
            seed=context.seed,
            keep=context.kept,
        )
    return JointJudgement(
        plan=plan,
        pairs=tuple(pairs),
        domain=domain,
        is_domain_due=is_due,
        derived=judge_derived(known, came, length=length, budget=shared(budget, SHARES["derived"])),
        window=window,
        block_count=int(blocks.max(initial=-1)) + 1,
        span_rows={span.windows: len(span) for span in spans},
    )


def _present(baseline: Baseline, seen: Collection[str], sample: RowSample) -> RowSample:
    """Leave out columns that the data lack: data quality reports those, and they are no drift.

    A vector with a missing column is left out whole, because its projections need all of them.
    """
    broken = [
        traits
        for traits in traits_of(baseline)
        if not {*(traits.parts or (traits.column,))} <= {*seen}
    ]
    gone = {part for traits in broken for part in traits.parts}
    codes = {name: one for name, one in sample.codes.items() if name in seen and name not in gone}
    gone_too = {traits.column for traits in broken}
    return replace(
        sample, codes=codes, derive=lambda: sample.derived and sample.derived.without(gone_too)
    )


def _spans(
    context: CheckContext, sample: RowSample, now: dict[str, Codes], earlier: RowSample | None
) -> Iterator[Span]:
    """Return the spans that end with the window."""
    facts, before = context.rows.facts, None
    if earlier is not None and earlier.hours is not None and context.past.rows is not None:
        _, codes, _ = _columns(context.baseline, sample, earlier)
        before = Earlier(codes, earlier.hours, context.past.rows.start)
    return spans_of(now, None if facts is None else facts.window, before)


def _changed_pairs(
    plan: Sequence[Score],
    reference: Matrix,
    spreads: NDArray[np.float64],
    cells: Mapping[str, Cells],
    spans: Sequence[Span],
    blocks: Sequence[NDArray[np.int64]],
    *,
    alpha: float,
) -> list[PairChange]:
    """Judge all pairs in each span; a pair's shortest span with a change decides."""
    known, newest = correlations(reference), None
    found: dict[str, PairChange] = {}
    for span, own_blocks in zip(spans, blocks, strict=True):
        tables, own_spreads = score_tables(plan, cell_counts(span.codes, cells), cells)
        rows = score_rows(plan, tables, span.codes)
        judged = judge_pairs(
            plan,
            reference,
            rows,
            (spreads, own_spreads),
            own_blocks,
            known=known,
            alpha=alpha,
            looks=len(spans),
            newest=newest,
        )
        newest = newest or correlations(rows)
        for one in judged:
            before = found.get(one.name)
            if before is None or (one.drifted and not before.drifted):
                found[one.name] = replace(one, windows=span.windows)
    return sorted(found.values(), key=lambda one: one.needed - one.evidence)


def _columns(
    baseline: Baseline, sample: RowSample, window: RowSample
) -> tuple[dict[str, Codes], dict[str, Codes], dict[str, Cells]]:
    """Return the codes of both sides, with derived columns in place of their sources."""
    left_out: set[str] = set()
    cells = dict(baseline.cells)
    codes, now = dict(sample.codes), dict(window.codes)
    if sample.derived is not None and window.derived is not None:
        for traits in traits_of(baseline):
            left_out |= {traits.column, *traits.parts}
        codes |= sample.derived.codes
        now |= window.derived.codes
        cells |= sample.derived.cells
    names = [name for name in codes if name not in left_out and name in now]
    return (
        {name: _inside(codes[name], cells[name]) for name in names},
        {name: _inside(now[name], cells[name]) for name in names},
        cells,
    )


def _inside(codes: Codes, cell: Cells) -> Codes:
    """Move numbers beyond the reference's range to the nearest cell within.

    The reference has no rows there and other data a few, which would tell both sides apart without
    any change. Data quality judges the range.
    """
    last = len(cell.edges)
    if last < 2:
        return codes
    return np.where(codes <= last, np.clip(codes, 1, last - 1), codes).astype(codes.dtype)


def _features(names: tuple[str, ...], codes: dict[str, Codes]) -> Features:
    rows: list[NDArray[np.float32]] = [codes[name].astype(np.float32) for name in names]
    return np.column_stack(rows) if rows else np.zeros((0, 0), np.float32)


def shared(budget: Budget, share: float) -> Budget:
    """Return the part of a budget, 0-1, for one of several tests."""
    return replace(budget, false_alarms_per_year=budget.false_alarms_per_year * share)


def judge_derived(
    sample: RowSample, window: RowSample, *, length: timedelta | None, budget: Budget
) -> DriftTestResult:
    """Judge the derived columns of embeddings and free text."""
    known, found = sample.derived, window.derived
    if known is None or found is None:
        return DriftTestResult({}, {}, 0.0)
    counts = cell_counts(known.codes, known.cells)
    references = {
        name: ReferenceColumn(known.cells[name], counts[name].astype(np.float64))
        for name in known.codes
    }
    drift_test = DriftTest(references, _blocks(known, sample.hours), length, budget)
    now = cell_counts(found.codes, found.cells)
    return drift_test.judge(WindowCounts(None, None, len(window), now))


def _blocks(known: DerivedRows, hours: NDArray[np.int64] | None) -> BlockCounts | None:
    """Count the sampled rows by the hour."""
    if hours is None:
        return None
    timed = hours != UNKNOWN_HOUR
    counter = BlockCounter({name: cell.size for name, cell in known.cells.items()})
    codes = {name: found[timed].astype(np.int64) for name, found in known.codes.items()}
    counter.update(hours[timed] * HOUR_US, codes)
    return counter.result()


@dataclass(frozen=True, eq=False)
class Earlier:
    """Sampled rows of the windows right before; n rows."""

    codes: Mapping[str, Codes]  # By column: the cell of each row, shape (n,).
    hours: np.ndarray  # Hours since 1970-01-01T00:00Z, shape (n,), `UNKNOWN_HOUR` without a time.
    start: datetime  # Of the first of these windows.


@dataclass(frozen=True, eq=False)
class Span:
    """Rows of the last windows."""

    windows: int
    codes: Mapping[str, Codes]  # By column: the cell of each row, shape (n,).
    length: timedelta | None  # None when unknown.

    def __len__(self) -> int:
        return len(next(iter(self.codes.values()))) if self.codes else 0


def spans_of(
    now: Mapping[str, Codes], window: Window | None, earlier: Earlier | None
) -> Iterator[Span]:
    """Return the spans that end with a window, shortest first; each has more rows.

    Small windows pool backwards: an hour may hold too few rows for a change that a day shows at
    once. Each span is judged like a window of its length; they share one budget.
    """
    yield Span(1, now, None if window is None else window.length)
    if window is None or earlier is None:
        return
    held = 0
    there = round((window.end - earlier.start) / window.length)
    for wanted in SPANS[1:]:
        windows = min(wanted, there)
        length = windows * window.length
        first = (window.end - length - EPOCH) // HOUR
        inside = np.flatnonzero((earlier.hours >= first) & (earlier.hours != UNKNOWN_HOUR))
        if len(inside) > held:
            held = len(inside)
            codes = {
                name: np.concatenate([earlier.codes[name][inside], own])
                for name, own in now.items()
            }
            yield Span(windows, codes, length)
