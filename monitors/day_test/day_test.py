"""The day test: finds columns whose days differ, over spans of 4 days and more. Pure."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.constraints import is_compared
from driftline.baseline.reference_days import ReferenceDays, parts_of
from driftline.baseline.store import Baseline
from driftline.baseline.times import EPOCH
from driftline.monitors.day_test.day_counter import DayCounter
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.spans import spans_ending_with, window_index
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.stats.calendar_regression import SEASON_DAYS, WEEKEND_DAYS, Integers, Numbers
from driftline.stats.day_scores import (
    CLOCK_COS,
    CLOCK_SIN,
    LEVEL,
    NUMBER_SCORES,
    ROUGH,
    SPREAD,
    DaySums,
    StepScores,
)
from driftline.stats.day_variation import student_limit
from driftline.stats.multiple_testing import alpha_per_test

# What is accepted of a year's false alarms (docs/measured.md).
BUDGET_SHARE = 0.1
# Shorter spans are left to the test of shares.
LEAST_SPAN = timedelta(days=4)
# Of short windows, spans from this on are judged, but no more windows together than that.
LONG_SPAN, MOST_WINDOWS = timedelta(days=10), 2048
# Each half of a span holds so much of its mean: what lasts, not a storm.
HALF = 0.5
# A span has rows on so many of its days.
FILLED = 0.5
# Rows of more sources at a time differ more from one to the next, and where a day has few, less
# from its mean: steps and spread are judged in spans of no more than so many times the reference's
# rows a day, and no less.
PACE_MOST = 2.0
# The last window can tell a change from none: so many standard errors lie between.
CLEAR = 3.0
# Scores that need whole days: a step over the edge of a window is none, part of a day spreads less.
WHOLE_DAYS = frozenset({ROUGH, SPREAD})
# Scores that values wholly beyond the reference leave as they are.
SHAPES = frozenset(NUMBER_SCORES) - {LEVEL}
DAY = timedelta(days=1)

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DayFinding:
    """A column whose days differ from those expected by hour, weekday and season."""

    column: str
    score: str  # One of `NUMBER_SCORES`, or a level such as ``= UA``.
    mean: float  # Of the score over the span, less what is expected, in standard deviations.
    error: float  # Its standard error.
    freedom: float  # Degrees of freedom that it is known with.
    p_value: float
    alpha: float  # The p-value below which it is a violation.
    days: int  # Of the span.
    since: datetime  # Where it begins.
    # What 1 is: a standard deviation of what the calendar leaves open; of a level, in share.
    unit: float
    is_level: bool
    explained: str  # What was taken out, in words.

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean, in the same unit."""
        half = float(student_limit(0.05, np.array(self.freedom))) * self.error
        return self.mean - half, self.mean + half

    @property
    def rank(self) -> tuple[bool, float]:
        """Sort key of a column's findings, the least first: a moved cycle changes all others."""
        return self.score not in (CLOCK_COS, CLOCK_SIN), self.p_value / self.alpha

    @property
    def evidence(self) -> float:
        """How far the p-value lies below its limit, in nats."""
        return math.log(self.alpha) - math.log(max(self.p_value, sys.float_info.min))

    def to_dict(self) -> dict[str, float | int | str]:
        """Return plain JSON values in a fixed order."""
        low, high = self.interval
        return {
            "score": self.score,
            "days": self.days,
            "since": self.since.isoformat(),
            "mean": self.mean,
            "mean_low": low,
            "mean_high": high,
            "degrees_of_freedom": self.freedom,
            "p_value": self.p_value,
            "alpha": self.alpha,
        }


