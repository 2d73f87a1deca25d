"""How far a row lies from the rows of the reference: holes, gaps between clusters, unseen pairs.

Numbers are laid on one scale, texts are points of equal distance, and the distance to the nearest
of some rows of the reference's sample is measured, as a logarithm. The sample knows cells only: the
value within a cell is drawn from the column's sketch, at one depth for each row. What a row lacks,
NaN here, is no part of its distances.

References
----------
Ramaswamy, Rastogi, Shim, SIGMOD 2000 (distance to the nearest rows as a measure of outliers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.monitors.kinds.outliers.holes import TAIL_SHARE, above_hole, merged_tails
from driftline.monitors.kinds.outliers.levels import LevelTerms
from driftline.monitors.kinds.outliers.rarity import FEWEST_EXCESSES, SHARES, Codes
from driftline.monitors.kinds.outliers.terms import NumberTerms

Numbers = NDArray[np.float64]
# The nearest row of each part counts, and their mean: one strange row is no company.
PARTS = 3
# Points times dimensions: so much bounds the cost of a row (docs/measured.md).
WORK = 1 << 16
MOST_POINTS, FEWEST_POINTS = 2048, 128
# Differences below a tenth of a standard deviation are none: numbers may be rounded anew.
RESOLUTION = 0.1
# A cell spans a hole where two numbers that follow each other lie so far apart on the scale.
LEAST_GAP = 0.3
# Of so many columns with a hole each two are looked at together.
MOST_SIDES = 8
# Levels have an axis each up to so many; more have random directions of as many axes.
LEVEL_AXES = 16
CHUNK_ROWS = 4096
# No column lies farther out on its scale.
LARGEST = np.finfo(np.float64).max
# A row of the sample is measured from those of other stretches of the data.
STRETCHES = 50
QUARTILES_OF_NORMAL = 1.349
# A row is far from all others when it lies so many times further above the median of the logarithms
# than their first tenth below: of clean references at most one in a hundred (docs/measured.md).
LONELY = 3.0
# Of fewer columns, and of values that many rows share, the distances of clean rows are no one law.
LEAST_LONELY_COLUMNS, MOST_EQUAL = 5, 0.01


@dataclass(frozen=True, eq=False)
class NumberAxis:
    """A column of numbers on a scale where its middle half is that of a normal law.

    Far from it the scale is logarithmic, so that no column hides the others.
    """

    number: NumberTerms
    middle: float
    spread: float
    items: Numbers  # Values of the reference, ascending, shape (items,).
    below: Numbers  # Weight of the items before each, and of all; shape (items + 1,).

    @property
    def width(self) -> int:
        """Axes that the column has."""
        return 1

    def place(self, values: Numbers) -> Numbers:
        """Lay values on the scale, shape (rows, 1); NaN for what is no number.

        What is beyond the range lies at its end: how odd that is the tails tell.
        """
        inside = np.clip(values, self.items[0], self.items[-1])
        with np.errstate(over="ignore"):
            far = (inside - self.middle) / self.spread
        return np.asarray(np.arcsinh(np.clip(far, -LARGEST, LARGEST))[:, None])

    def split(
        self, codes: Codes, others: Sequence[NDArray[np.int64]], depth: Numbers
    ) -> tuple[NDArray[np.int64], Numbers]:
        """Part the cells that span a hole at its middle; return the rows' cells, and the edges."""
        edges = np.asarray(self.number.cells.edges, np.float64)
        found, last = codes.astype(np.int64), len(edges)
        cells = np.searchsorted(edges, self.items, side="right")
        gaps = np.diff(self.place(self.items)[:, 0])
        gaps[cells[1:] != cells[:-1]] = 0.0  # There is an edge already.
        more = []
        for cell in np.unique(cells[1:][gaps >= LEAST_GAP]).tolist():
            at = int(np.argmax(np.where(cells[1:] == cell, gaps, 0.0)))
            first, end = np.searchsorted(cells, [cell, cell + 1])
            weight = self.below[end] - self.below[first]
            below = float((self.below[at + 1] - self.below[first]) / weight)
            is_above = above_hole(codes, cell, last, below, others, depth)
            if is_above is not None:
                more.append(self.items[at] / 2 + self.items[at + 1] / 2)
                found[codes > cell] += 1
                found[np.flatnonzero(codes == cell)[is_above]] += 1
        return found, np.sort(np.append(edges, more))

    def sides(self, codes: Codes | NDArray[np.int64], edges: Numbers) -> NDArray[np.int64] | None:
        """Return which rows lie below the column's widest hole, in its cell, and above: 0, 1, 2.

        3 for no number; None for a column without a hole that has some rows on both sides.
        """
        rank = self.below[1:-1] / self.below[-1]
        gaps = np.diff(self.place(self.items)[:, 0])
        gaps[(rank < TAIL_SHARE) | (rank > 1 - TAIL_SHARE)] = 0.0
        at = int(np.argmax(gaps))
        if gaps[at] < LEAST_GAP:
            return None
        low, high = np.searchsorted(edges, self.items[at : at + 2], side="right")
        found = (codes > low).astype(np.int64) + (codes >= high)
        return np.where(codes > len(edges), 3, found)

    def of_codes(self, codes: NDArray[np.int64], edges: Numbers, depth: Numbers) -> Numbers:
        """Lay rows of which only the cell is known on the scale, shape (rows, 1)."""
        inside = codes <= len(edges)
        cell = np.where(inside, codes, 0)
        bounds = np.concatenate([[-np.inf], edges, [np.inf]])
        first = np.searchsorted(self.items, bounds[:-1], side="left")[cell]
        last = np.searchsorted(self.items, bounds[1:], side="left")[cell]
        share = _spread_out(cell, depth)
        wanted = self.below[first] + share * (self.below[last] - self.below[first])
        at = np.searchsorted(self.below, wanted, side="right") - 1
        at = np.clip(at, first, np.maximum(last - 1, first))
        found = self.items[np.minimum(at, len(self.items) - 1)]
        return self.place(np.where(inside, found, np.nan))


