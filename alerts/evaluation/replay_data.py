"""Datapoints that a replay is given: read from JSON, and added up period by period."""

from __future__ import annotations

import bisect
import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from driftline.alerts.documents import time_of
from driftline.alerts.errors import AlarmError, DatapointError
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.distribution import Distribution
from driftline.alerts.metrics.putdata import read_number, read_values
from driftline.alerts.metrics.summary import Summary

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_SET = ("samplecount", "sum", "minimum", "maximum")
_SEVERAL = ("values", "counts", "statisticvalues")
# What GetMetricStatistics answers when one statistic was asked for stands for the value.
_ALONE = ("value", "average", *_SET[1:])
_PASSED_OVER = ("storageresolution", "metricname", "namespace", "dimensions")
_KNOWN = frozenset(
    {"timestamp", "time", "values", "counts", "unit", "statisticvalues"}
    | {*_ALONE, *_SET, *_PASSED_OVER}
)
# CloudWatch refuses percentiles of statistic sets; no spread is known of those.
_Row = tuple[datetime, float, float, float, float, tuple[tuple[float, float], ...] | None]


@dataclass(frozen=True, slots=True)
class Samples:
    """The datapoints of one metric, oldest first; equal ones in any order come to the same."""

    times: tuple[datetime, ...]  # Ascending.
    # Time, count, sum, minimum, maximum, and the values where they are known.
    rows: tuple[_Row, ...]

    @classmethod
    def of(cls, rows: Sequence[_Row]) -> Samples:
        """Put rows in order."""
        ordered = tuple(sorted(rows, key=lambda row: (*row[:5], row[5] or ())))
        return cls(tuple(row[0] for row in ordered), ordered)

    def summary(self, start: datetime, end: datetime, *, with_spread: bool) -> Summary | None:
        """Add up the datapoints of [start, end); None when there is none."""
        first = bisect.bisect_left(self.times, start)
        rows = self.rows[first : bisect.bisect_left(self.times, end, lo=first)]
        if not rows:
            return None
        spread = None
        if with_spread and all(row[5] is not None for row in rows):
            pairs = [pair for row in rows for pair in row[5] or ()]
            spread = Distribution.of([value for value, _ in pairs], [count for _, count in pairs])
        return Summary(
            sample_count=math.fsum(row[1] for row in rows),
            sum=math.fsum(row[2] for row in rows),
            minimum=min(row[3] for row in rows),
            maximum=max(row[4] for row in rows),
            distribution=spread,
        )


def read_samples(found: object, *, where: str, unit: str | None = None) -> Samples:
    """Read datapoints: single values, values with counts, or statistic sets; null is missing."""
    if not isinstance(found, list | tuple):
        raise AlarmError(f"{where} {found!r:.80}; expected a list of datapoints")
    rows = []
    for place, one in enumerate(found):
        try:
            row = _row(one, unit)
        except (AlarmError, DatapointError) as error:
            raise AlarmError(f"{where}, number {place + 1}: {error}") from error
        if row is not None:
            rows.append(row)
    return Samples.of(rows)


def read_edges(found: object, *, where: str) -> tuple[dict[int, float], dict[int, float]]:
    """Read a band: objects with Timestamp, Lower and Upper; give both edges by second."""
    if not isinstance(found, list | tuple):
        raise AlarmError(f"{where} {found!r:.80}; expected a list of Timestamp, Lower and Upper")
    lower, upper = dict[int, float](), dict[int, float]()
    for place, one in enumerate(found):
        fields = keys(f"{where}, number {place + 1}", one)
        if set(fields) - {"timestamp", "time", "lower", "upper"}:
            raise AlarmError(f"{where}, number {place + 1}: expected Timestamp, Lower and Upper")
        second = int(_time(fields).timestamp())
        for edge, name in ((lower, "lower"), (upper, "upper")):
            if fields.get(name) is not None:
                edge[second] = read_number(fields[name], name)
    return lower, upper


def moment(found: object, name: str = "Timestamp") -> datetime:
    """Read a time: ISO 8601, in UTC unless it says otherwise, or seconds since 1970."""
    time: datetime | None = None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        if isinstance(found, str | int | float) and not isinstance(found, bool):
            time = time_of(found.strip() if isinstance(found, str) else found)
    if time is None:
        raise AlarmError(f"{name} {found!r:.80}; expected a time such as 2024-01-01T00:00:00Z")
    if not _EARLIEST <= time < _LATEST:
        raise AlarmError(f"{name} {found!r:.80}; expected a time from 1970 to 2199")
    return time


def keys(where: str, found: object) -> dict[str, object]:
    """Take an object apart so that SampleCount, sample_count and sampleCount are one key."""
    if not isinstance(found, Mapping):
        raise AlarmError(f"{where}: {found!r:.80}; expected an object")
    return {str(key).replace("_", "").lower(): value for key, value in found.items()}


def _row(found: object, unit: str | None) -> _Row | None:
    fields = keys("datapoint", found)
    if unknown := set(fields) - _KNOWN:
        raise AlarmError(f'unknown field "{min(unknown)}"; expected Timestamp and Value')
    time, own_unit = _time(fields), fields.get("unit")
    if own_unit is not None and not isinstance(own_unit, str):
        raise AlarmError(f"Unit {own_unit!r:.80}; expected a text")
    values = _values(fields)
    if values is None:
        return None
    point = Datapoint("Replay", "datapoint", {}, time, unit=own_unit, **values)
    if unit is not None and point.unit not in (None, unit):
        return None
    spread: tuple[tuple[float, float], ...] | None
    if point.values is not None:
        counts = point.counts or [1.0] * len(point.values)
        spread = tuple(zip(map(float, point.values), map(float, counts), strict=True))
    else:
        count, _, low, high = point.statistics
        spread = ((low, count),) if low == high else None
    return (time, *point.statistics, spread)


def _values(fields: Mapping[str, object]) -> dict[str, Any] | None:
    """Return the values of a datapoint, read as PutMetricData reads them; None for null."""
    told = {key: fields[key] for key in _SEVERAL if fields.get(key) is not None}
    alone = [name for name in _ALONE if name in fields]
    if told:
        if given := [fields[name] for name in alone if fields[name] is not None]:
            told["value"] = given[0]  # Refused: it is told twice.
    elif fields.get("value") is None and all(fields.get(name) is not None for name in _SET):
        told["statisticvalues"] = {name: fields[name] for name in _SET}
    elif len(alone) != 1:
        raise AlarmError(
            f"{', '.join(alone) or 'no value'}; expected Value, Values, or all of SampleCount, "
            "Sum, Minimum and Maximum"
        )
    elif fields[alone[0]] is None:
        return None
    else:
        told["value"] = fields[alone[0]]
    return read_values(told, "datapoint")


def _time(fields: Mapping[str, object]) -> datetime:
    return moment(fields.get("timestamp", fields.get("time")))
