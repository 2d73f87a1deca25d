"""Scores how unusual a row's values are together: local outlier factor among reference rows.

Numbers are brought to one scale; texts are points of equal distance. The baseline's sample knows
only cells: a value within a cell is drawn from the column's sketch, at one depth for each row. Each
half of the sample is measured by the other, and these factors show how rare a factor is. A row is
not measured where it lacks a column, where the sample lacks its level, or where too few rows of the
sample have its gap to be neighbours: the column's own tail says how rare that is.

References
----------
Breunig, Kriegel, Ng and Sander, SIGMOD 2000 (LOF); scikit-learn's LocalOutlierFactor with novelty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.monitors.kinds.outliers.levels import LevelTerms
from driftline.monitors.kinds.outliers.rarity import Codes, Rarity, fit_rarity, mean_excess
from driftline.monitors.kinds.outliers.terms import NumberTerms
from driftline.one_thread import on_one_thread

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

NEIGHBOURS = 12
# Rows of the reference that others are measured by.
MOST_POINTS = 2_000
# Differences below a tenth of a standard deviation are none: equal rows are spread by so much.
RESOLUTION = 0.1
# Levels have an axis each up to so many; more have random directions of as many axes.
LEVEL_AXES = 16
# No column lies farther out on its scale.
LARGEST = np.finfo(np.float64).max
# Rows that follow each other may be of one session: a stretch is whole in its half.
STRETCHES = 50
QUARTILES_OF_NORMAL = 1.349


@dataclass(frozen=True, eq=False)
class NumberAxis:
    """A numeric column on a scale where its middle half is that of a normal law.

    Far from it the scale is logarithmic, so that no column hides the others.
    """

    number: NumberTerms
    middle: float
    spread: float
    items: Numbers  # Values of the reference, ascending, shape (items,).
    below: Numbers  # Weight of the items before each, and of all; shape (items + 1,).
    has_gaps: bool  # Whether rows without a number can be measured.

    width = 1

    def place(self, values: Numbers) -> Numbers:
        """Scale values, shape (rows, 1); missing ones lie in the middle."""
        with np.errstate(over="ignore"):
            far = (values - self.middle) / self.spread
        found = np.arcsinh(np.clip(far, -LARGEST, LARGEST))
        return np.nan_to_num(found)[:, None]

    def of_codes(self, codes: Codes, depth: Numbers) -> Numbers:
        """Scale rows with known cells, shape (rows, 1)."""
        edges = np.asarray(self.number.cells.edges, np.float64)
        cell = np.where(codes <= len(edges), codes, 0).astype(np.int64)
        bounds = np.concatenate([[-np.inf], edges, [np.inf]])
        first = np.searchsorted(self.items, bounds[:-1], side="left")[cell]
        last = np.searchsorted(self.items, bounds[1:], side="left")[cell]
        wanted = self.below[first] + depth * (self.below[last] - self.below[first])
        at = np.searchsorted(self.below, wanted, side="right") - 1
        at = np.clip(at, first, np.maximum(last - 1, first))
        found = self.items[np.minimum(at, len(self.items) - 1)]
        return self.place(np.where(codes <= len(edges), found, np.nan))


@dataclass(frozen=True, eq=False)
class LevelAxes:
    """A column of levels: all equally far from each other, and from a missing value."""

    level: LevelTerms
    points: Numbers  # By cell, shape (cells, axes).
    is_known: Flags  # Whether rows of the cell can be measured, shape (cells,).

    @property
    def width(self) -> int:
        """Axes that the column has."""
        return len(self.points[0])


@dataclass(frozen=True, eq=False)
class Joint:
    """Rows of a reference by which others are measured."""

    numbers: tuple[NumberAxis, ...]
    levels: tuple[LevelAxes, ...]
    points: Numbers  # Of the model, shape (points, axes).
    model: Any  # scikit-learn's, which has no types.
    scale: float  # By which the factor's logarithm is stretched: one is a nat of the sample's tail.
    rarity: Rarity  # Of that.

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row is measured by."""
        return (
            *(one.number.column for one in self.numbers),
            *(one.level.column for one in self.levels),
        )

    def nats(
        self, numbers: Mapping[str, Numbers], levels: Mapping[str, Codes], rows: int
    ) -> Numbers:
        """Return how rare rows are, shape (rows,); 0 where they cannot be measured."""
        found = np.zeros(rows)
        if not set(self.columns) <= numbers.keys() | levels.keys():
            return found
        measured = np.full(rows, True)
        for axis in self.numbers:
            if not axis.has_gaps:
                measured &= ~np.isnan(numbers[axis.number.column])
        for level in self.levels:
            measured &= level.is_known[levels[level.level.column]]
        placed = self._place(numbers, levels)[measured]
        found[measured] = self.rarity.of(self.scale * _factors(self.model, placed))
        return found

    def farthest(self, numbers: Mapping[str, Numbers], levels: Mapping[str, Codes]) -> list[str]:
        """Name the column of each measured row that lies farthest from its neighbours' mean."""
        placed = self._place(numbers, levels)
        near = self.model.kneighbors(placed, return_distance=False)
        squares = (placed - self.points[near].mean(axis=1)) ** 2
        names = [one.number.column for one in self.numbers]
        names += [one.level.column for one in self.levels for _ in range(one.width)]
        columns = list(dict.fromkeys(names))
        sums = [squares[:, np.array(names) == one].sum(axis=1) for one in columns]
        return [columns[at] for at in np.argmax(sums, axis=0).tolist()]

    def _place(self, numbers: Mapping[str, Numbers], levels: Mapping[str, Codes]) -> Numbers:
        return np.hstack(
            [one.place(numbers[one.number.column]) for one in self.numbers]
            + [one.points[levels[one.level.column]] for one in self.levels]
        )


