"""Exact path-dependent Shapley values of scikit-learn's trees, forests and boosted trees.

A leaf is worth its value to a row that keeps all conditions of its path. With a feature unknown,
both ways of its conditions are taken, by the share of the training rows that went each. So within
one leaf the game is a product of one factor a feature, ``z (1 - t) + o t``, where z is that share
and o whether the row keeps the feature's conditions; a feature's Shapley value is ``o - z`` times
the integral over t in [0, 1] of the other features' product, which Gauss-Legendre quadrature has
exactly. All rows and all leaves of a tree are done at once.

References
----------
Lundberg and others, Nature Machine Intelligence 2, 2020 (path-dependent TreeSHAP, whose values
these are); Owen, Management Science 18, 1972 (the Shapley value as an integral).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Raw = Callable[[Any], Numbers]
# What a row may cost, over all trees: about 5 ms of one core. Forests of full depth cost more, and
# are asked by permutations.
AFFORDABLE = 1_000_000
# Multiplications of a product of matrices that take as long as one of another.
AT_ONCE = 10
# Rows of a tree that are done at once, so that what is multiplied stays in the cache.
CHUNK = 128
# Rows that a forest is tried on before it is believed, and how far their sums may be off.
TRIED_ROWS, ROUNDING = 16, 1e-6


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


@dataclass(frozen=True, slots=True)
class Paths:
    """The leaves of one tree, one place for each feature of each leaf's path."""

    tree: Tree
    edges: NDArray[np.int64]  # Nodes whose conditions are met on the way, by place.
    to_left: NDArray[np.bool_]  # The side that leads to the leaf, by edge.
    starts: NDArray[np.int64]  # The first edge of each place.
    first: NDArray[np.int64]  # The first place of each leaf that has any.
    leaf: NDArray[np.int64]  # Which of those leaves a place belongs to.
    # Of each place at each point of the quadrature, shape (points, places): its factor with the
    # feature's conditions kept and not, and its difference o - z over its factor, by the mass.
    kept: Numbers
    lost: Numbers
    gain: Numbers
    loss: Numbers
    weights: Numbers  # Shape (places, features * outputs): the leaf's values at the feature.

    @property
    def cost(self) -> int:
        """Multiplications a row."""
        return self.kept.size + self.weights.size // AT_ONCE

    def values(self, rows: Numbers) -> Numbers:
        """Return contributions of shape (rows, features * outputs)."""
        if not len(self.starts):
            return np.zeros((len(rows), self.weights.shape[1]))
        tree = self.tree
        found = rows[:, tree.feature[self.edges]]
        goes_left = found <= tree.threshold[self.edges]
        if np.isnan(rows).any():
            goes_left |= np.isnan(found) & tree.missing_left[self.edges]
        keeps = np.logical_and.reduceat(goes_left == self.to_left, self.starts, axis=1)
        found_parts = np.zeros(keeps.shape)
        for at in range(len(self.kept)):
            factors = np.where(keeps, self.kept[at], self.lost[at])
            others = np.where(keeps, self.gain[at], self.loss[at])
            others *= np.multiply.reduceat(factors, self.first, axis=1)[:, self.leaf]
            found_parts += others
        found_values: Numbers = found_parts @ self.weights
        return found_values


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose values add up to what a model answers, but for a constant."""

    trees: Sequence[Paths]
    outputs: int
    features: int
    raw: Raw  # What the model answers, shape (rows, outputs).
    single: bool  # Whether values are compared in single precision, as scikit-learn's trees do.

    def contribute(self, rows: Any, _: Any) -> tuple[Numbers, Numbers]:  # noqa: ANN401 - a frame or an array
        """Return contributions (rows, outputs, features), and the constant (outputs,)."""
        as_compared = np.asarray(rows, dtype=np.float32 if self.single else np.float64)
        numbers: Numbers = as_compared.astype(np.float64)
        found = np.zeros((len(numbers), self.features * self.outputs))
        for start in range(0, len(numbers), CHUNK):
            part = slice(start, start + CHUNK)
            for tree in self.trees:
                found[part] += tree.values(numbers[part])
        values = found.reshape(len(numbers), self.features, self.outputs).transpose(0, 2, 1)
        return values, (self.raw(rows) - values.sum(axis=2)).mean(axis=0)

    @property
    def is_additive(self) -> bool:
        """Whether contributions and one constant give the model's answers on rows of any kind."""
        random = np.random.default_rng(0)
        ends = np.array([[-1.0, 1.0]] * self.features)
        for tree in self.trees:
            inner = tree.tree.left >= 0
            for feature, cut in zip(
                tree.tree.feature[inner], tree.tree.threshold[inner], strict=True
            ):
                if np.isfinite(cut):
                    ends[feature] = min(ends[feature][0], cut - 1), max(ends[feature][1], cut + 1)
        rows = random.uniform(ends[:, 0], ends[:, 1], size=(TRIED_ROWS, self.features))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A model that knows names misses them here.
            values, base = self.contribute(rows, None)
            answers = self.raw(rows)
        error = np.abs(values.sum(axis=2) + base - answers).max()
        return bool(error <= ROUNDING * (1.0 + np.abs(answers).max()))


