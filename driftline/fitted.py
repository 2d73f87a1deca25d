"""What a fitted model says about the columns that it takes."""

from __future__ import annotations

from typing import Any

__all__ = ["feature_count", "feature_names"]


def feature_names(model: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - foreign object
    """Return the columns that a model takes, by scikit-learn's attribute or CatBoost's.

    None where it takes them by position: fitted on an array, CatBoost numbers them.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is None and isinstance(numbered := getattr(model, "feature_names_", None), list):
        names = None if numbered == [*map(str, range(len(numbered)))] else numbered
    return None if names is None else tuple(map(str, names))


def feature_count(model: Any) -> int | None:  # noqa: ANN401 - foreign object
    """Return how many columns a model takes; None where it does not say.

    0 says nothing: CatBoost's attribute has it for models that were read from files.
    """
    names = getattr(model, "feature_names_", None)
    count = len(names) if isinstance(names, list) else 0
    return int(getattr(model, "n_features_in_", None) or count) or None
