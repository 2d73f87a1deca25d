"""What a definition of an alarm may say: CloudWatch's limits for PutMetricAlarm, one by one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from driftline.alerts.alarms.parts import read_names
from driftline.alerts.alarms.window import CLOCK_PERIODS_S, WallClock, WarmUp
from driftline.alerts.errors import AlarmError, DatapointError, ExpressionError
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.metrics.datapoint import UNITS, check_metric
from driftline.alerts.metrics.statistic import parse
from driftline.alerts.metrics.summary import STATISTICS

if TYPE_CHECKING:
    from driftline.alerts.alarms.composite import AnyDefinition
    from driftline.alerts.alarms.definition import AlarmDefinition

COMPARISONS: tuple[str, ...] = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)
BAND_COMPARISONS: tuple[str, ...] = (
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
)

# CloudWatch API, PutMetricAlarm.
_NAME_MAX = 255
_DESCRIPTION_MAX = 1024
_ACTIONS_MAX = 5
_TAGS_MAX = 50
_METRICS_MAX = 10
_TAG_KEY_MAX, _TAG_VALUE_MAX = 128, 256
_SHORT_PERIODS_S = (10, 20, 30)
_DAY_S, _WEEK_S, _HOUR_S = 86_400, 604_800, 3_600
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{0,10})?|100)")
_BAND = re.compile(r"\s*ANOMALY_DETECTION_BAND\s*\(", re.IGNORECASE)
# A monitor's windows may be days or weeks long, so the span limit is not for these namespaces.
_MONITOR_NAMESPACES = ("Driftline", "aws/sagemaker/", "AWS/SageMaker")
_PERIODS_MAX = 1_000
_MONITOR_SPAN_MAX_DAYS = 3_653  # Ten years; beyond some thousand, times leave the calendar.
_OWNER_MAX = 255
_SEVERITIES = ("page", "ticket", "digest")
_TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
_PROPAGATION = ("enabled", "included_tag_keys", "excluded_tag_keys")


def check(definition: AlarmDefinition) -> None:
    """Check all fields of a definition."""
    name = definition.alarm_name
    if not isinstance(name, str) or not 1 <= len(name) <= _NAME_MAX or _CONTROL.search(name):
        raise AlarmError(
            f"alarm name {str(name)[:80]!r}; expected 1 to {_NAME_MAX} characters "
            "without control characters"
        )
    try:
        check_texts(definition)
        _check_source(definition)
        _check_comparison(definition)
        _check_periods(definition)
        _check_span(definition)
        _check_window(definition)
    except _SentenceError as error:
        raise AlarmError(str(error)) from None
    except (AlarmError, DatapointError, ExpressionError) as error:
        raise AlarmError(f'alarm "{name}": {error}') from error


class _SentenceError(AlarmError):
    """A sentence of CloudWatch's, which stands alone because users match on it."""


