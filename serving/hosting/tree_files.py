"""Model files of xgboost and lightgbm: data, read by their libraries where these are installed.

They keep neither the names of classes, which are numbers from 0 on, nor a threshold: it is 0.5.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.model_files import ModelError

# How a file tells that its numbers are the chances of classes.
XGBOOST_CLASSES = frozenset({"binary:logistic", "multi:softprob", "multi:softmax"})
XGBOOST_MARGINS = frozenset({"binary:logitraw", "binary:hinge"})
LIGHTGBM_CLASSES = frozenset({"binary", "multiclass", "multiclassova"})


class LightgbmModel:
    """A booster of a file, asked as an estimator is; `booster_` explains it."""

    def __init__(self, booster: Any) -> None:  # noqa: ANN401 - foreign object
        self.booster_ = booster
        names = booster.feature_name()
        is_named = names != [f"Column_{place}" for place in range(len(names))]
        self.feature_names_in_ = np.array(names, dtype=object) if is_named else None
        self.n_features_in_ = len(names)
        objective = str(booster.dump_model(num_iteration=1).get("objective", "")).partition(" ")[0]
        many = max(booster.num_model_per_iteration(), 2)
        self.classes_ = np.arange(many) if objective in LIGHTGBM_CLASSES else None

    def predict(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a frame or an array
        """Predict the most likely class of each row, or its number."""
        if self.classes_ is None:
            return np.asarray(self.booster_.predict(rows))
        found: np.ndarray = self.predict_proba(rows).argmax(axis=1)
        return found

    def predict_proba(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a frame or an array
        """Return the chance of each class, shape (rows, classes)."""
        found = np.asarray(self.booster_.predict(rows))
        return found if found.ndim == 2 else np.column_stack([1.0 - found, found])


def load_trees(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read a model file of xgboost (.json, .ubj) or lightgbm (.txt)."""
    if file.suffix.lower() == ".txt":
        return LightgbmModel(_library("lightgbm", file).Booster(model_file=str(file)))
    xgboost = _library("xgboost", file)
    booster = xgboost.Booster(model_file=str(file))
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective in XGBOOST_MARGINS:
        raise ModelError(
            f"{file.name} answers no probabilities (objective {objective}); expected a model "
            "fitted with binary:logistic"
        )
    is_ranker = objective.startswith("rank:")
    kind = xgboost.XGBRanker if is_ranker else xgboost.XGBRegressor
    model = (xgboost.XGBClassifier if objective in XGBOOST_CLASSES else kind)()
    model.load_model(file)
    return model


def _library(name: str, file: Path) -> Any:  # noqa: ANN401 - a module
    try:
        # Here, not above: whoever serves other models needs none of these libraries.
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"{file.name} is a model of {name}, which is not installed where models run; "
            f"install it there (pip install {name})"
        ) from error