@dataclass(frozen=True, slots=True)
class DayTestResult:
    """Findings of the days of a window, and of the spans that end with it."""

    findings: Mapping[str, DayFinding] = field(default_factory=dict)  # By column, the strongest.
    # Columns of which values that all lie at one end would be a finding in a span of such windows,
    # not always one that ends here. By cycle, steps and spread alone, values may lie anywhere.
    judged: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DayTest:
    """The day test of one monitor, with the reference's days."""

    columns: Mapping[str, Cells]  # That are compared.
    blocks: BlockCounts | None  # The reference by the hour; None: it has no times.
    steps: Mapping[str, StepScores]
    length: timedelta | None  # Of a window; None: rows of no known span.
    budget: Budget

    @classmethod
    def of(cls, baseline: Baseline, length: timedelta | None, budget: Budget) -> DayTest:
        """Return the test of windows of a length; of few days, or none, it learns nothing."""
        known = {} if baseline.profile is None else baseline.profile.columns
        columns = {
            one.name: baseline.cells[one.name]
            for one in baseline.signature.columns
            if one.name in baseline.cells and one.name in known
            and known[one.name].cell_counts is not None
            and is_compared(baseline.constraints, one)
        }  # fmt: skip
        steps = {name: one.steps for name, one in known.items() if one.steps is not None}
        return cls(columns, baseline.blocks, steps, length, budget)

    @cached_property
    def groups(self) -> tuple[ReferenceDays, ...]:
        """The judged columns, grouped by the hours of their reference."""
        return parts_of(self.columns, self.blocks, self.steps)

    @property
    def cells(self) -> dict[str, Cells]:
        """Cells of the judged columns."""
        return {name: self.columns[name] for group in self.groups for name in group.scores}

    def day_sums(self, counter: DayCounter) -> dict[str, DaySums]:
        """Score the days of a window, by column."""
        blocks, steps = counter.blocks.result(), counter.steps.result()
        found: dict[str, DaySums] = {}
        for group in self.groups:
            found |= group.day_sums(blocks, steps)
        return found

    @cached_property
    def _live_count(self) -> int:
        return sum(int(group.variation.is_live.sum()) for group in self.groups)

    def judge(self, window: WindowCounts, past: Sequence[WindowCounts] = ()) -> DayTestResult:
        """Judge the spans that end with a window; `past` as `DriftTest.judge` takes it."""
        findings: dict[str, DayFinding] = {}
        reached: set[tuple[str, str]] = set()
        for group in self.groups:
            scales = self._scales(group)
            for scale in scales:
                reached |= _within_reach(group, window, scale, self._alpha(scale, scales))
            for scale, windows in self._spans(window, past, scales):
                for one in _found(group, windows, self._alpha(scale, scales)):
                    if one.score in self._unseen:
                        continue
                    known = findings.get(one.column)
                    if known is None or one.rank < known.rank:
                        findings[one.column] = one
        judged = frozenset(column for column, score in reached if score not in SHAPES)
        return DayTestResult(findings, judged)

    @property
    def _unseen(self) -> frozenset[str]:
        """Scores that such short windows do not show."""
        return WHOLE_DAYS if self.length is not None and self.length < DAY else frozenset()

    def _alpha(self, scale: int, scales: Sequence[int]) -> float:
        """Return the p-value below which one score of a span is a violation."""
        return alpha_per_test(
            BUDGET_SHARE * self.budget.false_alarms_per_year,
            self.budget.windows_per_year,
            self._live_count,
            scale=scale,
            scale_count=len(scales),
        )

    def _scales(self, group: ReferenceDays) -> tuple[int, ...]:
        """Return the numbers of windows that are judged together."""
        if self.length is None:
            return (1,)
        longest = group.variation.longest_span * DAY
        return tuple(
            scale
            for scale in day_scales(self.length)
            if scale * self.length >= LEAST_SPAN and (scale == 1 or scale * self.length <= longest)
        )

    def _spans(
        self, window: WindowCounts, past: Sequence[WindowCounts], scales: Sequence[int]
    ) -> list[tuple[int, tuple[WindowCounts, ...]]]:
        if self.length is None or window.start is None:
            return [(1, (window,))]
        count = window_index(window.start, self.length) + 1
        if all(count % scale for scale in scales):
            return []
        return [
            (span.scale, span.windows)
            for span in spans_ending_with(window, past, (1, *scales), self.length)
            if span.scale in scales and span.width == span.scale
        ]


def day_scales(length: timedelta | None) -> tuple[int, ...]:
    """Return the numbers of windows that are judged together, until they reach 10 days."""
    scales: tuple[int, ...] = SCALES
    while length is not None and scales[-1] * length < LONG_SPAN and scales[-1] < MOST_WINDOWS:
        scales = (*scales, 4 * scales[-1])
    return scales


