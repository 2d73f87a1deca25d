"""MLflow's folders: libraries that we know serve as themselves, others by ``mlflow.pyfunc``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from driftline.fitted import feature_count, feature_names
from driftline.serving.hosting.formats.boosted_trees import LightgbmModel, estimator_of
from driftline.serving.hosting.formats.model_format import ModelError, SignedModel, library
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
# Of the types of tensors that are answered, by numpy's kinds.
_ANSWERS = {"i": "int64", "b": "bool", "U": "string", "O": "string"}
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of MLmodel's signature: named columns, or a table of numbers of one type."""

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()  # MLflow's, of the named columns.
    count: int | None = None
    table: Any = None  # numpy's type.


class PyfuncModel:
    """A model of ``mlflow.pyfunc``, asked as an estimator is."""

    def __init__(self, model: Any, inputs: Inputs, outputs: Any) -> None:  # noqa: ANN401 - foreign objects
        self._model, self._inputs = model, inputs
        self.feature_names_in_ = np.array(inputs.names, dtype=object) if inputs.names else None
        self.n_features_in_ = inputs.count
        self.feature_types_ = tuple(TYPES[one][1] for one in inputs.types) if inputs.names else None
        self.takes_frames_ = inputs.table is None
        self.answer_type_, self.n_outputs_ = _answers(outputs)

    def predict(self, rows: Any) -> Any:  # noqa: ANN401 - a frame or an array, a foreign answer
        """Predict each row, as ``mlflow models serve`` does."""
        if self._inputs.table is not None:
            sent: Any = np.asarray(rows, dtype=np.float64).astype(self._inputs.table)
        else:  # Of exactly the types that MLflow checks for.
            sent = pd.DataFrame(rows)
            for name, kind in zip(self._inputs.names, self._inputs.types, strict=True):
                # A missing one would become true.
                if kind == "boolean" and sent[name].isna().any():
                    raise ModelError(f'column "{name}" takes no missing values')
                sent[name] = sent[name].astype(TYPES[kind][0])
        found = self._model.predict(sent)
        if isinstance(found, pd.DataFrame):
            return found.iloc[:, 0].to_numpy() if found.shape[1] == 1 else found.to_numpy()
        return found


def read(folder: Path) -> object:
    """Read a model folder of MLflow."""
    # It would tell its makers of each use; and what is read here was trusted by the installation.
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_ALLOW_PICKLE_DESERIALIZATION="true")
    sys.dont_write_bytecode = True  # Beside code in the folder, which is the store's.
    library("mlflow", folder, install="mlflow-skinny")
    document = yaml.safe_load((folder / "MLmodel").read_bytes())
    described = import_module("mlflow.models").Model.from_dict(document)
    flavors, inputs = described.flavors, _inputs(described.get_input_schema())
    for name in ("sklearn", "xgboost", "lightgbm"):
        if name in flavors:
            return _signed(_native(folder, name), inputs)
    if "python_function" not in flavors:
        raise ModelError(
            f"{folder.name} has the flavors {', '.join(map(str, flavors))[:200]}; expected "
            "python_function, sklearn, xgboost or lightgbm"
        )
    model = import_module("mlflow.pyfunc").load_model(str(folder))
    return PyfuncModel(model, inputs, described.get_output_schema())


def _native(folder: Path, name: str) -> Any:  # noqa: ANN401 - a foreign object
    if name != "sklearn":
        library(name, folder)
    model = import_module(f"mlflow.{name}").load_model(str(folder))
    if type(model).__name__ != "Booster":
        return model
    return LightgbmModel(model) if name == "lightgbm" else estimator_of(model, folder.name)


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


def _inputs(schema: Any) -> Inputs:  # noqa: ANN401 - foreign object
    listed = [] if schema is None else schema.inputs
    if not listed:
        return Inputs()
    if schema.is_tensor_spec():
        shape, kind = listed[0].shape, listed[0].type
        if len(listed) != 1 or len(shape) != 2 or kind.kind not in "if":
            raise ModelError(
                f"MLmodel's signature has {len(listed)} tensors, the first of {kind} and shape "
                f"{shape}; expected columns, or one table of numbers (rows, columns)"
            )
        return Inputs(count=None if shape[1] == -1 else shape[1], table=kind)
    types = [repr(one.type) for one in listed]
    for one, kind in zip(listed, types, strict=True):
        if kind not in TYPES:
            raise ModelError(
                f'MLmodel\'s signature has "{one.name}" of type {kind[:40]}; expected one of '
                f"{', '.join(TYPES)}"
            )
    if not all(one.name for one in listed):
        return Inputs(count=len(listed))
    return Inputs(tuple(one.name for one in listed), tuple(types), len(listed))


def _answers(schema: Any) -> tuple[str, int | None]:  # noqa: ANN401 - foreign object
    listed = [] if schema is None else schema.inputs
    if len(listed) == 1 and schema.is_tensor_spec():
        shape = listed[0].shape
        width = {1: 1, 2: shape[-1]}.get(len(shape), 0)
        return _ANSWERS.get(listed[0].type.kind, "double"), width if width > 0 else None
    types = [TYPES[kind][1] for one in listed if (kind := repr(one.type)) in TYPES]
    is_plain = len(types) == len(listed) > 0
    return types[0] if is_plain and len(types) == 1 else "double", len(types) if is_plain else None
