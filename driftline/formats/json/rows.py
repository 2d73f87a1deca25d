"""Rows out of JSON documents and of SageMaker's capture records; their values by slot.

A slot is what is known of a value's column while it is read: its name, or its position on one side
of a record. Which columns the positions are is clear when all rows were seen.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from driftline.errors import InputError
from driftline.formats.capture_line import Side, read_record
from driftline.formats.csv.files import position_names
from driftline.formats.json.documents import Document, documents
from driftline.formats.location import Location
from driftline.signature import Signature

PLAIN, OUTPUT, INPUT = "", "output", "input"
SIDES = (PLAIN, OUTPUT, INPUT)

Slot = str | tuple[str, int]
Row = dict[Slot, Any]
_Values = Mapping[str, Any] | Sequence[Any]


class KeyOrder:
    """Named values as positions: in the order of the first row, whatever that of another is."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[str, ...]] = {}

    def values(self, side: str, named: Mapping[str, Any]) -> list[Any]:
        """Give the values of a side's row.

        Raises
        ------
        InputError
            When they have other names than the first row's.
        """
        keys = self._keys.setdefault(side, tuple(named))
        if named.keys() != set(keys):
            raise InputError(
                f"values named {', '.join(named)[:80] or 'nothing'}, expected "
                f"{', '.join(keys)[:80] or 'nothing'} as in the first row"
            )
        return [named[key] for key in keys]


def rows_of(
    place: Location, encoding: str, signature: Signature | None, order: KeyOrder
) -> Iterator[tuple[int, Row]]:
    """Read a file's rows, each with the line that it stands on.

    Understood are objects; lists of them; ``{"instances": [...]}``; rows as lists; rows as
    ``{"features": [...], …}``; SageMaker capture records, of which the output's columns come first,
    then the input's, in any mix of CSV, JSON and BASE64.

    Raises
    ------
    InputError
        Naming the line that is no JSON, or the record that cannot be read.
    """
    is_capture: bool | None = None
    known = frozenset(column.name for column in signature.columns) if signature else frozenset()
    for document in documents(place, encoding):
        line, value = document
        if is_capture is None:
            is_capture = isinstance(value, Mapping) and "captureData" in value
        if is_capture:
            for row in _record_rows(place, document, known, signature, order):
                yield line, row
        else:
            try:
                found = _rows(value, PLAIN, order)
            except InputError as error:
                raise InputError(f"{place.shown}: line {line}: {error}") from error
            for values in found:
                yield line, _slots((PLAIN, values))


def record_ids(
    place: Location, encoding: str, signature: Signature | None
) -> Iterator[tuple[str, int]]:
    """Give for each row of a file of capture records its event id, and its place in the record.

    Raises
    ------
    InputError
        As `rows_of`.
    """
    order = KeyOrder()
    known = frozenset(column.name for column in signature.columns) if signature else frozenset()
    for document in documents(place, encoding):
        rows = _record_rows(place, document, known, signature, order)
        for index, _ in enumerate(rows):
            yield str(document[1]["eventMetadata"]["eventId"]), index


def _slots(*sides: tuple[str, _Values]) -> Row:
    """Put the values of sides into their slots; names are texts."""
    row: Row = {}
    for side, values in sides:
        if isinstance(values, Mapping):
            row.update(values.items())
        else:
            row |= {(side, index): value for index, value in enumerate(values)}
    return row


def _rows(
    document: Any,  # noqa: ANN401  # Parsed JSON of any shape.
    side: str,
    order: KeyOrder,
) -> list[_Values]:
    """Take the rows out of one document or one side of a capture record."""
    if isinstance(document, Mapping):
        for key in ("instances", "predictions"):
            if isinstance(document.get(key), list):
                return [row for entry in document[key] for row in _rows(entry, side, order)]
        features = document.get("features")
        if isinstance(features, Mapping):
            return [{**features, **{k: v for k, v in document.items() if k != "features"}}]
        if isinstance(features, list):
            rest = {key: value for key, value in document.items() if key != "features"}
            return [[*features, *order.values(side, rest)]]
        return [document]
    if isinstance(document, list):
        if document and all(isinstance(entry, list | Mapping) for entry in document):
            return [row for entry in document for row in _rows(entry, side, order)]
        return [document]
    return [[document]]


