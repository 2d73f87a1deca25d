"""Predictions to bodies: CSV, JSON and JSON Lines. Runs in the worker process."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from driftline.formats.media_types import TextFormat

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about some rows."""

    predictions: Sequence[Value]  # One a row.
    # One list a row: of the positive class (two classes), or of every class in the model's order.
    probabilities: Sequence[Sequence[float]] | None = None

    def part(self, start: int, end: int) -> Answer:
        """Return the answer for the rows [start, end)."""
        chances = self.probabilities
        return Answer(self.predictions[start:end], None if chances is None else chances[start:end])


def write_answer(answer: Answer, form: TextFormat) -> bytes:
    """Write an answer as the body of a response.

    CSV has one line a row, ``prediction[,probability…]``. JSON has
    ``{"predictions": [{"prediction": …, "probability": …}]}``, JSON Lines the inner objects, one
    a line; ``probability`` is a number for two classes and a list of numbers for more. A number
    that is not finite is empty in CSV and null in JSON.
    """
    if form == "csv":
        return _csv(answer)
    entries = _entries(answer)
    if form == "json":
        return json.dumps({"predictions": entries}, ensure_ascii=False).encode()
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()


def class_text(value: Value) -> str:
    """Write a class label as text, the same in CSV answers, signatures and documents."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _csv(answer: Answer) -> bytes:
    out = io.StringIO(newline="")
    # Quotes only where a text needs them, so that a line of numbers is a line of numbers.
    writer = csv.writer(out, lineterminator="\n")
    if answer.probabilities is None:
        writer.writerows([class_text(_finite(value))] for value in answer.predictions)
    else:
        writer.writerows(
            [class_text(_finite(value)), *map(_finite, chances)]
            for value, chances in zip(answer.predictions, answer.probabilities, strict=True)
        )
    return out.getvalue().encode()


def _entries(answer: Answer) -> list[dict[str, object]]:
    if answer.probabilities is None:
        return [{"prediction": _finite(value)} for value in answer.predictions]
    return [
        {
            "prediction": _finite(value),
            "probability": _finite(chances[0])
            if len(chances) == 1
            else list(map(_finite, chances)),
        }
        for value, chances in zip(answer.predictions, answer.probabilities, strict=True)
    ]


def _finite(value: Value) -> Value:
    """Return no value for NaN and the infinities: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
