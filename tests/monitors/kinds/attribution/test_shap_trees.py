"""Trees of scikit-learn: exact where shap is installed, by the definition; else by permutations."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import numpy as np
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

from driftline.estimators import own_methods as module
from driftline.estimators.own_methods import shap_method

FEATURES = 5
ROWS = np.random.default_rng(5).normal(size=(600, FEATURES))
SCORE = 2 * ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2] + 0.3 * ROWS[:, 3]


def walked(tree: Any, row: np.ndarray, known: set[int], node: int = 0) -> Any:
    """Return what a tree answers with some features known: Lundberg's EXPVALUE, literally."""
    left, right = int(tree.children_left[node]), int(tree.children_right[node])
    if left < 0:
        value = tree.value[node, 0]
        return value / value.sum() if len(value) > 1 else value
    if int(tree.feature[node]) in known:
        value = np.float32(row[tree.feature[node]])
        goes_left = value <= tree.threshold[node]
        if math.isnan(value):
            goes_left = bool(tree.missing_go_to_left[node])
        return walked(tree, row, known, left if goes_left else right)
    cover = tree.weighted_n_node_samples
    parts = cover[left] * walked(tree, row, known, left)
    return (parts + cover[right] * walked(tree, row, known, right)) / cover[node]


def by_subsets(trees: list[Any], row: np.ndarray) -> np.ndarray:
    """Return the mean tree's Shapley values by their definition, shape (outputs, features)."""
    values = {
        known: sum(walked(one, row, set(known)) for one in trees) / len(trees)
        for size in range(FEATURES + 1)
        for known in itertools.combinations(range(FEATURES), size)
    }
    found = np.zeros((len(values[()]), FEATURES))
    for feature in range(FEATURES):
        for known in (one for one in values if feature not in one):
            weight = 1 / (FEATURES * math.comb(FEATURES - 1, len(known)))
            with_it = tuple(sorted((*known, feature)))
            found[:, feature] += weight * (values[with_it] - values[known])
    return found


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("holes", [False, True])
def test_values_of_trees_are_those_of_all_subsets(classes: int, holes: bool) -> None:
    rows = ROWS.copy()
    if holes:
        rows[np.random.default_rng(6).random(rows.shape) < 0.2] = np.nan
    target = np.digitize(SCORE, [0.0] if classes == 2 else [-1.0, 1.0]) if classes else SCORE
    kind: Any = RandomForestClassifier if classes else RandomForestRegressor
    model = kind(4, max_depth=4, random_state=0).fit(rows, target)
    found = shap_method(model)
    assert found is not None

    values, base = found.contribute(rows[:4], None)

    trees = [one.tree_ for one in model.estimators_]
    for at in range(4):
        expected = by_subsets(trees, rows[at])[1 if classes == 2 else 0 :]
        np.testing.assert_allclose(values[at], expected, atol=1e-12)
    answers = model.predict_proba(rows[:4]) if classes else model.predict(rows[:4])[:, None]
    answers = answers[:, 1:] if classes == 2 else answers
    np.testing.assert_allclose(values.sum(axis=2) + base, answers, atol=1e-10)


@pytest.mark.parametrize(
    ("model", "units", "outputs"),
    [
        (DecisionTreeRegressor(max_depth=6), "value", 1),
        (DecisionTreeClassifier(max_depth=6), "probability", 3),
        (ExtraTreesRegressor(8, max_depth=4), "value", 1),
        (GradientBoostingRegressor(n_estimators=12), "value", 1),
        (HistGradientBoostingRegressor(max_iter=12), "value", 1),
        (HistGradientBoostingClassifier(max_iter=12), "margin", 3),
    ],
)
def test_contributions_add_up_in_their_units(model: Any, units: str, outputs: int) -> None:
    is_class = type(model).__name__.endswith("Classifier")
    model.fit(ROWS, np.digitize(SCORE, [-1.0, 1.0]) if is_class else SCORE)
    found = shap_method(model)
    assert found is not None

    values, base = found.contribute(ROWS[:50], None)

    assert (found.units, values.shape) == (units, (50, outputs, FEATURES))
    ask = {"value": "predict", "margin": "decision_function", "probability": "predict_proba"}
    answers = getattr(model, ask[units])(ROWS[:50]).reshape(50, -1)
    np.testing.assert_allclose(values.sum(axis=2) + base, answers, atol=1e-10)


def test_what_shap_does_not_read_or_takes_too_long_for_is_left_to_permutations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone, kinds = np.zeros(len(ROWS), int), np.digitize(SCORE, [-1.0, 1.0])
    positive = HistGradientBoostingRegressor(loss="poisson", max_iter=3)
    levels = HistGradientBoostingRegressor(categorical_features=[0], max_iter=3)
    begun = GradientBoostingRegressor(init=DecisionTreeRegressor(max_depth=2), n_estimators=3)
    for model in (
        IsolationForest(n_estimators=3).fit(ROWS),
        RandomForestRegressor(2).fit(ROWS, ROWS[:, :2]),
        positive.fit(ROWS, np.exp(SCORE)),  # Answers are the exponential of what its trees sum to.
        levels.fit(np.round(np.abs(ROWS)), SCORE),
        begun.fit(ROWS, SCORE),
        DecisionTreeClassifier().fit(ROWS, alone),
        GradientBoostingClassifier(n_estimators=3).fit(ROWS, kinds),
    ):
        assert shap_method(model) is None
    large = ExtraTreesClassifier(20).fit(ROWS, kinds)
    assert shap_method(large) is not None
    monkeypatch.setattr(module, "MOST_WORK", 10_000)
    assert shap_method(large) is None


def test_without_shap_trees_are_left_to_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)

    assert shap_method(DecisionTreeRegressor().fit(ROWS, SCORE)) is None
