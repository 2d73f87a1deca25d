"""The columns that a fitted model takes, by its attributes."""

from __future__ import annotations

from typing import Any

# Where estimators of scikit-learn keep the one that is given their rows first.
_INNER = ("best_estimator_", "estimator_", "regressor_", "estimator")
_LISTS = ("steps", "transformer_list", "estimators_", "estimators")


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

    0 means unknown: CatBoost's attribute has it for models that were read from files.
    """
    names = getattr(model, "feature_names_", None)
    count = len(names) if isinstance(names, list) else 0
    return int(getattr(model, "n_features_in_", None) or count or takes_texts(model)) or None


def takes_texts(model: Any) -> bool:  # noqa: ANN401 - foreign object
    """Whether a model takes a sequence of texts, one a row, instead of a table.

    Decided by scikit-learn's tags of the part that gets the rows first, such as a vectorizer.
    """
    if any(
        getattr(model, name, None) is not None for name in ("feature_names_in_", "n_features_in_")
    ):
        return False
    if (inner := _first(model)) is not None:
        return takes_texts(inner)
    try:
        tags = model.__sklearn_tags__().input_tags
        return bool(tags.string and not tags.two_d_array)
    except (AttributeError, TypeError):
        return False


def _first(model: Any) -> Any:  # noqa: ANN401 - foreign objects
    """Return the part of a model that is given its rows first; None where it has none."""
    for name in _INNER:
        if hasattr(found := getattr(model, name, None), "fit"):
            return found
    for name in _LISTS:
        found = getattr(model, name, None)
        if not isinstance(found, list):
            continue
        parts = [part[1] if isinstance(part, tuple) else part for part in found]
        # What a function makes of texts are texts: fitted on a table, it has its columns' count.
        parts = [part for part in parts if hasattr(part, "fit") and not _is_function(part)]
        if parts:
            return parts[0]
    return None


def _is_function(part: Any) -> bool:  # noqa: ANN401 - foreign object
    is_counted = getattr(part, "n_features_in_", None) is not None
    return type(part).__name__ == "FunctionTransformer" and not is_counted
