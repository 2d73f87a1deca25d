"""PutMetricData's request: its fields, its limits, and CloudWatch's own words where it refuses.

Names are taken as AWS writes them (``MetricName``) and in snake case (``metric_name``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from driftline.alerts.documents import time_of
from driftline.alerts.errors import DatapointError, FieldConflict, MissingField
from driftline.alerts.metrics.datapoint import UNITS, Datapoint
from driftline.alerts.metrics.distribution import EXACT_MAX

# CloudWatch API reference, PutMetricData.
METRICS_MAX: Final = 1000
BACK: Final = timedelta(weeks=2)
AHEAD: Final = timedelta(hours=2)

_LARGEST = 2.0**360
_TOP = {"namespace", "metricdata", "entitymetricdata", "strictentityvalidation"}
_DATUM = {
    *("metricname", "dimensions", "timestamp", "value", "values", "counts", "statisticvalues"),
    *("unit", "storageresolution"),
}
_SUMMARY = {
    "samplecount": "SampleCount",
    "sum": "Sum",
    "minimum": "Minimum",
    "maximum": "Maximum",
}


def read_put(body: object, now: datetime) -> list[Datapoint]:
    """Read the body of a request."""
    top = _fields(body, _TOP, "the request")
    namespace = top.get("namespace")
    if not isinstance(namespace, str):
        raise MissingField("The parameter Namespace is required.")
    members = list(_members(top))
    if not members:
        raise MissingField("The parameter MetricData is required.")
    if len(members) > METRICS_MAX:
        raise DatapointError(
            f"The collection MetricData must not have a size greater than {METRICS_MAX}."
        )
    return [_datapoint(namespace, datum, where, now) for where, datum in members]


def digest_of(body: object) -> str:
    """Return 32 hexadecimal digits that tell bodies apart, however their JSON was written."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def parse_time(value: object, where: str) -> datetime:
    """Read a time: ISO 8601, UTC when it names no zone, or seconds since 1970."""
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return time_of(value)
    raise DatapointError(
        f"The value {str(value)[:80]} for parameter {where} is invalid; expected a time such as "
        "2026-03-02T12:00:00Z, or seconds since 1970."
    )


