"""Rows out of JSON documents and of SageMaker's capture records; their values by slot.

A slot is a column as known while reading: its name, or its position on one side of a record. Only
all rows together tell which columns the positions are.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from driftline.errors import InputError
from driftline.formats.capture_line import CaptureLine, Side, read_record
from driftline.formats.column_names import given_names, position_names
from driftline.formats.json.documents import documents
from driftline.formats.json.ground_truth import read_labels
from driftline.formats.location import Location
from driftline.formats.shapes.cells import rows_of_cells
from driftline.formats.shapes.requests import (
    UNREAD,
    RequestRows,
    is_split,
    is_table,
    split_frame,
)
from driftline.formats.shapes.responses import AnswerRows
from driftline.signature import Signature

PLAIN, OUTPUT, INPUT = "", "output", "input"
# Where Batch Transform puts the model's answer, beside the fields of an input that is an object.
JOINED_OUTPUT = "SageMakerOutput"
SIDES = (PLAIN, OUTPUT, INPUT)

Slot = str | tuple[str, int]
Row = dict[Slot, Any]
# Of a row, as pandas writes it: a number, or a time in milliseconds since 1970.
_INDEX = re.compile(r"-?[0-9]+$")
_Values = Mapping[str, Any] | Sequence[Any]


class RowReader:
    """Finds the rows of documents; those after the first are read like it.

    Accepted are objects; lists of them; ``{"instances": [...]}``; rows as lists; rows as
    ``{"features": [...], …}``; frames of pandas in the orients ``split`` and ``records``; SageMaker
    capture records, of which the output's columns come first, then the input's, in any mix of CSV,
    JSON and BASE64; requests in them as the server reads them. The user's names are those of a
    record's input, and if there is one more, of the ground truth that SageMaker has merged; else
    that has the name of the signature's label.
    """

    def __init__(self, signature: Signature | None, given: Sequence[str] = ()) -> None:
        self._signature = signature
        self._given = tuple(given)
        columns = signature.columns if signature else ()
        self._known = frozenset(column.name for column in columns)
        # Where no output is named, it is the answers that have the label's name.
        labels = columns if signature and signature.outputs else ()
        self._label = next((column.name for column in labels if column.role == "label"), "")
        sent = signature.as_captured() if signature else None
        # Answers of which the reference names nothing are read like the first, too.
        self._answers = AnswerRows(sent) if sent and sent.outputs else None
        self._answer_names = [column.name for column in signature.answers] if signature else []
        # Without inputs that are known, requests are read like the first.
        self._requests = RequestRows(sent) if sent and sent.inputs else None
        self._keys: dict[str, tuple[str, ...]] = {}
        self._width: int | None = None  # Of the input of the first record.

    def rows(self, place: Location, encoding: str) -> Iterator[tuple[int, Row]]:
        """Read a file's rows, each with the line that it stands on."""
        for line, _, rows in self.documents(place, encoding):
            yield from ((line, row) for row in rows)

    def documents(self, place: Location, encoding: str) -> Iterator[tuple[int, Any, list[Row]]]:
        """Read a file's documents, each with the line that it begins on, and its rows."""
        is_capture: bool | None = None
        for line, value in documents(place, encoding):
            if is_capture is None:
                is_capture = isinstance(value, Mapping) and "captureData" in value
            try:
                if is_capture:
                    rows = self._of_record(value)
                else:
                    rows = [_slots((PLAIN, values)) for values in self._rows(value, PLAIN)]
            except InputError as error:
                raise InputError(f"{place.shown}: line {line}: {error}") from error
            yield line, value, rows

    def _ordered(self, side: str, named: Mapping[str, Any]) -> list[Any]:
        """Return named values by position, in the order of the side's first row."""
        keys = self._keys.setdefault(side, tuple(named))
        if named.keys() != set(keys):
            raise InputError(
                f"values named {', '.join(named)[:80] or 'nothing'}, expected "
                f"{', '.join(keys)[:80] or 'nothing'} as in the first row"
            )
        return [named[key] for key in keys]

    def _rows(self, document: Any, side: str) -> list[_Values]:  # noqa: ANN401  # Any JSON.
        """Take the rows out of one document or one side of a capture record."""
        if isinstance(document, Mapping):
            if side == PLAIN and _is_by_index(document):
                raise InputError(UNREAD)
            if side == PLAIN and is_split(document):
                return self._rows(split_frame(document, sys.maxsize), side)
            for key in ("instances", "predictions"):
                if isinstance(document.get(key), list):
                    return [row for entry in document[key] for row in self._rows(entry, side)]
            features = document.get("features")
            rest = {key: value for key, value in document.items() if key != "features"}
            if isinstance(features, Mapping):
                return [{**features, **rest}]
            if isinstance(features, list):
                return [[*features, *self._ordered(side, rest)]]
            return [document]
        if isinstance(document, list):
            if document and all(isinstance(entry, list | Mapping) for entry in document):
                return [row for entry in document for row in self._rows(entry, side)]
            return [document]
        return [[document]]

    def _of_record(self, record: Any) -> list[Row]:  # noqa: ANN401  # Any JSON.
        event: object = "?"
        try:
            if isinstance(record, Mapping) and isinstance(record.get("eventMetadata"), Mapping):
                event = record["eventMetadata"].get("eventId", "?")
            found = read_record(record, needs_time=False)
            outputs, inputs = self._sides(found)
            inputs, given = self._titled(inputs)
            label = given or self._label
            labels = _labels(record, label) if label else []
        except (InputError, ValueError, RecursionError, csv.Error) as error:
            raise InputError(
                f"record {str(event)[:80]} is not readable ({str(error)[:200]})"
            ) from error
        if outputs and inputs and len(outputs) != len(inputs):
            raise InputError(
                f"record {str(event)[:80]} has {len(inputs)} rows of input and {len(outputs)} of "
                "output; expected as many"
            )
        if labels and len(labels) != len(inputs):
            raise InputError(
                f"record {str(event)[:80]} has {len(inputs)} rows of input and {len(labels)} of "
                "ground truth; expected as many"
            )
        count = max(len(outputs), len(inputs))
        nothing = repeat(None, count)
        try:
            rows = [
                self._joined(*pair)
                for pair in zip(outputs or nothing, inputs or nothing, strict=True)
            ]
        except InputError as error:
            raise InputError(f"record {str(event)[:80]}: {error}") from error
        for row, value in zip(rows, labels, strict=False):  # None where there are no labels.
            if label in row:
                raise InputError(
                    f'record {str(event)[:80]} answers a value named "{label}", as its ground '
                    "truth is to be named; expected another name for that"
                )
            row[label] = value
        return rows

    def _sides(self, record: CaptureLine) -> tuple[list[_Values], list[_Values]]:
        """Decode output and input; where names are given, also out of one joined object."""
        joined = _joined_output(record) if self._given else None
        if joined is None:
            return self._side(record.response, OUTPUT), self._side(record.request, INPUT)
        inputs = {key: value for key, value in joined.items() if key != JOINED_OUTPUT}
        return self._answer(joined[JOINED_OUTPUT]), self._rows(inputs, INPUT)

    def _titled(self, inputs: list[_Values]) -> tuple[list[_Values], str]:
        """Name the values of a record's input as the user does, and its label; "" for none."""
        if not inputs or not self._given:
            return inputs, ""
        if self._width is None:
            self._width = len(inputs[0])
        if len(self._given) - self._width not in (0, 1):
            return inputs, ""
        names, label = self._given[: self._width], "".join(self._given[self._width :])
        if wrong := [len(one) for one in inputs if len(one) != self._width]:
            raise InputError(f"{wrong[0]} values of input, expected {self._width} as in the first")
        named: list[_Values] = [
            one if isinstance(one, Mapping) else dict(zip(names, one, strict=True))
            for one in inputs
        ]
        return named, label

    def _side(self, side: Side | None, which: str) -> list[_Values]:
        """Decode one side of a capture record to rows; none when it was not captured.

        The media type tells the format of BASE64; without one, the first character does.
        """
        if side is None:
            return []
        try:
            text = side.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{side.content_type or 'a side'}: bytes that are no text") from error
        encoding, media = side.encoding, side.content_type or ""
        if encoding == "BASE64":
            looks = text.lstrip()[:1] in ("{", "[") and "csv" not in media
            encoding = "JSON" if "json" in media or looks else "CSV"
        if encoding == "CSV":
            lines = csv.reader(io.StringIO(text, newline=""), strict=True)
            rows = [row for row in lines if row]
            return self._headed(rows) if which == INPUT else self._answer_cells(rows)
        try:
            documents = [json.loads(text)]
        except ValueError:
            documents = [json.loads(line) for line in text.split("\n") if line.strip()]
        read = self._request if which == INPUT else self._answer
        return [row for document in documents for row in read(document)]

    def _request(self, document: object) -> list[_Values]:
        """Take the rows out of a request."""
        if self._requests is None:
            self._requests = RequestRows.like(document)
        return [*self._requests.rows(document)]

    def _answer(self, document: object) -> list[_Values]:
        """Take the rows out of an answer, by the names of the reference where it has any."""
        if self._answers is None:
            return self._rows(document, OUTPUT)
        return self._by_name(self._answers.take(document)[0])

    def _answer_cells(self, rows: list[list[str]]) -> list[_Values]:
        """Name the values of an answer in CSV likewise."""
        if self._answers is None:
            return [*rows]
        names = [column.name for column in self._answers.columns]
        return self._by_name(rows_of_cells(rows, names, self._answers))

    def _by_name(self, rows: Iterable[Sequence[Any]]) -> list[_Values]:
        return [dict(zip(self._answer_names, row, strict=True)) for row in rows]

    def _headed(self, rows: list[list[str]]) -> list[_Values]:
        """Name the values of a request in CSV whose first line has the names of all inputs."""
        names = self._requests.names if self._requests is not None else []
        if len(rows) < 2 or not names or not set(names).issubset(rows[0]):
            return [*rows]
        return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]

    def _joined(self, output: _Values | None, given: _Values | None) -> Row:
        """Put both sides into slots: by name where both have names, else by position."""
        answers, inputs = self._named(output, OUTPUT), self._named(given, INPUT)
        if answers is not None and inputs is not None:
            return _slots((OUTPUT, answers), (INPUT, inputs))
        if isinstance(output, Mapping | None) and isinstance(given, Mapping | None):
            return _slots((OUTPUT, output or {}), (INPUT, given or {}))
        left = self._ordered(OUTPUT, output) if isinstance(output, Mapping) else output or ()
        right: _Values = given or ()
        if isinstance(given, Mapping) and not self._given:
            right = self._ordered(INPUT, given)
        return _slots((OUTPUT, left), (INPUT, right))

    def _named(self, side: _Values | None, which: str) -> Mapping[str, Any] | None:
        """Return a side by the names of the reference; None when it does not say them."""
        if side is None:
            return {}
        if self._signature is None:
            return None
        if which == OUTPUT:
            return side if isinstance(side, Mapping) and self._answers is not None else None
        if isinstance(side, Mapping):
            return None if self._known.isdisjoint(side) else side
        names = self._requests.names if self._requests is not None else []
        if not names or len(names) != len(side):
            return None
        return dict(zip(names, side, strict=True))


