"""Ground truth written as JSON: SageMaker's records, and plain objects with id and label.

A record of SageMaker names a request and has the labels of all its rows in one text: CSV (joined by
commas or line ends), JSON (a value, a list, an object or a list of objects), or either in base64. A
plain object has ``id`` (or ``inference_id``, ``event_id``), ``label``, and perhaps ``row_index``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.capture.labels.labels import LABEL_SCHEMA
from driftline.errors import InputError
from driftline.formats.cells import as_text
from driftline.formats.json.ground_truth import (
    Text,
    TruthError,
    label_text,
    read_labels,
    shown_value,
)

# Of SageMaker's two ids the caller's own comes first, as in its join (docs/labels.md).
ID_NAMES = ("id", "inference_id", "event_id")
MAX_ROW_INDEX = 999_999_999


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


def label_table(records: Sequence[Any], names: LabelNames, places: Sequence[str]) -> pa.Table:
    """Return the labels of JSON records, one row a label, in the schema of labels."""
    parsed: dict[tuple[str, str], list[Text]] = {}
    keys: list[str] = []
    groups: list[list[Text]] = []
    firsts: list[int] = []
    for place, record in zip(places, records, strict=True):
        try:
            key, group, first = _read(record, names, parsed)
        except TruthError as error:
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
        raise TruthError("expected an object")
    if "groundTruthData" in record or "eventMetadata" in record:
        return *_of_sagemaker(record, names.label, parsed), 0
    return _of_plain(record, names)


def _of_plain(record: Mapping[str, Any], names: LabelNames) -> tuple[str, list[Text], int]:
    """Return id, labels and the first one's row index of a plain object."""
    key = next((record[name] for name in names.ids if record.get(name) not in (None, "")), None)
    if key is None or names.label not in record:
        raise TruthError(
            f"no {' or '.join(names.ids) if key is None else names.label}; expected "
            f'{{"{names.ids[0]}": …, "{names.label}": …}} or a record with groundTruthData'
        )
    label, first = record[names.label], record.get(names.row_index)
    if first is None:
        first = 0
    if type(first) is not int or not 0 <= first <= MAX_ROW_INDEX:
        raise TruthError(f"{names.row_index} {shown_value(first)}; expected a whole number from 0")
    values = label if isinstance(label, list) else [label]
    return _key(key), [label_text(value) for value in values], first


def _of_sagemaker(
    record: Mapping[str, Any], name: str, parsed: dict[tuple[str, str], list[Text]]
) -> tuple[str, list[Text]]:
    """Return id and labels of a record; each distinct text is read once."""
    truth, event = record.get("groundTruthData"), record.get("eventMetadata")
    if not isinstance(truth, Mapping) or "data" not in truth:
        raise TruthError(
            'no groundTruthData.data; expected {"groundTruthData": {"data": "1", "encoding": '
            '"CSV"}, "eventMetadata": {"eventId": "…"}, "eventVersion": "0"}'
        )
    event = event if isinstance(event, Mapping) else {}
    key = event.get("eventId") or event.get("inferenceId")
    if key is None or key == "":
        raise TruthError("no eventMetadata.eventId; expected the request's id")
    data, encoding = truth["data"], truth.get("encoding", "CSV")
    if not isinstance(data, str):
        data, encoding = json.dumps(data), "JSON"
    data = as_text(data)
    labels = parsed.get((str(encoding), data))
    if labels is None:
        labels = parsed[str(encoding), data] = read_labels(data, encoding, name)
    return _key(key), labels


def _key(value: object) -> str:
    if isinstance(value, bool | float | list | dict):
        raise TruthError(f"id {shown_value(value)}; expected a text")
    return as_text(value)
