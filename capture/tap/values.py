"""Rows in memory as JSON: mappings, sequences, rows and frames of data libraries.

Nothing is imported: a frame is recognized by its methods. Standard library only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

Rows = list[Any]


class MisuseError(ValueError):
    """A call gave something that is no row or no answer; the message names types, never values."""


def rows_of(features: object) -> tuple[Rows, bool]:
    """Return features as a list of rows, and whether they were one row by itself."""
    if isinstance(features, Mapping):
        return [features], True
    if isinstance(features, list | tuple):
        return _rows_in(features)
    if _is_frame(features):
        return list(_records(features)), False
    if hasattr(features, "to_dict"):
        return [features.to_dict()], True
    if hasattr(features, "tolist"):
        values = features.tolist()
        if isinstance(values, list):
            return _rows_in(values)
    if isinstance(features, Sequence) and not isinstance(features, str | bytes | bytearray):
        return _rows_in(list(features))
    raise MisuseError(
        f"features are of type {type(features).__name__}; expected a mapping, a sequence, "
        "or a row or frame of a data library"
    )


def _is_frame(features: object) -> bool:
    """Whether it holds rows by name: a frame of pandas or polars, a table of Arrow."""
    has_columns = hasattr(features, "columns")
    return hasattr(features, "to_pylist") or (has_columns and hasattr(features, "to_dict"))


def _records(frame: Any) -> list[Any]:  # noqa: ANN401 - known by what it can do
    """Return the rows of a frame as mappings."""
    if hasattr(frame, "to_pylist"):
        return list(frame.to_pylist())  # Arrow
    return list(frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict("records"))


def _rows_in(values: Sequence[object]) -> tuple[Rows, bool]:
    """Distinguish a list of rows from one row of values; an empty one holds no rows."""
    if all(isinstance(value, Mapping | list | tuple) for value in values):
        return list(values), False
    if any(isinstance(value, Mapping) for value in values):
        raise MisuseError("features are a list of rows and of other values; expected one of both")
    if all(hasattr(value, "to_dict") or _is_vector(value) for value in values):
        return [row for value in values for row in rows_of(value)[0]], False
    return [list(values)], True


def _is_vector(value: object) -> bool:
    return len(getattr(value, "shape", ())) == 1


def prediction_rows(
    prediction: object, probability: object, row_count: int, *, is_one: bool
) -> list[dict[str, object]]:
    """Return the answers as a list of objects, one per row, under the names that decoding knows."""
    labels = _spread("prediction", prediction, row_count, is_one=is_one)
    chances = _spread("probability", probability, row_count, is_one=is_one)
    answers: list[dict[str, object]] = []
    for label, chance in zip(labels, chances, strict=True):
        # A model may give no answer: that is a missing one, not one that cannot be read.
        answer = dict(label) if isinstance(label, Mapping) else {"prediction": label}
        if chance is not None:
            answer["probability"] = chance
        answers.append(answer)
    return answers


def _spread(what: str, values_given: object, row_count: int, *, is_one: bool) -> list[Any]:
    """Return one value for each row."""
    if values_given is None:
        return [None] * row_count
    values = _listed(values_given)
    if is_one:
        # What a model gives for one row is often a list of one.
        return list(values) if isinstance(values, list | tuple) and len(values) == 1 else [values]
    if not isinstance(values, list | tuple):
        raise MisuseError(f"{what} is one value for {row_count} rows; expected as many")
    if len(values) != row_count:
        raise MisuseError(f"{what} has {len(values)} values for {row_count} rows; expected as many")
    return list(values)


def _listed(value: object) -> object:
    """Return arrays, series and frames as lists; anything else as it is."""
    if isinstance(value, list | tuple | Mapping | str):
        return value
    if _is_frame(value):
        return _records(value)
    for method in ("tolist", "to_list"):
        if hasattr(value, method):
            return getattr(value, method)()
    return value


def json_bytes(rows: object) -> bytes:
    """Write rows as JSON; values of data libraries as plain ones, missing numbers as null."""
    try:
        return _STRICT.encode(rows).encode("utf-8", "replace")
    except (ValueError, TypeError):
        # A number that is none, or a name that is no text.
        return _LOOSE.encode(_clean(rows)).encode("utf-8", "replace")


def _plain(value: Any) -> Any:  # noqa: ANN401 - json's own hook
    """Return what JSON knows for a value that it does not."""
    if isinstance(value, datetime | date | time):
        return None if _is_missing(value) else value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()  # Scalars and arrays of numpy; item() would be for scalars alone.
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    if _is_missing(value):
        return None
    if hasattr(value, "__float__"):
        return float(value)
    if isinstance(value, set | frozenset | Sequence):
        return list(value)
    return str(value)


def _is_missing(value: object) -> bool:
    """Whether a value is pandas' NA or NaT, without pandas: neither is equal to itself."""
    return type(value).__name__ in ("NAType", "NaTType")


def _clean(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Bring names to text and numbers that are none to null, all the way down."""
    if isinstance(value, Mapping):
        return {str(name): _clean(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inside) for inside in value]
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if value is None or isinstance(value, str | int):
        return value
    return _clean(_plain(value))


_STRICT = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
)
_LOOSE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
