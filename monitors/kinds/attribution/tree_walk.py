"""Exact path-dependent Shapley values of one tree, all rows at once.

A leaf is worth its value to a row that keeps all conditions of its path. With a feature unknown,
both ways of its conditions are taken, by the share of the training rows that went each. So within
one leaf the game is a product of one factor a feature, ``z (1 - t) + o t``, where z is that share
and o whether the row keeps the feature's conditions; a feature's Shapley value is ``o - z`` times
the integral over t in [0, 1] of the other features' product, which Gauss-Legendre quadrature has
exactly. The products are made on the way down, edge by edge, and summed over leaves on the way up,
where each edge takes its feature's part: work that grows by nodes, not by leaves times depth.

References
----------
Lundberg and others, Nature Machine Intelligence 2, 2020 (path-dependent TreeSHAP, whose values
these are); Owen, Management Science 18, 1972 (the Shapley value as an integral); Yu and others,
Linear TreeShap, NeurIPS 2022 (sums over leaves that edges share).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
# A tree of more levels is asked by permutations: a walk holds some arrays for each of them.
DEEPEST = 300
# Rows that go down a tree at once, and the numbers that they may need on their way.
MOST_ROWS, HELD_NUMBERS = 1_500, 8_000_000
# What a node costs however few rows go down, in multiplications.
VISIT = 5_000
LEAF = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree, by node; its shape is (nodes,) but for values."""

    left: NDArray[np.int64]  # The child of rows that keep the condition; -1 for a leaf.
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: Numbers  # Rows with at most so much go left.
    missing_left: NDArray[np.bool_]  # Where rows without a value go.
    cover: Numbers  # Training rows, by their weights.
    values: Numbers  # Shape (nodes, outputs).

    def answers(self, rows: Numbers) -> Numbers:
        """Return the values of the leaves that rows end in, shape (rows, outputs)."""
        nodes = np.zeros(len(rows), dtype=np.int64)
        while len(inner := np.flatnonzero(self.left[nodes] != LEAF)):
            at = nodes[inner]
            found = rows[inner, self.feature[at]]
            goes = (found <= self.threshold[at]) | (np.isnan(found) & self.missing_left[at])
            nodes[inner] = np.where(goes, self.left[at], self.right[at])
        return self.values[nodes]


