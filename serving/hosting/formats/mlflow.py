"""MLflow's model folders: read by mlflow where it is installed, and checked against MLmodel.

Models of scikit-learn, xgboost and lightgbm are served as themselves, with classes and
probabilities; all others by ``mlflow.pyfunc``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from driftline.fitted import feature_count, feature_names
from driftline.formats.syntax import syntax_fault
from driftline.serving.hosting.formats import lightgbm, xgboost
from driftline.serving.hosting.formats.library import library
from driftline.serving.hosting.formats.model_format import ModelError, SignedModel
from driftline.serving.hosting.formats.skops import trust_estimators
from driftline.signature import names_among

# Of MLflow's types of columns: numpy's, and the signature's.
TYPES: dict[str, tuple[Any, str]] = {
    "boolean": (np.bool_, "bool"),
    "integer": (np.int32, "int64"),
    "long": (np.int64, "int64"),
    "float": (np.float32, "double"),
    "double": (np.float64, "double"),
    "string": (object, "string"),
    "datetime": ("datetime64[ns]", "timestamp"),
}
# Whose files are read without mlflow's own reader, by what reads such files elsewhere.
_BOOSTERS = {
    "xgboost.core.Booster": xgboost.read,
    "lightgbm.basic.Booster": lightgbm.read,
}
_LARGEST_BYTES = 4 << 20
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of MLmodel's signature: named columns, or a table of numbers."""

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()  # MLflow's; of a table the one of all columns.
    count: int | None = None

    @property
    def is_table(self) -> bool:
        """Whether the model takes an array of numbers."""
        return bool(self.types) and not self.names


class PyfuncModel:
    """A model of ``mlflow.pyfunc``, asked as an estimator is."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - foreign object
        inputs: Inputs,
        answer_type: str | None,
        width: int | None,
    ) -> None:
        self._model, self._inputs = model, inputs
        self.feature_names_in_ = np.array(inputs.names, dtype=object) if inputs.names else None
        self.n_features_in_ = inputs.count
        self.feature_types_ = tuple(TYPES[one][1] for one in inputs.types) if inputs.names else None
        self.takes_frames_ = not inputs.is_table
        self.answer_type_ = answer_type or "double"
        self.n_outputs_ = width

    def predict(self, rows: Any) -> Any:  # noqa: ANN401 - a frame or an array, a foreign answer
        """Predict each row, as ``mlflow models serve`` does."""
        if self._inputs.names:
            found = self._model.predict(self._typed(pd.DataFrame(rows)))
        elif self._inputs.is_table:
            kind = TYPES[self._inputs.types[0]][0]
            found = self._model.predict(np.asarray(rows, dtype=np.float64).astype(kind))
        else:
            found = self._model.predict(pd.DataFrame(rows))
        if isinstance(found, pd.DataFrame):
            return found.iloc[:, 0].to_numpy() if found.shape[1] == 1 else found.to_numpy()
        return found

    def _typed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows of exactly the types that MLflow checks for."""
        columns = {}
        for name, kind in zip(self._inputs.names, self._inputs.types, strict=True):
            try:
                # A missing one would become true, or false.
                if kind == "boolean" and rows[name].isna().any():
                    raise ValueError("a value is missing")  # noqa: TRY301 - told as others are
                columns[name] = rows[name].astype(TYPES[kind][0])
            except (TypeError, ValueError) as error:
                raise ModelError(f'column "{name}" takes {kind} ({error})') from error
        return pd.DataFrame(columns)


def read(folder: Path) -> object:
    """Read a model folder of MLflow."""
    described = _described(folder)
    # It would tell its makers of each use; and what is read here was trusted by the installation.
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_ALLOW_PICKLE_DESERIALIZATION="true")
    sys.dont_write_bytecode = True  # Beside code in the folder, which is the store's.
    library("mlflow", folder, install="mlflow-skinny")
    trust_estimators()
    flavors = described["flavors"]
    inputs = _inputs(described)
    for name in ("sklearn", "xgboost", "lightgbm"):
        if name in flavors:
            return _signed(_native(folder, name, flavors[name]), inputs)
    if "python_function" not in flavors:
        raise ModelError(
            f"{folder.name} has the flavors {', '.join(map(str, flavors))[:200]}; expected "
            "python_function, sklearn, xgboost or lightgbm"
        )
    model = import_module("mlflow.pyfunc").load_model(str(folder))
    return PyfuncModel(model, inputs, _answer_type(described), _answer_width(described))


def _described(folder: Path) -> Mapping[str, Any]:
    """Read MLmodel."""
    with (folder / "MLmodel").open("rb") as file:
        text = file.read(_LARGEST_BYTES + 1)
    if len(text) > _LARGEST_BYTES:
        raise ModelError(f"MLmodel has more than {_LARGEST_BYTES >> 20} MiB")
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        reason = syntax_fault(error, text.decode(errors="replace"))
        raise ModelError(f"MLmodel is no YAML: {reason}") from error
    if not isinstance(found, dict) or not isinstance(found.get("flavors"), dict):
        raise ModelError("MLmodel names no flavors; expected a folder that MLflow has saved")
    return found


