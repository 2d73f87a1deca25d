"""The shapes in which JSON carries answers: predictions and probabilities of each row.

Ours, SageMaker's (``predictions`` of ``score`` and ``predicted_label``), TensorFlow Serving's
(``predictions``; ``outputs`` by column), MLflow's, the Open Inference Protocol's tensors, plain
values and lists, and shapes of users' own apps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, cast

from driftline.classes import class_order
from driftline.formats.body_limits import MAX_ROWS, BodyError, require_rows
from driftline.formats.shapes.requests import (
    NESTED,
    Extra,
    Plan,
    Plans,
    Row,
    fields_of,
    is_split,
    opened,
    picker,
    split_frame,
)
from driftline.formats.shapes.tensors import is_tensors, read_tensors
from driftline.signature import Column, Signature

_MAX_TOLD = 5
# How far probabilities that were rounded on the way may be from adding up to one.
ROUNDED = 0.01
# Names under which servers answer: ours, those of SageMaker's own algorithms, MLServer's.
_PREDICTION_KEYS = ("prediction", "predicted_label", "predicted_value", "predict")
_PROBABILITY_KEYS = ("probability", "probabilities", "score", "scores", "predict_proba")
_ENVELOPES = ("predictions", "outputs", "result", "results")


class _Slot:
    """Stands for a value while it is found out where it goes."""

    def __init__(self, place: int) -> None:
        self.place = place


class AnswerRows:
    """Finds the rows of answers: values in the order of the signature's outputs.

    Outputs are found by name or by role; a single value is the first output. Apps tend to answer
    ``{"late": true}`` for what they predict of "late", so names of the label stand for the
    prediction, too.
    """

    def __init__(self, signature: Signature) -> None:
        self.columns: tuple[Column, ...] = signature.outputs
        self._chances = [column for column in self.columns if column.role == "probability"]
        self._own = [column.name for column in self.columns if column.role == "prediction"]
        self._names = [column.name for column in self.columns]
        labels = [column.name for column in signature.features if column.role == "label"]
        # {"label": 1, "score": 0.7}, unless that is a column of the data, sent back.
        fields = {column.name for column in signature.features}
        usual = ("label",) if self._own and "label" not in fields else ()
        said = (*_PREDICTION_KEYS, *labels, *usual)
        self._said = [key for key in said if key not in self._names]
        self._known = {*self._names, *_PROBABILITY_KEYS, *self._said}
        self._missing = (None,) * (len(self.columns) - 1)
        self._classes = self._known_classes(signature)
        self._class_count = max(len(self._classes), len(self._chances), 2)
        self._plans: Plans[tuple[str, ...]] = Plans(self._plan)

    def take(self, document: object) -> tuple[Sequence[Row], Sequence[Extra]]:
        """Return the rows of one JSON document; there are never extras."""
        return self._quickly(document) or self._carefully(document), ()

    def columns_of(self, document: object) -> Sequence[Sequence[object]] | None:
        """Return a document's columns, where its rows are objects with the same plain fields."""
        entries = self._entries(document)
        return None if entries is None else self._alike(entries)

    def _quickly(self, document: object) -> Sequence[Row] | None:
        """Read lists of values, and of objects of plain values."""
        entries = self._entries(document)
        if entries is None:
            return None
        kinds = set(map(type, entries))
        if kinds == {dict}:
            return self._objects(entries)
        if kinds == {list}:
            is_plain = (
                set(map(len, entries)) == {len(self.columns)} and self.places(entries) is None
            )
            return entries if is_plain else None
        if kinds.isdisjoint((dict, list)):
            return [(value, *self._missing) for value in entries]
        return None

    def _entries(self, document: object) -> list[Any] | None:
        """Take rows out of the usual envelope."""
        entries = document
        if type(document) is dict:
            # A frame of pandas, or what is to be one, is no row.
            if "predictions" in self._known or is_split(document):
                return None
            entries = document.get("predictions", [document])
        if type(entries) is not list or not 0 < len(entries) <= MAX_ROWS:
            return None
        return entries

    def _alike(self, entries: Sequence[Any]) -> Sequence[Sequence[object]] | None:
        """Return the columns of objects with the same fields of plain values."""
        fields = fields_of(entries)
        if fields is None or not NESTED.isdisjoint(map(type, chain.from_iterable(fields))):
            return None
        plan = self._plans[tuple(entries[0])]
        if plan is None:
            return None
        return cast("Sequence[Sequence[object]]", plan.pick([*fields, (None,) * len(entries)]))

    def _objects(self, entries: Sequence[dict[str, object]]) -> Sequence[Row] | None:
        if (columns := self._alike(entries)) is not None:
            return list(zip(*columns, strict=True))
        plans = self._plans
        rows: list[Row] = []
        for entry in entries:
            values = [*entry.values(), None]
            plan = plans[tuple(entry)]
            if plan is None or not NESTED.isdisjoint(map(type, values)):
                return None
            rows.append(plan.pick(values))
        return rows

    def _plan(self, names: tuple[str, ...]) -> Plan | None:
        """Find out where plain values of such an object go, by reading one of numbered slots."""
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
        lists = [entry for entry in entries if isinstance(entry, list)]
        places = self.places(lists) if len(lists) == len(entries) else None
        if places is not None:
            return [[None if at is None else row[at] for at in places] for row in lists]
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
        if is_split(found):
            return split_frame(found)
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
        told = self._prediction_of(found)
        columns = {name: value for name, value in found.items() if name in self._known}
        lists = [value for value in columns.values() if isinstance(value, list)]
        is_nested = all(isinstance(value, list) for values in lists for value in values)
        if not lists or len(lists) < len(columns):
            return found
        if self._own and told is None and not is_nested:
            return found
        if len({len(values) for values in lists}) > 1:
            raise BodyError("columns of different lengths")
        if not self._own and len(lists) < 2 and len(self._chances) < 2:
            # {"score": [0.3, 0.7]}: two rows, or two classes of one? The request's rows tell later.
            return lists[0]
        require_rows(len(lists[0]))
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]

    def may_be_probabilities(self, width: int) -> bool:
        """Whether rows of so many values need a look at them, for they may be of each class one."""
        return bool(self._chances) and (width == self._class_count or 1 < width < len(self.columns))

    def places(self, rows: Sequence[Sequence[object]]) -> Sequence[int | None] | None:
        """Return the indices of the outputs in rows without names; None: in their order.

        Numbers that add up to one in each row are the probabilities of all classes, as
        ``predict_proba`` gives them, in the order of the classes; then no prediction was answered.
        A whole number before a fraction is a prediction and its probability, whatever they add up
        to.
        """
        if len(widths := set(map(len, rows))) != 1 or not self.may_be_probabilities(*widths):
            return None
        (width,) = widths
        if width == self._class_count and all(map(_add_up, rows)):
            is_pair = (
                width == len(self.columns)
                and all(type(row[0]) is int for row in rows)
                and any(type(row[1]) is float for row in rows)
            )
            if is_pair:
                return None
            places = self._places_of_classes(width)
            if (
                width == len(self.columns)
                and places[-1] == 0
                and all(row[0] in (0, 1) for row in rows)
            ):
                # The prediction 1 with a probability of 0 of the class 0 looks just as well so.
                raise BodyError(
                    "two numbers that add up to one, which are a prediction and its probability, "
                    "or two probabilities; answer with names"
                )
            return places
        if width == len(self.columns):
            return None
        expected = "1" if len(self.columns) == 1 else f"1 or {len(self.columns)}"
        raise BodyError(f"{width} values a row; expected {expected}")

    def _places_of_classes(self, width: int) -> Sequence[int | None]:
        places: list[int | None] = []
        for column in self.columns:
            if column not in self._chances:
                places.append(None)
            elif len(self._chances) == width:
                places.append(self._chances.index(column))
            elif (at := self._class_of(column)) is not None:
                places.append(at)
            else:
                raise BodyError(
                    f"{width} numbers a row that add up to one, and which probability is of which "
                    "class is not known; name the classes of prediction and probability in the "
                    "signature"
                )
        return places

    def _known_classes(self, signature: Signature) -> tuple[str, ...]:
        """Return all classes in the order in which models answer them; none where it is unknown.

        Models sort them, and a baseline puts the positive class last: the order is known only where
        both agree.
        """
        for column in (*signature.outputs, *signature.features):
            if column.role in ("prediction", "label") and column.classes:
                return column.classes if class_order(column.classes) == column.classes else ()
        return ()

    def _class_of(self, column: Column) -> int | None:
        """Return which of all classes a probability is of; None where nothing says so."""
        own = column.classes or ()
        return self._classes.index(own[0]) if len(own) == 1 and own[0] in self._classes else None

    def _prediction_of(self, entry: Mapping[str, object]) -> object:
        """Find the prediction: under its own name, a usual one, or that of the truth."""
        return next((entry[key] for key in (*self._own, *self._said) if key in entry), None)

    def _row(self, entry: object) -> Row:
        """Return the outputs of one entry, None for what it lacks."""
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
            is_plain = not isinstance(entry.get(column.name), list | dict)
            if column.name in entry and is_plain:
                row.append(entry[column.name])
            elif column.role == "prediction":
                row.append(told)
            else:
                row.append(self._chance(column, chances))
        return row

    def _chance(self, column: Column, chances: object) -> object:
        """Return a column's share of the answered probabilities.

        A list of another length than there are columns stays whole, and is kept as unfit: which
        number belongs to which column would be a guess.
        """
        if column not in self._chances:
            return None
        at = self._chances.index(column)
        if isinstance(chances, list) and len(chances) == len(self._chances):
            return chances[at]
        if isinstance(chances, list) and len(chances) == len(self._classes):
            place = self._class_of(column)
            return chances if place is None else chances[place]
        if isinstance(chances, dict):
            return next((chances[key] for key in _keys_of(column) if key in chances), None)
        is_alone = len(self._chances) == 1
        return chances if at == 0 and (isinstance(chances, list) or is_alone) else None


def _add_up(row: Sequence[object]) -> bool:
    """Whether all of a row are numbers from 0 to 1 that add up to one."""
    numbers = [value for value in row if isinstance(value, int | float)]
    return (
        len(numbers) == len(row)
        and not any(isinstance(number, bool) for number in numbers)
        and all(0 <= number <= 1 for number in numbers)
        and abs(sum(numbers) - 1) <= ROUNDED
    )


def _keys_of(column: Column) -> list[str]:
    alone = list(column.classes) if column.classes and len(column.classes) == 1 else []
    return [column.name, *alone]
