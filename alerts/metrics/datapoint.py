"""A datapoint: one value, several, or the summary of several, of a metric at a time."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.distribution import EXACT_MAX, Distribution

# CloudWatch API, PutMetricData and StandardUnit.
_LARGEST = 2.0**360
_DIMENSIONS_MAX = 30
_NAME_MAX = 255
_DIMENSION_VALUE_MAX = 1024
# A sum of many is off by rounding: by so much of it at most, where it was kept in single precision.
_SUM_ROUNDING = 1e-6
_PRINTABLE = re.compile(r"[\x20-\x7e]*[\x21-\x7e][\x20-\x7e]*")
_SIZES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes")
_BITS = ("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits")
UNITS: frozenset[str] = frozenset(
    (
        *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
        *_SIZES,
        *_BITS,
        *(f"{unit}/Second" for unit in (*_SIZES, *_BITS)),
    )
)
# Stored samples name their unit by its index here; the order is fixed, new ones go to the end.
UNIT_NAMES: Final = ("None", *sorted(UNITS - {"None"}))
UNIT_CODES: Final = {name: code for code, name in enumerate(UNIT_NAMES)}


@dataclass(frozen=True, slots=True)
class Datapoint:
    """One value, several values, or one statistic set, of a metric."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]  # The exact set counts, not their order.
    time: datetime  # Start of what is described, aware.
    value: float | None = None
    sample_count: float | None = None
    sum: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None  # One of CloudWatch's 27; None is "None".
    period_s: int = 60  # A monitor's window; 60 for plain metrics, 1 for those of high resolution.
    # What messages quote: cause, link (relative), monitor, execution, window, violations.
    note: Mapping[str, object] | None = None
    values: Sequence[float] | None = None  # At most 150 distinct ones.
    # How often each came; fractions allowed. Without counts once.
    counts: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_metric(self.namespace, self.name, self.dimensions)
        where = f'metric "{self.name}"'
        if self.time.tzinfo is None:
            raise DatapointError(f"{where}: time {self.time.isoformat()} has no zone; expected UTC")
        if self.period_s < 1:
            raise DatapointError(f"{where}: period {self.period_s} s; expected 1 or more")
        check_unit(self.unit, f"{where}: ")
        self._check_values(where)

    def _check_values(self, where: str) -> None:
        summary = (self.sample_count, self.sum, self.minimum, self.maximum)
        has_summary = any(part is not None for part in summary)
        if (self.value is not None) + (self.values is not None) + has_summary > 1:
            raise DatapointError(
                f"{where}: two of a value, values and a statistic set; expected one of them"
            )
        if self.counts is not None and self.values is None:
            raise DatapointError(f"{where}: counts without values; expected values, too")
        if self.value is not None:
            numbers: tuple[float, ...] = (self.value,)
        elif self.values is not None:
            numbers = _check_several(where, self.values, self.counts)
        else:
            numbers = _check_summary(where, summary)
        for number in numbers:
            if not math.isfinite(number) or abs(number) > _LARGEST:
                raise DatapointError(f"{where}: value {number}; expected -2^360 to 2^360")

    @property
    def statistics(self) -> tuple[float, float, float, float]:
        """Count, sum, minimum and maximum; a single value counts once."""
        if self.value is not None:
            value = float(self.value)
            return 1.0, value, value, value
        if self.values is not None:
            found = Distribution.of(self.values, self.counts)
            total = math.fsum(found.values * found.counts)
            return found.count, total, float(found.values[0]), float(found.values[-1])
        assert self.sample_count is not None and self.sum is not None
        assert self.minimum is not None and self.maximum is not None
        return float(self.sample_count), float(self.sum), float(self.minimum), float(self.maximum)

    @property
    def spread(self) -> bytes | None:
        """The distribution of several different values; None where the four numbers tell it."""
        if self.values is None:
            return None
        found = Distribution.of(self.values, self.counts)
        return found.to_bytes() if len(found.values) > 1 else None

    @property
    def time_utc(self) -> datetime:
        """The time in UTC."""
        return self.time.astimezone(UTC)


