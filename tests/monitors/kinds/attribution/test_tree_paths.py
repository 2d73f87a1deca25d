"""Trees of scikit-learn, explained exactly: against every subset of features, and shap's values."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from driftline.monitors.kinds.attribution import tree_paths, tree_walk
from driftline.monitors.kinds.attribution.shapley import affordable_rows
from driftline.monitors.kinds.attribution.tree_paths import Forest, forest_of
from driftline.monitors.kinds.attribution.tree_walk import Tree, paths_of

FIXTURES = Path(__file__).parents[3] / "fixtures" / "monitors"
FEATURES = 5
MODELS = [
    (DecisionTreeRegressor(max_depth=6, random_state=0), "value"),
    (DecisionTreeClassifier(max_depth=6, random_state=0), "probability"),
    (RandomForestRegressor(8, max_depth=4, random_state=0), "value"),
    (RandomForestClassifier(8, max_depth=4, random_state=0), "probability"),
    (ExtraTreesRegressor(8, max_depth=4, random_state=0), "value"),
    (GradientBoostingRegressor(n_estimators=12, random_state=0), "value"),
    (GradientBoostingClassifier(n_estimators=12, random_state=0), "margin"),
    (HistGradientBoostingRegressor(max_iter=12, random_state=0), "value"),
    (HistGradientBoostingClassifier(max_iter=12, random_state=0), "margin"),
]
NAMES = [type(model).__name__ for model, _ in MODELS]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(600, FEATURES))


def fitted(model: object, rows: np.ndarray, classes: int = 2) -> object:
    score = 2 * rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.3 * rows[:, 3]
    is_class = type(model).__name__.endswith("Classifier")
    cuts = [0.0] if classes == 2 else [-1.0, 1.0]
    return model.fit(rows, np.digitize(score, cuts) if is_class else score)  # type: ignore[attr-defined]


def walked(tree: Tree, row: np.ndarray, known: set[int], node: int = 0) -> np.ndarray:
    """Return what a tree answers with some features known: Lundberg's EXPVALUE, literally."""
    if tree.left[node] < 0:
        return tree.values[node]
    feature = int(tree.feature[node])
    left, right = int(tree.left[node]), int(tree.right[node])
    if feature in known:
        value = row[feature]
        goes_left = tree.missing_left[node] if math.isnan(value) else value <= tree.threshold[node]
        return walked(tree, row, known, left if goes_left else right)
    parts = tree.cover[left] * walked(tree, row, known, left)
    return (parts + tree.cover[right] * walked(tree, row, known, right)) / tree.cover[node]


def by_subsets(forest: Forest, row: np.ndarray) -> np.ndarray:
    """Return Shapley values by their definition, shape (outputs, features)."""
    row = row.astype(np.float32).astype(np.float64) if forest.single else row
    values = {
        known: sum(walked(one.tree, row, set(known)) for one in forest.trees)
        for size in range(FEATURES + 1)
        for known in itertools.combinations(range(FEATURES), size)
    }
    found = np.zeros((forest.outputs, FEATURES))
    for feature in range(FEATURES):
        for known, value in values.items():
            if feature in known:
                continue
            with_it = tuple(sorted((*known, feature)))
            weight = 1 / (FEATURES * math.comb(FEATURES - 1, len(known)))
            found[:, feature] += weight * (values[with_it] - value)
    return found


@pytest.mark.parametrize(("model", "units"), MODELS, ids=NAMES)
def test_values_are_those_of_all_subsets(model: object, units: str, rows: np.ndarray) -> None:
    found = forest_of(fitted(model, rows))
    assert found is not None
    forest, told = found

    values, base = forest.contribute(rows[:4], None)

    assert told == units
    for at in range(4):
        np.testing.assert_allclose(values[at], by_subsets(forest, rows[at]), atol=1e-12)
    np.testing.assert_allclose(values.sum(axis=2) + base, forest.raw(rows[:4]), atol=1e-10)


