"""A metric's value with its variance, whatever the metric: influences of rows, added up.

A row's *influence* is what it adds to the metric, with mean 0, so that the variance of the metric
is that of a mean. With clusters (rows that share their fate, as all flights of a stormy day do)
influences are added up within each cluster first.

Where rows have weights, counts are sums of weights, whose mean is 1, and a row adds its influence
times its weight. What is counted is bounded as so many rows as it is worth: counts over the design
effect, the variance that weighted rows have over that of as many rows which each count once. Few
heavy rows tell little of a variance: it is as much larger as Student's quantile is than the normal.

References
----------
Hampel, JASA 69, 1974 (influence); Liang and Zeger, Biometrika 73, 1986 (sandwich with clusters);
Kish, Survey Sampling, 1965 (effective rows, design effect); Korn and Graubard, Survey Methodology
24, 1998 (limits of a share at its effective rows, no more than there are, by Student's quantile);
Satterthwaite, Biometrics Bulletin 2, 1946 (degrees of freedom of a sum of squares).
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

from driftline.monitors.kinds.model_quality.base_rates import Odds
from driftline.monitors.results.metric import UNBOUNDED
from driftline.stats.intervals import (
    Z95,
    Limits,
    few_share_limits,
    positive_mean_limits,
    weighted_share_limits,
)

# Clusters by cells beyond this are added up row by row.
MOST_CELLS = 1 << 22

# Student's quantile is the normal one from there on.
MOST_FREEDOM, TAIL = 1e9, 0.975

# Beyond this on the logarithm no double holds the number.
FARTHEST = 700.0

# The most that one row may make of a variance whose interval is believed, of many rows; of few
# rows every one makes more (docs/measured.md).
HEAVIEST, HEAVIEST_OF_FEW = 0.15, 5.0

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]
# Keeps logits and logarithms finite.
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Range:
    """A scale between two ends, either of which may be infinite."""

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
        """Return the derivative of the test's scale at a value."""
        if math.isinf(self.least) and math.isinf(self.most):
            return 1.0
        return 1.0 / max(value - self.least, TINY) + 1.0 / max(self.most - value, TINY)