def _check_several(
    where: str, values: Sequence[float], counts: Sequence[float] | None
) -> tuple[float, ...]:
    if not values or len(set(values)) > EXACT_MAX:
        raise DatapointError(
            f"{where}: {len(set(values))} distinct values; expected 1 to {EXACT_MAX}"
        )
    if counts is not None:
        if len(counts) != len(values):
            raise DatapointError(
                f"{where}: {len(values)} values and {len(counts)} counts; expected as many"
            )
        if not all(0 <= count <= _LARGEST for count in counts) or not any(counts):
            raise DatapointError(f"{where}: counts below 0, or none above; expected 0 or more")
    return tuple(values)


def _check_summary(where: str, summary: Sequence[float | None]) -> tuple[float, ...]:
    numbers = tuple(part for part in summary if part is not None)
    if len(numbers) != len(summary):
        raise DatapointError(
            f"{where}: neither a value nor all of sample_count, sum, minimum, maximum"
        )
    if numbers[0] <= 0 or numbers[2] > numbers[3]:
        raise DatapointError(
            f"{where}: sample_count {numbers[0]}, minimum {numbers[2]}, maximum "
            f"{numbers[3]}; expected a positive count and minimum <= maximum"
        )
    if abs(numbers[1] / numbers[0]) > _LARGEST:
        raise DatapointError(
            f"{where}: sum {numbers[1]} of sample_count {numbers[0]}; expected an average from "
            "-2^360 to 2^360"
        )
    count, total, low, high = numbers
    slack = _SUM_ROUNDING * count * max(abs(low), abs(high))
    if total < count * low - slack or total > count * high + slack:
        raise DatapointError(
            f"{where}: sum {total} of sample_count {count}, minimum {low} and maximum {high}; "
            f"expected a sum from {count * low} to {count * high}"
        )
    return numbers


def check_unit(unit: str | None, where: str = "") -> None:
    """Refuse what is none of CloudWatch's units: DatapointError."""
    if unit is not None and unit not in UNITS:
        raise DatapointError(f'{where}unit "{unit[:80]}"; expected a unit such as "Count"')


def is_on_arrival(namespace: str) -> bool:
    """Whether alarms follow this namespace's datapoints as they arrive, not the clock.

    These are the metrics of monitors and of driftline itself: few, with long periods and notes.
    """
    return namespace.partition("/")[0] == "Driftline" or namespace.startswith("aws/sagemaker/")


def check_metric(namespace: str, name: str, dimensions: Mapping[str, str]) -> None:
    """Check what identifies a metric against CloudWatch's limits."""
    for what, text in (("namespace", namespace), ("metric name", name)):
        _check_text(what, text, _NAME_MAX)
    if namespace.startswith(":"):
        raise DatapointError(f'namespace "{namespace}" starts with ":"; expected another start')
    if len(dimensions) > _DIMENSIONS_MAX:
        raise DatapointError(
            f'metric "{name}": {len(dimensions)} dimensions; expected {_DIMENSIONS_MAX} or fewer'
        )
    for key, value in dimensions.items():
        _check_text('metric "{}": dimension', key, _NAME_MAX, name)
        where = 'metric "{}": value of dimension "{}"'
        _check_text(where, value, _DIMENSION_VALUE_MAX, name, key)
        if key.startswith(":"):
            raise DatapointError(f'metric "{name}": dimension "{key}" starts with ":"')


def canonical_dimensions(dimensions: Mapping[str, str]) -> str:
    """Write dimensions as JSON text that is equal for equal sets."""
    return json.dumps(sorted(dimensions.items()), ensure_ascii=True, separators=(",", ":"))


def metric_key(namespace: str, name: str, dimensions: Mapping[str, str]) -> str:
    """Return the digest under which a metric is stored: 32 hexadecimal digits."""
    text = json.dumps([namespace, name, canonical_dimensions(dimensions)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _check_text(what: str, text: str, longest: int, *names: str) -> None:
    if not 1 <= len(text) <= longest or _PRINTABLE.fullmatch(text) is None:
        raise DatapointError(
            f"{what.format(*names)} {text[:80]!r}; expected 1 to {longest} printable ASCII "
            "characters, percent-encode others"
        )