@pytest.mark.parametrize(
    ("model", "units"),
    [one for one, name in zip(MODELS, NAMES, strict=True) if name.endswith("Classifier")],
    ids=[name for name in NAMES if name.endswith("Classifier")],
)
def test_each_of_three_classes_has_its_own(model: object, units: str, rows: np.ndarray) -> None:
    found = forest_of(fitted(model, rows, classes=3))
    assert found is not None
    forest, told = found

    values, base = forest.contribute(rows[:2], None)

    assert (told, values.shape) == (units, (2, 3, FEATURES))
    np.testing.assert_allclose(values[1], by_subsets(forest, rows[1]), atol=1e-12)
    np.testing.assert_allclose(values.sum(axis=2) + base, forest.raw(rows[:2]), atol=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingRegressor(max_iter=5, random_state=0),
        RandomForestRegressor(5, max_depth=4, random_state=0),
    ],
    ids=["histograms", "forest"],
)
def test_missing_values_go_where_the_trees_send_them(model: object, rows: np.ndarray) -> None:
    holes = rows.copy()
    holes[np.random.default_rng(6).random(rows.shape) < 0.2] = np.nan
    score = np.nan_to_num(holes[:, 0]) + np.isnan(holes[:, 1])
    found = forest_of(model.fit(holes, score))  # type: ignore[attr-defined]
    assert found is not None

    values, base = found[0].contribute(holes[:30], None)

    np.testing.assert_allclose(values[7], by_subsets(found[0], holes[7]), atol=1e-12)
    answers = model.predict(holes[:30])[:, None]  # type: ignore[attr-defined]
    np.testing.assert_allclose(values.sum(axis=2) + base, answers, atol=1e-10)


def test_a_way_that_no_row_of_the_training_went_counts_for_nothing() -> None:
    # The root's left child has no row: a row that goes there is worth what is there.
    tree = Tree(
        left=np.array([1, -1, 3, -1, -1]), right=np.array([2, -1, 4, -1, -1]),
        feature=np.array([0, -1, 1, -1, -1]), threshold=np.array([0.0, 0, 0, 0, 0]),
        missing_left=np.zeros(5, np.bool_), cover=np.array([10.0, 0, 10, 4, 6]),
        values=np.array([[0.0], [7.0], [0.0], [1.0], [2.0]]),
    )  # fmt: skip
    rows = np.array([[-1.0, -1.0, 0, 0, 0], [1.0, 1.0, 0, 0, 0]])
    laid_out = paths_of(tree, 1_000)
    assert laid_out is not None
    forest = Forest([laid_out], 1, FEATURES, lambda _: np.zeros((2, 1)), False)

    values, _ = forest.contribute(rows, None)

    for at in range(2):
        np.testing.assert_allclose(values[at], by_subsets(forest, rows[at]), atol=1e-12)


def test_names_of_columns_and_trees_of_one_leaf_are_no_matter(rows: np.ndarray) -> None:
    frame = pd.DataFrame(rows, columns=list("abcde"))
    constant = DecisionTreeRegressor().fit(frame, np.ones(len(frame)))

    found = forest_of(constant)

    assert found is not None
    values, base = found[0].contribute(frame[:3], None)
    assert not values.any()
    assert base.tolist() == [1.0]


def test_what_is_too_dear_or_not_as_it_looks_is_left_to_permutations(
    rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = rows[:, 0]
    assert forest_of(IsolationForest(n_estimators=3).fit(rows)) is None
    assert forest_of(RandomForestRegressor(2).fit(rows, rows[:, :2])) is None
    # Its answers are the exponential of what its trees add up to.
    positive = HistGradientBoostingRegressor(loss="poisson", max_iter=3)
    assert forest_of(positive.fit(rows, np.exp(score))) is None
    kinds = HistGradientBoostingRegressor(categorical_features=[0], max_iter=3)
    assert forest_of(kinds.fit(np.round(np.abs(rows)), score)) is None
    # A model to begin with that depends on the row.
    begun = GradientBoostingRegressor(init=DecisionTreeRegressor(max_depth=2), n_estimators=3)
    assert forest_of(begun.fit(rows, score)) is None
    alone = np.zeros(len(rows), dtype=int)
    assert forest_of(DecisionTreeClassifier().fit(rows, alone)) is None
    assert forest_of(RandomForestClassifier(2).fit(rows, alone)) is None
    whole = RandomForestRegressor(5).fit(rows, score)
    assert forest_of(whole) is not None
    monkeypatch.setattr(tree_paths, "MOST_WORK", 1_000)
    assert forest_of(whole) is None
    # Without laying out all its leaves first.
    (tree, *_) = whole.estimators_
    assert paths_of(tree_paths._tree(tree, 1.0), 100) is None


def test_a_default_forest_is_explained_exactly_whatever_rows_go_down_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(2_000, 20))
    score = 2 * rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=len(rows))
    forest = forest_of(RandomForestClassifier(20, random_state=0).fit(rows, score > 0))
    assert forest is not None

    values, base = forest[0].contribute(rows[:50], None)
    monkeypatch.setattr(tree_walk, "MOST_ROWS", 7)
    by_seven, _ = forest[0].contribute(rows[:50], None)

    np.testing.assert_allclose(values.sum(axis=2) + base, forest[0].raw(rows[:50]), atol=1e-12)
    np.testing.assert_allclose(values, by_seven, atol=1e-14)


