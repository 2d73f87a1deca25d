"""The sum of one period's datapoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import overload

from driftline.alerts.metrics.distribution import Distribution
from driftline.alerts.metrics.statistic import Statistic, compute, parse


@dataclass(frozen=True, slots=True)
class Metric:
    """Identity of a metric."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """The sum of a period's datapoints, and the newest note among them."""

    sample_count: float
    sum: float
    minimum: float
    maximum: float
    note: Mapping[str, object] | None = None
    # None when not asked for, or hidden by a statistic set.
    distribution: Distribution | None = None

    @overload
    def get(self, statistic: Statistic) -> float: ...

    @overload
    def get(self, statistic: str) -> float | None: ...

    def get(self, statistic: str) -> float | None:
        """Return one statistic of the period; None where an extended one cannot be told."""
        if statistic == "SampleCount":
            return self.sample_count
        if statistic == "Average":
            return self.sum / self.sample_count
        if statistic == "Sum":
            return self.sum
        if statistic in ("Minimum", "Maximum"):
            return self.minimum if statistic == "Minimum" else self.maximum
        wanted = parse(statistic)
        if self.distribution is None:
            return None
        return compute(self.distribution, wanted, self.minimum, self.maximum)