def _is_by_index(document: Mapping[str, Any]) -> bool:
    """Whether this is a frame of pandas by index: orients ``columns``, ``index``, ``table``."""
    if is_table(document):
        return isinstance(document["schema"], Mapping)
    values = document.values()
    if not document or not all(isinstance(value, Mapping) and value for value in values):
        return False
    return any(all(map(_INDEX.match, keys)) for keys in (document, *values))


def _labels(record: Mapping[str, Any], name: str) -> list[str | None]:
    """Read the ground truth of a record, a value for each row; none where it was not merged."""
    truth = record.get("groundTruthData")
    if not isinstance(truth, Mapping):
        return []
    data = truth.get("data")
    if not isinstance(data, str) or not data.strip():
        return []
    return read_labels(data, truth.get("encoding", "CSV"), name)


def _joined_output(record: CaptureLine) -> Mapping[str, Any] | None:
    """Return the object in which Batch Transform joined input and output; None for others."""
    if record.request is not None or record.response is None:
        return None
    try:
        document = json.loads(record.response.content)
    except ValueError:
        return None  # Not one object: CSV, or a line for each row.
    return document if isinstance(document, dict) and JOINED_OUTPUT in document else None


def _slots(*sides: tuple[str, _Values]) -> Row:
    """Put the values of sides into their slots; names are texts."""
    row: Row = {}
    for side, values in sides:
        if isinstance(values, Mapping):
            row.update(values.items())
        else:
            row |= {(side, index): value for index, value in enumerate(values)}
    return row


def slot_names(
    slots: Sequence[Slot],
    widths: Mapping[str, int],
    signature: Signature | None,
    given: Sequence[str] = (),
    shown: str = "",
) -> dict[Slot, str]:
    """Return the column's name of each slot.

    Positions take the names that other rows have, when those are as many; else the names of
    `position_names`, the output's first. The user's names are those of plain rows.
    """
    named = [slot for slot in slots if isinstance(slot, str)]
    count = sum(widths.values())
    places = [(side, index) for side in SIDES for index in range(widths.get(side, 0))]
    names = named
    # Of a record whose input the user named, the answers' positions are none of those.
    if not named or len(named) != count or (given and set(widths) == {OUTPUT}):
        is_plain = count and set(widths) == {PLAIN}
        names = (
            given_names(given, count, signature, shown)
            if is_plain
            else position_names(count, signature)
        )
    found: dict[Slot, str] = dict(zip(places, names, strict=True))
    # Halves of characters, which no file can hold, become "?".
    whole = {slot: slot.encode("utf-8", "replace").decode() for slot in named}
    result = {slot: whole.get(name, name) for slot, name in found.items()}
    result.update(whole.items())
    return result
