"""The definition of a metric alarm: PutMetricAlarm's fields in snake case, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Literal

from driftline.alerts.alarms import limits
from driftline.alerts.alarms.parts import (
    Actions,
    nearest_key,
    propagated,
    read_names,
    read_pairs,
    read_queries,
)
from driftline.alerts.alarms.window import WallClock, WarmUp, clock_edges, read_warm_up, read_window
from driftline.alerts.errors import AlarmError
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.summary import Statistic

Treatment = Literal["missing", "ignore", "breaching", "notBreaching"]
LowSamples = Literal["evaluate", "ignore"]
Severity = Literal["page", "ticket", "digest"]

# CloudWatch User Guide: these ignore missing data unless told otherwise.
_IGNORING_NAMESPACE = "AWS/DynamoDB"
# CloudWatch User Guide, "Percentile-based alarms and low data samples".
_SAMPLES_BEYOND = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmDefinition(Actions):
    """One alarm on a metric, on metric math, or on a metric beside its band.

    Parameters
    ----------
    alarm_name
        Free text of 1 to 255 characters, unique.
    namespace, metric_name, dimensions, unit
        Which numbers; without a unit, datapoints of all units are taken together.
    statistic, extended_statistic
        What a period's datapoints come to: one of them, "Average" when neither is given.
    metrics
        Instead of a metric: queries and expressions, one of which is watched.
    period
        Length of a period in seconds; with ``metrics`` it is theirs.
    evaluation_periods, datapoints_to_alarm
        N, and M of them that must breach (default N).
    threshold, threshold_metric_id, comparison_operator
        The statistic is the left operand; the right one is the threshold or the band of that id.
    treat_missing_data
        ``missing`` (default), ``ignore``, ``breaching`` or ``notBreaching``.
    evaluate_low_sample_count_percentile
        Whether percentiles of few samples are judged (``evaluate``, default) or the state is kept.
    evaluation_window
        None slides; else whole hours, days or weeks of a time zone.
    warm_up_configuration
        How long a new alarm waits for data.
    alarm_actions, ok_actions, insufficient_data_actions
        Names of channels that are told when the state becomes this.
    action_configuration
        CloudWatch's ``alarm_tags_propagation``: which tags go into messages.
    severity, owner, tags
        Passed on in messages: ``page`` wakes somebody, ``ticket`` waits for the morning, ``digest``
        for the week's letter to the owner.
    evaluation_range
        How many periods are looked at; None takes :func:`evaluation_range`.

    Raises
    ------
    AlarmError
        Naming the alarm, the field, the value and what was expected.
    """

    alarm_name: str
    evaluation_periods: int
    comparison_operator: str
    namespace: str = ""
    metric_name: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    statistic: Statistic | None = None
    extended_statistic: str | None = None
    period: int = 0
    unit: str | None = None
    metrics: tuple[MetricQuery, ...] = ()
    threshold: float | None = None
    threshold_metric_id: str | None = None
    datapoints_to_alarm: int | None = None
    treat_missing_data: Treatment | None = None
    evaluate_low_sample_count_percentile: LowSamples | None = None
    evaluation_window: WallClock | None = None
    warm_up_configuration: WarmUp | None = None
    alarm_description: str = ""
    actions_enabled: bool = True
    alarm_actions: tuple[str, ...] = ()
    ok_actions: tuple[str, ...] = ()
    insufficient_data_actions: tuple[str, ...] = ()
    action_configuration: Mapping[str, object] | None = None
    severity: Severity = "page"
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    evaluation_range: int | None = None

    def __post_init__(self) -> None:
        if not self.metrics and self.statistic is None and self.extended_statistic is None:
            object.__setattr__(self, "statistic", "Average")
        if self.metrics and not self.period:
            object.__setattr__(self, "period", limits.common_period(self))
        limits.check(self)

    @property
    def required_breaches(self) -> int:
        """M: how many of the N newest real points must breach."""
        return self.datapoints_to_alarm or self.evaluation_periods

    @property
    def treatment(self) -> Treatment:
        """What a missing point counts as."""
        usual: Treatment = "ignore" if self.namespace == _IGNORING_NAMESPACE else "missing"
        return self.treat_missing_data or usual

    @property
    def range_periods(self) -> int:
        """How many of the newest periods an evaluation looks at."""
        return self.evaluation_range or evaluation_range(self.evaluation_periods)

    @property
    def metric_key(self) -> str:
        """The digest of the metric that the alarm looks at; empty for metric math."""
        if self.metrics:
            return ""
        return metric_key(self.namespace, self.metric_name, self.dimensions)

    @property
    def statistic_name(self) -> str:
        """The statistic, extended or not; empty for metric math."""
        return self.extended_statistic or self.statistic or ""

    @property
    def is_band(self) -> bool:
        """Whether the metric is compared with a band instead of a threshold."""
        return self.threshold_metric_id is not None

    @property
    def watched_id(self) -> str:
        """The id of the query whose values are judged; empty without metric math."""
        return next((query.id for query in limits.watched(self)), "")

    @property
    def judged_name(self) -> str:
        """What is judged: the name of the metric, or the expression."""
        judged = next(iter(limits.watched(self)), None)
        return self.metric_name if judged is None else judged.expression or str(judged.metric_name)

    @property
    def samples_wanted(self) -> float:
        """Fewer samples than this keep the state; 0 when the count does not matter."""
        is_ignored = self.evaluate_low_sample_count_percentile == "ignore"
        return self.samples_advised if is_ignored else 0.0

    @property
    def samples_advised(self) -> float:
        """Fewer samples than this say little of the alarm's percentile; 0 when it is of none."""
        share = limits.percentile(self)
        if share is None:
            return 0.0
        tail = share if share < 0.5 else 1 - share
        # Rounded, so that p99 wants 1000 and not the double just above it.
        return round(_SAMPLES_BEYOND / tail, 6) if 0 < tail < 1 else 0.0

    @property
    def told_tags(self) -> dict[str, str]:
        """The tags that CloudWatch's forms of messages carry."""
        return propagated(self.tags, self.action_configuration)

    def edges(self, now: datetime) -> tuple[datetime, ...]:
        """Return the borders of the periods that an evaluation looks at, oldest first."""
        if self.evaluation_window is not None:
            zone = self.evaluation_window.zone
            return clock_edges(zone, self.period, self.range_periods, now)
        last, step = now.astimezone(UTC), timedelta(seconds=self.period)
        return tuple(last - step * back for back in range(self.range_periods, -1, -1))

    def as_dict(self) -> dict[str, object]:
        """Return the definition as plain JSON values, all fields."""
        found: dict[str, object] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "metrics":
                value = [query.as_dict() for query in self.metrics]
            elif isinstance(value, WallClock | WarmUp):
                value = value.as_dict()
            elif isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = dict(value)
            found[one.name] = value
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> AlarmDefinition:
        """Read a definition from plain JSON values; parts of it in CloudWatch's form, too."""
        known = {one.name for one in fields(cls)}
        name = str(found.get("alarm_name", ""))
        where = f'alarm "{name}"'
        if unknown := set(found) - known:
            raise AlarmError(
                f'{where}: unknown key "{min(unknown)}"; {nearest_key(min(unknown), known)}'
            )
        for key in ("alarm_name", "evaluation_periods", "comparison_operator"):
            if key not in found:
                raise AlarmError(f'{where}: "{key}" is missing; expected it')
        values = dict(found)
        try:
            values["dimensions"] = read_pairs("dimensions", found.get("dimensions"))
            values["tags"] = read_pairs("tags", found.get("tags"))
            values["metrics"] = read_queries(found.get("metrics"))
            values["evaluation_window"] = read_window(found.get("evaluation_window"))
            values["warm_up_configuration"] = read_warm_up(found.get("warm_up_configuration"))
            for key in ("alarm_actions", "ok_actions", "insufficient_data_actions"):
                values[key] = read_names(key, found.get(key))
        except AlarmError as error:
            raise AlarmError(f"{where}: {error}") from error
        return cls(**values)  # type: ignore[arg-type] # __post_init__ checks each of them


def evaluation_range(evaluation_periods: int) -> int:
    """Return how many periods an evaluation looks at, N + max(N // 3, 2).

    AWS documents 5 for N = 3 only; the formula is LocalStack's.
    """
    return evaluation_periods + max(evaluation_periods // 3, 2)
