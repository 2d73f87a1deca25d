"""Restores pandas' categorical columns, which LightGBM and xgboost code by index."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.classes import class_text
from driftline.errors import InputError


def categories_of(model: Any) -> dict[str, Any]:  # noqa: ANN401 - foreign object
    """Return the categories of a model's categorical columns; {} where it does not tell them."""
    booster: Any = getattr(model, "booster_", None)
    if lists := getattr(booster, "pandas_categorical", None):
        return _of_lightgbm(booster, lists)
    if not hasattr(model, "get_booster"):
        return {}
    booster = model.get_booster()
    if "c" not in (booster.feature_types or ()) or not hasattr(booster, "get_categories"):
        return {}
    found = {}
    for name, values in booster.get_categories(export_to_arrow=True).to_arrow():
        if values is not None:
            found[name] = _whole(name, values)
    return found


def _whole(name: str, values: Any) -> list[Any]:  # noqa: ANN401 - an array of Arrow
    """Return categories; refuse names that xgboost 3.2 cuts, for it counts letters for bytes."""
    data = values.cast("binary") if pa.types.is_string(values.type) else ()
    if not all(one.as_py().isascii() for one in data):
        raise InputError(
            f'column "{name}" of the model: xgboost cuts names of categories that are not ASCII; '
            "fit it on other names, or on codes"
        )
    return list(values.to_pylist())


def _of_lightgbm(booster: Any, lists: Sequence[Any]) -> dict[str, Any]:  # noqa: ANN401
    """Return the category lists by column, from the categorical columns of the model's text."""
    found = re.search(
        r"^\[categorical_feature: ([\d,]+)\]$", booster.model_to_string(num_iteration=1), re.M
    )
    places = [int(one) for one in found[1].split(",")] if found else []
    names = [booster.feature_name()[place] for place in places]
    infos = booster.dump_model(num_iteration=1)["feature_infos"]  # Without those of one value.
    highest = [max(infos.get(name, {}).get("values") or [0]) for name in names]
    is_fit = len(names) == len(lists) and all(map(operator.lt, highest, map(len, lists)))
    return dict(zip(names, lists, strict=True)) if is_fit else {}


def with_categories(rows: Any, categories: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a frame
    """Return a frame whose columns have these categories; other values are missing."""
    if not categories:
        return rows
    import pandas as pd  # Heavy, and only for models that need it.

    made = {}
    for name, known in categories.items():
        index = pd.Index(known)
        places = {class_text(value): at for at, value in enumerate(index)}
        codes, values = pd.factorize(rows[name])
        found = [places.get(class_text(value), -1) for value in values]
        made[name] = pd.Categorical.from_codes(np.array([*found, -1])[codes], index)
    return rows.assign(**made)
