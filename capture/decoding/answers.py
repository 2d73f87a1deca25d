"""The shapes in which JSON carries answers: predictions and probabilities of each row.

Ours, SageMaker's (``predictions`` of ``score`` and ``predicted_label``), TensorFlow Serving's
(``predictions``; ``outputs`` by column), MLflow's, the Open Inference Protocol's tensors, plain
values and lists, and what apps of one's own answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftline.capture.decoding.bounds import MAX_ROWS, BodyError, require_rows
from driftline.capture.decoding.shapes import Extra, Plan, Plans, Row, opened, picker
from driftline.capture.decoding.tensors import is_tensors, read_tensors
from driftline.signature import Column, Signature

__all__ = ["AnswerRows"]

_MAX_TOLD = 5
# Names under which servers answer: ours, those of SageMaker's own algorithms, MLServer's.
_PREDICTION_KEYS = ("prediction", "predicted_label", "predicted_value", "predict")
_PROBABILITY_KEYS = ("probability", "probabilities", "score", "scores", "predict_proba")
_ENVELOPES = ("predictions", "outputs", "result", "results")
_Key = tuple[tuple[str, ...], tuple[type, ...]]


class _Slot:
    """Stands for a value while it is found out where it goes."""

    def __init__(self, place: int) -> None:
        self.place = place


class AnswerRows:
    """Finds the rows of answers: values in the order of the signature's outputs.

    What is to be found is known by name or by role; an answer of one value is the first of them.
    Apps tend to answer ``{"late": true}`` for what they predict of "late", so names of the truth
    stand for the prediction, too.
    """

    def __init__(self, signature: Signature) -> None:
        self.columns: tuple[Column, ...] = signature.outputs
        self._chances = [column for column in self.columns if column.role == "probability"]
        self._own = [column.name for column in self.columns if column.role == "prediction"]
        self._names = [column.name for column in self.columns]
        labels = [column.name for column in signature.features if column.role == "label"]
        self._said = [key for key in (*_PREDICTION_KEYS, *labels) if key not in self._names]
        self._known = {*self._names, *_PROBABILITY_KEYS, *self._said}
        self._missing = (None,) * (len(self.columns) - 1)
        self._plans: Plans[_Key] = Plans(self._plan)

    def take(self, document: object) -> tuple[Sequence[Row], Sequence[Extra]]:
        """Give the rows of one JSON document; there are never extras.

        Raises
        ------
        BodyError
            When a row holds nothing of it, or does not say which value belongs where.
        """
        return self._quickly(document) or self._carefully(document), ()

    def _quickly(self, document: object) -> Sequence[Row] | None:
        """Read lists of values, and of objects of plain values."""
        entries = document
        if type(document) is dict:
            if "predictions" in self._known:
                return None
            entries = document.get("predictions", [document])
        if type(entries) is not list or not 0 < len(entries) <= MAX_ROWS:
            return None
        kinds = set(map(type, entries))
        if kinds == {dict}:
            return self._objects(entries)
        if kinds == {list}:
            return entries if set(map(len, entries)) == {len(self.columns)} else None
        if kinds.isdisjoint((dict, list)):
            return [(value, *self._missing) for value in entries]
        return None

    def _objects(self, entries: Sequence[Mapping[str, object]]) -> Sequence[Row] | None:
        rows: list[Row] = []
        plans = self._plans
        for entry in entries:
            values = [*entry.values(), None]
            plan = plans[tuple(entry), tuple(map(type, values))]
            if plan is None:
                return None
            rows.append(plan.pick(values))
        return rows

    def _plan(self, key: _Key) -> Plan | None:
        """Find out where the values of such an object go, by reading one of numbered slots."""
        names, kinds = key
        if list in kinds or dict in kinds:
            return None
        slots = {name: _Slot(at) for at, name in enumerate(names)}
        try:
            row = self._row(slots)
        except BodyError:
            return None
        return Plan(picker([slot.place if isinstance(slot, _Slot) else len(names) for slot in row]))

    def _carefully(self, document: object) -> Sequence[Row]:
        found = self._framed(document)
        if isinstance(found, dict):
            found = self._as_records(found)
        entries = found if isinstance(found, list) else [found]
        require_rows(len(entries))
        rows: list[Row] = []
        for number, entry in enumerate(entries, 1):
            try:
                rows.append(self._row(entry))
            except BodyError as error:
                raise BodyError(f"row {number} {error}") from None
        return rows

    def _framed(self, document: object) -> object:
        """Take the answer out of what stands around it: envelopes, tensors."""
        found = document
        if isinstance(document, dict) and "predictions" not in self._known:
            found = document.get("predictions", document)
        found = opened(found, self._known, _ENVELOPES)
        if not is_tensors(found):
            return found
        assert isinstance(found, list), "is_tensors says so"
        tensors = read_tensors(found, 1)
        if len(tensors) == 1 and tensors[0].name not in self._known:
            return tensors[0].rows
        return {
            tensor.name: [row[0] if len(row) == 1 else row for row in tensor.rows]
            for tensor in tensors
        }

    def _as_records(self, found: dict[str, object]) -> object:
        """Turn an object of columns (``{"late": [0, 1], "p": [0.2, 0.7]}``) into rows."""
        columns = {name: value for name, value in found.items() if name in self._known}
        lists = [value for value in columns.values() if isinstance(value, list)]
        told = self._prediction_of(found)
        if not lists or len(lists) < len(columns) or (self._own and told is None):
            return found
        if len({len(values) for values in lists}) > 1:
            raise BodyError("columns of different lengths")
        if not self._own and len(lists) < 2 and len(self._chances) < 2:
            # {"score": [0.3, 0.7]}: two rows, or two classes of one? The request's rows tell later.
            return lists[0]
        require_rows(len(lists[0]))
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]

    def _prediction_of(self, entry: Mapping[str, object]) -> object:
        """Find the prediction: under its own name, a usual one, or that of the truth."""
        return next((entry[key] for key in (*self._own, *self._said) if key in entry), None)

    def _row(self, entry: object) -> Row:
        """Give the outputs of one entry, None for what it lacks."""
        if isinstance(entry, dict):
            return self._by_name(entry)
        values = entry if isinstance(entry, list) else [entry]
        if not 0 < len(values) <= len(self.columns):
            raise BodyError(f"has {len(values)} values; expected {len(self.columns)}")
        return [*values, *[None] * (len(self.columns) - len(values))]

    def _by_name(self, entry: dict[str, object]) -> Row:
        if self._known.isdisjoint(entry):
            if len(entry) == len(self.columns) == 1:
                return list(entry.values())
            expected = ", ".join(self._names[:_MAX_TOLD])
            raise BodyError(f"has none of the signature's outputs ({expected})")
        told = self._prediction_of(entry)
        chances = next((entry[key] for key in _PROBABILITY_KEYS if key in entry), None)
        row: list[object] = []
        for column in self.columns:
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
        if column not in self._chances:
            return None
        at = self._chances.index(column)
        if isinstance(chances, list) and len(chances) == len(self._chances):
            return chances[at]
        if isinstance(chances, dict):
            return next((chances[key] for key in _keys_of(column) if key in chances), None)
        is_alone = len(self._chances) == 1
        return chances if at == 0 and (isinstance(chances, list) or is_alone) else None


def _keys_of(column: Column) -> list[str]:
    alone = list(column.classes) if column.classes and len(column.classes) == 1 else []
    return [column.name, *alone]