def paths_of(tree: Tree, features: int, limit: int = AFFORDABLE) -> Paths | None:
    """Lay out the leaves of a tree, with one place for each feature on the way to each.

    None as soon as they turn out to cost more than the limit.
    """
    most_places = limit // (1 + features * tree.values.shape[1] // AT_ONCE)
    edges: list[int] = []
    sides: list[bool] = []
    starts: list[int] = []
    first: list[int] = []
    leaf: list[int] = []
    at_feature: list[int] = []
    leaf_nodes: list[int] = []
    waiting: list[tuple[int, tuple[tuple[int, bool], ...]]] = [(0, ())]
    while waiting:
        node, way = waiting.pop()
        if tree.left[node] >= 0:
            waiting.append((int(tree.right[node]), (*way, (node, False))))
            waiting.append((int(tree.left[node]), (*way, (node, True))))
            continue
        if not way:
            continue  # A tree of one leaf says the same of every row.
        first.append(len(starts))
        by_feature: dict[int, list[tuple[int, bool]]] = {}
        for edge in way:
            by_feature.setdefault(int(tree.feature[edge[0]]), []).append(edge)
        if len(starts) + len(by_feature) > most_places:
            return None
        for feature, met in by_feature.items():
            starts.append(len(edges))
            edges += [one for one, _ in met]
            sides += [side for _, side in met]
            leaf.append(len(leaf_nodes))
            at_feature.append(feature)
        leaf_nodes.append(node)
    nodes, to_left = np.array(edges, dtype=np.int64), np.array(sides, dtype=np.bool_)
    outputs = tree.values.shape[1]
    weights = np.zeros((len(starts), features, outputs))
    shares = np.zeros(0)
    if starts:
        taken = np.where(to_left, tree.left[nodes], tree.right[nodes])
        shares = np.multiply.reduceat(tree.cover[taken] / tree.cover[nodes], starts)
        weights[np.arange(len(starts)), at_feature] = tree.values[np.array(leaf_nodes)[leaf]]
    most = int(np.bincount(leaf).max()) if leaf else 0
    points, masses = np.polynomial.legendre.leggauss(max(1, -(-most // 2)))
    at, mass = ((points + 1.0) / 2.0)[:, None], (masses / 2.0)[:, None]
    lost = shares * (1.0 - at)
    kept = lost + at
    # A factor is 0 where no training row went that way, and the row in question does not either.
    loss = np.divide(-shares * mass, lost, out=np.zeros(lost.shape), where=lost > 0)
    return Paths(
        tree, nodes, to_left, np.array(starts, dtype=np.int64), np.array(first, dtype=np.int64),
        np.array(leaf, dtype=np.int64), kept, lost, (1.0 - shares) * mass / kept, loss,
        weights.reshape(len(starts), features * outputs),
    )  # fmt: skip


# Trees, how the model is asked, in which units it answers, and `Forest.single`.
_Read = tuple[Sequence[Tree], Raw, str, bool]


def forest_of(model: Any) -> tuple[Forest, str] | None:  # noqa: ANN401 - foreign object
    """Return a model's trees and the units of its raw answers; None for any other model.

    None as well where rows would cost too much, or where the trees turn out not to be what the
    model answers by: some of what is read here scikit-learn does not promise to keep.
    """
    read = _READERS.get(type(model).__name__)
    if read is None or not type(model).__module__.startswith("sklearn."):
        return None
    try:
        found = read(model)
        forest = None if found is None else _laid_out(found, int(model.n_features_in_))
        is_additive = forest is not None and forest.is_additive
    except (AttributeError, IndexError, KeyError, ValueError):
        return None  # Another version keeps its trees elsewhere; permutations need none of it.
    return (forest, found[2]) if found and forest and is_additive else None


def _laid_out(found: _Read, features: int) -> Forest | None:
    """Lay out all trees; None where a row would cost too much."""
    trees, raw, _, single = found
    laid_out: list[Paths] = []
    left = AFFORDABLE
    for tree in trees:
        paths = paths_of(tree, features, left)
        if paths is None or paths.cost > left:
            return None
        left -= paths.cost
        laid_out.append(paths)
    return Forest(laid_out, trees[0].values.shape[1], features, raw, single)


def _tree(one: Any, weight: float, outputs: int = 1, output: int = 0) -> Tree:  # noqa: ANN401 - foreign object
    """Read a tree of sklearn.tree, its values times a weight, at one of several outputs."""
    inner = one.tree_
    values = np.zeros((inner.node_count, outputs))
    if hasattr(one, "classes_"):
        shares = inner.value[:, 0, :] / inner.value[:, 0, :].sum(axis=1, keepdims=True)
        values = shares[:, 1:] if shares.shape[1] == 2 else shares
    else:
        values[:, output] = inner.value[:, 0, 0]
    return Tree(
        left=inner.children_left.astype(np.int64),
        right=inner.children_right.astype(np.int64),
        feature=inner.feature.astype(np.int64),
        threshold=inner.threshold,
        missing_left=inner.missing_go_to_left.astype(np.bool_),
        cover=inner.weighted_n_node_samples,
        values=values * weight,
    )


def _probabilities(model: Any) -> Raw:  # noqa: ANN401 - foreign object
    several = len(model.classes_) > 2
    return lambda rows: np.asarray(model.predict_proba(rows))[:, None if several else 1 :]


def _of_trees(model: Any) -> _Read | None:  # noqa: ANN401 - foreign object
    """Read one tree, or the mean of several."""
    if model.n_outputs_ != 1 or getattr(model, "n_classes_", 2) < 2:
        return None
    inner = getattr(model, "estimators_", [model])
    trees = [_tree(one, 1.0 / len(inner)) for one in inner]
    if hasattr(model, "classes_"):
        return trees, _probabilities(model), "probability", True
    return trees, lambda rows: np.asarray(model.predict(rows))[:, None], "value", True


def _margins(model: Any) -> tuple[Raw, str]:  # noqa: ANN401 - foreign object
    """Return how a boosted model is asked before its link function, and in which units."""
    if not hasattr(model, "classes_"):
        return lambda rows: np.asarray(model.predict(rows))[:, None], "value"

    def decisions(rows: Any) -> Numbers:  # noqa: ANN401 - foreign object
        found = np.asarray(model.decision_function(rows), dtype=np.float64)
        return found[:, None] if found.ndim == 1 else found

    return decisions, "margin"


def _of_gradient_boosting(model: Any) -> _Read:  # noqa: ANN401 - foreign object
    raw, units = _margins(model)
    outputs = model.estimators_.shape[1]
    trees = [
        _tree(one, model.learning_rate, outputs, output)
        for stage in model.estimators_
        for output, one in enumerate(stage)
    ]
    return trees, raw, units, True


def _of_histograms(model: Any) -> _Read | None:  # noqa: ANN401 - foreign object
    raw, units = _margins(model)
    stages = model._predictors  # No public name leads to its trees.
    outputs = len(stages[0])
    trees = []
    for stage in stages:
        for output, one in enumerate(stage):
            nodes = one.nodes
            if nodes["is_categorical"].any():
                return None
            leaf = nodes["is_leaf"].astype(np.bool_)
            values = np.zeros((len(nodes), outputs))
            values[:, output] = nodes["value"]
            trees.append(
                Tree(
                    left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    feature=nodes["feature_idx"].astype(np.int64),
                    threshold=nodes["num_threshold"].astype(np.float64),
                    missing_left=nodes["missing_go_to_left"].astype(np.bool_),
                    cover=nodes["count"].astype(np.float64),
                    values=values,
                )
            )
    return trees, raw, units, False


_READERS: dict[str, Callable[[Any], _Read | None]] = {
    "DecisionTreeClassifier": _of_trees,
    "DecisionTreeRegressor": _of_trees,
    "ExtraTreeClassifier": _of_trees,
    "ExtraTreeRegressor": _of_trees,
    "ExtraTreesClassifier": _of_trees,
    "ExtraTreesRegressor": _of_trees,
    "RandomForestClassifier": _of_trees,
    "RandomForestRegressor": _of_trees,
    "GradientBoostingClassifier": _of_gradient_boosting,
    "GradientBoostingRegressor": _of_gradient_boosting,
    "HistGradientBoostingClassifier": _of_histograms,
    "HistGradientBoostingRegressor": _of_histograms,
}
