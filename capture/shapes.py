"""The shapes in which JSON carries rows: what model servers take and answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from driftline.capture.coerce import as_text
from driftline.signature import Column

__all__ = ["BodyError", "Extra", "Row", "request_rows", "response_rows"]

_MAX_EXTRAS = 64
# Names under which servers answer: ours, then those of SageMaker's own algorithms.
_PREDICTION_KEYS = ("prediction", "predicted_label", "predicted_value")
_PROBABILITY_KEYS = ("probability", "probabilities", "score", "scores")

Extra = tuple[int, str, str]
Row = Sequence[object]


class BodyError(ValueError):
    """A body cannot be read; the message is what the table keeps of it."""


def request_rows(
    document: object, names: Sequence[str], known: set[str]
) -> tuple[list[Row], list[Extra]]:
    """Give the rows of one JSON document in any of the shapes that servers take."""
    found = document
    if isinstance(document, dict):
        for key in ("instances", "features", "inputs"):
            if len(document) == 1 and key in document and key not in known:
                found = document[key]
    if isinstance(found, dict) or (found and isinstance(found, list) and _is_flat(found)):
        found = [found]
    if not isinstance(found, list) or not found:
        raise BodyError("no rows; expected an object, a list of rows, or {“instances”: [rows]}")
    rows: list[Row] = []
    extras: list[Extra] = []
    for number, entry in enumerate(found):
        row = entry
        if isinstance(entry, dict) and entry.keys() == {"features"} and "features" not in known:
            row = entry["features"]
        if isinstance(row, dict):
            if len(row) and known.isdisjoint(row):
                raise BodyError(f"row {number + 1} has none of the signature's fields")
            others = [name for name in row if name not in known][:_MAX_EXTRAS]
            extras += [(number, as_text(name), as_text(row[name])) for name in others]
            rows.append([row.get(name) for name in names])
        elif isinstance(row, list) and len(row) == len(names):
            rows.append(row)
        elif isinstance(row, list):
            raise BodyError(f"row {number + 1} has {len(row)} values; expected {len(names)}")
        else:
            raise BodyError(f"row {number + 1} is neither a list nor an object")
    return rows, extras


def _is_flat(found: Iterable[object]) -> bool:
    return not any(isinstance(entry, list | dict) for entry in found)


def response_rows(document: object, outputs: Sequence[Column]) -> list[Row]:
    """Give the rows of an answer: ours, plain lists, or those of SageMaker's own algorithms."""
    found = document.get("predictions", document) if isinstance(document, dict) else document
    entries = found if isinstance(found, list) else [found]
    if not entries:
        raise BodyError("no rows")
    rows: list[Row] = []
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, dict):
            rows.append(_output_row(entry, outputs))
        else:
            values = entry if isinstance(entry, list) else [entry]
            if not 0 < len(values) <= len(outputs):
                raise BodyError(f"row {number} has {len(values)} values; expected {len(outputs)}")
            rows.append([*values, *[None] * (len(outputs) - len(values))])
    return rows


def _output_row(entry: dict[str, object], outputs: Sequence[Column]) -> Row:
    """Pick each output by its name or by its role."""
    chances = next((entry[key] for key in _PROBABILITY_KEYS if key in entry), None)
    label = next((entry[key] for key in _PREDICTION_KEYS if key in entry), None)
    places = [column for column in outputs if column.role == "probability"]
    row: list[object] = []
    for column in outputs:
        if column.name in entry and not isinstance(entry[column.name], list | dict):
            row.append(entry[column.name])
        elif column.role == "prediction":
            row.append(label)
        elif isinstance(chances, list):
            at = places.index(column) if column in places else len(chances)
            row.append(chances[at] if at < len(chances) else None)
        elif isinstance(chances, dict):
            row.append(next((chances[key] for key in _keys_of(column) if key in chances), None))
        else:
            row.append(chances if column in places and len(places) == 1 else None)
    return row


def _keys_of(column: Column) -> list[str]:
    alone = list(column.classes) if column.classes and len(column.classes) == 1 else []
    return [column.name, *alone]