def _spread_out(cell: NDArray[np.int64], depth: Numbers) -> Numbers:
    """Spread the rows of each cell evenly over it, in the order of their depths; shape (rows,).

    Drawn by themselves, two would often be one value, and nearer to each other than a new row is.
    """
    order = np.lexsort((depth, cell))
    counts = np.bincount(cell)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    found = np.empty(len(cell))
    found[order] = (np.arange(len(cell)) - first + 0.5) / np.repeat(counts, counts)
    return found


@dataclass(frozen=True, eq=False)
class LevelAxes:
    """A column of levels: all equally far from each other."""

    level: LevelTerms
    points: Numbers  # By cell, shape (cells, axes); NaN for the empty one.

    @property
    def column(self) -> str:
        """The user's name."""
        return self.level.column

    @property
    def width(self) -> int:
        """Axes that the column has."""
        return len(self.points[0])


@dataclass(frozen=True, eq=False)
class Density:
    """Some rows of a reference, to be far from; shapes: P points, A axes."""

    numbers: tuple[NumberAxis, ...]
    levels: tuple[LevelAxes, ...]
    points: Numbers  # Shape (P, A).
    scale: float = 1.0  # By which the logarithm is stretched: one is a nat of the sample's tail.
    lonely_share: float = 0.0  # Of the sample's rows, those far from all others; 0 if not known.

    def of_rows(
        self,
        numbers: Mapping[str, Numbers],
        levels: Mapping[str, NDArray[np.int64]],
        rows: int,
    ) -> Numbers:
        """Return how far rows lie off, shape (rows,); a column that they lack makes none far."""
        parts: list[Numbers] = []
        used: list[int] = []
        at = 0
        axes: tuple[NumberAxis | LevelAxes, ...] = (*self.numbers, *self.levels)
        for axis in axes:
            span = range(at, at + axis.width)
            at += axis.width
            if isinstance(axis, NumberAxis):
                values = numbers.get(axis.number.column)
                placed = None if values is None else axis.place(values)
            else:
                codes = levels.get(axis.level.column)
                placed = None if codes is None else axis.points[codes]
            if placed is not None:
                parts.append(placed)
                used.extend(span)
        if not parts:
            return np.zeros(rows)
        share = _axis_shares(axes).take(used)
        return self.scale * _distances(np.hstack(parts), self.points.take(used, axis=1), share)


def _axis_shares(axes: Sequence[NumberAxis | LevelAxes]) -> Numbers:
    """Return for each axis its share of its column, shape (A,)."""
    return np.concatenate([np.full(axis.width, 1.0 / axis.width) for axis in axes])


