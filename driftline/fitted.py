"""The columns that a fitted model takes, by its attributes."""

from __future__ import annotations

from typing import Any


def feature_names(model: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - foreign object
    """Return the columns that a model takes; None where by position (CatBoost numbers them)."""
    names = getattr(model, "feature_names_in_", None)
    if names is None and isinstance(numbered := getattr(model, "feature_names_", None), list):
        names = None if numbered == [*map(str, range(len(numbered)))] else numbered
    return None if names is None else tuple(map(str, names))


def feature_count(model: Any) -> int | None:  # noqa: ANN401 - foreign object
    """Return how many columns a model takes; None where unknown (0, of CatBoost's files)."""
    names = getattr(model, "feature_names_", None)
    count = len(names) if isinstance(names, list) else 0
    return int(getattr(model, "n_features_in_", None) or count or takes_texts(model)) or None


def takes_texts(model: Any) -> bool:  # noqa: ANN401 - foreign object
    """Whether a model takes texts instead of a table, by tags of the part that gets the rows."""
    if any(
        getattr(model, name, None) is not None for name in ("feature_names_in_", "n_features_in_")
    ):
        return False
    if isinstance(steps := getattr(model, "steps", None), list):
        return takes_texts(steps[0][1])
    if (inner := getattr(model, "best_estimator_", None)) is not None:
        return takes_texts(inner)
    try:
        tags = model.__sklearn_tags__().input_tags
        return bool(tags.string and not tags.two_d_array)
    except (AttributeError, TypeError):
        return False
