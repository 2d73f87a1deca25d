"""Tests a user's own metric by the engine: its groups and blocks are rows, not sums.

The sums are marks: which groups of the reference and of the window, or which blocks of the
reference, are chosen. A metric of marks calls the function on the rows that they choose.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.day_law import MIN_DAYS
from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.jackknife import RowLaw, jackknife
from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.threshold_test import Threshold, judge_thresholds
from driftline.monitors.kinds.model_quality.own_metrics import FailedError, MetricCall, OwnMetric
from driftline.monitors.results.metric import UNBOUNDED
from driftline.stats.blocks import NO_TIME

# Groups that are left out, one after the other: each costs a call.
GROUPS = 64
MOST_BLOCKS = 120  # The newest of the reference.
# A change of this share of the reference is too small to matter.
TOLERANCE = 0.05
# A value that falls by more than this share of itself with a part of the rows is a sum, no mean.
GROWTH = 0.5


@dataclass(frozen=True, slots=True)
class OwnTest:
    """What the engine says of one metric."""

    low: float
    high: float
    error: float  # Standard error of the value.
    reference_low: float = math.nan
    reference_high: float = math.nan
    unbounded: str = ""
    tested: Tested | None = None  # None where there is nothing to compare with.


class _Marks:
    """Calls a function on the rows of chosen groups and blocks; every choice once."""

    def __init__(
        self,
        metric: OwnMetric,
        reference: Answers | None,
        window: Answers,
        block: NDArray[np.int64],
    ) -> None:
        assert metric.function is not None  # It has measured the window.
        self._call = MetricCall(metric.function, window, metric.discreet)
        known = 0 if reference is None else len(reference)
        if reference is not None:
            call = MetricCall(metric.function, reference, metric.discreet)
            self._call = call.with_rows(self._call)
        self._group = np.concatenate([_even_groups(known), _even_groups(len(window)) + GROUPS])
        self._block = np.concatenate([block, np.full(len(window), -1)]).astype(np.intp)
        self.size = 2 * GROUPS + int(block.max(initial=-1)) + 1
        self._values: dict[bytes, float] = {}
        self._count: dict[bytes, int] = {}

    def metric_set(self, metric: Metric) -> MetricSet:
        """Return the metric as a function of marks, (..., K) to (..., 1)."""
        return MetricSet((metric,), self._each(self._value), self._each(self._rows))

    def buckets(self, *, of_window: bool) -> Array:
        """Return the marks of each group of one side, (GROUPS, K)."""
        marks = np.zeros((GROUPS, self.size))
        marks[np.arange(GROUPS), np.arange(GROUPS) + GROUPS * of_window] = 1.0
        return marks

    def blocks(self) -> Array:
        """Return the marks of each block of the reference, (B, K)."""
        count = self.size - 2 * GROUPS
        marks = np.zeros((count, self.size))
        marks[np.arange(count), np.arange(count) + 2 * GROUPS] = 1.0
        return marks

    def _each(self, function: Callable[[NDArray[np.bool_]], float]) -> Callable[[Array], Array]:
        def of_marks(marks: Array) -> Array:
            flat = marks.reshape(-1, marks.shape[-1]) > 0.5
            found = np.array([function(choice) for choice in flat], np.float64)
            return found.reshape(*marks.shape[:-1], 1)

        return of_marks

    def _chosen(self, choice: NDArray[np.bool_]) -> NDArray[np.bool_]:
        chosen = choice[self._group]
        blocks = np.append(choice[2 * GROUPS :], False)
        return np.asarray(chosen | blocks[self._block])

    def _rows(self, choice: NDArray[np.bool_]) -> float:
        key = choice.tobytes()
        if key not in self._count:
            self._count[key] = int(np.count_nonzero(self._chosen(choice)))
        return float(self._count[key])

    def _value(self, choice: NDArray[np.bool_]) -> float:
        key = choice.tobytes()
        if key not in self._values:
            rows = self._chosen(choice)
            try:
                with warnings.catch_warnings():  # What it warns of, it has told of all rows.
                    warnings.simplefilter("ignore")
                    value = self._call(rows) if rows.any() else math.nan
            except FailedError:
                value = math.nan
            self._values[key] = value if math.isfinite(value) else math.nan
        return self._values[key]


def own_test(
    metric: OwnMetric,
    reference: Answers | None,
    window: Answers,
    *,
    worse: int,
    level: float,
    block_us: int | None = None,
    threshold: float | None = None,
) -> OwnTest:
    """Test a metric of the window's rows against the reference, or against a written threshold.

    Parameters
    ----------
    metric
        It has a value of both sides.
    reference, window
        Their rows; None: there is no reference.
    worse
        Which way is worse: 1, -1, or 0 for both.
    level
        Chance of a violation without a change.
    block_us
        The window's length; None where it is not known, or rows have no times.
    threshold
        Somebody's own, in place of the reference's value.
    """
    block = _blocks(reference, block_us)
    marks = _Marks(metric, reference, window, block)
    farthest = -1e100 if worse < 0 else 1e100
    spec = Metric(metric.name, "plain", worse, TOLERANCE, farthest, relative=True)
    metrics, buckets = marks.metric_set(spec), marks.buckets(of_window=True)
    rows = jackknife(metrics, buckets)
    error = math.sqrt(float(rows.variance[0]) / max(len(window), 1))
    if why := _why_unbounded(metrics, buckets, rows):
        return OwnTest(math.nan, math.nan, error, unbounded=f"{UNBOUNDED}{why}")
    value, support = metrics.measure(buckets.sum(axis=0)), np.array([float(len(window))])
    if reference is None:
        known = Reference(metrics, buckets)
    else:
        days = marks.blocks()
        known = Reference(
            metrics, marks.buckets(of_window=False), days if len(days) >= MIN_DAYS else None
        )
        if why := _why_unbounded(metrics, known.buckets, known.rows):
            why = f"{UNBOUNDED}in the reference {why}"
            return OwnTest(math.nan, math.nan, error, unbounded=why)
    low, high = intervals(value, rows, support, known)
    least, most = intervals(known.value, known.rows, known.support, known)
    tested: Tested | None = None
    if threshold is not None:
        side = worse or (1 if value[0] > threshold else -1)
        asked = [Threshold(0, threshold, side)]
        tested = judge_thresholds(metrics, buckets, asked, level=level)[0]
    elif reference is not None:
        tested = judge(known, buckets, length=1.0, level=level)[0]
    return OwnTest(
        float(low[0]), float(high[0]), error, float(least[0]), float(most[0]), tested=tested
    )


def _why_unbounded(metrics: MetricSet, buckets: Array, rows: RowLaw) -> str:
    """Return why a metric's variance is not known; "" where it is."""
    total = buckets.sum(axis=0)
    left = metrics.measure(total - buckets)[:, 0]
    if np.isnan(left).any():
        return "without some it fails"
    value, groups = float(metrics.measure(total)[0]), len(buckets)
    bias = (groups - 1) * (float(left.mean()) - value)
    error = math.sqrt(
        max(float(rows.variance[0]), 0.0) / max(float(metrics.support(total)[0]), 1.0)
    )
    if abs(bias) > max(GROWTH * abs(value), 4.0 * error):
        return "the value grows with their number; return a mean, not a sum"
    if not error:
        return "none of them changes the value"
    return "" if rows.degrees[0] >= GROUPS / 4 else "a few of them make most of its variance"


def _even_groups(rows: int) -> NDArray[np.intp]:
    """Return the group of each row, in random order: groups of equal size, always the same."""
    order = np.random.default_rng(0).permutation(rows)
    return np.asarray(order * GROUPS // max(rows, 1), np.intp)


def _blocks(reference: Answers | None, block_us: int | None) -> NDArray[np.int64]:
    """Return each reference row's block of the window's length; -1 for none."""
    if reference is None:
        return np.zeros(0, np.int64)
    if block_us is None or reference.time_us is None:
        return np.full(len(reference), -1, np.int64)
    number = np.where(reference.time_us == NO_TIME, -1, reference.time_us // block_us)
    known = np.unique(number[reference.time_us != NO_TIME])[-MOST_BLOCKS:]
    at = np.searchsorted(known, number)
    is_known = np.isin(number, known) & (reference.time_us != NO_TIME)
    return np.where(is_known, at, -1)
