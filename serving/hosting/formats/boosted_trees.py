"""Files of xgboost and lightgbm, which are data: classes are numbers, the threshold is 0.5."""

from __future__ import annotations

import json
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.formats.model_format import ModelError, library

# The objectives of boosters whose numbers are the probabilities of classes, or no such.
XGBOOST_CLASSES = frozenset({"binary:logistic", "multi:softprob", "multi:softmax"})
LIGHTGBM_CLASSES = frozenset({"binary", "multiclass", "multiclassova"})
MARGINS = frozenset({"binary:logitraw", "binary:hinge"})
_PICKLE = b"\x80"  # Of every protocol since 2.


def read_xgboost(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read a model file of xgboost, JSON or UBJSON."""
    content = bytearray(file.read_bytes())
    return estimator_of(library("xgboost", file).Booster(model_file=content), file.name)


def read_xgboost_artefact(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read the file that SageMaker's xgboost leaves, which may be a pickled booster."""
    xgboost, content = library("xgboost", file), file.read_bytes()
    if not content.startswith(_PICKLE):
        return read_xgboost(file)
    found = pickle.loads(content)  # noqa: S301 - require_trusted has allowed it
    booster = found if isinstance(found, xgboost.Booster) else found.get_booster()
    return estimator_of(booster, file.name)


def estimator_of(booster: Any, name: str) -> Any:  # noqa: ANN401 - foreign objects
    """Return the estimator of a booster's objective; ``name``: of its file, in a refusal."""
    xgboost = import_module("xgboost")
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective in MARGINS:
        raise ModelError(
            f"{name} answers no probabilities (objective {objective}); expected a model "
            "fitted with binary:logistic"
        )
    is_ranker = objective.startswith("rank:")
    kind = xgboost.XGBRanker if is_ranker else xgboost.XGBRegressor
    model = (xgboost.XGBClassifier if objective in XGBOOST_CLASSES else kind)()
    model.load_model(bytearray(booster.save_raw("ubj")))
    return model


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


def read_lightgbm(file: Path) -> LightgbmModel:
    """Read a model file of lightgbm."""
    return LightgbmModel(library("lightgbm", file).Booster(model_file=str(file)))
