"""Steps of one segment alone: its values lie elsewhere than those of the others of the same hours.

A sensor that is replaced, or a client with another offset, moves one segment's rows, by less than
all rows vary from week to week. What hour, weather and season do to all of them is in the gap
between a segment and the others no more. Shapes: H hours, S segments, C cells, D days, F gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.constraints import is_compared
from driftline.baseline.predicate import Predicate
from driftline.baseline.segments import SegmentColumn, SegmentCounter
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.spans import spans_ending_with
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.segments import SegmentPlan, SegmentVerdict
from driftline.monitors.results.violation import Draft, plural, rounded
from driftline.stats.calendar_regression import SEASON_DAYS, Numbers
from driftline.stats.day_scores import DaySums, normal_scores
from driftline.stats.day_variation import DayVariation, SpanTest, student_limit
from driftline.stats.multiple_testing import alpha_per_test

Bools = NDArray[np.bool_]
# What is accepted of a year's false alarms.
BUDGET_SHARE = 0.05
# Shorter windows are storms: two halves of them tell nothing of what lasts. They are judged
# together, as many as make a week.
LEAST_SPAN, SPAN = timedelta(days=4), timedelta(days=7)
# Of longer blocks nothing is known of single days.
DAY_H = 24
# Each half of a window holds so much of its mean: what lasts, not a storm.
HALF = 0.5
# The gaps of a column are known on so many of the reference's days.
FILLED = 0.5
# The shares of rows that a window's weights tell are found to 0.1%.
ROUNDS, PRECISION = 50, 1e-3
# Gaps that are as large as the largest but for chance.
NEARLY = 0.9
# Only the gaps between segments are known: two of three that move alike look as the third does.
OF_THREE = "; of three segments the other two may have moved instead"


def gap_sums(
    plan: SegmentPlan | None, window: SegmentCounter | None, context: CheckContext
) -> dict[str, DaySums]:
    """Return the gaps of a window's segments to the others by the day, by their column.

    There are none of windows that are too short to be judged.
    """
    if plan is None or window is None or not _scale(context.rows.length):
        return {}
    found = {name: gaps.day_sums(window) for name, gaps in _gaps_of(plan, context)}
    return {name: sums for name, sums in found.items() if sums is not None}


def with_steps(
    verdicts: Sequence[SegmentVerdict],
    plan: SegmentPlan,
    window: WindowCounts,
    context: CheckContext,
    budget: Budget,
) -> list[SegmentVerdict]:
    """Add a draft to each segment of a window whose gap to the others is another.

    Windows of less than four days are judged with those before, as many as make a week.
    """
    length = context.rows.length
    scale = _scale(length)
    if not scale:
        return [*verdicts]
    spans = spans_ending_with(window, context.past.counts or (), (1, *{scale} - {1}), length)
    drafts: dict[tuple[str, int], list[Draft]] = {}
    for span in (one for one in spans if one.width == one.scale == scale):
        for name, gaps in _gaps_of(plan, context):
            parts = [one.gaps[name] for one in span.windows if name in one.gaps]
            tests = max(gaps.live_count * len(plan.columns), 1)
            share = BUDGET_SHARE * budget.false_alarms_per_year
            alpha = alpha_per_test(share, budget.windows_per_year, tests, scale=scale)
            for step in gaps.steps(DaySums.merged(parts), alpha) if parts else ():
                drafts.setdefault((name, step.index), []).append(_draft(step, scale))
    return [_with(verdict, drafts, plan) for verdict in verdicts]


def _scale(length: timedelta | None) -> int:
    """Return how many windows of a length are judged together; 0: none, they are too short."""
    if length is None or length >= LEAST_SPAN:
        return 1
    return next((scale for scale in SCALES if scale * length >= SPAN), 0)


def _gaps_of(plan: SegmentPlan, context: CheckContext) -> Iterator[tuple[str, SegmentGaps]]:
    """Return what the reference's days tell, by the column of segments, where they tell enough."""
    baseline = context.baseline
    columns = tuple(
        one.name
        for one in baseline.signature.columns
        if one.name in plan.reference.cells
        and baseline.cells[one.name].is_number
        and is_compared(baseline.constraints, one)
    )
    for one in plan.columns:
        own = tuple(name for name in columns if name != one.name)
        make = partial(SegmentGaps.of, plan.reference, one, own)
        gaps = context.kept(("steps", one.name), make)
        if gaps.live_count:
            yield one.name, gaps


