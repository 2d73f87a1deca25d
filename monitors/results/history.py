"""Results over a monitor's windows, as arrays for charts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from driftline.monitors.results.metric import MetricResult


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """A metric, or one property of a column, over all windows, NaN where nothing was measured.

    Intervals and bounds stand where the documents were read; of a mean, the least and greatest
    value. ``pooled``: the number of windows, ending with its own, behind a value.
    """

    metric: MetricResult
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bound: np.ndarray
    violated: np.ndarray
    pooled: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def limit(self) -> float:
        """The newest known bound, else the reference's value, else 0."""
        known = self.bound[np.isfinite(self.bound)]
        return float(known[-1]) if known.size else self.metric.reference or 0.0

    @property
    def apart(self) -> np.ndarray:
        """Windows worse than the reference beyond both intervals, without a violation."""
        ends = np.stack([self.value, self.low, self.high], axis=1).tolist()
        worse = np.array([bool(self.metric.worse_side(*one)) for one in ends], dtype=bool)
        apart: np.ndarray = worse & ~self.violated & np.isfinite(self.bound)
        return apart


@dataclass(frozen=True, slots=True)
class LabelHistory:
    """Rows judged and rows with a label, over all windows."""

    rows: np.ndarray
    labelled: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Share of a window's rows that have a label, NaN without rows."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.rows > 0, self.labelled / self.rows, np.nan)