@dataclass(frozen=True, slots=True)
class Paths:
    """A tree whose inner nodes know the conditions on the way to them."""

    tree: Tree
    inner: NDArray[np.int64]  # The inner nodes; their places here are their numbers below.
    number: NDArray[np.int64]  # By node; -1 for leaves.
    # The share that an inner node's feature has of the training rows before the node, by its
    # earlier conditions on the way; 1 where there are none.
    share: Numbers
    levels: Sequence[NDArray[np.int64]]  # The inner nodes' numbers, from the root on.
    # The last condition on a node's feature before it, as 3 * that one's number + the side;
    # 3 * the count of inner nodes where there is none.
    previous: NDArray[np.int64]
    points: int  # Of the quadrature: half as many as features on the way to a leaf, at most.
    outputs: slice  # Those that the tree has a say in.

    @property
    def cost(self) -> int:
        """Multiplications a row, for each of some."""
        return len(self.inner) * self.points * int(self.values.shape[1])

    def work(self, rows: int) -> int:
        """Multiplications for so many rows; a node that is looked at costs as much as some."""
        return len(self.inner) * VISIT + rows * self.cost

    @property
    def values(self) -> Numbers:
        """What the leaves are worth, shape (nodes, the outputs of this tree)."""
        return self.tree.values[:, self.outputs]

    def add(self, columns: Numbers, found: Numbers) -> None:
        """Add contributions of shape (features, outputs, rows) for columns (features, rows)."""
        if self.tree.left[0] == LEAF:
            return  # A tree of one leaf says the same of every row.
        tables = _Tables.of(self)
        outputs, rows = self.values.shape[1], columns.shape[1]
        held = len(self.levels) * (self.points * (1 + outputs) + 3 + 2 * outputs)
        held += 3 * len(self.inner) // 8 + 2 * outputs * len(np.unique(self.tree.feature))
        step = max(1, min(MOST_ROWS, HELD_NUMBERS // held))
        for start in range(0, rows, step):
            part = slice(start, start + step)
            _Walk(self, tables, columns[:, part], found[:, self.outputs, part]).go()


def paths_of(tree: Tree, limit: int) -> Paths | None:
    """Lay out a tree; None where a row would cost more than the limit, or it is too deep."""
    inner = np.flatnonzero(tree.left != LEAF)
    count = len(inner)
    if count > limit or not tree.cover[inner].all():
        return None
    number = np.full(len(tree.left), LEAF)
    number[inner] = np.arange(count)
    shares, previous = np.ones(count), np.full(count, 3 * count)
    names, places = np.unique(tree.feature, return_inverse=True)
    # On the way to each node of a level, by feature: its share and its last condition.
    ways, last = np.ones((1, len(names))), np.full((1, len(names)), 3 * count)
    level, levels, most = np.zeros(1, np.int64), [], 0
    while len(at := np.flatnonzero(number[level] != LEAF)):
        level, ways, last = level[at], ways[at], last[at]
        here, own = (np.arange(len(level)), places[level]), number[level]
        shares[own], previous[own] = ways[here], last[here]
        levels.append(own)
        if len(levels) > DEEPEST:
            return None
        parts = []
        for side, children in enumerate((tree.left[level], tree.right[level])):
            ways[here] = shares[own] * tree.cover[children] / tree.cover[level]
            last[here] = 3 * own + side
            parts.append((children, ways.copy(), last.copy()))
        level, ways, last = map(np.concatenate, zip(*parts, strict=True))
        most = max(most, int(np.count_nonzero(last < 3 * count, axis=1).max()))
    own = np.flatnonzero(tree.values.any(axis=0))
    outputs = slice(own[0], own[0] + 1) if len(own) == 1 else slice(None)
    points = max(1, -(-most // 2))
    found = Paths(tree, inner, number, shares, levels, previous, points, outputs)
    return found if found.cost <= limit else None


@dataclass(frozen=True, slots=True)
class _Tables:
    """What rows are multiplied by at each node, by what becomes of the feature's conditions.

    Of a row that kept them before, one keeps on on the left (0) or on the right (1), and is lost
    on the other side; one that was lost before (2) stays so on both sides.
    """

    masses: Numbers  # Shape (points,).
    factors: Numbers  # The new factor over the old one, shape (nodes, sides, points, 3).
    gains: Numbers  # The new o - z over its factor less the old, (nodes, sides, 2, points).
    # Of children that are leaves, both sides together: their values times factors, shape (nodes,
    # points * outputs, 3), and times gains, (nodes, 2 * outputs, points).
    leaves: Numbers
    leaf_gains: Numbers

    @classmethod
    def of(cls, paths: Paths) -> _Tables:
        tree, values = paths.tree, paths.values
        inner, points, outputs = paths.inner, paths.points, values.shape[1]
        nodes = len(inner)
        places, masses = np.polynomial.legendre.leggauss(points)
        at = (places + 1.0) / 2.0
        share = paths.share[:, None]
        factor = share + (1.0 - share) * at
        before = (1.0 - share) / factor
        factors = np.empty((nodes, 2, points, 3))
        gains = np.empty((nodes, 2, 2, points))
        leaves = np.zeros((nodes, points, outputs, 3))
        leaf_gains = np.zeros((nodes, 2, outputs, points))
        for side, children in enumerate((tree.left[inner], tree.right[inner])):
            of_node = (tree.cover[children] / tree.cover[inner])[:, None]
            after = share * of_node
            kept = after + (1.0 - after) * at
            factors[:, side, :, side] = kept / factor
            factors[:, side, :, 1 - side] = after * (1.0 - at) / factor
            factors[:, side, :, 2] = of_node
            gains[:, side, side] = (1.0 - after) / kept - before
            # Where no training row went that way its factor is 0, whatever stands here.
            gains[:, side, 1 - side] = -1.0 / (1.0 - at) - before
            ends = np.flatnonzero(tree.left[children] == LEAF)
            worth = values[children[ends]][:, None, :, None]
            parts = factors[ends, side][:, :, None, :] * worth
            leaves[ends] += parts
            own = gains[ends, side][:, :, None, :]
            leaf_gains[ends] += own * parts.transpose(0, 3, 2, 1)[:, :2]
        return cls(
            masses / 2.0, factors, gains, leaves.reshape(nodes, -1, 3),
            leaf_gains.reshape(nodes, -1, points),
        )  # fmt: skip


class _Level:
    """What a walk holds for a level, and the same in the shapes that it is needed in.

    Small arrays are soon multiplied: taking a part of one, or another shape, costs half as much.
    """

    def __init__(self, points: int, outputs: int, rows: int) -> None:
        self.fates = np.empty((3, rows))
        self.fates_by_kinds = {kinds: self.fates[:kinds] for kinds in (2, 3)}
        self.kept = self.fates[:2, None]
        self.product = np.empty((points, rows))
        self.products = self.product[:, None]
        self.sums = np.empty((points, outputs, rows))
        self.sums_by_leaf = self.sums.reshape(points * outputs, rows)
        self.sums_by_point = self.sums.reshape(points, outputs * rows)
        self.moves = np.empty((2, outputs, rows))
        self.moves_by_leaf = self.moves.reshape(2 * outputs, rows)
        self.moves_by_side = self.moves.reshape(2, outputs * rows)
        self.more_moves = np.empty((2, outputs * rows))


class _Walk:
    """One way down a tree and up again, with some rows."""

    def __init__(self, paths: Paths, tables: _Tables, columns: Numbers, found: Numbers) -> None:
        tree = paths.tree
        outputs, rows = found.shape[1:]
        self._tables, self._found = tables, found
        left, right = (paths.number[one[paths.inner]] for one in (tree.left, tree.right))
        self._children = [*zip(left.tolist(), right.tolist(), strict=True)]
        self._has_leaf = ((left == LEAF) | (right == LEAF)).tolist()
        self._leaf_gains = [*tables.leaf_gains]
        self._kinds = np.where(paths.previous < 3 * len(left), 3, 2).tolist()
        self._kept = _kept(paths, columns)
        self._levels = [_Level(paths.points, outputs, rows) for _ in range(len(paths.levels) + 1)]
        self._names, places = np.unique(tree.feature[paths.inner], return_inverse=True)
        self._parts = np.zeros((len(self._names), 2, outputs, rows))
        views = [*self._parts]
        self._part_of = [views[at] for at in places.tolist()]

    def go(self) -> None:
        """Add each feature's contributions to what was given to be found."""
        first = self._levels[-1]
        first.product[:] = self._tables.masses[:, None]
        self._sum(0, first, first, 0)
        self._found[self._names] += self._parts.sum(axis=1)

    def _sum(self, node: int, above: _Level, into: _Level, at: int) -> None:
        """Sum up, below a node, its leaves' values times products, and take its feature's part."""
        tables, kinds, level = self._tables, self._kinds[node], self._levels[at]
        fates = level.fates_by_kinds[kinds]
        fates[:] = self._kept[3 * node : 3 * node + kinds]
        is_first = True
        if self._has_leaf[node]:
            tables.leaves[node, :, :kinds].dot(fates, into.sums_by_leaf)
            into.sums *= above.products
            self._leaf_gains[node].dot(above.product, level.moves_by_leaf)
            is_first = False
        for side, child in enumerate(self._children[node]):
            if child == LEAF:
                continue
            tables.factors[node, side, :, :kinds].dot(fates, level.product)
            level.product *= above.product
            part = into if is_first else level
            self._sum(child, level, part, at + 1)
            gains = tables.gains[node, side]
            if is_first:
                gains.dot(part.sums_by_point, level.moves_by_side)
                is_first = False
            else:
                gains.dot(part.sums_by_point, level.more_moves)
                level.moves_by_side += level.more_moves
                into.sums += part.sums
        level.moves *= level.kept
        self._part_of[node] += level.moves


def _kept(paths: Paths, columns: Numbers) -> NDArray[np.bool_]:
    """Return which rows keep all conditions on a node's feature, shape (3 * nodes + 1, rows).

    Three for each inner node: those that go left, those that go right, those that were lost before
    it. The last one is of all rows.
    """
    found = np.ones((3 * len(paths.inner) + 1, columns.shape[1]), np.bool_)
    missing = np.isnan(columns)
    has_missing = bool(missing.any())
    for level in paths.levels:
        nodes = paths.inner[level]
        features = paths.tree.feature[nodes]
        goes_left = columns[features] <= paths.tree.threshold[nodes, None]
        if has_missing:
            goes_left |= missing[features] & paths.tree.missing_left[nodes, None]
        before = found[paths.previous[level]]
        found[3 * level] = goes_left & before
        found[3 * level + 1] = before > goes_left
        found[3 * level + 2] = ~before
    return found