NamedScale = Literal["share", "score", "skill", "error"]
Scale = NamedScale | Range


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
    lacking: str = ""  # Why more rows of the same kind would tell no more of it.
    design: float = 1.0  # How many counted rows are worth one, for weights; 1 without.
    # Scores by class, where a moved share of positives makes part of a skill.
    odds: Odds | None = field(default=None, compare=False, repr=False)

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(self.variance)

    def of_more(self, times: float) -> Measure:
        """Return the same value with a multiple of the rows."""
        return replace(
            self,
            variance=self.variance / times,
            independent=self.independent / times,
            support=self.support * times,
            odds=self.odds and self.odds.of_more(times),
        )

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval: of its own if it has one, else by its scale.

        Wilson's for shares, on the logit for scores, on the logarithm for others. NaN when the
        metric is not defined or cannot be bounded. Few clusters widen it, by Student's t.
        """
        few = self.clusters - 1 if self.clusters > 1 else math.inf
        return self.limits_at(float(special.stdtrit(few, 0.975)) if few < math.inf else Z95)

    def limits_at(self, wide: float) -> Limits:
        """Return the interval at a normal quantile."""
        if math.isnan(self.value) or self.unbounded:
            return math.nan, math.nan
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
    """Return a metric without a value, and the reason."""
    return Measure(math.nan, scale=scale, undefined=why)


def _of_losses(measure: Measure, influence: Numbers, squares: float, worth: float) -> Measure:
    """Bound a mean of losses, or note that its rows do not show how heavy their tail is."""
    left = 1.0 - measure.value if measure.scale == "skill" else measure.value
    if not squares or left <= 0.0:
        return measure
    heaviest = float(np.abs(influence).max()) ** 2 / squares
    if heaviest > HEAVIEST + HEAVIEST_OF_FEW / worth:
        why = f"{UNBOUNDED}tails too heavy, one row makes {heaviest:.0%} of the variance"
        return replace(measure, unbounded=why)
    cubes = float(np.einsum("i,i,i->", influence, influence, influence))
    sign = -1.0 if measure.scale == "skill" else 1.0
    limits = partial(
        positive_mean_limits, left, math.sqrt(measure.independent), sign * cubes / squares**1.5
    )
    return replace(measure, limits=partial(_left, limits) if sign < 0 else limits)


def _left(limits: Callable[[float], Limits], z: float) -> Limits:
    """Return the limits of a skill from those of 1 - skill."""
    low, high = limits(z)
    return 1.0 - high, 1.0 - low


def relative_weights(weights: Numbers | None) -> Numbers | None:
    """Scale weights to mean 1; None where all are equal, or all are 0."""
    if weights is None or not len(weights) or weights.min() == weights.max():
        return None
    largest = weights / weights.max()  # No sum of them is infinite.
    found: Numbers = largest / largest.mean()
    return found


def effective_rows(weights: ArrayLike) -> float:
    """Return the effective number of weighted rows (Kish, 1965)."""
    found = np.asarray(weights, np.float64)
    largest = float(found.max(initial=0.0))
    if not largest:
        return 0.0
    found = found / largest  # No square of them is infinite, nor all are 0.
    return float(found.sum()) ** 2 / float(np.einsum("i,i->", found, found))


def student(squares: ArrayLike, fourths: ArrayLike) -> Numbers:
    """Return by how much a variance is wider for the few rows that make most of it.

    Parameters
    ----------
    squares, fourths
        Sums of the second and fourth powers of what weighted rows add, both or neither 0.
    """
    over, under = np.asarray(squares, np.float64), np.asarray(fourths, np.float64)
    freedom = np.divide(over**2, under, out=np.full(over.shape, np.inf), where=under > 0)
    found: Numbers = (special.stdtrit(np.minimum(freedom, MOST_FREEDOM), TAIL) / Z95) ** 2
    return found


class Rows:
    """A set of rows, in clusters or not, on which metrics are measured; weights are at least 0."""

    def __init__(
        self,
        count: int,
        clusters: Codes | None = None,
        weights: Numbers | None = None,
    ) -> None:
        self.count = count
        self.weights = relative_weights(weights)  # Of mean 1, shape (rows,); None: all count alike.
        self.worth = float(count) if self.weights is None else effective_rows(self.weights)
        # Each row's cluster, 0 ..., shape (rows,); None: every row is its own.
        self.clusters = clusters
        sizes = np.bincount(clusters) if clusters is not None and count else np.empty(0, np.intp)
        self.cluster_count = int(np.count_nonzero(sizes))

    def mean(self, values: Numbers) -> float:
        """Return the mean of each row's value, shape (rows,)."""
        if self.weights is None:
            return float(values.mean())
        return float(np.einsum("i,i->", values, self.weights) / self.weights.sum())

    def means(self, values: Numbers) -> Numbers:
        """Return the mean of each column of rows, shape (rows, columns)."""
        if self.weights is None:
            return np.asarray(values.mean(axis=0))
        return np.asarray(np.einsum("i,ij->j", self.weights, values) / self.weights.sum())

    def worth_of(self, chosen: NDArray[np.bool_]) -> float:
        """Return the effective number of the chosen rows."""
        if self.weights is None:
            return float(np.count_nonzero(chosen))
        return effective_rows(self.weights[chosen])

    def measure(
        self, value: float, influence: Numbers, scale: Scale, support: float | None = None
    ) -> Measure:
        """Make a measure from a value and the rows' influences, shape (rows,)."""
        if self.weights is not None:
            influence = influence * self.weights
        # No BLAS here: its threads wait by spinning, and this is too little work for several.
        squares = float(np.einsum("i,i->", influence, influence))
        sums: Numbers | None = (
            np.bincount(self.clusters, influence).astype(np.float64)
            if self.clusters is not None and self.cluster_count > 1
            else None
        )
        if self.weights is not None:
            squares *= float(student(squares, np.einsum("i,i,i,i->", *[influence] * 4)))
        made = self._made(value, squares, sums, scale, self.worth if support is None else support)
        if scale in ("skill", "error"):
            return _of_losses(made, influence, squares, self.worth)
        return made

    def tally(self, cells: Codes, size: int) -> Tally:
        """Count the rows by cell, 0 ... size - 1."""
        clusters = 1 if self.clusters is None else int(self.clusters.max(initial=0)) + 1
        if self.cluster_count < 2 or clusters * size > MOST_CELLS:
            counts = np.bincount(cells, self.weights, size).astype(np.float64)[None, :]
            return Tally(self, counts, cells)
        assert self.clusters is not None  # There are several.
        flat = np.bincount(self.clusters * size + cells, self.weights)
        table = np.zeros(-(-len(flat) // size) * size)
        table[: len(flat)] = flat
        return Tally(self, table.reshape(-1, size), cells)

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

    def __init__(self, rows: Rows, table: Numbers, cells: Codes) -> None:
        self._rows = rows
        self._table = table
        self._cells = cells
        self.counts: Numbers = table.sum(axis=0)
        # Sums of powers of the weights, and numbers of rows: as the counts without weights.
        self.squares = self._fourths = self._plain = self.counts
        if rows.weights is not None:
            self.squares, self._fourths, self._plain = (
                np.bincount(cells, one, table.shape[1]).astype(np.float64)
                for one in (rows.weights**2, rows.weights**4, rows.weights > 0)
            )

    @property
    def is_weighted(self) -> bool:
        """Whether rows differ in weight."""
        return self._rows.weights is not None

    def worth(self, under: ArrayLike | None = None) -> float:
        """Return the effective number of rows in the cells that count, or in all."""
        chosen = np.ones(len(self.counts)) if under is None else np.asarray(under) > 0
        rows = float(self.counts @ chosen)
        if not self.is_weighted or not rows:
            return rows
        return rows**2 / float(self.squares @ chosen)

    def designs(self, influence: Numbers, parts: Codes, size: int) -> Numbers:
        """Return how many counted rows are worth one, in each of some parts of the cells.

        Parameters
        ----------
        influence
            What a row of each cell adds to its part's metric, up to a factor, shape (cells,).
        parts
            Each cell's part, 0 ... size - 1, or -1 for none, shape (cells,).
        """
        if not self.is_weighted:
            return np.ones(size)
        inside = parts >= 0

        def of_parts(counts: Numbers) -> Numbers:
            return np.bincount(parts[inside], counts[inside], size).astype(np.float64)

        rows, once, twice = (of_parts(one) for one in (self.counts, self._plain, self.squares))
        moved = influence * influence
        over, under = of_parts(self.squares * moved), of_parts(self.counts * moved)
        over *= student(over, of_parts(self._fourths * moved**2))
        # Where nothing varies, by the weights alone; and never worth more than the rows there are.
        alone = np.divide(twice, rows, out=np.ones(size), where=rows > 0)
        found = np.divide(over, under, out=alone, where=under > 0)
        least = np.divide(rows, once, out=np.ones(size), where=once > 0)
        return np.maximum(found, least)

    def ratio(self, over: ArrayLike, under: ArrayLike, scale: Scale, missing: str) -> Measure:
        """Measure a ratio of two weighted counts."""
        above, below = np.asarray(over, np.float64), np.asarray(under, np.float64)
        total = float(self.counts @ below)
        if total == 0:
            return undefined(missing, scale)
        value = float(self.counts @ above) / total
        influence = (above - value * below) * self._rows.count / total
        found = self.measure(value, influence, scale, self.worth(below))
        if not self.is_weighted:
            return found
        design = float(self.designs(influence, np.where(below > 0, 0, -1), 1)[0])
        found = replace(found, design=design)
        if scale != "share":
            return found
        rows = total / design
        return replace(found, limits=partial(few_share_limits, value * rows, rows))

    def mean_of(self, shares: Sequence[tuple[ArrayLike, ArrayLike, str]]) -> Measure:
        """Measure the mean of several ratios of rows that have no row in common.

        Not defined when one of them is not.
        """
        influence = np.zeros(len(self.counts))
        parts = np.full(len(self.counts), -1)
        hits, rows = np.zeros(len(shares)), np.zeros(len(shares))
        for place, (over, under, missing) in enumerate(shares):
            above, below = np.asarray(over, np.float64), np.asarray(under, np.float64)
            rows[place], hits[place] = self.counts @ below, self.counts @ above
            if rows[place] == 0:
                return undefined(missing)
            share = hits[place] / rows[place]
            influence += (above - share * below) * self._rows.count / rows[place] / len(shares)
            parts[below > 0] = place
        return self.mean_of_shares(hits, rows, influence, parts)

    def mean_of_shares(
        self, hits: Numbers, rows: Numbers, influence: Numbers, parts: Codes
    ) -> Measure:
        """Measure the mean of shares of rows that have no row in common, all of some rows.

        `parts` tells which of them each cell is of, -1 of none, as many as there are cells.
        """
        each = np.full(len(rows), 1.0 / len(rows))
        shares = np.divide(hits, rows, out=np.zeros(len(rows)), where=rows > 0)
        value = float(each @ shares)
        worth = rows
        if self.is_weighted:
            parts = parts.ravel()
            squares = np.bincount(parts[parts >= 0], self.squares[parts >= 0], len(rows))
            worth = np.divide(rows**2, squares, out=np.zeros(len(rows)), where=squares > 0)
            designs = self.designs(influence, parts, len(rows))
            hits, rows = hits / designs, rows / designs
        # A share of no rows counts as 0, and its own limits say that nothing is known of it.
        least = float(worth[worth > 0].min(initial=self._rows.count))
        found = self.measure(value, influence, "score", least)
        return replace(found, limits=partial(weighted_share_limits, each, hits, rows))

    def spread(self, influence: Numbers) -> float:
        """Return the squares of the influences, given one per cell, shape (cells,)."""
        moved = influence * influence
        squares = float(self.squares @ moved)
        if not self.is_weighted:
            return squares
        return squares * float(student(squares, self._fourths @ (moved * moved)))

    def measure(self, value: float, influence: Numbers, scale: Scale, support: float) -> Measure:
        """Make a measure from a value and one influence per cell, shape (cells,)."""
        squares = self.spread(influence)
        sums: Numbers | None = self._table @ influence if len(self._table) > 1 else None
        if sums is None and self._rows.clusters is not None and self._rows.cluster_count > 1:
            by_row = influence[self._cells]
            if self._rows.weights is not None:
                by_row = by_row * self._rows.weights
            sums = np.bincount(self._rows.clusters, by_row).astype(np.float64)
        return self._rows._made(value, squares, sums, scale, support)  # A part of the same thing.
