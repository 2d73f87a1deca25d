"""JSON to Arrow: lines or lists of rows, and SageMaker's capture lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.coercion import NULL_TEXTS, text_array
from driftline.baseline.delimited import narrow, position_names
from driftline.baseline.location import Location
from driftline.capture_line import Side, read_record
from driftline.errors import InputError
from driftline.signature import Signature

__all__ = ["read_json_file"]

Row = Mapping[str, Any] | Sequence[Any]


def read_json_file(place: Location, text: str, signature: Signature | None) -> pa.Table:
    """Read JSON rows.

    Understood are one object a line; one list of objects; ``{"instances": [...]}``; rows as lists;
    rows as ``{"features": [...], …}``; SageMaker capture lines, of which the output's columns come
    first, then the input's.

    Raises
    ------
    InputError
        Naming the line that is no JSON, or the record whose sides do not match.
    """
    documents = list(_documents(place, text))
    if documents and isinstance(documents[0], Mapping) and "captureData" in documents[0]:
        return _capture_table(place, documents, signature)
    rows: list[Row] = []
    for document in documents:
        rows.extend(_rows(document))
    if not rows:
        raise InputError(f"{place.shown}: the file holds no rows")
    return _table(place, rows, position_names(_width(rows[0]), signature), signature)


def _documents(place: Location, text: str) -> Iterator[Any]:
    """Give the whole text as one document, or else each line as one."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        yield from whole if isinstance(whole, list) else [whole]
        return
    # Not splitlines: JSON texts may hold other line ends, such as U+2028, as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place.shown}: line {number} is no JSON ({error})") from error


def _rows(document: Any) -> list[Row]:  # noqa: ANN401  # Parsed JSON of any shape.
    """Take the rows out of one document or one side of a capture record."""
    if isinstance(document, Mapping):
        for key in ("instances", "predictions"):
            if isinstance(document.get(key), list):
                return [row for entry in document[key] for row in _rows(entry)]
        features = document.get("features")
        if isinstance(features, Mapping):
            return [{**features, **{k: v for k, v in document.items() if k != "features"}}]
        if isinstance(features, list):
            rest = [value for key, value in document.items() if key != "features"]
            return [[*features, *rest]]
        return [document]
    if isinstance(document, list):
        if document and all(isinstance(entry, list | Mapping) for entry in document):
            return [row for entry in document for row in _rows(entry)]
        return [document]
    return [[document]]


def _capture_table(
    place: Location, documents: Iterable[Any], signature: Signature | None
) -> pa.Table:
    rows: list[Row] = []
    widths = (0, 0)
    for record in documents:
        event = "?"
        try:
            event = record.get("eventMetadata", {}).get("eventId", "?")
            line = read_record(record, needs_time=False)
            outputs, inputs = _side(line.response), _side(line.request)
        except (InputError, LookupError, AttributeError, TypeError, ValueError, csv.Error) as error:
            raise InputError(f"{place.shown}: record {event} is not readable ({error})") from error
        if outputs and inputs and len(outputs) != len(inputs):
            raise InputError(
                f"{place.shown}: record {event} has {len(inputs)} rows of input and "
                f"{len(outputs)} of output; expected as many"
            )
        count = max(len(outputs), len(inputs))
        pairs = zip(outputs or [[]] * count, inputs or [[]] * count, strict=True)
        for output, given in pairs:
            widths = (_width(output), _width(given))
            rows.append(_joined(output, given))
    if not rows:
        raise InputError(f"{place.shown}: the capture file holds no rows")
    return _table(place, rows, _capture_names(*widths, signature), signature)


def _side(side: Side | None) -> list[Row]:
    """Decode one side of a capture record to rows; none when it was not captured."""
    if side is None:
        return []
    text, encoding = side.content.decode("utf-8"), side.encoding
    if encoding == "BASE64":
        encoding = "JSON" if "json" in (side.content_type or "") else "CSV"
    if encoding == "CSV":
        return [row for row in csv.reader(io.StringIO(text.strip())) if row]
    try:
        return _rows(json.loads(text))
    except ValueError:
        return [
            row for line in text.splitlines() if line.strip() for row in _rows(json.loads(line))
        ]


def _joined(output: Row, given: Row) -> Row:
    if isinstance(output, Mapping) and isinstance(given, Mapping):
        return {**output, **given}
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(given, Mapping):
        given = list(given.values())
    return [*output, *given]


def _capture_names(outputs: int, inputs: int, signature: Signature | None) -> list[str]:
    """Name a record's columns, output first; a baseline without outputs has a label instead."""
    if signature is not None and len(signature.inputs) == inputs:
        answers = [column.name for column in signature.outputs]
        labels = [column.name for column in signature.features if column.role == "label"]
        for names in (answers, labels):
            if len(names) == outputs:
                return [*names, *(column.name for column in signature.inputs)]
    return position_names(outputs + inputs, signature)


def _width(row: Row) -> int:
    return len(row)


def _table(
    place: Location, rows: Sequence[Row], names: Sequence[str], signature: Signature | None
) -> pa.Table:
    known = signature.columns if signature is not None else ()
    texts = {column.name for column in known if column.type == "string"}
    if all(isinstance(row, Mapping) for row in rows):
        keys = list(dict.fromkeys(key for row in rows for key in row))
        columns = {str(key): [row.get(key) for row in rows] for key in keys}  # type: ignore[union-attr]  # All are mappings, checked above.
        return pa.table({name: _array(values, name in texts) for name, values in columns.items()})
    lists = [list(row.values()) if isinstance(row, Mapping) else row for row in rows]
    for number, row in enumerate(lists, start=1):
        if len(row) != len(names):
            raise InputError(
                f"{place.shown}: row {number} has {len(row)} values, expected {len(names)} "
                "as in the first row"
            )
    return pa.table(
        {
            name: _array([row[index] for row in lists], name in texts)
            for index, name in enumerate(names)
        }
    )


def _array(values: list[Any], is_text: bool) -> pa.Array:
    """Make a column; text from CSV sides takes the type that all of it has.

    A column that is text in the reference stays text: postal codes keep their zeros.
    """
    if values and all(isinstance(value, str) for value in values):
        texts = text_array(values)
        if is_text:
            return texts
        kind = narrow([pa.record_batch({"x": texts})])["x"]
        if kind == pa.string():
            return texts
        blank = pc.is_in(texts, value_set=pa.array(NULL_TEXTS))
        return pc.if_else(blank, pa.scalar(None, pa.string()), texts).cast(kind)
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError):
        return text_array(
            value if value is None or isinstance(value, str) else json.dumps(value)
            for value in values
        )