def _found(
    group: ReferenceDays,
    windows: Sequence[WindowCounts],
    alpha: float,
) -> list[DayFinding]:
    """Judge one span of windows, the last first."""
    days, sums, rows = _gathered(group, windows)
    first, width = _extent(windows[-1], windows[0], days)
    if width < LEAST_SPAN / DAY or len(days) < FILLED * width:
        return []
    variation, middle = group.variation, first + width / 2
    excess = sums - rows * variation.expected(days)
    mean = _mean(excess, rows)
    test = variation.test(group.beyond_clock_change(mean), rows.sum(axis=0), width, middle)
    hit = test.p_value < alpha
    for half in (days < middle, days >= middle):
        own = _mean(excess[half], rows[half])
        hit &= own * np.sign(mean) >= HALF * np.abs(mean)
    pace = rows.mean(axis=0) / np.maximum(variation.rows_per_day, 1.0)
    hit &= ~(group.is_paced & ((pace > PACE_MOST) | (pace < 1.0 / PACE_MOST)))
    if hit.any() and len(windows) > 1:
        hit &= ~_is_nearer(group, _last_day(windows), mean)
    since = windows[-1].start or EPOCH + first * DAY
    names, units, explained = group.names, group.units, _explained(variation.span_days)
    found = []
    for at in np.flatnonzero(hit).tolist():
        column, score = names[at]
        found.append(
            DayFinding(
                column, score, float(mean[at]), float(test.error[at]), float(test.freedom[at]),
                float(test.p_value[at]), alpha, round(width), since, float(units[at]),
                score not in NUMBER_SCORES, explained,
            )
        )  # fmt: skip
    return found


def _last_day(windows: Sequence[WindowCounts]) -> list[WindowCounts]:
    """Return the windows of a span's last day in order of time; `windows` come last first.

    Part of a day does not show the daily cycle.
    """
    end = windows[0].end
    rest = [one for one in windows[1:] if end and one.end and one.end > end - DAY]
    return [windows[0], *rest][::-1]


def _is_nearer(group: ReferenceDays, windows: Sequence[WindowCounts], mean: Numbers) -> Flags:
    """Return which scores of windows lie clearly nearer to the expected ones, shape (F,)."""
    days, sums, rows = _gathered(group, windows)
    first, width = _extent(windows[0], windows[-1], days)
    own, total = _mean(sums - rows * group.variation.expected(days), rows), rows.sum(axis=0)
    test = group.variation.test(own, total, width, first + width / 2)
    is_clear = group.variation.is_judged(total) & (np.abs(mean) >= CLEAR * test.error)
    return np.asarray(is_clear & (own * np.sign(mean) < HALF * np.abs(mean)))


def _explained(span_days: float) -> str:
    """Return, in words, what a reference of this many days can explain."""
    known = ["hour"] if span_days >= WEEKEND_DAYS else ["the hour"]
    known += ["weekday"] * (span_days >= WEEKEND_DAYS) + ["season"] * (span_days >= SEASON_DAYS)
    *first, last = known
    return f"{', '.join(first)} and {last}" if first else last


def _within_reach(
    group: ReferenceDays, window: WindowCounts, scale: int, alpha: float
) -> set[tuple[str, str]]:
    """Return column and name of the scores that can be a finding in such a span."""
    days, _, rows = _gathered(group, [window])
    first, width = _extent(window, window, days)
    if scale * width < LEAST_SPAN / DAY or len(days) < FILLED * width:
        return set()
    total = rows.sum(axis=0) * scale
    test = group.variation.test(np.zeros_like(total), total, scale * width, first + width / 2)
    is_judged = group.variation.is_judged(total)
    # On the side on which a change of the clocks takes less away.
    largest = group.largest - np.abs(group.clock_change).min(axis=0)
    reached = is_judged & (largest > student_limit(alpha, test.freedom) * test.error)
    names = group.names
    return {names[at] for at in np.flatnonzero(reached).tolist()}


def _extent(first: WindowCounts, last: WindowCounts, days: Integers) -> tuple[float, float]:
    """Return the start of a span of windows and its length, in days."""
    if first.start is not None and last.end is not None:
        return (first.start - EPOCH) / DAY, (last.end - first.start) / DAY
    return (float(days[0]), float(days[-1] - days[0]) + 1.0) if len(days) else (0.0, 0.0)


def _gathered(
    group: ReferenceDays, windows: Sequence[WindowCounts]
) -> tuple[Integers, Numbers, Numbers]:
    """Sum the days of windows: shapes (D,), (D, F), (D, F)."""
    parts = [
        (group.places[name], one)
        for window in windows
        for name, one in window.days.items()
        if name in group.places
    ]
    days = np.unique(np.concatenate([one.days for _, one in parts] or [np.empty(0, np.int64)]))
    sums = np.zeros((len(days), len(group.names)))
    rows = np.zeros_like(sums)
    for place, one in parts:
        at = np.searchsorted(days, one.days)
        sums[at, place] += one.sums
        rows[at, place] += one.rows
    return days, sums, rows


def _mean(excess: Numbers, rows: Numbers) -> Numbers:
    total = rows.sum(axis=0)
    return np.asarray(
        np.divide(excess.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    )
