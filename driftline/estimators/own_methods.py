"""Exact methods of some models: trees, forests, boosted trees, linear models.

xgboost and lightgbm explain their own trees, shap those of scikit-learn where it is installed.
Steps of a pipeline before the model may change values, but not mix columns: the contributions would
not be the input's.

References
----------
Lundberg and others, Nature Machine Intelligence 2, 2020 (path-dependent TreeSHAP);
docs/why/attribution.md (which method for which model).
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

TREES, LINEAR = "tree_path_dependent", "linear"
# Steps of a pipeline that treat each column by itself and keep their order and number.
COLUMNWISE = frozenset(
    {
        "MaxAbsScaler",
        "MinMaxScaler",
        "OrdinalEncoder",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "StandardScaler",
    }
)
# Leaves times depth. shap takes about 25 ns for each in a row, so 10 s for the rows of a window.
MOST_WORK = 400_000
# Rows that a model is tried on before shap's values are believed, and how far sums may be off.
TRIED_ROWS, ROUNDING = 16, 1e-6
# Prepared rows and background rows in; values (n, classes, features) and base (classes,) out.
Contribute = Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Contributions:
    """Contribution of each feature to each prediction."""

    # Shape (N, K, M), in units of the model's answer; not finite where it had none for a row.
    values: NDArray[np.float64]
    expected: NDArray[np.float64]  # Mean answer over the background, shape (K,).


@dataclass(frozen=True, slots=True)
class OwnMethod:
    """The exact method of a model."""

    name: str  # "tree_path_dependent" or "linear".
    units: str  # "margin" (before the link function), "probability" or "value".
    contribute: Contribute


def own_method(model: Any) -> OwnMethod | None:  # noqa: ANN401 - foreign object
    """Return a model's exact method; None where only permutations apply."""
    last = model
    if is_pipeline(model):
        steps = [step for _, step in model.steps]
        if not all(map(_is_columnwise, steps[:-1])):
            return None
        last = steps[-1]
    room = type(last).__module__.partition(".")[0]
    if room == "xgboost" and hasattr(last, "get_booster"):
        if last.booster == "gblinear":
            return None
        return OwnMethod(TREES, "margin", lambda rows, _: _xgboost(last, rows))
    # A class of the user's may change rows before its trees see them.
    if room == "lightgbm":
        booster = getattr(last, "booster_", last)
        return OwnMethod(TREES, "margin", lambda rows, _: _lightgbm(booster, rows))
    if (found := shap_method(last)) is not None:
        return found
    if type(last).__module__.startswith("sklearn.linear_model") and hasattr(last, "coef_"):
        units = "margin" if hasattr(last, "classes_") else "value"
        return OwnMethod(LINEAR, units, lambda rows, behind: _linear(last, rows, behind))
    return None


def shap_method(model: Any) -> OwnMethod | None:  # noqa: ANN401 - foreign object
    """Return shap's method for scikit-learn's trees; None where it is missing or too slow."""
    if not type(model).__module__.startswith(("sklearn.tree.", "sklearn.ensemble.")):
        return None
    if getattr(model, "n_outputs_", 1) != 1 or len(getattr(model, "classes_", (0, 1))) < 2:
        return None
    if np.any(getattr(model, "is_categorical_", False)):
        return None  # shap takes a split by categories for one by numbers.
    ways = {"margin": "decision_function", "probability": "predict_proba", "value": "predict"}
    units = next(one for one, way in ways.items() if hasattr(model, way))
    try:
        import shap

        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        trees = explainer.model
        if trees.num_nodes.sum() / 2 * trees.max_depth > MOST_WORK:
            return None

        def answers(rows: Any) -> np.ndarray:  # noqa: ANN401 - a frame or an array
            found = np.asarray(getattr(model, ways[units])(rows)).reshape(len(rows), -1)
            # Of two probabilities, that of the second class.
            return found[:, 1:] if units == "probability" and found.shape[1] == 2 else found

        def contribute(rows: Any, _: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - as above
            values = np.asarray(explainer.shap_values(rows, check_additivity=False))
            values = values[:, None] if values.ndim == 2 else values.transpose(0, 2, 1)
            known = answers(rows)
            values = values[:, -known.shape[1] :]
            return values, (known - values.sum(axis=2)).mean(axis=0)

        rows = _rows_to_try(trees, int(model.n_features_in_))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A model that knows names misses them here.
            values, base = contribute(rows, None)
            expected = answers(rows)
        error = np.abs(values.sum(axis=2) + base - expected).max()
        is_additive = error <= ROUNDING * (1.0 + np.abs(expected).max())
        return OwnMethod(TREES, units, contribute) if is_additive else None
    except Exception as error:  # noqa: BLE001 - whatever shap says; permutations go all the same.
        log.info(
            "%s is not explained by its trees error=%s", type(model).__name__, type(error).__name__
        )
        return None


def _rows_to_try(trees: Any, width: int) -> np.ndarray:  # noqa: ANN401 - shap's
    low = np.full(width, -1.0)
    high = -low
    inner = (trees.children_left >= 0) & np.isfinite(trees.thresholds)
    np.minimum.at(low, trees.features[inner], trees.thresholds[inner] - 1)
    np.maximum.at(high, trees.features[inner], trees.thresholds[inner] + 1)
    return np.random.default_rng(0).uniform(low, high, size=(TRIED_ROWS, width))


def is_pipeline(model: Any) -> bool:  # noqa: ANN401 - foreign object
    """Whether a model is a pipeline of scikit-learn."""
    kind = type(model)
    return (kind.__module__, kind.__name__) == ("sklearn.pipeline", "Pipeline")


def _is_columnwise(step: Any) -> bool:  # noqa: ANN401 - foreign object
    kind = type(step)
    known = kind.__name__ in COLUMNWISE and kind.__module__.startswith("sklearn.")
    return step == "passthrough" or known


def _xgboost(model: Any, rows: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - foreign objects
    xgboost = sys.modules["xgboost"]
    booster = model.get_booster()
    try:
        rounds = (0, model.best_iteration + 1)
    except AttributeError:
        rounds = (0, 0)  # Not stopped early: all of them.
    names, types = booster.feature_names, booster.feature_types
    missing = getattr(model, "missing", None)
    has_categories = "c" in (types or ())
    is_typed = has_categories and hasattr(rows, "dtypes")
    data = xgboost.DMatrix(
        rows if is_typed else np.asarray(rows, dtype=np.float64), feature_names=names,
        feature_types=types if has_categories and not is_typed else None,
        missing=np.nan if missing is None else missing, enable_categorical=has_categories,
    )  # fmt: skip
    found = np.asarray(booster.predict(data, pred_contribs=True, iteration_range=rounds))
    return _split(found if found.ndim == 3 else found[:, None, :])


def _lightgbm(booster: Any, rows: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - foreign objects
    found = np.asarray(booster.predict(rows, pred_contrib=True))
    width = np.shape(rows)[1] + 1
    return _split(found.reshape(len(found), -1, width))


def _split(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Separate contributions from the base value, the last column, constant over rows."""
    return found[:, :, :-1].astype(np.float64), found[:, :, -1].astype(np.float64).mean(axis=0)


def _linear(model: Any, rows: Any, background: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - foreign objects
    """Weight each value less the background's mean: exact in any order of features."""
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    middle = np.asarray(background, dtype=np.float64).mean(axis=0)
    values = weights[None, :, :] * (np.asarray(rows, dtype=np.float64) - middle)[:, None, :]
    return values, weights @ middle + np.asarray(model.intercept_, dtype=np.float64)
