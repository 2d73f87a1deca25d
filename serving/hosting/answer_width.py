"""Finds how many values a row a model answers.

A model that does not say is asked once, with a row of zeros, where that only computes: estimators,
of a pipeline the last one alone, and our own readers of files.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

_ASKED = ("sklearn.", "xgboost.", "driftline.serving.hosting.formats.")
# Of each value an estimator of its own, which may take columns of any kind.
_ONE_EACH = {"MultiOutputRegressor", "RegressorChain"}


def answer_width(model: Any) -> int | None:  # noqa: ANN401 - foreign object
    """Return how many values a model answers a row; None where that cannot be known."""
    last = _last(model)
    if not type(last).__module__.startswith(_ASKED):
        return None
    if type(last).__name__ in _ONE_EACH:
        return len(last.estimators_)
    return _asked(last)


def _last(model: Any) -> Any:  # noqa: ANN401 - foreign objects
    """Return the estimator that answers: of a pipeline the last step, of a search the best."""
    if hasattr(model, "steps"):
        return _last(model.steps[-1][1])
    inner = getattr(model, "best_estimator_", getattr(model, "regressor_", None))
    return model if inner is None else _last(inner)


def _asked(model: Any) -> int | None:  # noqa: ANN401 - foreign object
    """Return how many values a model answers to a row of zeros; None where it refuses that."""
    try:
        rows: Any = np.zeros((1, model.n_features_in_))
        names = getattr(model, "feature_names_in_", None)
        types = getattr(model, "feature_types_", None)
        if names is not None and types is not None:  # Our readers take columns by their names.
            blanks = ["" if kind == "string" else 0.0 for kind in types]
            rows = pd.DataFrame([dict(zip(names, blanks, strict=True))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.asarray(model.predict(rows))
    except Exception:  # noqa: BLE001 - of code of others; it may take other rows than these
        return None
    return None if found.ndim > 2 or found.dtype == object else int(found[0].size)
