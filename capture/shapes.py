"""The shapes in which JSON carries rows: what model servers take and answer."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from driftline.capture.coerce import as_text
from driftline.signature import Column

__all__ = ["BodyError", "Extra", "Row", "request_rows", "response_rows"]

_MAX_EXTRAS = 64
_MAX_TOLD = 5
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
    found = _opened(document, known)
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


def _opened(document: object, known: Container[str]) -> object:
    """Take the envelope off: an object whose only field is unknown and holds objects or lists.

    SageMaker's is ``instances``, FastAPI's ``embed`` takes the parameter's name, and so on.
    """
    if isinstance(document, dict) and len(document) == 1:
        ((name, inside),) = document.items()
        if name not in known and isinstance(inside, list | dict):
            return inside
    return document


def _is_flat(found: Iterable[object]) -> bool:
    return not any(isinstance(entry, list | dict) for entry in found)


def response_rows(
    document: object, outputs: Sequence[Column], labels: Sequence[str] = ()
) -> list[Row]:
    """Give the rows of an answer: ours, plain values and lists, objects, or columns of lists.

    Parameters
    ----------
    outputs
        What is to be found, by name or by role; an answer of one value is the first of them.
    labels
        Names of the truth. Apps tend to answer ``{"late": true}`` for what they predict of "late".

    Raises
    ------
    BodyError
        When a row holds nothing of it, or does not say which value belongs where.
    """
    fields = _Fields(outputs, labels)
    found = document.get("predictions", document) if isinstance(document, dict) else document
    found = _opened(found, fields.known)
    if isinstance(found, dict):
        found = _as_records(found, fields)
    entries = found if isinstance(found, list) else [found]
    if not entries:
        raise BodyError("no rows")
    rows: list[Row] = []
    for number, entry in enumerate(entries, 1):
        try:
            rows.append(fields.row(entry))
        except BodyError as error:
            raise BodyError(f"row {number} {error}") from None
    return rows


def _as_records(found: dict[str, object], fields: _Fields) -> object:
    """Turn an object of columns (``{"late": [0, 1], "score": [0.2, 0.7]}``) into one of rows."""
    columns = {name: value for name, value in found.items() if name in fields.known}
    lists = [value for value in columns.values() if isinstance(value, list)]
    told = fields.prediction_of(found)
    if not lists or len(lists) < len(columns) or (fields.has_prediction and told is None):
        return found
    if len({len(values) for values in lists}) > 1:
        raise BodyError("columns of different lengths")
    if not fields.has_prediction and len(lists) < 2 and len(fields.places) < 2:
        # {"score": [0.3, 0.7]}: two rows, or two classes of one? The request's rows decide later.
        return lists[0]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


class _Fields:
    """Where the outputs stand in an object that a server answers."""

    def __init__(self, outputs: Sequence[Column], labels: Sequence[str]) -> None:
        self.outputs = outputs
        self.places = [column for column in outputs if column.role == "probability"]
        self.has_prediction = any(column.role == "prediction" for column in outputs)
        self._names = [column.name for column in outputs]
        self._predictions = [key for key in (*_PREDICTION_KEYS, *labels) if key not in self._names]
        self.known = {*self._names, *_PROBABILITY_KEYS, *self._predictions}

    def prediction_of(self, entry: Mapping[str, object]) -> object:
        """Find the prediction: under its own name, a usual one, or that of the truth."""
        own = [column.name for column in self.outputs if column.role == "prediction"]
        return next((entry[key] for key in (*own, *self._predictions) if key in entry), None)

    def row(self, entry: object) -> Row:
        """Give the outputs of one entry, None for what it lacks."""
        if isinstance(entry, dict):
            return self._by_name(entry)
        values = entry if isinstance(entry, list) else [entry]
        if not 0 < len(values) <= len(self.outputs):
            raise BodyError(f"has {len(values)} values; expected {len(self.outputs)}")
        return [*values, *[None] * (len(self.outputs) - len(values))]

    def _by_name(self, entry: dict[str, object]) -> Row:
        if self.known.isdisjoint(entry):
            if len(entry) == len(self.outputs) == 1:
                return list(entry.values())
            expected = ", ".join(self._names[:_MAX_TOLD])
            raise BodyError(f"has none of the signature's outputs ({expected})")
        told = self.prediction_of(entry)
        chances = next((entry[key] for key in _PROBABILITY_KEYS if key in entry), None)
        row: list[object] = []
        for column in self.outputs:
            if column.name in entry and not isinstance(entry[column.name], list | dict):
                row.append(entry[column.name])
            elif column.role == "prediction":
                row.append(told)
            else:
                row.append(self._chance(column, chances))
        return row

    def _chance(self, column: Column, chances: object) -> object:
        """Give a column's share of what was answered as probabilities.

        A list of another length than there are columns stays whole, and so is kept as what does
        not fit: which of two numbers is the one asked for would be a guess.
        """
        at = self.places.index(column) if column in self.places else None
        if at is None:
            return None
        if isinstance(chances, list) and len(chances) == len(self.places):
            return chances[at]
        if isinstance(chances, dict):
            return next((chances[key] for key in _keys_of(column) if key in chances), None)
        return chances if at == 0 and (isinstance(chances, list) or len(self.places) == 1) else None


def _keys_of(column: Column) -> list[str]:
    alone = list(column.classes) if column.classes and len(column.classes) == 1 else []
    return [column.name, *alone]
