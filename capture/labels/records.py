"""Ground truth written as JSON: SageMaker's records, and plain objects with id and label.

A record of SageMaker names a request and has the labels of all its rows in one text: CSV (joined by
commas or line ends), JSON (a value, a list, an object or a list of objects), or either in base64.
A plain object has ``id`` (or ``inference_id``, ``event_id``), ``label``, and perhaps ``row_index``.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.capture.labels.labels import LABEL_SCHEMA
from driftline.errors import InputError
from driftline.formats.cells import as_text
from driftline.formats.json.parsing import fault_of

# Of SageMaker's two ids the caller's own comes first, as in its join (docs/labels.md).
ID_NAMES = ("id", "inference_id", "event_id")
MAX_ROW_INDEX = 999_999_999

Text = str | None


@dataclass(frozen=True, slots=True)
class LabelNames:
    """Names of the columns, or fields, that hold ids, labels and row indices.

    ``id`` None: the first of ``id``, ``inference_id`` and ``event_id`` that is filled.
    """

    id: str | None = None
    label: str = "label"
    row_index: str = "row_index"

    def __post_init__(self) -> None:
        named = [*self.ids, self.label, self.row_index]
        if twice := [name for name in named if named.count(name) > 1]:
            raise InputError(
                f'labels: "{twice[0]}" is named for two of id, label and row index; expected a '
                "column for each"
            )

    @property
    def ids(self) -> tuple[str, ...]:
        """Where an id may stand, the best place first."""
        return ID_NAMES if self.id is None else (self.id,)


class _RecordError(Exception):
    """What is wrong with one record, without its place."""


def label_table(records: Sequence[Any], names: LabelNames, places: Sequence[str]) -> pa.Table:
    """Return the labels of JSON records, one row a label, in the schema of labels."""
    parsed: dict[tuple[str, str], list[Text]] = {}
    keys: list[str] = []
    groups: list[list[Text]] = []
    firsts: list[int] = []
    for place, record in zip(places, records, strict=True):
        try:
            key, group, first = _read(record, names, parsed)
        except _RecordError as error:
            raise InputError(f"{place}: {error}") from None
        keys.append(key)
        groups.append(group)
        firsts.append(first)
    counts = np.array([len(group) for group in groups], np.int64)
    start = np.repeat(np.cumsum(counts) - counts - np.array(firsts, np.int64), counts)
    return pa.Table.from_arrays(
        [
            pa.array(keys, pa.string()).take(pa.array(np.repeat(np.arange(len(keys)), counts))),
            pa.array(np.arange(counts.sum()) - start, pa.int32()),
            pa.array(list(chain.from_iterable(groups)), pa.string()),
        ],
        schema=LABEL_SCHEMA,
    )


def _read(
    record: object, names: LabelNames, parsed: dict[tuple[str, str], list[Text]]
) -> tuple[str, list[Text], int]:
    """Return id, labels and the first one's row index of a record of either form."""
    if not isinstance(record, Mapping):
        raise _RecordError("expected an object")
    if "groundTruthData" in record or "eventMetadata" in record:
        return *_of_sagemaker(record, names.label, parsed), 0
    return _of_plain(record, names)


def _of_plain(record: Mapping[str, Any], names: LabelNames) -> tuple[str, list[Text], int]:
    """Return id, labels and the first one's row index of a plain object."""
    key = next((record[name] for name in names.ids if record.get(name) not in (None, "")), None)
    if key is None or names.label not in record:
        raise _RecordError(
            f"no {' or '.join(names.ids) if key is None else names.label}; expected "
            f'{{"{names.ids[0]}": …, "{names.label}": …}} or a record with groundTruthData'
        )
    label, first = record[names.label], record.get(names.row_index)
    if first is None:
        first = 0
    if type(first) is not int or not 0 <= first <= MAX_ROW_INDEX:
        raise _RecordError(f"{names.row_index} {_shown(first)}; expected a whole number from 0")
    values = label if isinstance(label, list) else [label]
    # In a list of labels, one for each row, a list is the label of one row: of its forecast.
    texts = [as_text(value) if isinstance(value, list) else _text(value) for value in values]
    return _key(key), texts, first


