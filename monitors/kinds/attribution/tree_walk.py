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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
# A tree of more levels is asked by permutations: a walk holds some arrays for each of them.
DEEPEST = 300
# Rows that go down a tree at once, and the numbers that they may need on their way.
MOST_ROWS, HELD_NUMBERS = 1_500, 4_000_000
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
    # The share that a node's feature has of the training rows before the node, by its earlier
    # conditions on the way; 1 where there are none, and for leaves.
    share: Numbers
    points: int  # Of the quadrature: half as many as features on the way to a leaf, at most.
    depth: int
    outputs: slice  # Those that the tree has a say in.

    @property
    def cost(self) -> int:
        """Multiplications a row, for each of some."""
        return len(self.share) // 2 * self.points * int(self.values.shape[1])

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
        held = self.depth * (self.points * (1 + outputs) + 3 + 2 * outputs)
        step = max(1, min(MOST_ROWS, HELD_NUMBERS // held))
        for start in range(0, rows, step):
            part = slice(start, start + step)
            _Walk(self, tables, columns[:, part], found[:, self.outputs, part]).go()


def paths_of(tree: Tree, limit: int) -> Paths | None:
    """Lay out a tree; None where a row would cost more than the limit, or it is too deep."""
    inner = tree.left != LEAF
    if np.count_nonzero(inner) > limit or not tree.cover[inner].all():
        return None
    left, right, features = tree.left.tolist(), tree.right.tolist(), tree.feature.tolist()
    cover = tree.cover.tolist()
    shares = np.ones(len(left))
    most = deepest = 0
    waiting: list[tuple[int, dict[int, float], int]] = [(0, {}, 0)]
    while waiting:
        node, way, depth = waiting.pop()
        if left[node] == LEAF:
            most, deepest = max(most, len(way)), max(deepest, depth)
            continue
        feature = features[node]
        shares[node] = before = way.get(feature, 1.0)
        for child in (left[node], right[node]):
            taken = {**way, feature: before * cover[child] / cover[node]}
            waiting.append((child, taken, depth + 1))
    own = np.flatnonzero(tree.values.any(axis=0))
    outputs = slice(own[0], own[0] + 1) if len(own) == 1 else slice(None)
    found = Paths(tree, shares, max(1, -(-most // 2)), deepest, outputs)
    return found if deepest <= DEEPEST and found.cost <= limit else None


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
        nodes, points, outputs = len(tree.left), paths.points, values.shape[1]
        places, masses = np.polynomial.legendre.leggauss(points)
        at = (places + 1.0) / 2.0
        inner = np.flatnonzero(tree.left != LEAF)
        share = paths.share[inner][:, None]
        factor = share + (1.0 - share) * at
        factors = np.zeros((nodes, 2, points, 3))
        gains = np.zeros((nodes, 2, 2, points))
        leaves = np.zeros((nodes, points, outputs, 3))
        leaf_gains = np.zeros((nodes, 2, outputs, points))
        for side, children in enumerate((tree.left[inner], tree.right[inner])):
            of_node = (tree.cover[children] / tree.cover[inner])[:, None]
            after = share * of_node
            kept = after + (1.0 - after) * at
            factors[inner, side, :, side] = kept / factor
            factors[inner, side, :, 1 - side] = after * (1.0 - at) / factor
            factors[inner, side, :, 2] = of_node
            before = (1.0 - share) / factor
            gains[inner, side, side] = (1.0 - after) / kept - before
            # Where no training row went that way its factor is 0, whatever stands here.
            gains[inner, side, 1 - side] = -1.0 / (1.0 - at) - before
            is_leaf = (tree.left[children] == LEAF)[:, None]
            worth = np.where(is_leaf, values[children], 0.0)
            parts = factors[inner, side][:, :, None, :] * worth[:, None, :, None]
            leaves[inner] += parts
            own = gains[inner, side][:, :, None, :]
            leaf_gains[inner] += own * parts.transpose(0, 3, 2, 1)[:, :2]
        return cls(
            masses / 2.0, factors, gains, leaves.reshape(nodes, -1, 3),
            leaf_gains.reshape(nodes, -1, points),
        )  # fmt: skip


class _Walk:
    """One way down a tree and up again, with some rows; arrays are held for each level."""

    def __init__(self, paths: Paths, tables: _Tables, columns: Numbers, found: Numbers) -> None:
        tree = paths.tree
        outputs, rows = found.shape[1:]
        self._tables, self._columns, self._found = tables, columns, found
        self._left, self._right = tree.left.tolist(), tree.right.tolist()
        self._feature, self._threshold = tree.feature.tolist(), tree.threshold.tolist()
        self._missing_left = tree.missing_left.tolist()
        missing = np.isnan(columns)
        self._missing = missing if missing.any() else None
        # Which rows kept a feature's conditions so far; absent before the first of them.
        self._kept: dict[int, NDArray[np.bool_]] = {}
        self._products = np.empty((paths.depth, paths.points, rows))
        self._sums = np.empty((paths.depth, paths.points, outputs, rows))
        self._fates = np.empty((paths.depth, 3, rows))
        self._moves = np.empty((paths.depth, 2 * outputs, rows))

    def go(self) -> None:
        """Add each feature's contributions to what was given to be found."""
        masses = np.repeat(self._tables.masses[:, None], self._columns.shape[1], axis=1)
        self._sum(0, masses, np.empty_like(self._sums[0]), 0)

    def _sum(self, node: int, product: Numbers, into: Numbers, level: int) -> None:
        """Sum up, below a node, its leaves' values times products, and take its feature's part."""
        tables, feature = self._tables, self._feature[node]
        before = self._kept.get(feature)
        kept, fates = self._fate(node, before, level)
        kinds, points = len(fates), len(product)
        moves = self._moves[level]
        children = (self._left[node], self._right[node])
        is_first = True
        if any(self._left[child] == LEAF for child in children):
            np.matmul(tables.leaves[node, :, :kinds], fates, out=into.reshape(-1, len(fates[0])))
            into *= product[:, None]
            np.matmul(tables.leaf_gains[node], product, out=moves)
            is_first = False
        for side, child in enumerate(children):
            if self._left[child] == LEAF:
                continue
            below = self._products[level]
            np.matmul(tables.factors[node, side, :, :kinds], fates, out=below)
            below *= product
            part = into if is_first else self._sums[level]
            self._kept[feature] = kept[side]
            self._sum(child, below, part, level + 1)
            moved = (tables.gains[node, side] @ part.reshape(points, -1)).reshape(moves.shape)
            if is_first:
                moves[:] = moved
                is_first = False
            else:
                moves += moved
                into += part
        if before is None:
            self._kept.pop(feature, None)
        else:
            self._kept[feature] = before
        found = self._found[feature]
        of_kept = moves.reshape(2, *found.shape)
        of_kept *= fates[:2, None]
        found += of_kept[0]
        found += of_kept[1]

    def _fate(
        self, node: int, before: NDArray[np.bool_] | None, level: int
    ) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], Numbers]:
        """Return which rows keep the conditions on either side, and the same as 0 and 1.

        A third row of these is of rows that were lost before, where any can be.
        """
        feature = self._feature[node]
        goes_left = self._columns[feature] <= self._threshold[node]
        if self._missing is not None and self._missing_left[node]:
            goes_left |= self._missing[feature]
        fates = self._fates[level]
        if before is None:
            kept, fates = (goes_left, ~goes_left), fates[:2]
        else:
            kept = goes_left & before, before & ~goes_left
            fates[2] = ~before
        fates[0], fates[1] = kept
        return kept, fates
