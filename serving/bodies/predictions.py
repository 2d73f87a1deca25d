"""Predictions to bodies: CSV, JSON, JSON Lines and npy. Runs in the worker process."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson

from driftline.serving.bodies.media_types import BodyForm, NotAcceptableError

Value = str | int | float | bool | None
# Of a forecast or ranking, one for each step or place.
Values = list[Value]
# Other arrays are answered as numpy makes them of their values.
_NPY_TYPES = (np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model said about some rows."""

    predictions: np.ndarray  # One a row: a value, or several.
    # Shape (rows, n): of the positive class (two classes), or of every class in the model's order.
    probabilities: np.ndarray | None = None

    def part(self, start: int, end: int) -> Answer:
        """Return the answer for the rows [start, end)."""
        chances = self.probabilities
        return Answer(self.predictions[start:end], None if chances is None else chances[start:end])


def write_answer(answer: Answer, form: BodyForm) -> bytes:
    """Write an answer as a response's body: a line, an object or an element for each row."""
    if form == "npy":
        return _npy(answer)
    if form == "csv":
        return _csv(answer)
    entries = _entries(answer)
    if form == "json":
        return as_json({"predictions": entries})
    return b"".join(as_json(entry) + b"\n" for entry in entries)


def _npy(answer: Answer) -> bytes:
    found = answer.predictions
    if found.dtype not in _NPY_TYPES:
        found = np.array(found.tolist())
    if found.ndim != 1 or found.dtype.kind not in "biufU":
        raise NotAcceptableError(
            "the model answers lists or nothing for some rows, and an answer in npy has one "
            "prediction a row; accept application/json"
        )
    if answer.probabilities is not None:
        chances = answer.probabilities.astype(np.float64)
        if found.dtype.kind == "U":
            found = np.rec.fromarrays([found, *chances.T])
        else:
            found = np.column_stack([found.astype(np.float64), chances])
    sink = io.BytesIO()
    np.save(sink, np.asarray(found), allow_pickle=False)
    return sink.getvalue()


def class_text(value: Value) -> str:
    """Write a class label as text, the same in CSV answers, signatures and documents."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _csv(answer: Answer) -> bytes:
    predictions: list[Any] = answer.predictions.tolist()
    chances = [] if answer.probabilities is None else answer.probabilities.T.tolist()
    rows = list(zip(predictions, *chances, strict=True))
    if rows and set(map(type, predictions)) <= {int, float, bool}:
        lines = as_json(rows)
        if b"null" not in lines:
            return lines[2:-2].replace(b"],[", b"\n") + b"\n"
    return csv_text([map(_cell, row) for row in rows])


def csv_text(rows: Iterable[Iterable[object]]) -> bytes:
    """Write rows as lines, with quotes only where a text needs them."""
    lines: list[str] = []
    # What ends its own lines by both signs quotes either, and no reader takes one for an end.
    csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n").writerows(rows)
    return "".join([f"{line[:-2]}\n" for line in lines]).encode()


def _cell(value: Value | Values) -> str:
    known = _known(value)
    return as_json(known).decode() if isinstance(known, list) else class_text(known)


def _entries(answer: Answer) -> list[dict[str, object]]:
    predictions, chances = answer.predictions.tolist(), answer.probabilities
    if chances is None:
        return [{"prediction": value} for value in predictions]
    told = (chances[:, 0] if chances.shape[1] == 1 else chances).tolist()
    return [
        {"prediction": value, "probability": chance}
        for value, chance in zip(predictions, told, strict=True)
    ]


def as_json(document: object) -> bytes:
    """Write JSON, with null for NaN and the infinities."""
    try:
        return orjson.dumps(document)
    except TypeError:  # Half of a surrogate pair, or a whole number beyond 64 bits.
        return json.dumps(_known(document), separators=(",", ":")).encode()


def _known(value: Any) -> Any:  # noqa: ANN401 - a document
    """Return a document with None for NaN and the infinities."""
    if isinstance(value, list | tuple):
        return [_known(one) for one in value]
    if isinstance(value, dict):
        return {name: _known(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