def check_texts(alarm: AnyDefinition) -> None:
    """Check what alarms of all kinds have: description, owner, severity, tags, actions."""
    for name, text, longest in (
        ("description", alarm.alarm_description, _DESCRIPTION_MAX),
        ("owner", alarm.owner, _OWNER_MAX),
    ):
        if not isinstance(text, str):
            raise AlarmError(f"{name} {text!r}; expected a text")
        if len(text) > longest:
            raise AlarmError(f"{name} of {len(text)} characters; expected {longest} or fewer")
    if not isinstance(alarm.actions_enabled, bool):
        raise AlarmError(f"actions_enabled {alarm.actions_enabled!r}; expected true or false")
    if alarm.severity not in _SEVERITIES:
        raise AlarmError(f'severity "{alarm.severity}"; expected page, ticket or digest')
    if len(alarm.tags) > _TAGS_MAX:
        raise AlarmError(f"{len(alarm.tags)} tags; expected {_TAGS_MAX} or fewer")
    for state in ("ALARM", "OK", "INSUFFICIENT_DATA"):
        count = len(alarm.actions(state))
        if count > _ACTIONS_MAX or count != len(set(alarm.actions(state))):
            raise AlarmError(
                f"{count} actions for {state}; expected {_ACTIONS_MAX} or fewer, each once"
            )
    _check_propagation(alarm.action_configuration)


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that are too long: AlarmError.

    Where they are given, not where they are read: older versions stored tags of any length.
    """
    for key, value in tags.items():
        if not 1 <= len(key) <= _TAG_KEY_MAX or len(value) > _TAG_VALUE_MAX:
            raise AlarmError(
                f'tag "{key[:80]}"; expected a key of 1 to {_TAG_KEY_MAX} characters and a value '
                f"of {_TAG_VALUE_MAX} or fewer"
            )


def _check_propagation(found: Mapping[str, object] | None) -> None:
    """Refuse an ``action_configuration`` that is none: AlarmError."""
    if found is None:
        return
    fields = found.get("alarm_tags_propagation") if isinstance(found, Mapping) else None
    if not isinstance(fields, Mapping) or set(found) != {"alarm_tags_propagation"}:
        raise AlarmError(f"action_configuration {found!r}; expected alarm_tags_propagation")
    if not isinstance(fields.get("enabled"), bool) or set(fields) - set(_PROPAGATION):
        raise AlarmError(
            f"alarm_tags_propagation {dict(fields)!r}; expected enabled (true or false), and "
            "included_tag_keys or excluded_tag_keys if wanted"
        )
    lists = [key for key in _PROPAGATION[1:] if fields.get(key) is not None]
    if len(lists) > 1:
        raise AlarmError("included_tag_keys and excluded_tag_keys; expected one of them")
    for key in lists:
        if not 1 <= len(read_names(key, fields[key])) <= _TAGS_MAX:
            raise AlarmError(f"{key} {fields[key]!r}; expected 1 to {_TAGS_MAX} keys of tags")


def _check_source(alarm: AlarmDefinition) -> None:
    if alarm.metrics:
        _check_math(alarm)
        return
    for key in ("namespace", "metric_name"):
        if getattr(alarm, key) == "":
            raise AlarmError(f'"{key}" is missing; expected it, or a list of metrics')
        if not isinstance(getattr(alarm, key), str):
            raise AlarmError(f"{key} {getattr(alarm, key)!r}; expected a text")
    check_metric(alarm.namespace, alarm.metric_name, alarm.dimensions)
    if alarm.extended_statistic is not None:
        if alarm.statistic is not None:
            raise AlarmError("statistic and extended_statistic; expected one of them")
        if not isinstance(alarm.extended_statistic, str):
            raise AlarmError(f"extended_statistic {alarm.extended_statistic!r}; expected a text")
        parse(alarm.extended_statistic)
    elif alarm.statistic not in STATISTICS:
        raise AlarmError(
            f'statistic "{alarm.statistic}"; expected one of {", ".join(STATISTICS)}; others, such '
            "as p99, are an extended_statistic"
        )
    if alarm.unit is not None and str(alarm.unit) not in UNITS:
        raise AlarmError(f'unit "{alarm.unit}"; expected a unit such as "Count"')
    if alarm.threshold_metric_id is not None:
        raise AlarmError("threshold_metric_id without metrics; expected both or neither")


def _check_math(alarm: AlarmDefinition) -> None:
    for key in (
        "metric_name",
        "namespace",
        "dimensions",
        "statistic",
        "extended_statistic",
        "unit",
    ):
        if getattr(alarm, key):
            raise AlarmError(f"metrics and {key}; expected {key} inside of the metrics")
    if len(alarm.metrics) > _METRICS_MAX:
        raise AlarmError(f"{len(alarm.metrics)} metrics; expected {_METRICS_MAX} or fewer")
    plan = Plan.of(alarm.metrics)
    if alarm.period != common_period(alarm):
        raise AlarmError(f"metrics and period {alarm.period} s; expected it inside of the metrics")
    if alarm.is_band:
        _check_band(alarm)
    judged = watched(alarm)
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
    if not alarm.is_band and not _is_number(alarm.threshold):
        raise AlarmError(f"threshold {alarm.threshold!r}; expected a finite number")
    if alarm.treat_missing_data not in (None, *_TREATMENTS):
        raise _SentenceError(
            f"The value {alarm.treat_missing_data} is not supported for TreatMissingData "
            "parameter. Supported values are [breaching, notBreaching, ignore, missing]."
        )
    if alarm.evaluate_low_sample_count_percentile not in (None, "evaluate", "ignore"):
        raise _SentenceError(
            f"Option {alarm.evaluate_low_sample_count_percentile} is not supported. Supported "
            "options for parameter EvaluateLowSampleCountPercentile are evaluate and ignore."
        )


def _check_band(alarm: AlarmDefinition) -> None:
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
    if not _is_whole(period) or (
        period not in _SHORT_PERIODS_S and (period < 60 or period % 60 != 0)
    ):
        raise AlarmError(f"period {period} s; expected 10, 20, 30 or a multiple of 60")
    if not _is_whole(n) or not 1 <= n <= _DAY_S:
        raise AlarmError(f"evaluation_periods {n!r}; expected 1 or more")
    if m is not None and not (_is_whole(m) and 1 <= m <= n):
        raise AlarmError(f"datapoints_to_alarm {m!r}; expected 1 to {n}")
    reach = alarm.evaluation_range
    if reach is not None and not (_is_whole(reach) and n <= reach <= 10 * n + 10):
        raise AlarmError(f"evaluation_range {reach!r}; expected {n} to {10 * n + 10}")


def _check_span(alarm: AlarmDefinition) -> None:
    if _namespaces(alarm) and all(
        one.startswith(_MONITOR_NAMESPACES) for one in _namespaces(alarm)
    ):
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


def _namespaces(alarm: AlarmDefinition) -> tuple[str, ...]:
    if alarm.metrics:
        return tuple(one.namespace for one in alarm.metrics if one.namespace)
    return (alarm.namespace,)


def _check_window(alarm: AlarmDefinition) -> None:
    if alarm.evaluation_window is not None:
        if not isinstance(alarm.evaluation_window, WallClock):
            raise AlarmError(f"evaluation_window {alarm.evaluation_window!r}; expected a WallClock")
        if alarm.period not in CLOCK_PERIODS_S:
            raise AlarmError(
                f"period {alarm.period} s with a wall clock window; expected one of "
                f"{', '.join(map(str, CLOCK_PERIODS_S))}"
            )
    if not isinstance(alarm.warm_up_configuration, WarmUp | None):
        raise AlarmError(
            f"warm_up_configuration {alarm.warm_up_configuration!r}; expected a WarmUp"
        )


def watched(alarm: AlarmDefinition) -> list[MetricQuery]:
    """Return the queries of metric math whose values are judged; a sound alarm has exactly one."""
    return [one for one in alarm.metrics if one.return_data and one.id != alarm.threshold_metric_id]


def common_period(alarm: AlarmDefinition) -> int:
    """Return the period of all metrics of an alarm, in seconds."""
    periods = {one.period for one in alarm.metrics if one.period}
    if not periods:
        raise AlarmError(
            f'alarm "{alarm.alarm_name}": none of its metrics has a period; expected at least one '
            "metric by its name, with its period"
        )
    if len(periods) != 1:
        raise AlarmError(
            f'alarm "{alarm.alarm_name}": metrics with periods {sorted(periods)} s; '
            "expected one period for all"
        )
    return int(periods.pop())


def percentile(alarm: AlarmDefinition) -> float | None:
    """Return the share that the alarm's percentile stands for, 0 to 1; None if it has none."""
    statistic = alarm.extended_statistic
    if alarm.metrics:
        judged = watched(alarm)
        statistic = judged[0].stat if len(judged) == 1 else None
    found = _PERCENTILE.fullmatch(statistic or "")
    return float(found[1]) / 100 if found else None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number that no float can hold.
        return False
