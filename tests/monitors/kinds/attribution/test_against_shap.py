"""Values of models that explain themselves are those that shap computes."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
import shap
from sklearn.linear_model import LinearRegression, LogisticRegression

from driftline.estimators.own_methods import own_method

ROWS = np.random.default_rng(5).normal(size=(600, 5))
SCORE = 2 * ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2] + 0.3 * ROWS[:, 3]


def test_trees_agree_with_shap() -> None:
    model = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1).fit(ROWS, SCORE)
    found = own_method(model)
    assert found is not None

    values, _ = found.contribute(ROWS[:50], None)

    # shap asks LightGBM for values, but computes interactions by its own code; they add up to them.
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    theirs = explainer.shap_interaction_values(ROWS[:50]).sum(axis=2)
    np.testing.assert_allclose(values[:, 0], theirs, atol=1e-12)


@pytest.mark.parametrize("model", [LinearRegression(), LogisticRegression()])
def test_linear_models_agree_with_shap(model: Any) -> None:
    model.fit(ROWS, SCORE > 0 if isinstance(model, LogisticRegression) else SCORE)
    found = own_method(model)
    assert found is not None

    values, base = found.contribute(ROWS[:50], ROWS[100:200])

    theirs = shap.LinearExplainer(model, shap.maskers.Independent(ROWS[100:200]))
    np.testing.assert_allclose(values[:, 0], theirs.shap_values(ROWS[:50]), atol=1e-12)
    np.testing.assert_allclose(base, np.atleast_1d(theirs.expected_value), atol=1e-12)
