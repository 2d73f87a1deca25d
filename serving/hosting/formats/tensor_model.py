"""Models that compute with tensors, asked as estimators are: a table of numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from driftline.serving.hosting.formats.model_format import ModelError

# Of tensors that models take: the signature's type.
TYPES = {
    "float16": "double", "float32": "double", "float64": "double", "int32": "int64",
    "int64": "int64", "bool": "bool", "string": "string",
}  # fmt: skip
FLOAT = "float32"  # What networks are trained on.


@dataclass(frozen=True, slots=True)
class TensorInput:
    """One input of a model.

    ``shape``: with the rows first; None where any number fits, and as a whole where nobody says.
    """

    name: str
    shape: tuple[int | None, ...] | None = None
    kind: str = FLOAT


class TensorModel:
    """A model of tensors, asked as an estimator is: all columns in one input, or one in each.

    ``call`` takes an array for each input, and returns one that holds what each row is answered.
    """

    def __init__(
        self,
        file: Path,
        inputs: Sequence[TensorInput],
        call: Callable[[list[np.ndarray]], Any],
    ) -> None:
        self._file, self._inputs, self._call = file, inputs, call
        for one in inputs:
            if one.kind not in TYPES or (one.shape is not None and len(one.shape) != 2):
                raise ModelError(
                    f'{file.name} takes "{one.name}" as {one.kind} of shape {one.shape}; expected '
                    "tables of numbers, text or truth values (rows, columns); serve it by "
                    "code/inference.py in a model.tar.gz"
                )
        rows = next((one.shape[0] for one in inputs if one.shape), None)
        if rows not in (None, 1):
            raise ModelError(
                f"{file.name} takes {rows} rows at a time; save it for any number of rows"
            )
        self._is_of_one_row = rows == 1
        self._read_columns()
        self.answer_type_ = "double"

    def predict(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a frame or an array
        """Predict each row: a number, or several."""
        arrays = self._arrays(rows)
        if not self._is_of_one_row:
            return self._answered(arrays)
        count = len(arrays[0])
        return np.concatenate(
            [self._answered([one[row : row + 1] for one in arrays]) for row in range(count)]
        )

    def _answered(self, arrays: list[np.ndarray]) -> np.ndarray:
        found = np.asarray(self._call(arrays))
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found

    def _read_columns(self) -> None:
        """Learn which columns the model takes: by position in one table, or by name."""
        self.feature_names_in_, self.n_features_in_, self.feature_types_ = None, None, None
        if len(self._inputs) == 1:
            only = self._inputs[0]
            self.n_features_in_ = None if only.shape is None else only.shape[1]
            if self.n_features_in_ is not None:
                self.feature_types_ = (TYPES[only.kind],) * self.n_features_in_
            return
        for one in self._inputs:
            if one.shape is None or one.shape[1] != 1:
                raise ModelError(
                    f'{self._file.name} takes "{one.name}" of shape {one.shape} beside other '
                    "inputs; expected one column each, or all columns in one input"
                )
        self.feature_names_in_ = np.array([one.name for one in self._inputs], dtype=object)
        self.n_features_in_ = len(self._inputs)
        self.feature_types_ = tuple(TYPES[one.kind] for one in self._inputs)

    def _arrays(self, rows: Any) -> list[np.ndarray]:  # noqa: ANN401 - a frame or an array
        if len(self._inputs) == 1:
            return [self._array(self._inputs[0], rows)]
        return [self._array(one, rows[[one.name]]) for one in self._inputs]

    def _array(self, one: TensorInput, values: Any) -> np.ndarray:  # noqa: ANN401 - as above
        kind = object if one.kind == "string" else one.kind
        try:
            # A missing one would become true, or false.
            if kind == "bool" and np.isnan(np.asarray(values, dtype=np.float64)).any():
                raise ValueError("a value is missing")  # noqa: TRY301 - told as others are
            return np.ascontiguousarray(np.asarray(values).astype(kind))
        except (TypeError, ValueError) as error:
            raise ModelError(f'"{one.name}" takes {one.kind} ({error})') from error
