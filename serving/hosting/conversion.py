"""Converting models to ONNX, with a check that they still answer the same.

Of scikit-learn, xgboost and lightgbm, by the converters of skl2onnx and onnxmltools. Most of what
can go wrong in a conversion is silent: text that is missing, thresholds of float64 in float32, a
step that is converted to something near. So a model is written only after it has answered rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.errors import InputError, UndecidedError
from driftline.formats.location import locate
from driftline.serving.bodies.predictions import Answer
from driftline.serving.bodies.rows import NO_TEXT, Columns
from driftline.serving.hosting.formats.library import library
from driftline.serving.hosting.formats.model_format import Description, ModelError
from driftline.serving.hosting.formats.onnx import REFUSED
from driftline.serving.hosting.predictor import Predictor, load_predictor
from driftline.serving.hosting.questions import columns_of
from driftline.signature import names_among

# Of probabilities, and of numbers in relation to the largest: float32 has seven digits.
TOLERANCE = 1e-4
_INSTALL = "'driftline[onnx-convert]'"
# The newest that both converters write.
_OPSET, _ML_OPSET = 15, 3
_CHUNK = 10_000
_Kinds = Sequence[tuple[str, bool]]  # Name of a column, and whether it is text.


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the answers of two models lie apart at most.

    ``difference``: of probabilities, or of numbers in relation to the largest one; ``row``: of the
    reference, from 1; ``labels``: rows whose predicted classes differ, where no probability says
    how clear they were; ``refused``: columns whose missing or infinite values both models refuse,
    the converted one by what stands in its metadata.
    """

    rows: int
    difference: float
    row: int
    labels: int = 0
    refused: tuple[str, ...] = ()


def convert(
    path: Path, target: str, table: pa.Table, *, trust_pickle: bool, tolerance: float = TOLERANCE
) -> Parity:
    """Convert a model file to ONNX, and write it if it answers the rows of a table alike.

    Raises
    ------
    ModelError
        The model cannot be read or converted.
    UndecidedError
        The converted model answers otherwise; nothing was written.
    """
    predictor = load_predictor(path, trust_pickle=trust_pickle)
    columns = _columns(table, predictor.description)
    content = _converted(path, predictor, columns)
    with TemporaryDirectory() as folder:
        file = Path(folder, "converted.onnx")
        file.write_bytes(content)
        # Read anew: a converter may have changed what it was given.
        predictor = load_predictor(path, trust_pickle=trust_pickle)
        try:
            predictor.predict(columns)
        # A model is foreign code and may raise anything.
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise UndecidedError(
                f"{path.name} refuses rows of the reference ({reason}); leave these rows out"
            ) from error
        try:
            parity = _compare(predictor, load_predictor(file, trust_pickle=False), columns)
        except ModelError as error:
            raise _unconverted(path, predictor.model, str(error)) from error
        refused = _refused(predictor, columns)
    if not parity.difference <= tolerance or parity.labels:  # NaN is not within it.
        raise UndecidedError(
            f"{path.name}: as ONNX it answers otherwise: by {parity.difference:.3g} at most, in "
            f"row {parity.row} of {parity.rows}"
            + (f", and {parity.labels} rows get another class" if parity.labels else "")
            + f"; expected {tolerance:g} or less; nothing was written"
        )
    if not any(refused.values()):
        locate(target).write(content)
        return parity
    locate(target).write(_with_refused(content, refused))
    names, places = list(columns), {place for found in refused.values() for place in found}
    return replace(parity, refused=tuple(names[place] for place in sorted(places)))


def _columns(table: pa.Table, about: Description) -> Columns:
    """Return the columns of the reference that the model takes."""
    names = about.feature_names
    if names is None and len(table.column_names) == about.feature_count:
        names = tuple(table.column_names)
    if names is None:
        raise InputError(
            f"the reference has {len(table.column_names)} columns, and the model takes "
            f"{about.feature_count} that it does not name; leave the others out by --exclude"
        )
    names = names_among(names, table.column_names)
    if missing := [name for name in names if name not in table.column_names]:
        raise InputError(f'the reference has no column "{missing[0]}", which the model takes')
    if not table.num_rows:
        raise InputError("the reference has no row; expected some to compare the models on")
    return columns_of(table.select(list(names)))


def _converted(path: Path, predictor: Predictor, columns: Columns) -> bytes:
    """Return the model as ONNX."""
    kinds = [(name, values.dtype.kind not in "fib") for name, values in columns.items()]
    is_named = predictor.description.feature_names is not None
    try:
        return _written(path, predictor.model, kinds, is_named=is_named)
    except InputError:
        raise
    except Exception as error:
        # Converters of others raise what they like for a step that they do not know.
        reason = (str(error).splitlines() or [""])[0][:200]
        raise _unconverted(path, predictor.model, f"{type(error).__name__}: {reason}") from error


