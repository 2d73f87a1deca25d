"""Restores pandas' categorical columns for models that were fitted on them.

Everywhere else rows are texts and numbers. LightGBM and xgboost keep the categories of their fit
and code values by index.
"""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from driftline.classes import class_text
from driftline.errors import InputError


def categories_of(model: Any) -> dict[str, Any]:  # noqa: ANN401 - foreign object
    """Return the categories of a model's categorical columns; {} where it does not tell them.

    They are unknown, too, where a column was coded by hand or has ordered categories, which the
    model takes as numbers.
    """
    booster: Any = getattr(model, "booster_", None)
    if lists := getattr(booster, "pandas_categorical", None):
        return _of_lightgbm(booster, lists)
    if not hasattr(model, "get_booster"):
        return {}
    booster = model.get_booster()
    if "c" not in (booster.feature_types or ()) or not hasattr(booster, "get_categories"):
        return {}
    found = _of_xgboost(booster)
    for name, values in found.items():
        _refuse_cut(name, values)
    return found


def _of_xgboost(fitted: Any) -> dict[str, Any]:  # noqa: ANN401 - a booster, or rows for one
    found = fitted.get_categories(export_to_arrow=True).to_arrow()
    return {name: _values(values) for name, values in found if values is not None}


def _values(values: Any) -> list[Any]:  # noqa: ANN401 - an array of Arrow
    try:
        return list(values.to_pylist())
    except UnicodeDecodeError:  # Cut within a letter.
        return [one.decode(errors="replace") for one in values.cast("binary").to_pylist()]


def _refuse_cut(name: str, values: Sequence[Any]) -> None:
    """Refuse categories that this xgboost would truncate, as it truncated those of the model.

    xgboost 3.2 counts letters where it takes bytes: "Rome" and "Zürich" are kept as "Rome" and
    "Züric", "Zürich" and "Rome" as "Züric" and "hRom", and values in rows match none of them.
    """
    if all(not isinstance(one, str) or one.isascii() for one in values):
        return
    import pandas as pd

    xgboost: Any = sys.modules["xgboost"]  # The model is of it.
    rows = pd.DataFrame({name: pd.Categorical(["é", "n"], categories=["é", "n"])})
    if _of_xgboost(xgboost.DMatrix(rows, enable_categorical=True))[name] != ["é", "n"]:
        raise InputError(
            f'column "{name}" of the model: xgboost {xgboost.__version__} cuts names of categories '
            f"that are not ASCII ({', '.join(values[:3])}); fit it on other names, or on codes"
        )


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