def _with(
    verdict: SegmentVerdict, drafts: dict[tuple[str, int], list[Draft]], plan: SegmentPlan
) -> SegmentVerdict:
    """Add what its own judgement has not told of a column."""
    (column,) = (one for one in plan.columns if one.name == verdict.column)
    place = [column.predicate(at) for at in range(column.size)].index(verdict.predicate)
    new = drafts.get((verdict.column, place), [])
    own = verdict.judgement.drafts
    told = {one.feature for one in own}
    added = tuple(one for one in new if one.feature not in told)
    return replace(verdict, judgement=replace(verdict.judgement, drafts=(*own, *added)))


def _draft(step: SegmentStep, scale: int) -> Draft:
    size, (low, high) = abs(step.gap), sorted(abs(each) for each in step.interval)
    what = (
        f"values lie {'higher' if step.gap > 0 else 'lower'} than those of the others of the same "
        f"hours lead to expect, by {rounded(size, 2)} sd (95%: {rounded(low, 2)} to "
        f"{rounded(high, 2)}), over {plural(step.days, 'day')}"
        f"{OF_THREE if step.beside == 2 else ''}"
    )
    # Of the windows before only gaps are kept: their rows are evidence, but cannot be counted.
    if scale > 1:
        what += "; rows are of the last window alone"
    return Draft(
        feature=step.column,
        check="segment_step_check",
        description=f"A segment alone has stepped: {what}.",
        what=what,
        predicate=Predicate(step.column, "not_in"),  # All its rows with a value.
        severity="ticket",
    )


@dataclass(frozen=True, slots=True)
class SegmentStep:
    """A segment whose values lie elsewhere than those of the others."""

    column: str
    index: int  # Of the segment.
    gap: float  # Of normal scores, less what is usual: in standard deviations of all rows.
    interval: tuple[float, float]  # 95%.
    days: int  # Judged together.
    beside: int  # Other segments that are judged, of the same column.