def _record_rows(
    place: Location,
    document: Document,
    known: frozenset[str],
    signature: Signature | None,
    order: KeyOrder,
) -> Iterator[Row]:
    line, record = document
    event: object = "?"
    try:
        if isinstance(record, Mapping) and isinstance(record.get("eventMetadata"), Mapping):
            event = record["eventMetadata"].get("eventId", "?")
        found = read_record(record, needs_time=False)
        outputs = _side(found.response, OUTPUT, order)
        inputs = _side(found.request, INPUT, order)
    except (InputError, ValueError, RecursionError, csv.Error) as error:
        raise InputError(
            f"{place.shown}: line {line}: record {str(event)[:80]} is not readable "
            f"({str(error)[:200]})"
        ) from error
    if outputs and inputs and len(outputs) != len(inputs):
        raise InputError(
            f"{place.shown}: line {line}: record {str(event)[:80]} has {len(inputs)} rows of input "
            f"and {len(outputs)} of output; expected as many"
        )
    for index in range(max(len(outputs), len(inputs))):
        output, given = outputs[index] if outputs else None, inputs[index] if inputs else None
        try:
            row = _joined(output, given, known, signature, order)
        except InputError as error:
            raise InputError(
                f"{place.shown}: line {line}: record {str(event)[:80]}: {error}"
            ) from error
        yield row


def _side(side: Side | None, which: str, order: KeyOrder) -> list[_Values]:
    """Decode one side of a capture record to rows; none when it was not captured.

    Of BASE64 the media type says what it is; where it does not, the first sign.
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
        return [row for row in csv.reader(io.StringIO(text.strip())) if row]
    try:
        return _rows(json.loads(text), which, order)
    except ValueError:
        lines = (line for line in text.split("\n") if line.strip())
        return [row for line in lines for row in _rows(json.loads(line), which, order)]


def _joined(
    output: _Values | None,
    given: _Values | None,
    known: frozenset[str],
    signature: Signature | None,
    order: KeyOrder,
) -> Row:
    """Put both sides into slots: by name where both have names, else by position."""
    answers, inputs = (
        _named(output, known, signature, OUTPUT),
        _named(given, known, signature, INPUT),
    )
    if answers is not None and inputs is not None:
        return _slots((OUTPUT, answers), (INPUT, inputs))
    if isinstance(output, Mapping | None) and isinstance(given, Mapping | None):
        return _slots((OUTPUT, output or {}), (INPUT, given or {}))
    left = order.values(OUTPUT, output) if isinstance(output, Mapping) else output or ()
    right = order.values(INPUT, given) if isinstance(given, Mapping) else given or ()
    return _slots((OUTPUT, left), (INPUT, right))


def _named(
    side: _Values | None, known: frozenset[str], signature: Signature | None, which: str
) -> Mapping[str, Any] | None:
    """Give a side by the names of the reference; None when it does not say them."""
    if side is None:
        return {}
    if signature is None:
        return None
    if isinstance(side, Mapping):
        return side if known.issuperset(side) else None
    if which == INPUT:
        candidates = [signature.inputs]
    else:
        labels = tuple(column for column in signature.features if column.role == "label")
        candidates = [signature.outputs, labels]
    for columns in candidates:
        if columns and len(columns) == len(side):
            return {column.name: value for column, value in zip(columns, side, strict=True)}
    return None


def slot_names(
    slots: Sequence[Slot], widths: Mapping[str, int], signature: Signature | None
) -> dict[Slot, str]:
    """Name the column of each slot.

    Positions take the names that other rows have, when those are as many; else they are named as
    `position_names` does, the output's first.

    Parameters
    ----------
    slots
        All that were seen, in the order in which they were.
    widths
        How many positions each side has.
    """
    named = [slot for slot in slots if isinstance(slot, str)]
    count = sum(widths.values())
    places = [(side, index) for side in SIDES for index in range(widths.get(side, 0))]
    names = named if named and len(named) == count else position_names(count, signature)
    found: dict[Slot, str] = dict(zip(places, names, strict=True))
    # Halves of characters, which no file can hold, become "?".
    whole = {slot: slot.encode("utf-8", "replace").decode() for slot in named}
    result = {slot: whole.get(name, name) for slot, name in found.items()}
    result.update(whole.items())
    return result
