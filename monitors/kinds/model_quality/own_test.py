"""A user's own metric as the engine takes it: its groups and blocks are rows, not sums.

The sums are marks: which groups of the reference and of the window, or which blocks of the
reference, are chosen. A metric of marks calls the function on the rows that they choose.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.monitors.engine.jackknife import jackknife
from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.model_quality.own_metrics import FailedError, MetricCall, OwnMetric
from driftline.stats.blocks import NO_TIME

# Groups that are left out, one after the other: each costs a call.
GROUPS = 64
MOST_BLOCKS = 120  # The newest of the reference.
# A change of this share of the reference is too small to matter.
TOLERANCE = 0.05
# A value that falls by more than this share of itself with a part of the rows is a sum, no mean.
GROWTH = 0.5


class OwnSums:
    """Calls a function on the rows of chosen groups and blocks; every choice once.

    Parameters
    ----------
    metric
        It has a value of both sides.
    reference, window
        Their rows; without a reference the window stands for it.
    worse
        Which way is worse: 1, -1, or 0 for both.
    block_us
        The window's length.
    """

    def __init__(
        self,
        metric: OwnMetric,
        reference: Answers | None,
        window: Answers,
        *,
        worse: int = 0,
        block_us: int | None = None,
    ) -> None:
        assert metric.function is not None  # It has measured the window.
        block = _blocks(reference, block_us)
        known = 0 if reference is None else len(reference)
        parts = (window,) if reference is None else (reference, window)
        self._call = MetricCall(metric.function, metric.discreet, *parts)
        self._group = np.concatenate([_even_groups(known), _even_groups(len(window)) + GROUPS])
        self._block = np.concatenate([block, np.full(len(window), -1)]).astype(np.intp)
        self._values: dict[bytes, float] = {}
        marks = np.eye(2 * GROUPS + int(block.max(initial=-1)) + 1)
        self.buckets = marks[GROUPS : 2 * GROUPS]
        spec = Metric(
            metric.name, "plain", worse, TOLERANCE, -1e100 if worse < 0 else 1e100, relative=True
        )
        metrics = MetricSet((spec,), self._each(self._value), self._each(self._rows))
        if reference is None:
            self.reference = Reference(metrics, self.buckets)
        else:
            self.reference = Reference(metrics, marks[:GROUPS], marks[2 * GROUPS :])

    def why_unbounded(self) -> str:
        """Return why the function's variance is not known; "" where it is."""
        for buckets, where in ((self.buckets, ""), (self.reference.buckets, "in the reference ")):
            total, measure = buckets.sum(axis=0), self.reference.metrics.measure
            left = measure(total - buckets)[:, 0]
            if np.isnan(left).any():
                return f"{where}without some it fails"
            value, rows = float(measure(total)[0]), jackknife(self.reference.metrics, buckets)
            bias = (GROUPS - 1) * (float(left.mean()) - value)
            error = math.sqrt(float(rows.variance[0] / self.reference.metrics.support(total)[0]))
            if abs(bias) > max(GROWTH * abs(value), 4.0 * error):
                return f"{where}the value grows with their number; return a mean, not a sum"
            if 0 < rows.degrees[0] < GROUPS / 4:
                return f"{where}a few of them make most of its variance"
        return ""

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
        return float(np.count_nonzero(self._chosen(choice)))

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
