"""ONNX files, run by ONNX Runtime; a model with one output of numbers is a regressor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.formats.model_format import ModelError, library, thread_count

# Of tensors that models take: numpy's type, and the signature's.
TYPES: dict[str, tuple[Any, str]] = {
    "tensor(float)": (np.float32, "double"),
    "tensor(double)": (np.float64, "double"),
    "tensor(int64)": (np.int64, "int64"),
    "tensor(int32)": (np.int32, "int64"),
    "tensor(bool)": (np.bool_, "bool"),
    "tensor(string)": (object, "string"),
}
_TOLERANCE = 1e-6  # Probabilities are float32.
COLUMNS = "driftline.columns"  # In metadata_props: names of the columns in order, a JSON list.
_INSTALL = "'driftline[onnx]'"


class OnnxModel:
    """A model of ONNX, asked as an estimator is."""

    # A frame of one row costs far more than most models: numbers come as one array.
    takes_frames_ = False

    def __init__(self, session: Any, file: Path, labels: list[Any] | None) -> None:  # noqa: ANN401 - foreign object
        self._session, self._file = session, file
        self._inputs = session.get_inputs()
        for one in self._inputs:
            if one.type not in TYPES or len(one.shape) != 2:
                raise ModelError(
                    f'{file.name} takes "{one.name}" as {one.type} of {len(one.shape)} dimensions; '
                    "expected tables of numbers, text or truth values (rows, columns)"
                )
        self._is_matrix = len(self._inputs) == 1  # Which is taken by position, whatever its name.
        self._metadata = session.get_modelmeta().custom_metadata_map
        self._read_columns()
        self._read_outputs(labels)

    def predict(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a frame or an array
        """Predict the class, or the number, of each row."""
        found = np.asarray(self._session.run([self._label], self._feed(rows))[0])
        labels: np.ndarray = found if self.classes_ is None else self.classes_[self._places(found)]
        return labels

    def _predict_both(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - a frame or an array
        labels, chances = self._session.run([self._label, self._probability], self._feed(rows))
        if isinstance(chances, list):
            table = np.array([[row[one] for one in self.classes_.tolist()] for row in chances])
        else:
            table = np.asarray(chances)
        places = self._places(labels)
        if np.any(table[np.arange(len(places)), places] < table.max(axis=1) - _TOLERANCE):
            raise self._not_most_probable()
        return self.classes_[places], table

    def _places(self, labels: np.ndarray) -> list[int]:
        """Return the places of labels among the classes, whose truth values ONNX has as numbers."""
        places = {name: place for place, name in enumerate(self.classes_.tolist())}
        try:
            return [places[label] for label in labels.ravel().tolist()]
        except KeyError:
            raise self._not_most_probable() from None

    def _not_most_probable(self) -> ModelError:
        advice = '; name them in order in its metadata_props: "classes", a JSON list'
        return ModelError(
            f"{self._file.name} answers classes that are not the most probable of "
            f"{self.classes_.tolist()[:8]}{'' if 'classes' in self._metadata else advice}"
        )

    def _read_columns(self) -> None:
        """Learn which columns the model takes: by name, or by position in one table."""
        names = json.loads(self._metadata.get(COLUMNS, "null"))
        if self._is_matrix:
            width = self._inputs[0].shape[1]
            count = width if isinstance(width, int) else None
            self.feature_names_in_ = None if names is None else np.array(names, dtype=object)
            self.n_features_in_ = count
            kind = TYPES[self._inputs[0].type][1]
            self.feature_types_ = None if count is None else (kind,) * count
            return
        for one in self._inputs:
            if one.shape[1] != 1:
                raise ModelError(
                    f'{self._file.name} takes "{one.name}" as {one.shape[1]} columns beside other '
                    "inputs; expected one column each, or all columns in one input"
                )
        names = names or [one.name for one in self._inputs]
        self.feature_names_in_ = np.array(names, dtype=object)
        self.n_features_in_ = len(names)
        self.feature_types_ = tuple(TYPES[one.type][1] for one in self._inputs)

    def _read_outputs(self, labels: list[Any] | None) -> None:
        outputs = self._session.get_outputs()
        self._label, self._probability = outputs[0].name, ""
        self.classes_: Any = None  # An array, of classifiers.
        is_label = outputs[0].type in ("tensor(int64)", "tensor(int32)", "tensor(string)")
        if not is_label:
            if len(outputs) != 1:
                raise ModelError(
                    f"{self._file.name} answers {', '.join(one.name for one in outputs)[:200]}; "
                    "expected one output of numbers, or a label and its probabilities"
                )
            return
        said, shape = self._metadata.get("classes"), outputs[-1].shape
        if said is not None:
            self.classes_ = np.array(json.loads(said))
        elif len(outputs) > 1 and labels is not None:
            self.classes_ = np.array(labels)
        elif (
            len(outputs) > 1
            and outputs[0].type != "tensor(string)"
            and len(shape) == 2
            and isinstance(shape[1], int)
        ):
            self.classes_ = np.arange(shape[1])
        else:
            raise ModelError(
                f"{self._file.name} answers labels, and not which there are; name them in order in "
                'its metadata_props: "classes", a JSON list'
            )
        if len(outputs) > 1:
            self._probability = outputs[1].name
            self.predict_both_ = self._predict_both
            self.predict_proba = lambda rows: self._predict_both(rows)[1]

    def _feed(self, rows: Any) -> dict[str, np.ndarray]:  # noqa: ANN401 - a frame or an array
        if self._is_matrix:
            only = self._inputs[0]
            return {only.name: self._cast(np.asarray(rows), only)}
        is_array = isinstance(rows, np.ndarray)
        columns = rows.T if is_array else [values.to_numpy() for _, values in rows.items()]
        return {
            one.name: self._cast(values.reshape(-1, 1), one)
            for one, values in zip(self._inputs, columns, strict=True)
        }

    def _cast(self, values: np.ndarray, one: Any) -> np.ndarray:  # noqa: ANN401 - foreign object
        kind, word = TYPES[one.type]
        if word == "string":
            if values.dtype.kind in "fiub":
                raise ModelError(f'input "{one.name}" takes text; the rows have numbers there')
            return np.where(values == None, "", values).astype(object)  # noqa: E711 - by element
        try:
            found = values.astype(np.float64)
            if word != "double" and not np.isfinite(found).all():
                raise ModelError(f'input "{one.name}" takes no missing values ({one.type})')
            return found.astype(kind)
        except (TypeError, ValueError) as error:
            raise ModelError(f'input "{one.name}" takes numbers ({error})') from error


def _class_labels(model: Any) -> list[Any] | None:  # noqa: ANN401 - foreign object
    """Return the classes that a classifier's node names: ONNX Runtime does not say them."""
    found: list[Any] | None = None
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    for attribute in attributes:
        if attribute.name.startswith("classlabels_"):
            found = [text.decode() for text in attribute.strings] or [*attribute.ints] or found
    return found


def _require_self_contained(model: Any, file: Path) -> None:  # noqa: ANN401 - foreign object
    """Refuse tensors that lie outside the model's file: they would read any file of the machine."""
    waiting = [model]
    while waiting:
        message = waiting.pop()
        if getattr(message, "external_data", None) or getattr(message, "data_location", 0):
            raise ModelError(
                f'{file.name} keeps the tensor "{message.name[:80]}" in another file (external '
                "data), which is not read; save the model as one file, such as by "
                "onnx.save(onnx.load(path), new_path)"
            )
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)


def read(file: Path) -> OnnxModel:
    """Read a model file of ONNX."""
    runtime = library("onnxruntime", file, install=_INSTALL)
    model = library("onnx", file, install=_INSTALL).load(file, load_external_data=False)
    _require_self_contained(model, file)
    # What was not looked at, since a newer version of ONNX defines it, is not run either.
    model.DiscardUnknownFields()
    options = runtime.SessionOptions()
    # As of all workers (worker_process.py).
    options.intra_op_num_threads = thread_count()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # The other format that ONNX Runtime detects was not looked at.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return OnnxModel(session, file, _class_labels(model))
