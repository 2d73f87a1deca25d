"""Statistics by CloudWatch's names: ``p99.5``, ``tm90``, ``TM(2%:98%)``, ``PR(:300)``, ``IQM``.

Bounds with ``%`` are shares of the values, in order; bounds without are values themselves,
exclusive below and inclusive above. A share may cut through the values of one kind: then a part of
them counts, so that every percentage means what it says for few values, too. Percentiles are of
nearest rank: the smallest value that at least p% of all do not exceed (AWS documents no rule
between two values). Unlike CloudWatch's they are also there where values are negative.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.distribution import Distribution

# Those that follow from count, sum, minimum and maximum alone.
Statistic = Literal["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
STATISTICS: Final[tuple[Statistic, ...]] = get_args(Statistic)

# botocore, shape AnomalyDetectorMetricStat of CloudWatch, in parts; values may be negative, too.
_PERCENT = r"(?:\d{1,2}(?:\.\d{0,10})?|100(?:\.0{0,10})?)"
_VALUE = r"-?\d{1,15}(?:\.\d{0,10})?(?:[Ee][+-]?\d{1,3})?"
_SHORT = re.compile(rf"(p|tm|tc|ts|wm)({_PERCENT})")
_SHARES = re.compile(rf"(TM|TC|TS|WM)\((?:({_PERCENT})%)?:(?:({_PERCENT})%)?\)")
_VALUES = re.compile(rf"(TM|TC|TS|WM|PR)\(({_VALUE})?:({_VALUE})?\)")
# Cumulated counts of fractions are off by rounding; less than this share of all is no step.
_ROUNDING = 1e-9

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shaped:
    """A statistic of a distribution's shape."""

    kind: str  # ``p``, ``TM``, ``WM``, ``TC``, ``TS`` or ``PR``.
    low: float | None  # Bounds; None is open. Of ``p`` only ``high``.
    high: float | None
    by_share: bool  # Whether the bounds are shares, 0 to 1, in place of values.


@lru_cache(maxsize=1024)
def parse(statistic: str) -> Shaped:
    """Read an extended statistic."""
    if statistic == "IQM":
        return Shaped("TM", 0.25, 0.75, by_share=True)
    if (short := _SHORT.fullmatch(statistic)) is not None:
        kind = short[1] if short[1] == "p" else short[1].upper()
        return Shaped(kind, None, float(short[2]) / 100, by_share=True)
    for pattern, by_share in ((_SHARES, True), (_VALUES, False)):
        found = pattern.fullmatch(statistic)
        if found is None or (found[2] is None and found[3] is None):
            continue
        scale = 100 if by_share else 1
        low, high = (None if text is None else float(text) / scale for text in found.group(2, 3))
        if low is not None and high is not None and low >= high:
            break
        return Shaped(found[1], low, high, by_share)
    raise DatapointError(
        f'statistic "{statistic[:80]}"; expected one of {", ".join(STATISTICS)}, or one such as '
        "p99, tm95, TM(2%:98%), WM(:95%), TC(0.1:0.5), TS(80%:), PR(:300), IQM"
    )


def check_statistic(statistic: str) -> None:
    """Refuse what is no statistic, plain or extended: DatapointError."""
    if statistic not in STATISTICS:
        parse(statistic)


def compute(
    distribution: Distribution, wanted: Shaped, minimum: float, maximum: float
) -> float | None:
    """Return an extended statistic of a distribution."""
    total = distribution.count
    if total <= 0:
        return None
    values = np.clip(distribution.values, minimum, maximum)
    counts = distribution.counts
    if wanted.kind == "p":
        assert wanted.high is not None
        return _percentile(values, counts, wanted.high)
    if wanted.kind == "WM":
        return float(np.dot(_wound(values, counts, wanted), counts) / total)
    within = _within(values, counts, wanted)
    mass = float(within.sum())
    if wanted.kind == "TC":
        return mass
    if wanted.kind == "PR":
        return 100 * mass / total
    if mass <= _ROUNDING * total:
        return None
    inside = float(np.dot(values, within))
    return inside if wanted.kind == "TS" else inside / mass


def _percentile(values: _Floats, counts: _Floats, share: float) -> float:
    reached = np.cumsum(counts)
    rank = share * reached[-1] - _ROUNDING * reached[-1]
    return float(values[min(int(np.searchsorted(reached, rank)), len(values) - 1)])


def _within(values: _Floats, counts: _Floats, wanted: Shaped) -> _Floats:
    """Return how many of each value lie within the bounds."""
    if not wanted.by_share:
        low = -np.inf if wanted.low is None else wanted.low
        high = np.inf if wanted.high is None else wanted.high
        return np.where((values > low) & (values <= high), counts, 0.0)
    reached = np.cumsum(counts)
    total = reached[-1]
    low = 0.0 if wanted.low is None else wanted.low * total
    high = total if wanted.high is None else wanted.high * total
    inside = np.minimum(reached, high) - np.maximum(reached - counts, low)
    clipped: _Floats = np.maximum(inside, 0.0)
    return clipped


def _wound(values: _Floats, counts: _Floats, wanted: Shaped) -> _Floats:
    """Move what lies beyond the bounds to them."""
    low, high = wanted.low, wanted.high
    if wanted.by_share:
        low = None if low is None else _percentile(values, counts, low)
        high = None if high is None else _percentile(values, counts, high)
    return np.clip(values, low, high) if low is not None or high is not None else values
