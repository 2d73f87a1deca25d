"""All joint tests of one window, each with its share of the budget of false alarms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounter
from driftline.baseline.cells import Cells
from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample, keeper_of
from driftline.baseline.store import Baseline
from driftline.baseline.times import EPOCH
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

    # Most changed first; each of the shortest span that shows it.
    pairs: tuple[PairChange, ...]
    domain: Domain | None  # None when it could not be judged, or was not due.
    is_domain_due: bool
    derived: DriftTestResult  # What stands for embeddings and free text.
    window: RowSample
    block_count: int  # Blocks of the reference from which its own variation is known; 0 for none.
    # Rows of each span that pairs were judged on, by its number of windows.
    span_rows: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Span:
    """Rows of the last windows."""

    windows: int
    codes: Mapping[str, Codes]  # By column: the cell of each row, shape (n,).
    length: timedelta | None  # None when unknown.

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.codes.values()), ()))


def judge_window(context: CheckContext, sample: RowSample, reading: JointReading) -> JointJudgement:
    """Run all joint tests on a window, with rows of the windows before it."""
    baseline, budget, length = context.baseline, context.budget, context.rows.length
    counted = {name: baseline.cells[name] for name in sample.codes}
    window = RowSample.of(reading.rows, counted, traits=traits_of(baseline), known=sample.derived)
    known, came = _present(baseline, reading.seen, sample), _present(baseline, reading.seen, window)
    codes, cells = _coded(baseline, known)
    now, _ = _coded(baseline, came)
    counts, found = cell_counts(codes, cells), cell_counts(now, cells)
    share = window.row_count / max(sample.row_count, 1)
    blocks = sample_blocks(sample, length, share)
    spans = list(_spans(context, known, reading.seen, now))
    pairs = _changed_pairs(
        codes, cells, spans,
        [sample_blocks(sample, one.length, share * one.windows) for one in spans],
        alpha=budget.per_window * SHARES["correlation"],
    )  # fmt: skip
    is_due = length is None or length >= SHORTEST_FOR_DOMAIN
    domain = None
    if is_due:
        names = tuple(name for name in codes if np.count_nonzero(counts[name] + found[name]) > 1)
        domain = judge_domain(
            names,
            _features(names, codes),
            _features(names, now),
            blocks,
            alpha=budget.per_window * SHARES["domain"],
            seed=context.seed,
            keep=context.kept,
        )
    rate = budget.false_alarms_per_year * SHARES["derived"]
    derived = _judge_derived(known, came, length, replace(budget, false_alarms_per_year=rate))
    return JointJudgement(
        pairs=pairs,
        domain=domain,
        is_domain_due=is_due,
        derived=derived,
        window=window,
        block_count=int(blocks.max(initial=-1)) + 1,
        span_rows={one.windows: one.row_count for one in spans},
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


def _coded(baseline: Baseline, sample: RowSample) -> tuple[dict[str, Codes], dict[str, Cells]]:
    """Return the codes of rows, with derived columns in place of their sources."""
    codes, cells = dict(sample.codes), dict(baseline.cells)
    if sample.derived is not None:
        sources = [part for one in traits_of(baseline) for part in (one.column, *one.parts)]
        codes = {name: one for name, one in codes.items() if name not in sources}
        codes |= sample.derived.codes
        cells |= sample.derived.cells
    return {name: _inside(one, cells[name]) for name, one in codes.items()}, cells


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


def _spans(
    context: CheckContext, known: RowSample, seen: Collection[str], now: dict[str, Codes]
) -> Iterator[Span]:
    """Return the spans that end with the window, shortest first; each has more rows.

    Small windows pool backwards: an hour may hold too few rows for a change that a day shows at
    once. Each span is judged like a window of its length; they share one budget.
    """
    yield Span(1, now, context.rows.length)
    if context.rows.facts is None or (past := context.past.rows) is None:
        return
    window, baseline = context.rows.facts.window, context.baseline
    cells = {name: baseline.cells[name] for name in known.codes}
    kept = keeper_of(cells, "event_time")
    for batch in past.batches():
        kept.update(batch)
    if not kept.seen:
        return
    earlier = RowSample.of(kept, cells, "event_time", traits_of(baseline), known.derived)
    codes, _ = _coded(baseline, _present(baseline, seen, earlier))
    held, there = 0, round((window.end - past.start) / window.length)
    for wanted in SPANS[1:]:
        length = min(wanted, there) * window.length
        first = (window.end - length - EPOCH) // HOUR
        assert earlier.hours is not None  # They have an event time.
        inside = np.flatnonzero((earlier.hours >= first) & (earlier.hours != UNKNOWN_HOUR))
        if len(inside) > held:
            held = len(inside)
            both = {name: np.append(codes[name][inside], own) for name, own in now.items()}
            yield Span(min(wanted, there), both, length)


def _changed_pairs(
    codes: Mapping[str, Codes],
    cells: Mapping[str, Cells],
    spans: Sequence[Span],
    blocks: Sequence[NDArray[np.int64]],
    *,
    alpha: float,
) -> tuple[PairChange, ...]:
    """Judge all pairs in each span; a pair's shortest span with a change decides.

    Of each pair of columns the strongest change is returned, over all levels.
    """
    counts = cell_counts(codes, cells)
    plan = plan_scores(counts, cells)
    tables, spreads = score_tables(plan, counts, cells)
    reference = score_rows(plan, tables, codes)
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
    strongest: dict[frozenset[str], PairChange] = {}
    for one in sorted(found.values(), key=lambda one: one.needed - one.evidence):
        strongest.setdefault(frozenset((one.first.column, one.second.column)), one)
    return tuple(strongest.values())


def _judge_derived(
    sample: RowSample, window: RowSample, length: timedelta | None, budget: Budget
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
    blocks = None
    if sample.hours is not None:  # The sampled rows by the hour.
        timed = sample.hours != UNKNOWN_HOUR
        counter = BlockCounter({name: cell.size for name, cell in known.cells.items()})
        codes = {name: one[timed].astype(np.int64) for name, one in known.codes.items()}
        counter.update(sample.hours[timed] * HOUR_US, codes)
        blocks = counter.result()
    drift_test = DriftTest(references, blocks, length, budget)
    return drift_test.judge(
        WindowCounts(None, None, len(window), cell_counts(found.codes, found.cells))
    )
