"""Files of xgboost (``save_model``): data, read by xgboost where it is installed.

They keep neither the names of classes, which are numbers from 0 on, nor a threshold: it is 0.5.
"""

from __future__ import annotations

import json
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

from driftline.serving.hosting.formats.model_format import ModelError, library

# The objectives of boosters whose numbers are the probabilities of classes, or no such.
CLASSES = frozenset({"binary:logistic", "multi:softprob", "multi:softmax"})
MARGINS = frozenset({"binary:logitraw", "binary:hinge"})
_PICKLE = b"\x80"  # Of every protocol since 2.


def read(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read a model file of xgboost, JSON or UBJSON."""
    content = bytearray(file.read_bytes())
    return estimator_of(library("xgboost", file).Booster(model_file=content), file.name)


def read_artefact(file: Path) -> Any:  # noqa: ANN401 - foreign object
    """Read the file that SageMaker's xgboost leaves, which may be a pickled booster."""
    xgboost, content = library("xgboost", file), file.read_bytes()
    if not content.startswith(_PICKLE):
        return read(file)
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
    model = (xgboost.XGBClassifier if objective in CLASSES else kind)()
    model.load_model(bytearray(booster.save_raw("ubj")))
    return model
