"""Trees, forests and boosted trees of scikit-learn, read so that they can be explained exactly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.attribution.shapley import WINDOW_ROWS, affordable_rows
from driftline.monitors.kinds.attribution.tree_walk import LEAF, Paths, Tree, paths_of

Numbers = NDArray[np.float64]
Raw = Callable[[Any], Numbers]
# What a window costs, in multiplications: about 5 s of one core, which a large forest's rows share;
# and what it costs at most, where as many rows are explained as permutations would. Larger forests
# are asked by permutations.
WINDOW_WORK, MOST_WORK = 3_000_000_000, 6_000_000_000
# Rows that a forest is tried on before it is believed, and how far their sums may be off.
TRIED_ROWS, ROUNDING = 16, 1e-6


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
        columns = np.ascontiguousarray(numbers.T)
        found = np.zeros((self.features, self.outputs, len(numbers)))
        for tree in self.trees:
            tree.add(columns, found)
        values = found.transpose(2, 1, 0)
        return values, (self.raw(rows) - values.sum(axis=2)).mean(axis=0)

    @property
    def window_rows(self) -> int:
        """How many rows of a window are explained: all in its time, no fewer than otherwise."""
        visits = sum(tree.work(0) for tree in self.trees)
        in_time = (WINDOW_WORK - visits) // max(1, sum(tree.cost for tree in self.trees))
        return min(WINDOW_ROWS, max(in_time, affordable_rows(self.features)))

    @property
    def is_additive(self) -> bool:
        """Whether the trees and one constant give the model's answers on rows of any kind."""
        random = np.random.default_rng(0)
        low, high = np.full(self.features, -1.0), np.ones(self.features)
        for one in self.trees:
            cuts = one.tree.threshold
            inner = (one.tree.left != LEAF) & np.isfinite(cuts)
            np.minimum.at(low, one.tree.feature[inner], cuts[inner] - 1)
            np.maximum.at(high, one.tree.feature[inner], cuts[inner] + 1)
        rows = random.uniform(low, high, size=(TRIED_ROWS, self.features))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A model that knows names misses them here.
            answers = self.raw(rows)
        as_compared = rows.astype(np.float32).astype(np.float64) if self.single else rows
        rest = answers - sum(tree.tree.answers(as_compared) for tree in self.trees)
        error = np.abs(rest - rest.mean(axis=0)).max()
        return bool(error <= ROUNDING * (1.0 + np.abs(answers).max()))


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
    """Lay out all trees; None where as many rows as by permutations would cost too much."""
    trees, raw, _, single = found
    laid_out: list[Paths] = []
    rows = affordable_rows(features)
    left = MOST_WORK
    for tree in trees:
        paths = paths_of(tree, left // rows)
        if paths is None or (left := left - paths.work(rows)) < 0:
            return None
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
