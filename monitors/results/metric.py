"""One measured number of a window: its interval, the reference's, and where a violation begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from driftline.monitors.results.violation import JsonValue, Severity

INSUFFICIENT = "insufficient_data"
UNDEFINED = "undefined: "


@dataclass(frozen=True, slots=True)
class MetricResult:
    """What was measured, how surely, and what it is compared with.

    Parameters
    ----------
    name
        As SageMaker's documents name it: "auc", "DPPL", "shap"; our own beside them.
    value
        Of the window; None when it is not defined, and `note` says why. May be infinite.
    low, high
        Its 95 % interval.
    reference, reference_low, reference_high
        The same of the reference, when it is known.
    bound
        Where a violation begins at this number of rows; None when the metric is shown, not judged.
    operator
        Which side of the bound is a violation: "LessThanThreshold" or "GreaterThanThreshold".
    p_value
        The chance of so much without any change, when it was judged.
    count
        Rows that it rests on.
    facet, facet_value
        The group that is looked at, for bias.
    label
        The class, where a metric has one value for each.
    severity
        Of the violation; None when there is none.
    note
        Why there is no value or no judgement: "insufficient_data", "undefined: …",
        "incomparable: …"; "" when there is both or when it is only shown.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    reference_low: float | None = None
    reference_high: float | None = None
    bound: float | None = None
    operator: str = ""
    p_value: float | None = None
    count: int = 0
    facet: str = ""
    facet_value: str = ""
    label: str = ""
    severity: Severity | None = None
    note: str = ""

    @property
    def shown(self) -> str:
        """The name with its group: ``auc``, ``sex = Female: DPPL``."""
        group = " = ".join(part for part in (self.facet, self.facet_value) if part) or self.label
        return f"{group}: {self.name}" if group else self.name

    @property
    def group(self) -> str:
        """The group it is about: ``origin=JFK``; "" for none."""
        return "=".join(part for part in (self.facet, self.facet_value) if part)

    @property
    def key(self) -> str:
        """What names it in an address, apart from all others of its window."""
        return " / ".join(part for part in (self.name, self.group, self.label) if part)

    @property
    def judged(self) -> bool:
        """Whether it was held against a bound."""
        return self.bound is not None

    @property
    def violated(self) -> bool:
        """Whether it is worse than may be."""
        return self.severity is not None

    def to_dict(self) -> dict[str, JsonValue]:
        """Give plain JSON values; infinite ones as text, as SageMaker writes them."""
        return {
            "name": self.name,
            "facet": self.facet,
            "facet_value": self.facet_value,
            "label": self.label,
            "value": finite(self.value),
            "low": finite(self.low),
            "high": finite(self.high),
            "reference": finite(self.reference),
            "reference_low": finite(self.reference_low),
            "reference_high": finite(self.reference_high),
            "bound": finite(self.bound),
            "operator": self.operator,
            "p_value": self.p_value,
            "count": self.count,
            "violated": self.violated,
            "severity": self.severity,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One number for the metric store, under SageMaker's name.

    Parameters
    ----------
    namespace, name, value
        As CloudWatch has them; infinite values are written as SageMaker does (±2.348543e108).
    dimensions
        Beyond Endpoint and MonitoringSchedule.
    cause
        What an alarm on it quotes; "" takes the report's.
    """

    namespace: str
    name: str
    value: float
    dimensions: Mapping[str, str] = field(default_factory=dict)
    cause: str = ""


def finite(value: float | None) -> float | str | None:
    """Give a number as JSON can hold it: "Infinity" and "-Infinity" as text, NaN as nothing."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
