"""The definition of a metric alarm: PutMetricAlarm's fields in snake case, checked once.

Limits are CloudWatch's, but for alarms on monitors, whose windows may be days or weeks long.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, SkipValidation, model_validator

from driftline.alerts.alarms.parts import Alarm, Pairs, TextField, own_names
from driftline.alerts.alarms.window import (
    CLOCK_PERIODS_S,
    WallClock,
    WarmUp,
    clock_edges,
    read_warm_up,
    read_window,
)
from driftline.alerts.errors import AlarmError
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.metrics.datapoint import check_metric, check_unit, metric_key
from driftline.alerts.metrics.statistic import STATISTICS, Statistic, parse

Treatment = Literal["missing", "ignore", "breaching", "notBreaching"]
LowSamples = Literal["evaluate", "ignore"]

COMPARISONS: Final = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)
BAND_COMPARISONS: Final = (
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
)

# CloudWatch API, PutMetricAlarm.
_METRICS_MAX = 10
_SHORT_PERIODS_S = (10, 20, 30)
_DAY_S, _WEEK_S, _HOUR_S = 86_400, 604_800, 3_600
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{0,10})?|100)")
_BAND = re.compile(r"\s*ANOMALY_DETECTION_BAND\s*\(", re.IGNORECASE)
# Alarms on PromQL queries; there is no such engine here.
_PROMQL = ("EvaluationCriteria", "EvaluationInterval")
# A monitor's windows may be days or weeks long, so the span limit is not for these namespaces.
_MONITOR_NAMESPACES = ("Driftline", "aws/sagemaker/", "AWS/SageMaker")
_PERIODS_MAX = 1_000
_MONITOR_SPAN_MAX_DAYS = 3_653  # Ten years; beyond some thousand, times leave the calendar.
# CloudWatch User Guide: these ignore missing data unless told otherwise.
_IGNORING_NAMESPACE = "AWS/DynamoDB"
# CloudWatch User Guide, "Percentile-based alarms and low data samples".
_SAMPLES_BEYOND = 10


def _queries(given: object) -> tuple[MetricQuery, ...]:
    if not isinstance(given, list | tuple):
        raise AlarmError(f"metrics {given!r}; expected a list of queries")
    return tuple(
        one if isinstance(one, MetricQuery) else MetricQuery.from_dict(one) for one in given
    )


def _period(given: object) -> object:
    if not isinstance(given, int) or isinstance(given, bool):
        raise AlarmError(f"period {given} s; expected 10, 20, 30 or a multiple of 60")
    return given


def _treatment(given: object) -> object:
    if given not in (None, "missing", "ignore", "breaching", "notBreaching"):
        raise AlarmError(
            f"The value {given} is not supported for TreatMissingData "
            "parameter. Supported values are [breaching, notBreaching, ignore, missing]."
        )
    return given


def _low_samples(given: object) -> object:
    if given not in (None, "evaluate", "ignore"):
        raise AlarmError(
            f"Option {given} is not supported. Supported "
            "options for parameter EvaluateLowSampleCountPercentile are evaluate and ignore."
        )
    return given


class AlarmDefinition(Alarm):
    """One alarm on a metric, on metric math, or on a metric beside its band."""

    namespace: TextField = ""
    metric_name: TextField = ""
    dimensions: Pairs = Field(default_factory=dict)
    statistic: Annotated[
        Statistic | None,
        Field(
            description=f"one of {', '.join(STATISTICS)}; others, such as p99, are an "
            "extended_statistic"
        ),
    ] = None  # "Average" where the other is not given either.
    extended_statistic: Annotated[str | None, Field(description="a text")] = None
    # Seconds; with metrics it is theirs.
    period: Annotated[int, BeforeValidator(_period)] = 0
    # None: datapoints of all units are taken together.
    unit: Annotated[str | None, Field(description='a unit such as "Count"')] = None
    # Instead of a metric: queries and expressions, one of which is watched.
    metrics: Annotated[tuple[InstanceOf[MetricQuery], ...], BeforeValidator(_queries)] = ()
    evaluation_periods: Annotated[int, Field(ge=1, le=_DAY_S, description="1 or more")]
    datapoints_to_alarm: SkipValidation[int | None] = None  # `_check_periods` names the limits.
    # The right operand; the statistic is the left one. Or the band of that id.
    threshold: Annotated[int | float | None, Field(description="a finite number")] = None
    threshold_metric_id: Annotated[str | None, Field(description="a text")] = None
    comparison_operator: Annotated[str, Field(description=f"one of {', '.join(COMPARISONS)}")]
    treat_missing_data: Annotated[Treatment | None, BeforeValidator(_treatment)] = None
    evaluate_low_sample_count_percentile: Annotated[
        LowSamples | None, BeforeValidator(_low_samples)
    ] = None
    # None slides; else whole hours, days or weeks of a time zone.
    evaluation_window: Annotated[WallClock | None, BeforeValidator(read_window)] = None
    warm_up_configuration: Annotated[WarmUp | None, BeforeValidator(read_warm_up)] = None
    # How many periods are looked at; None: see evaluation_range().
    evaluation_range: SkipValidation[int | None] = None

    @model_validator(mode="after")
    def _check(self) -> AlarmDefinition:
        if not self.metrics and self.statistic is None and self.extended_statistic is None:
            object.__setattr__(self, "statistic", "Average")
        if self.metrics and not self.period:
            object.__setattr__(self, "period", _common_period(self))
        _check_source(self)
        _check_comparison(self)
        _check_periods(self)
        _check_span(self)
        if self.evaluation_window is not None and self.period not in CLOCK_PERIODS_S:
            raise AlarmError(
                f"period {self.period} s with a wall clock window; expected one of "
                f"{', '.join(map(str, CLOCK_PERIODS_S))}"
            )
        return self

    @classmethod
    def from_aws(cls, given: Mapping[str, Any]) -> Self:
        """Read an alarm that is named as in PutMetricAlarm, in snake case, or both."""
        where = f'alarm "{given.get("AlarmName", given.get("alarm_name", ""))}"'
        for key in _PROMQL:
            if key in given:
                raise AlarmError(
                    f"{where}: {key}; PromQL is not evaluated here; expected MetricName or Metrics"
                )
        try:
            values = own_names(given, cls.aws_names())
        except AlarmError as error:
            raise AlarmError(f"{where}: {error}") from error
        if values.get("metrics") and values.get("period") is not None and "Period" in given:
            raise AlarmError(f"{where}: Metrics and Period; expected Period inside of Metrics")
        return cls.from_dict(values)

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
        return next((query.id for query in self.judged), "")

    @property
    def judged_name(self) -> str:
        """The name of the metric, or the expression."""
        judged = next(iter(self.judged), None)
        return self.metric_name if judged is None else judged.expression or str(judged.metric_name)

    @property
    def samples_wanted(self) -> float:
        """Fewer samples than this keep the state; 0 when the count does not matter."""
        is_ignored = self.evaluate_low_sample_count_percentile == "ignore"
        return self.samples_advised if is_ignored else 0.0

    @property
    def samples_advised(self) -> float:
        """Fewer samples than this say little of the alarm's percentile; 0 when it is of none."""
        share = self._percentile
        if share is None:
            return 0.0
        tail = share if share < 0.5 else 1 - share
        # Rounded, so that p99 wants 1000 and not the double just above it.
        return round(_SAMPLES_BEYOND / tail, 6) if 0 < tail < 1 else 0.0

    def edges(self, now: datetime) -> tuple[datetime, ...]:
        """Return the borders of the periods that an evaluation looks at, oldest first."""
        if self.evaluation_window is not None:
            zone = self.evaluation_window.zone
            return clock_edges(zone, self.period, self.range_periods, now)
        last, step = now.astimezone(UTC), timedelta(seconds=self.period)
        return tuple(last - step * back for back in range(self.range_periods, -1, -1))

    @property
    def judged(self) -> list[MetricQuery]:
        """The queries of metric math whose values are judged; a sound alarm has exactly one."""
        return [
            one for one in self.metrics if one.return_data and one.id != self.threshold_metric_id
        ]

    @property
    def _percentile(self) -> float | None:
        """The share that the alarm's percentile stands for, 0 to 1; None if it has none."""
        statistic = self.extended_statistic
        if self.metrics:
            judged = self.judged
            statistic = judged[0].stat if len(judged) == 1 else None
        found = _PERCENTILE.fullmatch(statistic or "")
        return float(found[1]) / 100 if found else None