def _distances(
    rows: Numbers,
    points: Numbers,
    share: Numbers,
    kin: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Numbers:
    """Return the mean logarithm of the distances to the nearest point of each part, shape (rows,).

    ``kin``: which family a row, and a point, is of: its own is no company.
    """
    found = np.zeros(len(rows))
    for part in range(PARTS):
        nearest = _Nearest(points[part::PARTS], share)
        for start in range(0, len(rows), CHUNK_ROWS):
            own = None
            if kin is not None:
                own = kin[0][start : start + CHUNK_ROWS, None] == kin[1][part::PARTS]
            squares = nearest.squares(rows[start : start + CHUNK_ROWS], own)
            found[start : start + CHUNK_ROWS] += np.log(squares + RESOLUTION**2) / (2 * PARTS)
    return found


class _Nearest:
    """Points of which each row's nearest is looked for; shapes: P points, A axes."""

    def __init__(self, points: Numbers, share: Numbers) -> None:
        self.known = ~np.isnan(points)
        self.points = np.where(self.known, points, 0.0)
        self.share = share
        near = self.points.astype(np.float32)
        self._squares = np.square(near).T
        # Of |x - p|^2 = |x|^2 - 2xp + |p|^2 the first is the same for all points.
        self._lengths = self._squares.sum(axis=0)
        self._transposed = np.ascontiguousarray(-2.0 * near.T)
        self._known = self.known.T.astype(np.float32)
        self._is_whole = bool(self.known.all())

    def squares(self, rows: Numbers, own: NDArray[np.bool_] | None) -> Numbers:
        """Return the squared distances to the nearest points, `own` ones apart, shape (rows,)."""
        known = ~np.isnan(rows)
        values = np.where(known, rows, 0.0)
        far = values.astype(np.float32) @ self._transposed
        stretch = None
        if self._is_whole and known.all():
            far += self._lengths
        else:
            here = known.astype(np.float32)
            far += here @ self._squares
            far += np.square(values).astype(np.float32) @ self._known
            # What a point lacks is taken to differ as the other columns do.
            shared = (here * self.share) @ self._known
            stretch = np.divide(
                (known @ self.share)[:, None], shared, out=np.ones_like(shared), where=shared > 0
            )
            far = np.where(shared > 0, far * stretch, np.inf)
        if own is not None:
            far[own] = np.inf
        at = far.argmin(axis=1)
        # Anew and exactly, as products are rounded otherwise in other batches.
        gaps = np.where(known & self.known[at], values - self.points[at], 0.0)
        found: Numbers = np.square(gaps).sum(axis=1)
        return found if stretch is None else found * stretch[np.arange(len(rows)), at]


def fit_density(
    numbers: Sequence[NumberTerms],
    levels: Sequence[LevelTerms],
    profiles: Mapping[str, ColumnProfile],
    codes: Mapping[str, Codes],
    depth: Numbers,
) -> tuple[Density, Numbers] | None:
    """Learn from a sample, and measure its own rows, each without itself; shape (rows,).

    None where there is but one column, of which the other parts know all, or none with axes.
    """
    axes = [_number_axis(one, profiles[one.column]) for one in numbers]
    kept = tuple(one for one in axes if one is not None)
    texts = tuple(_level_axes(one) for one in levels if len(one.values))
    if len(kept) + len(texts) < 2:
        return None
    split = _split(kept, texts, codes, depth)
    placed = np.hstack(
        [one.of_codes(*cells, depth) for one, cells in zip(kept, split, strict=True)]
        + [one.points[codes[one.level.column]] for one in texts]
    )
    rows, width = placed.shape
    count = min(rows, max(min(MOST_POINTS, WORK // width), FEWEST_POINTS))
    chosen = np.random.default_rng(0).permutation(rows)[:count]
    # Rows that follow each other may be of one session: what is new has none of its own there.
    stretch = np.arange(rows) * STRETCHES // rows
    share = _axis_shares((*kept, *texts))
    found = _distances(placed, placed[chosen], share, (stretch, stretch[chosen]))
    # How the tail falls is not known beforehand, as the distance has no unit; nor by few values.
    knot = np.quantile(found, 1 - SHARES[-1])
    excesses = found[found > knot] - knot
    scale = 1.0 / float(excesses.mean()) if len(excesses) >= FEWEST_EXCESSES else 1.0
    is_one_law = not texts and width >= LEAST_LONELY_COLUMNS and _is_continuous(placed)
    lonely = _lonely_share(found) if is_one_law else 0.0
    return Density(kept, texts, placed[chosen], scale, lonely), scale * found


def _split(
    numbers: Sequence[NumberAxis],
    levels: Sequence[LevelAxes],
    codes: Mapping[str, Codes],
    depth: Numbers,
) -> list[tuple[NDArray[np.int64], Numbers]]:
    """Part all columns' cells that span a hole, one after the other: each tells of the next."""
    known = {one.number.column: merged_tails(codes[one.number.column]) for one in numbers}
    known |= {one.column: codes[one.column].astype(np.int64) for one in levels}
    sides: dict[str, NDArray[np.int64]] = {}
    for one in numbers:
        side = one.sides(codes[one.number.column], np.asarray(one.number.cells.edges, np.float64))
        if side is not None and len(sides) < MOST_SIDES:
            sides[one.number.column] = side
    found = []
    for one in numbers:
        name = one.number.column
        others = [cells for other, cells in known.items() if other != name]
        # Two columns may tell what neither does: the sides of their holes.
        apart = [side for other, side in sides.items() if other != name]
        others += [first * 4 + second for first, second in combinations(apart, 2)]
        found.append(one.split(codes[name], others, depth))
        known[name] = merged_tails(found[-1][0])
        if name in sides and (side := one.sides(*found[-1])) is not None:
            sides[name] = side
    return found


def _lonely_share(found: Numbers) -> float:
    low, middle = np.quantile(found, [0.1, 0.5])
    return float(np.mean(found > middle + LONELY * (middle - low)))


def _is_continuous(placed: Numbers) -> bool:
    """Whether no value of a column, shape (rows, columns), is that of many rows."""
    most = max(1.0, MOST_EQUAL * len(placed))
    return all(np.unique(one, return_counts=True)[1].max() <= most for one in placed.T)


def _number_axis(number: NumberTerms, column: ColumnProfile) -> NumberAxis | None:
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
    return NumberAxis(number, float(middle), spread, items, below)


def _level_axes(level: LevelTerms) -> LevelAxes:
    size = level.cells.size
    if size <= LEVEL_AXES:
        points = np.eye(size)
    else:
        points = np.random.default_rng(size).normal(size=(size, LEVEL_AXES))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[-2] = np.nan  # No value.
    return LevelAxes(level, points)
