"""The columns that a fitted model takes, by its attributes."""

from __future__ import annotations

from collections.abc import Iterator
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
    try:
        tags = model.__sklearn_tags__().input_tags
        if tags.string and not tags.two_d_array:
            return True
    except (AttributeError, TypeError):
        pass
    # The first part is given the rows as they are sent: of a pipeline, a union, a search, a vote.
    first = next(_parts([*getattr(model, "__dict__", {}).values()]), None)
    return first is not None and takes_texts(first)


def _parts(value: Any) -> Iterator[Any]:  # noqa: ANN401 - foreign objects
    if isinstance(value, list | tuple):
        for one in value:
            yield from _parts(one)
    # What a function makes of texts are texts: fitted on a table, it has its columns' count.
    elif hasattr(value, "fit") and (
        type(value).__name__ != "FunctionTransformer" or hasattr(value, "n_features_in_")
    ):
        yield value