def test_a_costly_forest_is_explained_exactly_on_fewer_rows() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(3_020, 20))
    score = 2 * rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=len(rows))
    classes = np.digitize(score, np.quantile(score, np.arange(1, 15) / 15))
    model = ExtraTreesClassifier(10, random_state=0).fit(rows[20:], classes[20:])

    found = forest_of(model)

    assert found is not None
    forest = found[0]
    assert sum(tree.cost for tree in forest.trees) > 1_500_000  # More than 5 ms a row.
    assert affordable_rows(20) <= forest.window_rows < 1_000
    values, base = forest.contribute(rows[:20], None)
    np.testing.assert_allclose(values.sum(axis=2) + base, forest.raw(rows[:20]), atol=1e-9)
    alone = [forest_of(tree) for tree in model.estimators_]
    parts = [one[0].contribute(rows[:20], None)[0] for one in alone if one is not None]
    np.testing.assert_allclose(values, np.mean(parts, axis=0), atol=1e-12)


def chain(levels: int) -> Tree:
    """Return a tree of which each inner node has one leaf and one inner node, save the last."""
    inner = np.arange(levels)
    last = np.full(levels + 1, -1)
    return Tree(
        left=np.concatenate([inner + levels, last]),
        right=np.concatenate([inner[:-1] + 1, [2 * levels], last]),
        feature=np.concatenate([inner % FEATURES, last]), threshold=np.zeros(2 * levels + 1),
        missing_left=np.zeros(2 * levels + 1, np.bool_),
        cover=np.concatenate([levels + 1.0 - inner, np.ones(levels + 1)]),
        values=np.arange(2 * levels + 1.0)[:, None],
    )  # fmt: skip


def test_a_tree_that_is_too_deep_is_left_to_permutations(rows: np.ndarray) -> None:
    laid_out = paths_of(chain(tree_walk.DEEPEST), 10_000)
    assert laid_out is not None
    found = np.zeros((FEATURES, 1, 2))

    laid_out.add(rows[:2].T, found)

    assert np.isfinite(found).all()
    assert paths_of(chain(tree_walk.DEEPEST + 1), 10_000) is None


@pytest.mark.parametrize("name", ["GradientBoostingRegressor", "RandomForestClassifier"])
def test_values_are_those_of_shap(name: str) -> None:
    # What shap 0.51's TreeExplainer says of these trees; the file names the call.
    stored = json.loads((FIXTURES / "shap_trees.json").read_text())["models"][name]
    given = np.array(stored["rows"])
    found = np.zeros((given.shape[1], 1, len(given)))
    for one in stored["trees"]:
        tree = Tree(
            left=np.array(one["left"]), right=np.array(one["right"]),
            feature=np.array(one["feature"]), threshold=np.array(one["threshold"], np.float64),
            missing_left=np.zeros(len(one["left"]), np.bool_), cover=np.array(one["cover"]),
            values=np.array(one["values"])[:, None],
        )  # fmt: skip
        paths = paths_of(tree, 1_000)
        assert paths is not None
        paths.add(given.T, found)

    np.testing.assert_allclose(found[:, 0].T, stored["shap_values"], atol=1e-12)
