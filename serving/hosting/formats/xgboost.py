"""Files of xgboost (``save_model``): data, read by xgboost where it is installed.

They keep neither the names of classes, which are numbers from 0 on, nor a threshold: it is 0.5.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from driftline.serving.hosting.formats.library import library
from driftline.serving.hosting.formats.model_format import ModelError

# The objectives of boosters whose numbers are the probabilities of classes, or no such.
CLASSES = frozenset({"binary:logistic", "multi:softprob", "multi:softmax"})
MARGINS = frozenset({"binary:logitraw", "binary:hinge"})


def read(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read a model file of xgboost."""
    xgboost = library("xgboost", file)
    booster = xgboost.Booster(model_file=str(file))
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective in MARGINS:
        raise ModelError(
            f"{file.name} answers no probabilities (objective {objective}); expected a model "
            "fitted with binary:logistic"
        )
    is_ranker = objective.startswith("rank:")
    kind = xgboost.XGBRanker if is_ranker else xgboost.XGBRegressor
    model = (xgboost.XGBClassifier if objective in CLASSES else kind)()
    model.load_model(file)
    return model
