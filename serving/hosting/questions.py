"""Answers what monitors ask of a model, in the worker: tables of Arrow in, float64 (npy) out."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from driftline.errors import InputError
from driftline.estimators.own_methods import OwnMethod, own_method
from driftline.formats.arrow_types import missing_of
from driftline.serving.bodies.rows import NO_TEXT, Columns, with_nan
from driftline.serving.hosting.formats.boosted_trees import LightgbmModel
from driftline.serving.hosting.frames import respond
from driftline.serving.hosting.predictor import Predictor
from driftline.signature import Missing

PERMUTATION = "permutation"
# Monitors can wait; whoever calls the endpoint cannot.
NICENESS = 5


class Questions:
    """Answers the questions of monitors about one model."""

    def __init__(self, predictor: Predictor) -> None:
        os.nice(NICENESS)
        self._predictor, self._has_two = predictor, len(predictor.description.classes) == 2
        self._own: OwnMethod | None = own_method(_booster_of(predictor.model))

    def answer(self, header: Mapping[str, Any], body: bytes) -> bytes:
        """Answer one frame by one; ``rows`` counts the rows to explain, before the others."""
        if header["op"] == "about":
            about = json.dumps(self._about()).encode()
            return respond(header, about, status=200, type="application/json")
        columns = columns_of(ipc.open_stream(body).read_all())
        if header["op"] == "ask":
            found: tuple[np.ndarray, ...] = (self._predictor.numbers(columns),)
        else:
            found = self._contributions(columns, int(header["rows"]))
        stream = io.BytesIO()
        for one in found:
            np.save(stream, np.ascontiguousarray(one, dtype=np.float64))
        return respond(header, stream.getvalue(), status=200, type="application/x-npy")

    def _about(self) -> dict[str, Any]:
        description = self._predictor.description
        units = "value"
        if description.classes:
            units = "probability" if description.has_probability else "class"
        return {
            "features": description.feature_names,
            "labels": description.classes if len(description.classes) > 2 else (),
            "positive": description.classes[self._predictor.shown[0]] if self._has_two else "",
            "units": units,
            "method": PERMUTATION if self._own is None else self._own.name,
            "method_units": units if self._own is None else self._own.units,
        }

    def _contributions(self, columns: Columns, count: int) -> tuple[np.ndarray, np.ndarray]:
        if self._own is None:
            raise InputError("the model does not explain itself; expected to be asked by rows")
        whole = self._predictor.prepared(columns)
        first, rest = slice(0, count), slice(count, None)
        parts = [whole.iloc[one] if hasattr(whole, "iloc") else whole[one] for one in (first, rest)]
        values, base = self._own.contribute(*parts)
        if values.shape[1] == 1 and self._has_two and self._predictor.shown == [0]:
            return -values, (1.0 if self._own.units == "probability" else 0.0) - base
        return values, base


def _booster_of(model: Any) -> Any:  # noqa: ANN401 - foreign object
    """Return the booster of a file of LightGBM; any other model as it is."""
    return model.booster_ if isinstance(model, LightgbmModel) else model


def columns_of(table: pa.Table) -> Columns:
    """Return a table's columns in the form of an invocation's rows; empty text is missing."""
    return {
        field.name: _column(column.combine_chunks(), missing_of(field))
        for field, column in zip(table.schema, table.columns, strict=True)
    }


def _column(array: pa.Array, missing: Missing | None = None) -> np.ndarray:
    kind = array.type
    if pa.types.is_dictionary(kind):
        texts = np.array(
            [*(text or NO_TEXT for text in array.dictionary.to_pylist()), NO_TEXT], object
        )
        codes: np.ndarray = array.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
        found: np.ndarray = texts[codes]
        return found
    if pa.types.is_string(kind):
        return _column(array.dictionary_encode())
    if pa.types.is_timestamp(kind):
        # Without its zone, which is UTC; monitors ask in the unit of the reference.
        found = array.cast(pa.timestamp(kind.unit)).to_numpy(zero_copy_only=False)
        return found.astype(f"datetime64[{kind.unit}]")
    if pa.types.is_integer(kind) and array.null_count:
        array = array.cast(pa.float64())
    # Numbers without a value become NaN, truth values with gaps objects with None.
    values = np.asarray(array.to_numpy(zero_copy_only=False))
    return with_nan(values) if missing is not None and values.dtype == object else values