@dataclass(frozen=True)
class SegmentGaps:
    """What the reference's days tell of the gaps between segments of one column and the others."""

    segment: SegmentColumn
    # Of each column of numbers: the normal scores of its cells, shape (cells,).
    scores: Mapping[str, Numbers]
    variation: DayVariation | None  # None where the reference has not seen a year.
    # Parts of the others' weights, shape (columns, levels, segments); empty without a variation.
    coupling: Numbers

    @classmethod
    def of(
        cls, reference: SegmentCounter, segment: SegmentColumn, columns: Sequence[str]
    ) -> SegmentGaps:
        """Learn from a reference; its counts, which may be large, are not kept."""
        counts = reference.counts[segment.name]
        scores = {
            name: normal_scores(counts[name].sum(axis=0)[:-2].astype(np.float64))
            for name in columns
        }
        none = cls(segment, scores, None, np.empty((0, 0, 0)))
        variation = none._learnt(reference)
        if variation is None:
            return none
        return cls(segment, scores, variation, _coupling(reference, segment, columns))

    def _gaps(self, counter: SegmentCounter) -> tuple[DaySums, Numbers]:
        """Return sums of gaps by the day with their weights, and the variance of a row, (F,).

        The weight of an hour is that of the difference of two means of independent rows.
        """
        blocks, levels = counter.blocks[self.segment.name], len(self.segment.levels)
        days, starts = np.unique(blocks.hours // DAY_H, return_index=True)
        sums, weights, variances = [], [], []
        for name, scores in self.scores.items():
            table = blocks.counts[name].reshape(len(blocks.hours), self.segment.size, -1)
            table = table[:, :, :-2].astype(np.float64)
            rows, total = table.sum(axis=2), table @ scores
            whole, all_sum = rows.sum(axis=1), total.sum(axis=1)
            square = (table @ scores**2).sum(axis=1)
            within = square - np.divide(
                all_sum**2, whole, out=np.zeros_like(whole), where=whole > 0
            )
            own, rest = rows[:, :levels], whole[:, None] - rows[:, :levels]
            both = (own > 0) & (rest > 0)
            weight = np.divide(own * rest, own + rest, out=np.zeros_like(own), where=both)
            own_mean = np.divide(total[:, :levels], own, out=np.zeros_like(own), where=both)
            others = all_sum[:, None] - total[:, :levels]
            rest_mean = np.divide(others, rest, out=np.zeros_like(own), where=both)
            sums.append(np.add.reduceat(weight * (own_mean - rest_mean), starts, axis=0))
            weights.append(np.add.reduceat(weight, starts, axis=0))
            free = max(float(np.maximum(whole - 1, 0).sum()), 1.0)
            variances.append(np.full(levels, within.sum() / free))
        return (
            DaySums(days, np.concatenate(sums, axis=1), np.concatenate(weights, axis=1)),
            np.concatenate(variances),
        )

    def _learnt(self, reference: SegmentCounter) -> DayVariation | None:
        if not self._has_days(reference):
            return None
        blocks = reference.blocks[self.segment.name]
        span_days = float(blocks.hours[-1] + blocks.step - blocks.hours[0]) / DAY_H
        found, variance = self._gaps(reference)
        if span_days < SEASON_DAYS or len(found.days) < FILLED * span_days:
            return None
        known = np.count_nonzero(found.rows, axis=0) >= FILLED * span_days
        varies = np.where(known, variance, 0.0)
        return DayVariation.of(found.days, found.sums, found.rows, varies, span_days)

    @property
    def live_count(self) -> int:
        """Number of gaps that can be judged."""
        return 0 if self.variation is None else int(self.variation.is_live.sum())

    def _has_days(self, counter: SegmentCounter) -> bool:
        found = counter.blocks.get(self.segment.name)
        return bool(found and self.scores and found.step <= DAY_H and len(found.hours))

    def day_sums(self, window: SegmentCounter) -> DaySums | None:
        """Return a window's gaps by the day; None where its rows have no times."""
        return self._gaps(window)[0] if self._has_days(window) else None

    def _shares(self, weights: Numbers) -> Numbers:
        """Return the share of each segment (last axis) among the others of each, by the column.

        They are those of the reference, by factors of segments such that the window's weights,
        shape (columns, levels), come out. Of two segments that have only each other nothing tells
        which of them has stepped: none is taken out of the other.
        """
        levels, parts = len(self.segment.levels), self.coupling.copy()
        for _ in range(ROUNDS):
            total = parts.sum(axis=2)
            known = (total > 0) & (weights > 0)
            factor = np.sqrt(np.divide(weights, total, out=np.zeros_like(total), where=known))
            parts *= factor[:, :, None]
            parts[:, :, :levels] *= factor[:, None, :]
        total = parts.sum(axis=2, keepdims=True)
        shares = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)[:, :, :levels]
        alone = shares > 1 - PRECISION
        return np.where(alone & alone.transpose(0, 2, 1), 0.0, shares)

    def steps(self, window: DaySums, alpha: float) -> list[SegmentStep]:
        """Return the segments of a window whose gap is another than the reference leads to expect.

        `alpha` is the p-value below which one gap is told. A segment that steps moves the others'
        gaps, too: the largest is taken first and its part out of the others', which are judged
        anew; what the later ones explain is taken back.
        """
        variation, days, sums, rows = self.variation, window.days, window.sums, window.rows
        if variation is None:
            return []
        first, width = float(days[0]), float(days[-1] - days[0]) + 1.0
        if width < LEAST_SPAN / timedelta(days=1):
            return []
        excess, middle = sums - rows * variation.expected(days), first + width / 2
        spans = np.ones(len(days), bool), days < middle, days >= middle
        means = np.stack([_mean(excess[span], rows[span]) for span in spans])

        def judged(gaps: Numbers) -> tuple[SpanTest, Bools]:
            test = variation.test(gaps[0], rows.sum(axis=0), width, middle)
            lasts = (gaps[1:] * np.sign(gaps[0]) >= HALF * np.abs(gaps[0])).all(axis=0)
            return test, (test.p_value < alpha) & lasts

        test, hit = judged(means)
        if not hit.any():
            return []
        levels, taken, told = len(self.segment.levels), hit & False, hit & False
        shares = self._shares(rows.sum(axis=0).reshape(-1, levels))
        gaps, spread = means, test.error
        while (hit & ~taken).any():
            left = np.where(hit & ~taken, np.abs(gaps[0]), -1.0)
            # Of three, the two that are left mirror each other: the one that lay off has stepped.
            near = left >= NEARLY * left.max()
            at = int(np.argmax(np.where(near, np.abs(means[0]), -1.0)))
            taken[at] = told[at] = True
            gaps, spread = _without(means, test.error, told, shares)
            hit = judged(gaps * (test.error / spread))[1]
            if (told & ~hit).any():
                told &= hit
                gaps, spread = _without(means, test.error, told, shares)
                hit = judged(gaps * (test.error / spread))[1]
        reach = student_limit(0.05, test.freedom) * spread
        beside_count = variation.is_live.reshape(-1, levels).sum(axis=1) - 1
        found = []
        for at in np.flatnonzero(told & hit).tolist():
            gap, half_width = float(gaps[0, at]), float(reach[at])
            interval = gap - half_width, gap + half_width
            column, index = divmod(at, levels)
            name, beside = tuple(self.scores)[column], int(beside_count[column])
            found.append(SegmentStep(name, index, gap, interval, int(width), beside))
        return found