def _native(folder: Path, name: str, flavor: Any) -> Any:  # noqa: ANN401 - YAML, a foreign object
    """Read a model of a library that is served as itself."""
    kind = flavor.get("model_class", f"{name}.{'core' if name == 'xgboost' else 'basic'}.Booster")
    if name != "sklearn":
        library(name, folder)
        if kind in _BOOSTERS:
            file = folder / str(flavor.get("data"))
            if not file.resolve().is_relative_to(folder.resolve()):
                raise ModelError(f"MLmodel names {str(file)[:80]!r}, which lies elsewhere")
            return _BOOSTERS[kind](file)
    return import_module(f"mlflow.{name}").load_model(str(folder))


def _signed(model: Any, inputs: Inputs) -> object:  # noqa: ANN401 - foreign object
    """Hold a model against its folder's signature, which may name what the model does not."""
    names, count = feature_names(model), feature_count(model)
    if inputs.count is not None and count is not None and inputs.count != count:
        raise ModelError(
            f"MLmodel's signature has {inputs.count} columns, the model in it takes {count}; "
            "save the model with the signature of its own rows"
        )
    if not inputs.names:
        return model
    order = inputs.names if names is None else names_among(names, inputs.names)
    if set(order) != set(inputs.names):
        raise ModelError(
            f"MLmodel's signature names {', '.join(inputs.names[:_SHOWN])}, the model in it takes "
            f"{', '.join(order[:_SHOWN])}; save the model with the signature of its own "
            "rows"
        )
    types = dict(zip(inputs.names, inputs.types, strict=True))
    return SignedModel(model, order, tuple(TYPES[types[name]][1] for name in order))


def _inputs(described: Mapping[str, Any]) -> Inputs:
    """Read which columns the signature of MLmodel says that the model takes; none without one."""
    listed = _schema(described, "inputs")
    if not listed:
        return Inputs()
    if listed[0].get("type") == "tensor":
        return _table(listed)
    names = tuple(str(one.get("name", "")) for one in listed)
    types = tuple(str(one.get("type")) for one in listed)
    for name, kind in zip(names, types, strict=True):
        if kind not in TYPES:
            raise ModelError(
                f'MLmodel\'s signature has "{name}" of type {kind[:40]}; expected one of '
                f"{', '.join(TYPES)}"
            )
    if not all(names):
        return Inputs(count=len(names))
    return Inputs(names, types, len(names))


def _table(listed: list[dict[str, Any]]) -> Inputs:
    """Read a signature of one tensor, which has to be a table of numbers."""
    spec = listed[0].get("tensor-spec") or {}
    shape, kind = spec.get("shape") or [], str(spec.get("dtype"))
    known = {"float32": "float", "float64": "double", "int32": "integer", "int64": "long"}
    if len(listed) != 1 or len(shape) != 2 or kind not in known:
        raise ModelError(
            f"MLmodel's signature has {len(listed)} tensors, the first of {kind[:40]} and shape "
            f"{shape}; expected columns, or one table of numbers (rows, columns)"
        )
    return Inputs(types=(known[kind],), count=None if shape[1] == -1 else int(shape[1]))


def _answer_type(described: Mapping[str, Any]) -> str | None:
    """Return the type of what the signature says that the model answers, if that is one value."""
    listed = _schema(described, "outputs")
    if len(listed) != 1:
        return None
    kind = listed[0].get("type")
    if kind == "tensor":
        word = str((listed[0].get("tensor-spec") or {}).get("dtype"))
        return {"int32": "int64", "int64": "int64", "bool": "bool", "str": "string"}.get(word)
    return TYPES[kind][1] if kind in TYPES else None


def _answer_width(described: Mapping[str, Any]) -> int | None:
    """Return how many values a row the signature says that the model answers, if it says so."""
    listed = _schema(described, "outputs")
    if len(listed) != 1 or listed[0].get("type") != "tensor":
        is_plain = all(one.get("type") in TYPES for one in listed)
        return (len(listed) or None) if is_plain else None
    shape = (listed[0].get("tensor-spec") or {}).get("shape") or []
    width = shape[1] if len(shape) == 2 else 1 if len(shape) == 1 else None
    return width if isinstance(width, int) and width > 0 else None


def _schema(described: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    text = (described.get("signature") or {}).get(part)
    try:
        found = json.loads(text) if text else []
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"MLmodel's signature cannot be read ({error})") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ModelError(f"MLmodel's signature has no list of {part}; save the model anew")
    return found
