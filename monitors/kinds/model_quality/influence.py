"""A metric's value with its variance, whatever the metric: influences of rows, added up.

A row's *influence* is what it adds to the metric, with mean 0, so that the variance of the metric
is that of a mean. With clusters (rows that share their fate, as all flights of a stormy day do)
influences are added up within each cluster first.

References
----------
Hampel, JASA 69, 1974 (influence); Liang and Zeger, Biometrika 73, 1986 (sandwich with clusters).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from driftline.monitors.results.metric import UNBOUNDED
from driftline.stats.intervals import (
    Limits,
    few_share_limits,
    positive_mean_limits,
    weighted_share_limits,
)

# Clusters by cells beyond this are added up row by row.
MOST_CELLS = 1 << 22

# Beyond this on the logarithm no double holds the number.
FARTHEST = 700.0

# The most that one row may make of a variance whose interval is believed, of many rows; of few
# rows every one makes more (bench/coverage.md).
HEAVIEST, HEAVIEST_OF_FEW = 0.15, 5.0

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]
# Keeps logits and logarithms finite.
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Range:
    """A scale between two ends of its own, either of which may be infinite."""

    least: float = -math.inf
    most: float = math.inf

    def forward(self, value: float) -> float:
        """Bring a value to the scale of the test: logit, logarithm, or itself without ends."""
        below, above = max(value - self.least, TINY), max(self.most - value, TINY)
        low = 0.0 if math.isinf(below) else math.log(below)
        high = 0.0 if math.isinf(above) else math.log(above)
        return value if math.isinf(below) and math.isinf(above) else low - high

    def backward(self, value: float) -> float:
        """Bring a value on the scale of the test back."""
        if not math.isinf(self.least) and not math.isinf(self.most):
            return self.least + (self.most - self.least) * float(special.expit(value))
        if math.isinf(self.least) and math.isinf(self.most):
            return value
        size = math.exp(min(abs(value), FARTHEST) * (1 if value > 0 else -1))
        return self.least + size if math.isinf(self.most) else self.most - 1.0 / size

    def slope(self, value: float) -> float:
        """Return how fast the scale of the test moves with a value."""
        if math.isinf(self.least) and math.isinf(self.most):
            return 1.0
        return 1.0 / max(value - self.least, TINY) + 1.0 / max(self.most - value, TINY)


Scale = Literal["share", "score", "skill", "error"] | Range


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric of one set of rows."""

    value: float  # NaN when it is not defined; `undefined` says why.
    variance: float = 0.0  # From clusters when there are some, at least that of independent rows.
    independent: float = 0.0  # The variance that independent rows would have.
    support: float = 0.0  # Rows that it rests on: for recall those of the positive class.
    # "share" and "score" lie in [0, 1]; "skill" is at most 1; "error" at least 0; else it says so.
    scale: Scale = "score"
    undefined: str = ""
    clusters: int = 0  # How many clusters the variance was learnt from; 0 without.
    # The interval at a normal quantile, as of independent rows; None: by the scale alone.
    limits: Callable[[float], Limits] | None = field(default=None, compare=False)
    unbounded: str = ""  # Why these rows give no interval that holds the truth.

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(self.variance)

    def of_more(self, times: float) -> Measure:
        """Return what the same value comes to of so many times the rows."""
        return replace(
            self,
            variance=self.variance / times,
            independent=self.independent / times,
            support=self.support * times,
        )

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval: of its own if it has one, else by its scale.

        Wilson's for shares, on the logit for scores, on the logarithm for others. NaN when the
        metric is not defined or cannot be bounded. Few clusters widen it, by Student's t.
        """
        if math.isnan(self.value) or self.unbounded:
            return math.nan, math.nan
        few = self.clusters - 1 if self.clusters > 1 else math.inf
        wide = float(special.stdtrit(few, 0.975) if few < math.inf else special.ndtri(0.975))
        # Rows that share their fate count as fewer: the same as a larger quantile.
        effect = math.sqrt(self.variance / self.independent) if self.independent else 1.0
        if self.limits is not None:
            return self.limits(wide * effect)
        if self.scale == "share" or (self.scale == "score" and not 0.0 < self.value < 1.0):
            return few_share_limits(self.value * self.support, self.support, wide * effect)
        half = wide * self.error
        if isinstance(self.scale, Range):
            middle, half = self.scale.forward(self.value), half * self.scale.slope(self.value)
            return self.scale.backward(middle - half), self.scale.backward(middle + half)
        if self.scale == "score":
            centre = float(special.logit(self.value))
            half /= self.value * (1.0 - self.value)
            return float(special.expit(centre - half)), float(special.expit(centre + half))
        # What is left of a skill is at least 0, as an error is.
        left = 1.0 - self.value if self.scale == "skill" else self.value
        if left <= 0.0:
            return self.value, self.value
        low, high = left * math.exp(-half / left), left * math.exp(half / left)
        return (1.0 - high, 1.0 - low) if self.scale == "skill" else (low, high)


def undefined(why: str, scale: Scale = "score") -> Measure:
    """Return a metric that has no value, and why."""
    return Measure(math.nan, scale=scale, undefined=why)


def _of_losses(measure: Measure, influence: Numbers, squares: float) -> Measure:
    """Bound a mean of losses, or say that its rows do not show how heavy their tail is."""
    left = 1.0 - measure.value if measure.scale == "skill" else measure.value
    if not squares or left <= 0.0:
        return measure
    heaviest = float(np.abs(influence).max()) ** 2 / squares
    if heaviest > HEAVIEST + HEAVIEST_OF_FEW / len(influence):
        why = f"{UNBOUNDED}tails too heavy, one row makes {heaviest:.0%} of the variance"
        return replace(measure, unbounded=why)
    cubes = float(np.einsum("i,i,i->", influence, influence, influence))
    sign = -1.0 if measure.scale == "skill" else 1.0
    limits = partial(
        positive_mean_limits, left, math.sqrt(measure.independent), sign * cubes / squares**1.5
    )
    return replace(measure, limits=partial(_left, limits) if sign < 0 else limits)


def _left(limits: Callable[[float], Limits], z: float) -> Limits:
    """Return the limits of a skill, from those of what is left of it."""
    low, high = limits(z)
    return 1.0 - high, 1.0 - low


class Rows:
    """A set of rows, in clusters or not, on which metrics are measured."""

    def __init__(
        self, count: int, clusters: Codes | None = None, units: Codes | None = None
    ) -> None:
        self.count = count
        self._units: Codes | None = None
        if units is not None and count:
            # Values of one unit, such as a forecast's, are added up first: the unit is the row.
            _, first, self._units = np.unique(units, return_index=True, return_inverse=True)
            self.count = len(first)
            clusters = None if clusters is None else clusters[first]
        # Each row's cluster, 0 ..., shape (rows,); None: every row is its own.
        self.clusters = clusters
        sizes = np.bincount(clusters) if clusters is not None and count else np.empty(0, np.intp)
        self.cluster_count = int(np.count_nonzero(sizes))

    def measure(
        self, value: float, influence: Numbers, scale: Scale, support: float | None = None
    ) -> Measure:
        """Make a measure of a value and of what each row, or value, adds to it, shape (rows,)."""
        if self._units is not None:
            share = self.count / len(influence)
            influence = np.bincount(self._units, influence).astype(np.float64) * share
        # No BLAS here: its threads wait by spinning, and this is too little work for several.
        squares = float(np.einsum("i,i->", influence, influence))
        sums: Numbers | None = (
            np.bincount(self.clusters, influence).astype(np.float64)
            if self.clusters is not None and self.cluster_count > 1
            else None
        )
        rows = float(self.count) if support is None else support
        made = self._made(value, squares, sums, scale, rows)
        return _of_losses(made, influence, squares) if scale in ("skill", "error") else made

    def tally(self, cells: Codes, size: int) -> Tally:
        """Count the rows by cell, 0 ... size - 1."""
        clusters = 1 if self.clusters is None else int(self.clusters.max(initial=0)) + 1
        if self.cluster_count < 2 or clusters * size > MOST_CELLS:
            counts = np.bincount(cells, minlength=size).astype(np.float64)[None, :]
            return Tally(self, counts, cells if self.cluster_count > 1 else None)
        assert self.clusters is not None  # There are several.
        flat = np.bincount(self.clusters * size + cells)
        table = np.zeros(-(-len(flat) // size) * size)
        table[: len(flat)] = flat
        return Tally(self, table.reshape(-1, size))

    def _made(
        self, value: float, squares: float, sums: Numbers | None, scale: Scale, support: float
    ) -> Measure:
        independent = squares / self.count**2
        variance = independent
        if sums is not None:
            few = self.cluster_count / (self.cluster_count - 1.0)
            variance = max(variance, few * float(np.dot(sums, sums)) / self.count**2)
        return Measure(
            value,
            variance,
            independent,
            support,
            scale,
            clusters=self.cluster_count if sums is not None else 0,
        )


class Tally:
    """Rows counted by cell: metrics that only ask which cell a row lies in."""

    def __init__(self, rows: Rows, table: Numbers, cells: Codes | None = None) -> None:
        self._rows = rows
        self._table = table
        self._cells = cells
        self.counts: Numbers = table.sum(axis=0)

    def ratio(self, over: ArrayLike, under: ArrayLike, scale: Scale, missing: str) -> Measure:
        """Measure a ratio of two weighted counts."""
        above, below = np.asarray(over, np.float64), np.asarray(under, np.float64)
        total = float(self.counts @ below)
        if total == 0:
            return undefined(missing, scale)
        value = float(self.counts @ above) / total
        influence = (above - value * below) * self._rows.count / total
        return self.measure(value, influence, scale, float(self.counts @ (below > 0)))

    def mean_of(self, shares: Sequence[tuple[ArrayLike, ArrayLike, str]]) -> Measure:
        """Measure the mean of several ratios; not defined when one of them is not."""
        influence = np.zeros(len(self.counts))
        hits, rows = np.zeros(len(shares)), np.zeros(len(shares))
        for place, (over, under, missing) in enumerate(shares):
            above, below = np.asarray(over, np.float64), np.asarray(under, np.float64)
            rows[place], hits[place] = self.counts @ below, self.counts @ above
            if rows[place] == 0:
                return undefined(missing)
            share = hits[place] / rows[place]
            influence += (above - share * below) * self._rows.count / rows[place] / len(shares)
        return self.mean_of_shares(hits, rows, influence)

    def mean_of_shares(self, hits: Numbers, rows: Numbers, influence: Numbers) -> Measure:
        """Measure the mean of shares of rows that have no row in common, all of some rows."""
        weights = np.full(len(rows), 1.0 / len(rows))
        shares = np.divide(hits, rows, out=np.zeros(len(rows)), where=rows > 0)
        # A share of no rows counts as 0, and its own limits say that nothing is known of it.
        least = float(rows[rows > 0].min(initial=self._rows.count))
        found = self.measure(float(weights @ shares), influence, "score", least)
        return replace(found, limits=partial(weighted_share_limits, weights, hits, rows))

    def measure(self, value: float, influence: Numbers, scale: Scale, support: float) -> Measure:
        """Make a measure of a value and of what a row of each cell adds to it, shape (cells,)."""
        squares = float(self.counts @ (influence * influence))
        sums: Numbers | None = self._table @ influence if len(self._table) > 1 else None
        if self._cells is not None and self._rows.clusters is not None:
            by_row = influence[self._cells]
            sums = np.bincount(self._rows.clusters, by_row).astype(np.float64)
        return self._rows._made(value, squares, sums, scale, support)  # A part of the same thing.
