"""Files of lightgbm (``booster_.save_model``): data, read by lightgbm where it is installed.

They keep neither the names of classes, which are numbers from 0 on, nor a threshold: it is 0.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.formats.model_format import library

# The objectives of boosters whose numbers are the probabilities of classes.
CLASSES = frozenset({"binary", "multiclass", "multiclassova"})


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
        self.classes_ = np.arange(many) if objective in CLASSES else None

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


def read(file: Path) -> LightgbmModel:
    """Read a model file of lightgbm."""
    return LightgbmModel(library("lightgbm", file).Booster(model_file=str(file)))
