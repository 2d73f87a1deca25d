"""Ground truth as SageMaker merges it with a record: the labels of a request's rows in one text.

The text is CSV (joined by commas or line ends), JSON (a value, a list, an object or a list of
objects), or either in base64.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
from collections.abc import Callable, Mapping

from driftline.errors import InputError
from driftline.formats.cells import as_text
from driftline.formats.json.parsing import fault_of

Text = str | None


class TruthError(InputError):
    """The ground truth of one record is wrong; without its place."""


def read_labels(data: str, encoding: object, name: str = "label") -> list[Text]:
    """Read the labels of a record's rows; of objects the field ``name``, or the only one."""
    if not isinstance(encoding, str) or encoding not in _READERS:
        raise TruthError(f"encoding {shown_value(encoding)}; expected CSV, JSON or BASE64")
    return _READERS[encoding](data, name)


def _csv_labels(data: str, _name: str) -> list[Text]:
    """Read labels joined by line ends, or else by commas."""
    if not any(sign in data for sign in ',"\r\n'):
        return [data.strip()]
    try:
        rows = list(csv.reader(io.StringIO(data.strip("\r\n"), newline=""), strict=True))
    except csv.Error as error:
        raise TruthError(f"groundTruthData.data is no CSV ({error})") from None
    if len(rows) == 1:
        return [field.strip() for field in rows[0]]
    if any(len(row) > 1 for row in rows):
        raise TruthError("several lines of several fields; expected one label a line")
    return [row[0].strip() if row else "" for row in rows]


def _json_labels(data: str, name: str) -> list[Text]:
    """Read labels from JSON, or JSON Lines, of the shapes that labels have in a data set."""
    try:
        documents = [json.loads(data)]
    except (ValueError, RecursionError):
        try:
            documents = [json.loads(line) for line in data.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            raise TruthError(f"groundTruthData.data is no JSON ({fault_of(error)})") from None
    try:
        return [label for document in documents for label in _found_in(document, name)]
    except RecursionError as error:
        raise TruthError(f"groundTruthData.data is no JSON of labels ({error})") from None


def _found_in(document: object, name: str) -> list[Text]:
    """Return the labels of a JSON value: itself, each of a list, or those under a name."""
    if isinstance(document, Mapping):
        if name not in document and len(document) != 1:
            raise TruthError(
                f'a label among {len(document)} fields; expected a field "{name}", or one field'
            )
        inner = document[name] if name in document else next(iter(document.values()))
        return _found_in(inner, name)
    if isinstance(document, list):
        return [_only(item, name) for item in document]
    return [label_text(document)]


def _only(item: object, name: str) -> Text:
    labels = _found_in(item, name) if isinstance(item, Mapping | list) else [label_text(item)]
    if len(labels) != 1:
        raise TruthError(f"{len(labels)} labels for one row; expected one")
    return labels[0]


def _base64_labels(data: str, name: str) -> list[Text]:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise TruthError(f"groundTruthData.data is no text in base64 ({error})") from None
    is_json = text.lstrip()[:1] in ("{", "[")
    return (_json_labels if is_json else _csv_labels)(text, name)


_READERS: dict[str, Callable[[str, str], list[Text]]] = {
    "CSV": _csv_labels,
    "JSON": _json_labels,
    "BASE64": _base64_labels,
}


def label_text(value: object) -> Text:
    """Return a label as text; null and NaN, which is how pandas writes it, are none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | dict):
        raise TruthError(f"label {shown_value(value)}; expected one value")
    return as_text(value)


def shown_value(value: object) -> str:
    """Return a value as a sentence quotes it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"
