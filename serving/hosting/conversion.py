"""Converts models to ONNX; one is written only if it answers a reference as the original does."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.errors import InputError, UndecidedError
from driftline.formats.location import locate
from driftline.serving.bodies.predictions import Answer
from driftline.serving.bodies.rows import Columns
from driftline.serving.hosting.formats.model_format import Description, ModelError, library
from driftline.serving.hosting.formats.onnx import COLUMNS
from driftline.serving.hosting.predictor import load_predictor
from driftline.serving.hosting.questions import columns_of
from driftline.signature import names_among

# Of probabilities, and of numbers in relation to the largest: float32 has seven digits.
TOLERANCE = 1e-4
# The newest that both converters write.
_OPSET, _ML_OPSET = 15, 3


def convert(path: Path, target: str, table: pa.Table, *, trust_pickle: bool) -> float:
    """Write a model as ONNX if both answer a table alike; return how far they differ."""
    skl2onnx, tools = (
        library(name, path, install="'driftline[onnx-convert]'")
        for name in ("skl2onnx", "onnxmltools")
    )
    predictor = load_predictor(path, trust_pickle=trust_pickle)
    columns = _columns(table, predictor.description)
    try:
        expected = predictor.predict(columns)
        # Read anew: a converter may change what it is given.
        model = load_predictor(path, trust_pickle=trust_pickle).model
        if type(model).__module__.startswith("sklearn."):
            converted = _of_sklearn(skl2onnx, model, columns)
        else:
            converted = _of_trees(tools, model, len(columns))
        if predictor.description.feature_names is not None:
            converted.metadata_props.add(key=COLUMNS, value=json.dumps(list(columns)))
        content = converted.SerializeToString()
        with TemporaryDirectory() as folder:
            file = Path(folder, "converted.onnx")
            file.write_bytes(content)
            other = load_predictor(file, trust_pickle=False)
        answer = other.predict(columns)
    # Models and converters are foreign code and may raise anything.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ModelError(
            f"{path.name} cannot be converted: {type(error).__name__}: {reason}; serve it as it is"
        ) from error
    is_same = other.description.classes == predictor.description.classes
    difference = _difference(expected, answer) if is_same else np.inf
    if difference > TOLERANCE:
        raise UndecidedError(
            f"{path.name}: as ONNX it answers otherwise: by {difference:.3g} at most; expected "
            f"{TOLERANCE:g} or less; nothing was written"
        )
    locate(target).write(content)
    return difference


def _columns(table: pa.Table, about: Description) -> Columns:
    """Return the columns of the reference that the model names, all where it names none."""
    names = names_among(about.feature_names or table.column_names, table.column_names)
    if missing := [name for name in names if name not in table.column_names]:
        raise InputError(f'the reference has no column "{missing[0]}", which the model takes')
    if not table.num_rows:
        raise InputError("the reference has no row; expected some to compare the models on")
    return columns_of(table.select(list(names)))


def _of_trees(tools: Any, model: Any, width: int) -> Any:  # noqa: ANN401 - foreign objects
    types = tools.convert.common.data_types
    given = {"initial_types": [("X", types.FloatTensorType([None, width]))], "target_opset": _OPSET}
    if hasattr(model, "booster_"):
        return tools.convert_lightgbm(model.booster_, zipmap=False, **given)
    if hasattr(model, "get_booster"):
        # Its converter knows columns by their numbers only.
        model.get_booster().feature_names = None
        return tools.convert_xgboost(model, **given)
    raise ModelError("expected a model of scikit-learn, xgboost or lightgbm")


def _of_sklearn(skl2onnx: Any, model: Any, columns: Columns) -> Any:  # noqa: ANN401 - foreign objects
    types = skl2onnx.common.data_types
    are_texts = [values.dtype.kind not in "fib" for values in columns.values()]
    # Steps that take some of the columns find them by their names.
    if any(are_texts) or any(hasattr(step, "transformers_") for _, step in _steps(model)):
        inputs = [
            (name, (types.StringTensorType if is_text else types.FloatTensorType)([None, 1]))
            for name, is_text in zip(columns, are_texts, strict=True)
        ]
    else:
        inputs = [("X", types.FloatTensorType([None, len(columns)]))]
    # A classifier answers its probabilities as a table: maps of them cost more than the model.
    has_chances = hasattr(model, "predict_proba")
    found = skl2onnx.convert_sklearn(
        model,
        initial_types=inputs,
        # Without options of its own, what ends a pipeline gets some that it may not know.
        options={id(model): {"zipmap": False}} if has_chances else {id(_steps(model)[-1][1]): {}},
        target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
    )
    if hasattr(model, "classes_"):
        if not has_chances:
            del found.graph.output[1:]  # Scores, which are no probabilities.
        # Not every converter names them, and a step's inner models have classes of their own.
        classes = json.dumps(np.asarray(model.classes_).tolist())
        found.metadata_props.add(key="classes", value=classes)
    return found


def _steps(model: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - foreign objects
    return getattr(model, "steps", [("", model)])


def _difference(one: Answer, other: Answer) -> float:
    """Return the largest difference of two answers; infinite where one has no number."""
    left, right = (
        np.asarray(answer.predictions if answer.probabilities is None else answer.probabilities)
        for answer in (one, other)
    )
    if left.dtype.kind not in "fiu":
        return float((left != right).any())
    found = np.abs(left.reshape(len(left), -1) - right.reshape(len(right), -1)).max()
    scale = 1.0 if one.probabilities is not None else max(1.0, float(np.abs(left).max()))
    return float(np.nan_to_num(found, nan=np.inf)) / scale
