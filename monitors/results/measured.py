"""One metric of a window: value, interval, reference and bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.monitors.results.violation import JsonValue, Severity
from driftline.monitors.state import State, reason_words

# Begins why a metric of a value is not judged, which the reference does not have.
REFERENCE_LACKS = "the reference has no "
# Begins why a number has no interval.
UNBOUNDED = "cannot be bounded from these rows: "
CANNOT_ESTIMATE = "cannot estimate: "
# The key of the details of a window whose quality is estimated.
ESTIMATED_ROWS = "estimated_rows"
# The key of the details that says of what a window has nothing to judge, though of other things.
UNCOVERED = "uncovered_note"
# Of attribution: what features contribute is neither better nor worse.
NEITHER = ("share_", "level")
# The key of the details that lists metrics beyond their bounds that such labels leave unjudged.
WITHHELD = "withheld_violations"
# The key of the details that counts rows with the id of an earlier one; absent: there are none.
REPEATED = "repeated_id_rows"
# And the key, and the metric, of predictions that no metric can use, such as infinite ones.
IMPOSSIBLE = "impossible_predictions"
# Metrics of groups whose neutral value is 1.
RATIOS = ("DI",)
# What lies on the metric's own scale.
NUMBERS = ("value", "low", "high", "reference", "reference_low", "reference_high", "bound")
# In the order of report.json.
DOCUMENTED = (
    "name", "facet", "facet_value", "label", *NUMBERS,
    "operator", "p_value", "count", "violated", "severity", "state", "why",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, how surely, what it is compared with, and whether it was judged."""

    name: str
    value: float | None = None  # None when it is not defined, and `why` says why. May be infinite.
    low: float | None = None  # 95% interval.
    high: float | None = None
    reference: float | None = None  # None when the reference is not known.
    reference_low: float | None = None
    reference_high: float | None = None
    # Where a violation begins at this number of rows; None when shown, not judged.
    bound: float | None = None
    # The side of the bound that is a violation: "LessThanThreshold" or "GreaterThanThreshold".
    operator: str = ""
    p_value: float | None = None  # The chance of so much without any change.
    count: int = 0  # Rows that it rests on.
    facet: str = ""  # The group, for bias.
    facet_value: str = ""
    label: str = ""  # The class, where a metric has one value for each.
    severity: Severity | None = None  # None when it is not violated.
    state: State = State.SHOWN  # With a bound: judged.
    why: str = ""  # Why it was not judged, or has no value, or no interval that holds.

    def __post_init__(self) -> None:
        if self.bound is not None and self.state == State.SHOWN:
            object.__setattr__(self, "state", State.JUDGED)

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
        """Its unique name within a window, for addresses."""
        return " / ".join(part for part in (self.name, self.group, self.label) if part)

    @property
    def judged(self) -> bool:
        """Whether it was compared with a bound."""
        return self.state == State.JUDGED

    @property
    def violated(self) -> bool:
        """Whether it is beyond its bound."""
        return self.severity is not None

    @property
    def reason(self) -> str:
        """Why it was not judged, or has no interval, in words; "" where nothing lacks."""
        return reason_words(self.state, self.why)

    @property
    def has_interval(self) -> bool:
        """Whether it has an interval, which may be open on one side."""
        return self.low is not None and self.high is not None

    @property
    def worse_within_bound(self) -> str:
        """Return "lower" or "higher" where it is worse beyond both intervals but no violation."""
        is_neither = self.name.startswith(NEITHER)
        is_open = self.judged and not self.violated and not is_neither
        return self.worse_side(self.value, self.low, self.high) if is_open else ""

    def worse_side(self, value: float | None, low: float | None, high: float | None) -> str:
        """Return "lower" or "higher" where a value is worse than the reference's beyond chance.

        The intervals must not overlap. A move that brings a group closer to the others is not
        worse.
        """
        ends = (value, low, high, self.reference, self.reference_low, self.reference_high)
        value, low, high, before, least, most = (math.nan if end is None else end for end in ends)
        if self.facet and abs(on_scale(self.name, value)) <= abs(on_scale(self.name, before)):
            return ""
        if self.operator == "LessThanThreshold" and high < least:
            return "lower"
        return "higher" if self.operator == "GreaterThanThreshold" and low > most else ""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values; infinite ones as text, as SageMaker writes them."""
        found = {name: getattr(self, name) for name in DOCUMENTED}
        return found | {name: finite(found[name]) for name in NUMBERS}


def lacking(name: str, column: str) -> Measured:
    """Return a metric's line for a column that it needs and that no row has a value of."""
    return Measured(name, label=column, state=State.LACKING)


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One number for the metric store, under SageMaker's name."""

    namespace: str
    name: str
    value: float  # Infinite values are written as SageMaker does (±2.348543e108).
    # Beyond Endpoint and MonitoringSchedule.
    dimensions: Mapping[str, str] = field(default_factory=dict)
    # What an alarm on it quotes; "" takes the report's, without what is of other metrics alone.
    cause: str | None = ""
    # In place of the value: what somebody else's program measured, perhaps several values.
    datum: Datapoint | None = None


def neutral_of(name: str) -> float:
    """Return the value of a metric at which groups are treated alike."""
    return 1.0 if name in RATIOS else 0.0


def on_scale(name: str, value: float) -> float:
    """Convert a metric to the scale on which 0 is no difference: a ratio's logarithm."""
    if name not in RATIOS:
        return value
    return math.log(value) if value > 0 else -math.inf


def finite(value: float | None) -> float | str | None:
    """Return a number for JSON: infinities as text, NaN as None."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
