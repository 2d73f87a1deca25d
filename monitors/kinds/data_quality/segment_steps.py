"""Steps of one segment alone: its values lie elsewhere than those of the others of the same hours.

A sensor that is replaced, or a client with another offset, moves one segment's rows, by less than
all rows vary from week to week. What hour, weather and season do to all of them is in the gap
between a segment and the others no more. Shapes: H hours, S segments, C cells, D days, F gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial

import numpy as np

from driftline.baseline.constraints import is_compared
from driftline.baseline.segments import SegmentColumn, SegmentCounter
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.data_quality.segments import SegmentPlan, SegmentVerdict
from driftline.monitors.results.violation import Draft, rounded
from driftline.stats.calendar_regression import SEASON_DAYS, Integers, Numbers
from driftline.stats.day_scores import normal_scores
from driftline.stats.day_variation import DayVariation, student_limit
from driftline.stats.multiple_testing import alpha_per_test

# What is accepted of a year's false alarms.
BUDGET_SHARE = 0.05
# Shorter windows are storms: two halves of them tell nothing of what lasts.
LEAST_SPAN = timedelta(days=4)
# Of longer blocks nothing is known of single days.
DAY_H = 24
# Each half of a window holds so much of its mean: what lasts, not a storm.
HALF = 0.5
# The gaps of a column are known on so many of the reference's days.
FILLED = 0.5


def with_steps(
    verdicts: Sequence[SegmentVerdict],
    plan: SegmentPlan,
    window: SegmentCounter,
    context: CheckContext,
    budget: Budget,
) -> list[SegmentVerdict]:
    """Add a draft to each segment of a window whose gap to the others is another."""
    length = context.rows.length
    if length is not None and length < LEAST_SPAN:
        return [*verdicts]
    baseline, kept = context.baseline, context.past.drift_tests
    columns = tuple(
        one.name
        for one in baseline.signature.columns
        if one.name in plan.reference.cells
        and baseline.cells[one.name].is_number
        and is_compared(baseline.constraints, one)
    )
    drafts: dict[tuple[str, int], list[Draft]] = {}
    for one in plan.columns:
        make = partial(
            SegmentGaps, plan.reference, one, tuple(name for name in columns if name != one.name)
        )
        key = "steps", baseline.version, one.name
        gaps = make() if kept is None else kept.get(key, make)
        tests = max(gaps.live_count * len(plan.columns), 1)
        share = BUDGET_SHARE * budget.false_alarms_per_year
        for step in gaps.steps(window, alpha_per_test(share, budget.windows_per_year, tests)):
            drafts.setdefault((one.name, step.index), []).append(_draft(step))
    return [_with(verdict, drafts, plan) for verdict in verdicts]


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


def _draft(step: SegmentStep) -> Draft:
    size, (low, high) = abs(step.gap), sorted(abs(each) for each in step.interval)
    what = (
        f"values lie {'higher' if step.gap > 0 else 'lower'} than those of the others of the same "
        f"hours lead to expect, by {rounded(size, 2)} sd (95%: {rounded(low, 2)} to "
        f"{rounded(high, 2)})"
    )
    return Draft(
        feature=step.column,
        check="segment_step_check",
        description=f"A segment alone has stepped: {what}.",
        what=what,
        severity="ticket",
    )


@dataclass(frozen=True, slots=True)
class SegmentStep:
    """A segment whose values lie elsewhere than those of the others."""

    column: str
    index: int  # Of the segment.
    gap: float  # Of normal scores, less what is usual: in standard deviations of all rows.
    interval: tuple[float, float]  # 95%.


@dataclass(frozen=True)
class SegmentGaps:
    """What the reference's days tell of the gaps between segments of one column and the others."""

    reference: SegmentCounter
    segment: SegmentColumn
    columns: tuple[str, ...]  # Of numbers.

    @cached_property
    def _scores(self) -> dict[str, Numbers]:
        counts = self.reference.counts[self.segment.name]
        return {
            name: normal_scores(counts[name].sum(axis=0)[:-2].astype(np.float64))
            for name in self.columns
        }

    def _gaps(self, counter: SegmentCounter) -> tuple[Integers, Numbers, Numbers, Numbers]:
        """Return days, sums of gaps, their weights and the variance of a row: (D,), (D, F), (F,).

        The weight of an hour is that of the difference of two means of independent rows.
        """
        blocks, levels = counter.blocks[self.segment.name], len(self.segment.levels)
        days, starts = np.unique(blocks.hours // DAY_H, return_index=True)
        sums, weights, variances = [], [], []
        for name, scores in self._scores.items():
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
            days,
            np.concatenate(sums, axis=1),
            np.concatenate(weights, axis=1),
            np.concatenate(variances),
        )

    @cached_property
    def variation(self) -> DayVariation | None:
        """What the days of the reference tell; None where it has not seen a year."""
        if not self._has_days(self.reference):
            return None
        found = self.reference.blocks[self.segment.name]
        span_days = float(found.hours[-1] + found.step - found.hours[0]) / DAY_H
        days, sums, rows, variance = self._gaps(self.reference)
        if span_days < SEASON_DAYS or len(days) < FILLED * span_days:
            return None
        known = np.count_nonzero(rows, axis=0) >= FILLED * span_days
        return DayVariation.of(days, sums, rows, np.where(known, variance, 0.0), span_days)

    @property
    def live_count(self) -> int:
        """Number of gaps that can be judged."""
        return 0 if self.variation is None else int(self.variation.is_live.sum())

    def _has_days(self, counter: SegmentCounter) -> bool:
        found = counter.blocks.get(self.segment.name)
        return bool(found and self.columns and found.step <= DAY_H and len(found.hours))

    def steps(self, window: SegmentCounter, alpha: float) -> list[SegmentStep]:
        """Return the segments of a window whose gap is another than the reference leads to expect.

        `alpha` is the p-value below which one gap is told.
        """
        variation = self.variation
        if variation is None or not self._has_days(window):
            return []
        days, sums, rows, _ = self._gaps(window)
        first, width = float(days[0]), float(days[-1] - days[0]) + 1.0
        if width < LEAST_SPAN / timedelta(days=1):
            return []
        excess, middle = sums - rows * variation.expected(days), first + width / 2
        mean = _mean(excess, rows)
        test = variation.test(mean, rows.sum(axis=0), width, middle)
        hit = test.p_value < alpha
        for half in (days < middle, days >= middle):
            hit &= _mean(excess[half], rows[half]) * np.sign(mean) >= HALF * np.abs(mean)
        reach, levels = student_limit(0.05, test.freedom) * test.error, len(self.segment.levels)
        found = []
        for at in np.flatnonzero(hit).tolist():
            gap, half_width = float(mean[at]), float(reach[at])
            interval = gap - half_width, gap + half_width
            found.append(SegmentStep(self.columns[at // levels], at % levels, gap, interval))
        return found


def _mean(excess: Numbers, rows: Numbers) -> Numbers:
    total = rows.sum(axis=0)
    return np.asarray(
        np.divide(excess.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    )
