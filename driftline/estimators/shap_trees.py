"""Exact attributions of scikit-learn's trees by shap's TreeExplainer, an optional extra."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
MODELS = frozenset(
    {
        "DecisionTreeClassifier",
        "DecisionTreeRegressor",
        "ExtraTreeClassifier",
        "ExtraTreeRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "GradientBoostingClassifier",
        "GradientBoostingRegressor",
        "HistGradientBoostingClassifier",
        "HistGradientBoostingRegressor",
        "RandomForestClassifier",
        "RandomForestRegressor",
    }
)
# Leaves times depth. shap takes about 25 ns for each in a row, so 10 s for the rows of a window.
MOST_WORK = 400_000
# Rows that a model is tried on before shap's values are believed, and how far sums may be off.
TRIED_ROWS, ROUNDING = 16, 1e-6


@dataclass(frozen=True, slots=True)
class ShapTrees:
    """Trees of one model, as shap reads them."""

    model: Any
    explainer: Any

    @property
    def units(self) -> str:
        """The units of the contributions: "probability", "margin" or "value"."""
        if not hasattr(self.model, "classes_"):
            return "value"
        return "margin" if hasattr(self.model, "decision_function") else "probability"

    def contribute(self, rows: Any, _: Any) -> tuple[Numbers, Numbers]:  # noqa: ANN401 - a frame or an array
        """Return contributions (rows, outputs, features), and the base value (outputs,)."""
        values = np.asarray(self.explainer.shap_values(rows, check_additivity=False))
        values = values[:, None] if values.ndim == 2 else values.transpose(0, 2, 1)
        answers = self._answers(rows)
        values = values[:, -answers.shape[1] :]  # Of two probabilities, that of the second class.
        return values, (answers - values.sum(axis=2)).mean(axis=0)

    def _answers(self, rows: Any) -> Numbers:  # noqa: ANN401 - a frame or an array
        model = self.model
        if self.units == "probability":
            return np.asarray(model.predict_proba(rows))[:, 0 if len(model.classes_) > 2 else 1 :]
        ask = model.predict if self.units == "value" else model.decision_function
        return np.asarray(ask(rows)).reshape(len(rows), -1)

    def is_additive(self) -> bool:
        """Whether contributions and base value sum to the predictions on random rows."""
        trees = self.explainer.model
        low = np.full(int(self.model.n_features_in_), -1.0)
        high = -low
        inner = (trees.children_left >= 0) & np.isfinite(trees.thresholds)
        np.minimum.at(low, trees.features[inner], trees.thresholds[inner] - 1)
        np.maximum.at(high, trees.features[inner], trees.thresholds[inner] + 1)
        rows = np.random.default_rng(0).uniform(low, high, size=(TRIED_ROWS, len(low)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A model that knows names misses them here.
            values, base = self.contribute(rows, None)
            answers = self._answers(rows)
        error = np.abs(values.sum(axis=2) + base - answers).max()
        return bool(error <= ROUNDING * (1.0 + np.abs(answers).max()))


def shap_trees(model: Any) -> ShapTrees | None:  # noqa: ANN401 - foreign object
    """Return shap's explainer of a model; None where shap is missing or cannot read the model.

    Also None where a window's rows would take too long.
    """
    kind = type(model)
    if kind.__name__ not in MODELS or not kind.__module__.startswith("sklearn."):
        return None
    if getattr(model, "n_outputs_", 1) != 1 or len(getattr(model, "classes_", (0, 1))) < 2:
        return None
    categorical = getattr(model, "is_categorical_", None)
    if categorical is not None and np.any(categorical):
        return None  # shap takes a split by categories for one by numbers.
    if find_spec("shap") is None:
        return None
    try:
        import shap

        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        trees = explainer.model
        if trees.num_nodes.sum() / 2 * trees.max_depth > MOST_WORK:
            return None
        found = ShapTrees(model, explainer)
        return found if found.is_additive() else None
    except Exception:  # noqa: BLE001 - whatever shap says; permutations go all the same.
        return None
