"""A datapoint: one value, or the summary of several, of a metric at a time."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from driftline.alerts.errors import DatapointError

__all__ = ["UNITS", "Datapoint", "canonical_dimensions", "check_metric", "metric_key"]

# CloudWatch API, PutMetricData and StandardUnit.
_LARGEST = 2.0**360
_DIMENSIONS_MAX = 30
_NAME_MAX = 255
_DIMENSION_VALUE_MAX = 1024
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


@dataclass(frozen=True, slots=True)
class Datapoint:
    """One value, or one statistic set, of a metric.

    Parameters
    ----------
    namespace, name, dimensions
        Which metric; the *exact* set of dimensions counts, their order does not.
    time
        Start of what is described, aware.
    value
        The value; or else all four of the statistic set.
    sample_count, sum, minimum, maximum
        Summary of several values.
    unit
        One of CloudWatch's 27 units; None is "None".
    period_s
        Length of what is described, in seconds: a monitor's window, 60 for plain metrics.
    note
        What an alarm's message will quote, as JSON values: ``cause`` (a sentence), ``link``
        (relative URL), ``monitor``, ``execution``, ``window``, ``violations``.

    Raises
    ------
    DatapointError
        Naming the metric, the value and what was expected.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    time: datetime
    value: float | None = None
    sample_count: float | None = None
    sum: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    period_s: int = 60
    note: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        check_metric(self.namespace, self.name, self.dimensions)
        where = f'metric "{self.name}"'
        if self.time.tzinfo is None:
            raise DatapointError(f"{where}: time {self.time.isoformat()} has no zone; expected UTC")
        if self.period_s < 1:
            raise DatapointError(f"{where}: period {self.period_s} s; expected 1 or more")
        if self.unit is not None and self.unit not in UNITS:
            raise DatapointError(f'{where}: unit "{self.unit}"; expected a unit such as "Count"')
        self._check_values(where)

    def _check_values(self, where: str) -> None:
        summary = (self.sample_count, self.sum, self.minimum, self.maximum)
        if self.value is not None:
            if any(part is not None for part in summary):
                raise DatapointError(f"{where}: a value and a statistic set; expected one of them")
            numbers: tuple[float, ...] = (self.value,)
        else:
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
        for number in numbers:
            if not math.isfinite(number) or abs(number) > _LARGEST:
                raise DatapointError(f"{where}: value {number}; expected -2^360 to 2^360")

    @property
    def statistics(self) -> tuple[float, float, float, float]:
        """Count, sum, minimum and maximum; a single value counts once."""
        if self.value is not None:
            value = float(self.value)
            return 1.0, value, value, value
        assert self.sample_count is not None and self.sum is not None
        assert self.minimum is not None and self.maximum is not None
        return float(self.sample_count), float(self.sum), float(self.minimum), float(self.maximum)

    @property
    def time_utc(self) -> datetime:
        """The time in UTC."""
        return self.time.astimezone(UTC)


def check_metric(namespace: str, name: str, dimensions: Mapping[str, str]) -> None:
    """Check what identifies a metric against CloudWatch's limits.

    Raises
    ------
    DatapointError
        When a name is empty, too long or not printable ASCII, or dimensions are too many.
    """
    for what, text in (("namespace", namespace), ("metric name", name)):
        _check_text(what, text, _NAME_MAX)
    if namespace.startswith(":"):
        raise DatapointError(f'namespace "{namespace}" starts with ":"; expected another start')
    if len(dimensions) > _DIMENSIONS_MAX:
        raise DatapointError(
            f'metric "{name}": {len(dimensions)} dimensions; expected {_DIMENSIONS_MAX} or fewer'
        )
    for key, value in dimensions.items():
        _check_text(f'metric "{name}": dimension', key, _NAME_MAX)
        _check_text(f'metric "{name}": value of dimension "{key}"', value, _DIMENSION_VALUE_MAX)
        if key.startswith(":"):
            raise DatapointError(f'metric "{name}": dimension "{key}" starts with ":"')


def canonical_dimensions(dimensions: Mapping[str, str]) -> str:
    """Write dimensions as JSON text that is equal for equal sets."""
    return json.dumps(sorted(dimensions.items()), ensure_ascii=True, separators=(",", ":"))


def metric_key(namespace: str, name: str, dimensions: Mapping[str, str]) -> str:
    """Give the digest under which a metric is stored: 32 hexadecimal digits."""
    text = json.dumps([namespace, name, canonical_dimensions(dimensions)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _check_text(what: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest or _PRINTABLE.fullmatch(text) is None:
        raise DatapointError(
            f"{what} {text[:80]!r}; expected 1 to {longest} printable ASCII characters, "
            f"percent-encode others"
        )
