"""Predictions to bodies: CSV, JSON, JSON Lines and npy. Runs in the worker process."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from driftline.serving.bodies.media_types import BodyForm, NotAcceptableError

Value = str | int | float | bool | None
# Of a forecast or ranking, one for each step or place.
Values = list[Value]

_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about some rows."""

    predictions: Sequence[Value | Values]  # One a row.
    # One list a row: of the positive class (two classes), or of every class in the model's order.
    probabilities: Sequence[Sequence[float]] | None = None

    def part(self, start: int, end: int) -> Answer:
        """Return the answer for the rows [start, end)."""
        chances = self.probabilities
        return Answer(self.predictions[start:end], None if chances is None else chances[start:end])


def write_answer(answer: Answer, form: BodyForm) -> bytes:
    """Write an answer as the body of a response.

    CSV has one line a row, ``prediction[,probability…]``. JSON has
    ``{"predictions": [{"prediction": …, "probability": …}]}``, JSON Lines the inner objects, one
    a line; ``probability`` is a number for two classes and a list of numbers for more. A number
    that is not finite is empty in CSV and null in JSON. A list is its JSON text in CSV.

    npy has the columns of CSV: an array of shape (rows,) without probabilities, (rows, columns) of
    numbers, or of structures where the prediction is a text.
    """
    if form == "npy":
        return _npy(answer)
    if form == "csv":
        return _csv(answer)
    if form == "json" and (text := _plain_object(answer)) is not None:
        return text
    entries = _entries(answer)
    if form == "json":
        return _as_json({"predictions": entries}).encode()
    return "".join(_as_json(entry) + "\n" for entry in entries).encode()


def _npy(answer: Answer) -> bytes:
    found = np.array(answer.predictions)
    if found.ndim != 1 or found.dtype.kind not in "biufU":
        raise NotAcceptableError(
            "the model answers lists or nothing for some rows, and an answer in npy has one "
            "prediction a row; accept application/json"
        )
    if answer.probabilities is not None:
        chances = np.array(answer.probabilities, dtype=np.float64)
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
    if len(answer.predictions) == 1 and (line := _plain_line(answer)) is not None:
        return line
    out = io.StringIO(newline="")
    # Quotes only where a text needs them, so that a line of numbers is a line of numbers.
    writer = csv.writer(out, lineterminator="\n")
    if answer.probabilities is None:
        writer.writerows([_cell(value)] for value in answer.predictions)
    else:
        writer.writerows(
            [_cell(value), *map(_finite, chances)]
            for value, chances in zip(answer.predictions, answer.probabilities, strict=True)
        )
    return out.getvalue().encode()


def _plain_line(answer: Answer) -> bytes | None:
    """Write the line of one row of finite numbers as csv does; None for others."""
    values = _plain_values(answer)
    return None if values is None else (",".join(map(str, values)) + "\n").encode()


def _plain_object(answer: Answer) -> bytes | None:
    """Write one row of a finite number or two as json does; None for others."""
    values = _plain_values(answer) if len(answer.predictions) == 1 else None
    if values is None or len(values) > 2:
        return None
    names = ("prediction", "probability")
    fields = ", ".join([f'"{name}": {value!r}' for name, value in zip(names, values, strict=False)])
    return f'{{"predictions": [{{{fields}}}]}}'.encode()


def _plain_values(answer: Answer) -> Sequence[Any] | None:
    """Return all values of the first row if they are finite numbers."""
    values: Sequence[Any] = answer.predictions[:1]
    if answer.probabilities is not None:
        values = [*values, *answer.probabilities[0]]
    for value in values:
        if type(value) is not int and (type(value) is not float or not math.isfinite(value)):
            return None
    return values


def _entries(answer: Answer) -> list[dict[str, object]]:
    if answer.probabilities is None:
        return [{"prediction": _known(value)} for value in answer.predictions]
    return [
        {
            "prediction": _known(value),
            "probability": _finite(chances[0])
            if len(chances) == 1
            else list(map(_finite, chances)),
        }
        for value, chances in zip(answer.predictions, answer.probabilities, strict=True)
    ]


def _cell(value: Value | Values) -> str:
    known = _known(value)
    return _as_json(known) if isinstance(known, list) else class_text(known)


def _known(value: Value | Values) -> Value | Values:
    """Return a value, or those of a list, without what is no number."""
    return [_finite(one) for one in value] if isinstance(value, list) else _finite(value)


def _finite(value: Value) -> Value:
    """Return no value for NaN and the infinities: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