def _members(top: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield from _listed(top.get("metricdata"), "MetricData")
    for where, one in _listed(top.get("entitymetricdata"), "EntityMetricData"):
        inner = _fields(one, {"entity", "metricdata"}, where)
        yield from _listed(inner.get("metricdata"), f"{where}.MetricData")


def _listed(value: object, where: str) -> list[tuple[str, object]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise DatapointError(f"The parameter {where} is no list.")
    return [(f"{where}.member.{number}", one) for number, one in enumerate(value, 1)]


def _datapoint(namespace: str, datum: object, where: str, now: datetime) -> Datapoint:
    found = _fields(datum, _DATUM, where)
    name = found.get("metricname")
    if not isinstance(name, str):
        raise MissingField(f"The parameter {where}.MetricName is required.")
    resolution = found.get("storageresolution", 60)
    if resolution not in (1, 60) or isinstance(resolution, bool):
        raise DatapointError(
            f"The value {str(resolution)[:80]} for parameter {where}.StorageResolution is "
            "invalid; expected 1 or 60."
        )
    unit = found.get("unit")
    if unit is not None and not (isinstance(unit, str) and unit in UNITS):
        raise DatapointError(
            f"The parameter {where}.Unit must be a value in the set [ {', '.join(sorted(UNITS))} ]"
        )
    return Datapoint(
        namespace,
        name,
        _dimensions(found.get("dimensions"), where),
        _time(found.get("timestamp"), where, now),
        unit=unit,
        period_s=resolution,
        **read_values(found, where),
    )


def _time(value: object, where: str, now: datetime) -> datetime:
    if value is None:
        return now
    time = parse_time(value, f"{where}.Timestamp")
    if time < now - BACK:
        raise DatapointError(
            f"The parameter {where}.Timestamp must specify a time within the past two weeks."
        )
    if time > now + AHEAD:
        raise DatapointError(
            f"The parameter {where}.Timestamp must specify a time no more than two hours in the "
            "future."
        )
    return time


def read_values(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Read what is told of the values: one, several, or four numbers."""
    kinds = (("value", "Value"), ("values", "Values"), ("statisticvalues", "StatisticValues"))
    given = [name for key, name in kinds if key in found]
    if not given:
        raise MissingField(f"The parameter {where}.Value is required.")
    if len(given) > 1:
        raise FieldConflict(
            f"The parameters {where}.{given[0]} and {where}.{given[1]} are mutually exclusive and "
            "you have specified both."
        )
    if "counts" in found and "values" not in found:
        raise MissingField(f"The parameter {where}.Values is required.")
    if "value" in found:
        return {"value": read_number(found["value"], f"{where}.Value")}
    if "statisticvalues" in found:
        summary = _fields(found["statisticvalues"], set(_SUMMARY), f"{where}.StatisticValues")
        numbers = {}
        for key, name in _SUMMARY.items():
            if key not in summary:
                raise MissingField(f"The parameter {where}.StatisticValues.{name} is required.")
            numbers[key] = read_number(summary[key], f"{where}.StatisticValues.{name}")
        return {"sample_count": numbers.pop("samplecount"), **numbers}
    return _several(found, where)


def _several(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    values = _numbers(found["values"], f"{where}.Values")
    if len(set(values)) > EXACT_MAX:
        raise DatapointError(
            f"The collection {where}.Values must not have a size greater than {EXACT_MAX}."
        )
    if "counts" not in found:
        return {"values": values}
    counts = _numbers(found["counts"], f"{where}.Counts")
    if len(counts) != len(values):
        raise DatapointError(
            f"The parameters {where}.Values and {where}.Counts must be of the same size."
        )
    for count in counts:
        if count < 0:
            raise DatapointError(f"The value {count} for parameter {where}.Counts is invalid.")
    return {"values": values, "counts": counts}


def _numbers(value: object, where: str) -> Sequence[float]:
    if not isinstance(value, list) or not value:
        raise DatapointError(f"The parameter {where} is no list of numbers.")
    return [read_number(one, where) for one in value]


def read_number(value: object, where: str) -> float:
    """Read a number; JSON has no NaN, so AWS's clients write it as text."""
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DatapointError(f"The value {str(value)[:80]} for parameter {where} is no number.")
    # In this order: a whole number of JSON's may be too large for a float.
    if not abs(value) <= _LARGEST:
        shown = "NaN" if value != value else str(value)[:80]
        raise DatapointError(f"The value {shown} for parameter {where} is invalid.")
    return float(value)


def _dimensions(value: object, where: str) -> dict[str, str]:
    """Read dimensions: AWS's list of names and values, or an object."""
    if isinstance(value, Mapping):
        found = dict(value)
    else:
        found = {}
        for place, one in _listed(value, f"{where}.Dimensions"):
            pair = _fields(one, {"name", "value"}, place)
            name = pair.get("name")
            if not isinstance(name, str):
                raise MissingField(f"The parameter {place}.Name is required.")
            if name in found:
                raise DatapointError(
                    f'The parameter {place}.Name is "{name[:80]}" a second time; a dimension has '
                    "one value."
                )
            found[name] = pair.get("value")
    for name, text in found.items():
        if not isinstance(text, str):
            raise DatapointError(
                f'The value of dimension "{str(name)[:80]}" of {where} is no text.'
            )
    return found


def _fields(value: object, known: set[str], where: str) -> dict[str, Any]:
    """Bring an object's names to one form; an unknown one is an error."""
    if not isinstance(value, Mapping):
        raise DatapointError(f"{where} is no object; expected one with MetricData's fields.")
    found = {}
    for name, one in value.items():
        key = str(name).replace("_", "").lower()
        if key not in known:
            raise DatapointError(f'{where} has no field "{str(name)[:80]}".')
        if one is not None:
            found[key] = one
    return found