def evaluation_range(evaluation_periods: int) -> int:
    """Return how many periods an evaluation looks at, N + max(N // 3, 2).

    AWS documents 5 for N = 3 only; the formula is LocalStack's.
    """
    return evaluation_periods + max(evaluation_periods // 3, 2)


def _is_finite(value: float | None) -> bool:
    try:
        return value is not None and math.isfinite(value)
    except OverflowError:  # A whole number that no float can hold.
        return False


def _check_source(alarm: AlarmDefinition) -> None:
    if alarm.metrics:
        _check_math(alarm)
        return
    for key, text in (("namespace", alarm.namespace), ("metric_name", alarm.metric_name)):
        if text == "":
            raise AlarmError(f'"{key}" is missing; expected it, or a list of metrics')
    check_metric(alarm.namespace, alarm.metric_name, alarm.dimensions)
    if alarm.extended_statistic is not None:
        if alarm.statistic is not None:
            raise AlarmError("statistic and extended_statistic; expected one of them")
        parse(alarm.extended_statistic)
    check_unit(alarm.unit)
    if alarm.threshold_metric_id is not None:
        raise AlarmError("threshold_metric_id without metrics; expected both or neither")


def _check_math(alarm: AlarmDefinition) -> None:
    for key in (
        "metric_name", "namespace", "dimensions", "statistic", "extended_statistic", "unit",
    ):  # fmt: skip
        if getattr(alarm, key):
            raise AlarmError(f"metrics and {key}; expected {key} inside of the metrics")
    if len(alarm.metrics) > _METRICS_MAX:
        raise AlarmError(f"{len(alarm.metrics)} metrics; expected {_METRICS_MAX} or fewer")
    plan = Plan.of(alarm.metrics)
    if alarm.period != _common_period(alarm):
        raise AlarmError(f"metrics and period {alarm.period} s; expected it inside of the metrics")
    if alarm.is_band:
        _check_band(alarm)
    judged = alarm.judged
    if len(judged) != 1:
        raise AlarmError(
            f"{len(judged)} metrics with return_data that are judged; expected exactly one"
        )
    if plan.kinds[judged[0].id] != "series":
        raise AlarmError(
            f'"{judged[0].id}" gives several time series; expected one, such as MAX(...) of them'
        )


def _check_comparison(alarm: AlarmDefinition) -> None:
    known = BAND_COMPARISONS if alarm.is_band else COMPARISONS
    if alarm.comparison_operator not in known:
        also = "" if alarm.is_band else "; those of bands need threshold_metric_id"
        raise AlarmError(
            f'comparison_operator "{alarm.comparison_operator}"; '
            f"expected one of {', '.join(known)}{also}"
        )
    if not alarm.is_band and not _is_finite(alarm.threshold):
        raise AlarmError(f"threshold {alarm.threshold!r}; expected a finite number")


def _check_band(alarm: AlarmDefinition) -> None:
    if alarm.policy_names:  # CloudWatch refuses them, too: steps count from a threshold.
        raise AlarmError(
            f'action "{alarm.policy_names[0]}" is a scaling policy; name it in an alarm with a '
            "threshold"
        )
    if alarm.threshold is not None:
        raise AlarmError(
            f"threshold {alarm.threshold!r} beside threshold_metric_id; expected one of them"
        )
    band = next((one for one in alarm.metrics if one.id == alarm.threshold_metric_id), None)
    if band is None or band.expression is None or _BAND.match(band.expression) is None:
        raise AlarmError(
            f'threshold_metric_id "{alarm.threshold_metric_id}"; expected the id of an '
            "ANOMALY_DETECTION_BAND expression in metrics"
        )
    if alarm.period < 60:
        raise AlarmError(f"period {alarm.period} s with a band; expected 60 or more")


def _check_periods(alarm: AlarmDefinition) -> None:
    period, n, m = alarm.period, alarm.evaluation_periods, alarm.datapoints_to_alarm
    if period not in _SHORT_PERIODS_S and (period < 60 or period % 60 != 0):
        raise AlarmError(f"period {period} s; expected 10, 20, 30 or a multiple of 60")
    if m is not None and not (type(m) is int and 1 <= m <= n):
        raise AlarmError(f"datapoints_to_alarm {m!r}; expected 1 to {n}")
    reach = alarm.evaluation_range
    if reach is not None and not (type(reach) is int and n <= reach <= 10 * n + 10):
        raise AlarmError(f"evaluation_range {reach!r}; expected {n} to {10 * n + 10}")


def _check_span(alarm: AlarmDefinition) -> None:
    namespaces = [one.namespace for one in alarm.metrics or (alarm,) if one.namespace]
    if namespaces and all(one.startswith(_MONITOR_NAMESPACES) for one in namespaces):
        if alarm.evaluation_periods > _PERIODS_MAX:
            raise AlarmError(
                f"evaluation_periods {alarm.evaluation_periods}; expected {_PERIODS_MAX} or fewer"
            )
        if alarm.period * alarm.range_periods > _MONITOR_SPAN_MAX_DAYS * _DAY_S:
            raise AlarmError(
                f"period {alarm.period} s x {alarm.range_periods} periods to look at; "
                f"expected {_MONITOR_SPAN_MAX_DAYS} days or less"
            )
        return
    longest = _DAY_S if alarm.period < _HOUR_S else _WEEK_S
    span = alarm.period * alarm.evaluation_periods
    if span > longest:
        raise AlarmError(f"period x evaluation_periods is {span} s; expected {longest} s or less")


def _common_period(alarm: AlarmDefinition) -> int:
    """Return the period of all metrics of an alarm, in seconds."""
    periods = {one.period for one in alarm.metrics if one.period}
    if not periods:
        raise AlarmError(
            "none of its metrics has a period; expected at least one metric by its name, with its "
            "period"
        )
    if len(periods) != 1:
        raise AlarmError(f"metrics with periods {sorted(periods)} s; expected one period for all")
    return int(periods.pop())