def _unconverted(path: Path, model: Any, reason: str) -> ModelError:  # noqa: ANN401 - foreign object
    steps = getattr(model, "steps", [("", model)])
    kinds = ", ".join(type(step).__name__ for _, step in steps)
    return ModelError(
        f"{path.name} ({kinds}) cannot be converted: {reason}; serve it as it is, or fit one that "
        "the converters know"
    )


def _written(path: Path, model: Any, kinds: _Kinds, *, is_named: bool) -> bytes:  # noqa: ANN401 - foreign object
    home = type(model).__module__.partition(".")[0]
    if home == "sklearn":
        return _of_sklearn(path, model, kinds, is_named=is_named)
    booster = getattr(model, "booster_", None)
    if home == "xgboost":
        # Its converter knows columns by their numbers only.
        model.get_booster().feature_names = None
        found = _of_trees(path, "convert_xgboost", model, kinds)
    elif booster is not None:
        found = _of_trees(path, "convert_lightgbm", booster, kinds, zipmap=False)
    else:
        raise ModelError(
            f"{path.name} holds a {type(model).__name__}; expected a model of scikit-learn, "
            "xgboost or lightgbm"
        )
    return _with_names(found, kinds) if is_named else bytes(found.SerializeToString())


def _of_sklearn(path: Path, model: Any, kinds: _Kinds, *, is_named: bool) -> bytes:  # noqa: ANN401 - foreign object
    skl2onnx = library("skl2onnx", path, install=_INSTALL)
    types = skl2onnx.common.data_types
    # A classifier answers its probabilities as a table: maps of them cost more than the model.
    has_chances = hasattr(model, "predict_proba")
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if hasattr(last, "flatten_transform"):
        last.flatten_transform = False  # Of its method transform alone; True is not known.
    # Without any of its own, what ends a pipeline gets an option that it may not know.
    options: dict[int, Any] = {id(model): {"zipmap": False}} if has_chances else {id(last): {}}
    has_text = any(is_text for _, is_text in kinds)
    by_name = has_text or (is_named and _chooses_columns(model))
    if by_name:
        inputs = [
            (name, (types.StringTensorType if is_text else types.FloatTensorType)([None, 1]))
            for name, is_text in kinds
        ]
    else:
        inputs = [("X", types.FloatTensorType([None, len(kinds)]))]
    opset = {"": _OPSET, "ai.onnx.ml": _ML_OPSET}
    found = skl2onnx.convert_sklearn(
        model, initial_types=inputs, options=options, target_opset=opset,
        custom_conversion_functions=_of_gradient_boosting(skl2onnx),
    )  # fmt: skip
    if hasattr(model, "classes_"):
        if not has_chances:
            del found.graph.output[1:]  # Scores, which are no probabilities.
        # Not every converter names them, and a step's inner models have classes of their own.
        found.metadata_props.add(
            key="classes", value=json.dumps(np.asarray(model.classes_).tolist())
        )
    return _with_names(found, kinds) if by_name or is_named else bytes(found.SerializeToString())