def _without(
    gaps: Numbers, errors: Numbers, told: Bools, shares: Numbers
) -> tuple[Numbers, Numbers]:
    """Return gaps, shape (spans, F), to what the others were but for those told; their errors.

    A gap is the segment's own step less the steps of the others times their shares among them.
    """
    columns, levels, _ = shares.shape
    found, spread = gaps.reshape(-1, columns, levels).copy(), errors.reshape(columns, levels).copy()
    for column, which in enumerate(told.reshape(columns, levels)):
        own = shares[column][:, which]
        inverse = np.linalg.pinv(np.eye(int(which.sum())) - own[which])
        steps = found[:, column, which] @ inverse.T
        found[:, column] += steps @ own.T
        found[:, column, which] = steps
        spread[column, which] = np.sqrt(inverse**2 @ spread[column, which] ** 2)
    return found.reshape(gaps.shape), spread.ravel()


def _mean(excess: Numbers, rows: Numbers) -> Numbers:
    total = rows.sum(axis=0)
    return np.asarray(
        np.divide(excess.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    )


def _coupling(reference: SegmentCounter, segment: SegmentColumn, columns: Sequence[str]) -> Numbers:
    """Return the parts of the others' weights, shape (columns, levels, segments).

    An hour's weight n_i (N - n_i) / N of segment i is the sum of n_i n_j / N of the others j.
    """
    blocks, levels = reference.blocks[segment.name], len(segment.levels)
    found = np.zeros((len(columns), levels, segment.size))
    for own, name in zip(found, columns, strict=True):
        table = blocks.counts[name].reshape(len(blocks.hours), segment.size, -1)
        rows = table[:, :, :-2].sum(axis=2).astype(np.float64)
        whole = np.maximum(rows.sum(axis=1, keepdims=True), 1.0)
        own[:] = (rows / whole).T[:levels] @ rows
        np.fill_diagonal(own, 0.0)
    return found