def fit_joint(
    numbers: Sequence[NumberTerms],
    levels: Sequence[LevelTerms],
    profiles: Mapping[str, ColumnProfile],
    codes: Mapping[str, Codes],
) -> tuple[Joint, Numbers] | None:
    """Fit on a sample; return also the rarity of its own rows, in nats, shape (rows,).

    None for a single column: its own terms say it all.
    """
    axes = [_number_axis(one, profiles[one.column], codes[one.column]) for one in numbers]
    kept = tuple(one for one in axes if one is not None)
    texts = tuple(_level_axes(one, codes[one.column]) for one in levels if len(one.values))
    if len(kept) + len(texts) < 2:
        return None
    rows = len(next(iter(codes.values())))
    random = np.random.default_rng(0)
    depth = random.random(rows)
    placed = np.hstack(
        [one.of_codes(codes[one.number.column], depth) for one in kept]
        + [one.points[codes[one.level.column]] for one in texts]
    )
    measured = np.full(rows, True)
    for axis in kept:
        if not axis.has_gaps:
            measured &= codes[axis.number.column] < axis.number.cells.size - 2
    for text in texts:
        measured &= text.is_known[codes[text.level.column]]
    is_odd = np.arange(rows) * STRETCHES // rows % 2 == 1
    factors = np.empty(rows)
    for half in (is_odd, ~is_odd):
        factors[~half] = _factors(_fit(placed[half], random)[1], placed[~half])
    factors[~measured] = 0.0
    # How the tail falls is not known beforehand, as a factor has no unit; nor by few values.
    excess = mean_excess(factors)
    scale = 1.0 / excess if excess else 1.0
    rarity = fit_rarity(scale * factors)
    return Joint(kept, texts, *_fit(placed, random), scale, rarity), rarity.of(scale * factors)


def _fit(
    placed: Numbers, random: np.random.Generator
) -> tuple[Numbers, Any]:  # As `Joint` keeps them.
    # A heavy package that only this kind needs.
    from sklearn.neighbors import LocalOutlierFactor

    points = placed[random.permutation(len(placed))[:MOST_POINTS]]
    points = points + random.normal(scale=RESOLUTION, size=points.shape)
    model = LocalOutlierFactor(min(NEIGHBOURS, len(points) - 1), novelty=True)
    with on_one_thread():
        return points, model.fit(points)


def _factors(model: Any, placed: Numbers) -> Numbers:  # noqa: ANN401 - It has no types.
    """Return the logarithms of the local outlier factors, shape (rows,)."""
    if not len(placed):
        return np.zeros(0)
    with on_one_thread():
        return np.asarray(np.log(np.maximum(-model.score_samples(placed), 1.0)))


def _has_gaps(codes: Codes, size: int) -> bool:
    """Return whether a model has as many points without a value as a row has neighbours."""
    gaps = int(np.count_nonzero(codes >= size - 2))
    return gaps * min(1.0, MOST_POINTS / len(codes)) >= NEIGHBOURS


def _number_axis(number: NumberTerms, column: ColumnProfile, codes: Codes) -> NumberAxis | None:
    known = column.numbers
    if known.is_complete:
        items, weights = known.values, known.counts.astype(np.float64)
    else:
        items, weights = column.sketch.weighted()
    finite = np.isfinite(items)
    items, weights = np.asarray(items, np.float64)[finite], np.asarray(weights, np.float64)[finite]
    if len(items) < 2:
        return None
    below = np.concatenate([[0.0], np.cumsum(weights)])
    low, middle, high = items[
        np.minimum(
            np.searchsorted(below[1:], np.array([0.25, 0.5, 0.75]) * below[-1]), len(items) - 1
        )
    ]
    spread = (float(high) - float(low)) / QUARTILES_OF_NORMAL
    if spread <= 0:
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.average(items, weights=weights)
            spread = float(np.sqrt(np.average(np.square(items - mean), weights=weights)))
    if not np.isfinite(spread) or spread <= 0:
        return None
    has_gaps = _has_gaps(codes, number.cells.size)
    return NumberAxis(number, float(middle), spread, items, below, has_gaps)


def _level_axes(level: LevelTerms, codes: Codes) -> LevelAxes:
    size = level.cells.size
    if size <= LEVEL_AXES:
        points = np.eye(size)
    else:
        points = np.random.default_rng(size).normal(size=(size, LEVEL_AXES))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[-2] = 0.0  # No value.
    is_known = np.bincount(codes, minlength=size) > 0
    is_known[-2:] &= _has_gaps(codes, size)
    return LevelAxes(level, points, is_known)