def _of_gradient_boosting(skl2onnx: Any) -> dict[type, Callable[..., None]]:  # noqa: ANN401 - a module
    """Return the converters of estimators whose own ones write truth values where onnx has numbers.

    skl2onnx 1.20 takes False for the way of a missing value at leaves, which onnx 1.23 refuses.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def with_numbers(convert: Callable[..., None]) -> Callable[..., None]:
        def converter(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401 - foreign objects
            write = container.add_node

            def add_node(*args: Any, **attributes: Any) -> None:  # noqa: ANN401 - foreign objects
                ways = attributes.get("nodes_missing_value_tracks_true")
                if ways is not None:
                    attributes["nodes_missing_value_tracks_true"] = list(map(int, ways))
                write(*args, **attributes)

            container.add_node = add_node
            try:
                convert(scope, operator, container)
            finally:
                del container.add_node

        return converter

    registered = skl2onnx.common._registration.get_converter
    return {
        kind: with_numbers(registered(f"Sklearn{kind.__name__}"))
        for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    }


def _chooses_columns(model: Any) -> bool:  # noqa: ANN401 - foreign object
    """Whether a step of a model takes some columns and not others, which it may do by name."""
    steps = getattr(model, "steps", [("", model)])
    return any(hasattr(step, "transformers_") for _, step in steps)


def _of_trees(path: Path, converter: str, model: Any, kinds: _Kinds, **more: Any) -> Any:  # noqa: ANN401 - foreign objects
    if text := [name for name, is_text in kinds if is_text]:
        raise ModelError(f'{path.name}: column "{text[0]}" is text; its trees take numbers only')
    onnxmltools = library("onnxmltools", path, install=_INSTALL)
    types = onnxmltools.convert.common.data_types
    inputs = [("X", types.FloatTensorType([None, len(kinds)]))]
    return getattr(onnxmltools, converter)(model, initial_types=inputs, target_opset=_OPSET, **more)


def _with_names(model: Any, kinds: _Kinds) -> bytes:  # noqa: ANN401 - foreign object
    """Have a model take each column in an input of its own, by its name, in place of a table."""
    onnx = library("onnx", Path("model.onnx"), install=_INSTALL)
    graph, names = model.graph, [name for name, _ in kinds]
    # Columns may be called as what is in the graph: "X", "label".
    is_output = any(one.name in names for one in graph.output)
    onnx.compose.add_prefix_graph(graph, "model/", inplace=True, rename_outputs=is_output)
    if len(graph.input) == len(names):
        # Not as they were: skl2onnx writes other letters in the place of some.
        written = {one.name: name for one, name in zip(graph.input, names, strict=True)}
        for one in graph.input:
            one.name = written[one.name]
        for node in graph.node:
            node.input[:] = [written.get(one, one) for one in node.input]
        return bytes(model.SerializeToString())
    (whole,) = graph.input
    graph.node.insert(0, onnx.helper.make_node("Concat", names, [whole.name], axis=1))
    del graph.input[:]
    kind = onnx.TensorProto.FLOAT
    graph.input.extend(onnx.helper.make_tensor_value_info(name, kind, [None, 1]) for name in names)
    if "" not in {one.domain for one in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid("", _OPSET))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _compare(one: Predictor, other: Predictor, columns: Columns) -> Parity:
    """Return how far the answers of two models lie apart."""
    if one.description.classes != other.description.classes:
        raise ModelError(
            f"as ONNX it has the classes {', '.join(other.description.classes[:8])}; expected "
            f"{', '.join(one.description.classes[:8])}"
        )
    count = len(next(iter(columns.values())))
    largest, labels = (0.0, 1), 0
    scale, differences = 1.0, []
    for start in range(0, count, _CHUNK):
        some = {name: values[start : start + _CHUNK] for name, values in columns.items()}
        left, right = one.predict(some), other.predict(some)
        numbers = [_numbers(answer) for answer in (left, right)]
        if numbers[0] is None or numbers[1] is None:
            labels += sum(map(_differs, left.predictions, right.predictions))
            continue
        if left.probabilities is None:
            scale = max(scale, float(np.abs(numbers[0]).max()))
        differences.append(np.abs(numbers[0] - numbers[1]).max(axis=1))
    if differences:
        found = np.nan_to_num(np.concatenate(differences), nan=np.inf)
        place = int(found.argmax())
        largest = float(found[place]) / scale, place + 1
    return Parity(count, *largest, labels)


def _refused(model: Predictor, columns: Columns) -> dict[str, list[int]]:
    """Return the places of columns whose missing, or infinite, values a model refuses."""
    numbers = [place for place, one in enumerate(columns.values()) if one.dtype.kind in "fiu"]
    texts = [place for place, one in enumerate(columns.values()) if one.dtype.kind == "O"]
    found = {}
    for word, value, places in (
        ("missing", np.nan, sorted(numbers + texts)), ("infinite", np.inf, numbers),
    ):  # fmt: skip
        rows = {place: _first_with(columns, place, value) for place in places}
        # Most models take all of them, or none.
        if _takes(model, rows.values()):
            continue
        found[word] = [place for place in places if not _takes(model, [rows[place]])]
    return found


def _first_with(columns: Columns, place: int, value: float) -> Columns:
    """Return the first row, with another value in one of its columns."""
    row = {name: values[:1] for name, values in columns.items()}
    name = list(row)[place]
    is_text = row[name].dtype.kind == "O"
    row[name] = np.array([NO_TEXT] if is_text else [value], dtype=object if is_text else np.float64)
    return row


def _takes(model: Predictor, rows: Iterable[Columns]) -> bool:
    """Whether a model answers some rows."""
    together = list(rows)
    if not together:
        return True
    try:
        model.predict(
            {name: np.concatenate([one[name] for one in together]) for name in together[0]}
        )
    # As above: it may raise anything.
    except Exception:  # noqa: BLE001
        return False
    return True


def _with_refused(content: bytes, refused: Mapping[str, Sequence[int]]) -> bytes:
    """Have a converted model refuse what its original does."""
    onnx = library("onnx", Path("model.onnx"), install=_INSTALL)
    model = onnx.load_model_from_string(content)
    model.metadata_props.add(key=REFUSED, value=json.dumps(refused))
    return bytes(model.SerializeToString())


def _differs(one: object, other: object) -> bool:
    return one != other


def _numbers(answer: Answer) -> np.ndarray | None:
    """Return what is compared, shape (rows, values): probabilities, or numbers; else None."""
    found = answer.predictions if answer.probabilities is None else answer.probabilities
    values = np.asarray(found)
    return values.reshape(len(values), -1).astype(float) if values.dtype.kind in "fiu" else None