def _of_sagemaker(
    record: Mapping[str, Any], name: str, parsed: dict[tuple[str, str], list[Text]]
) -> tuple[str, list[Text]]:
    """Return id and labels of a record; each distinct text is read once."""
    truth, event = record.get("groundTruthData"), record.get("eventMetadata")
    if not isinstance(truth, Mapping) or "data" not in truth:
        raise _RecordError(
            'no groundTruthData.data; expected {"groundTruthData": {"data": "1", "encoding": '
            '"CSV"}, "eventMetadata": {"eventId": "…"}, "eventVersion": "0"}'
        )
    event = event if isinstance(event, Mapping) else {}
    key = event.get("eventId") or event.get("inferenceId")
    if key is None or key == "":
        raise _RecordError("no eventMetadata.eventId; expected the request's id")
    data, encoding = truth["data"], truth.get("encoding", "CSV")
    if not isinstance(data, str):
        data, encoding = json.dumps(data), "JSON"
    data = as_text(data)
    if not isinstance(encoding, str) or encoding not in _READERS:
        raise _RecordError(f"encoding {_shown(encoding)}; expected CSV, JSON or BASE64")
    labels = parsed.get((encoding, data))
    if labels is None:
        labels = parsed[encoding, data] = _READERS[encoding](data, name)
    return _key(key), labels


def _csv_labels(data: str, _name: str) -> list[Text]:
    """Read labels joined by line ends, or else by commas."""
    if not any(sign in data for sign in ',"\r\n'):
        return [data.strip()]
    try:
        rows = list(csv.reader(io.StringIO(data.strip("\r\n"), newline=""), strict=True))
    except csv.Error as error:
        raise _RecordError(f"groundTruthData.data is no CSV ({error})") from None
    if len(rows) == 1:
        return [field.strip() for field in rows[0]]
    if any(len(row) > 1 for row in rows):
        raise _RecordError("several lines of several fields; expected one label a line")
    return [row[0].strip() if row else "" for row in rows]


def _json_labels(data: str, name: str) -> list[Text]:
    """Read labels from JSON, or JSON Lines, of the shapes that labels have in a data set."""
    try:
        documents = [json.loads(data)]
    except (ValueError, RecursionError):
        try:
            documents = [json.loads(line) for line in data.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            raise _RecordError(f"groundTruthData.data is no JSON ({fault_of(error)})") from None
    try:
        return [label for document in documents for label in _found_in(document, name)]
    except RecursionError as error:
        raise _RecordError(f"groundTruthData.data is no JSON of labels ({error})") from None


def _found_in(document: object, name: str) -> list[Text]:
    """Return the labels of a JSON value: itself, each of a list, or those under a name."""
    if isinstance(document, Mapping):
        if name not in document and len(document) != 1:
            raise _RecordError(
                f'a label among {len(document)} fields; expected a field "{name}", or one field'
            )
        inner = document[name] if name in document else next(iter(document.values()))
        return _found_in(inner, name)
    if isinstance(document, list):
        return [_only(item, name) for item in document]
    return [_text(document)]


def _only(item: object, name: str) -> Text:
    labels = _found_in(item, name) if isinstance(item, Mapping | list) else [_text(item)]
    if len(labels) != 1:
        raise _RecordError(f"{len(labels)} labels for one row; expected one")
    return labels[0]


def _base64_labels(data: str, name: str) -> list[Text]:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _RecordError(f"groundTruthData.data is no text in base64 ({error})") from None
    is_json = text.lstrip()[:1] in ("{", "[")
    return (_json_labels if is_json else _csv_labels)(text, name)


_READERS: dict[str, Callable[[str, str], list[Text]]] = {
    "CSV": _csv_labels,
    "JSON": _json_labels,
    "BASE64": _base64_labels,
}


def _key(value: object) -> str:
    if isinstance(value, bool | float | list | dict):
        raise _RecordError(f"id {_shown(value)}; expected a text")
    return as_text(value)


def _text(value: object) -> Text:
    """Return a label as text; null and NaN, which is how pandas writes it, are none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | dict):
        raise _RecordError(f"label {_shown(value)}; expected one value")
    return as_text(value)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"
