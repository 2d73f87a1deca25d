"""PutMetricAlarm's request, in CloudWatch's own names: read into a definition, and written back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.errors import AlarmError

AWS_NAMES: Final[Mapping[str, str]] = {
    "AlarmName": "alarm_name",
    "AlarmDescription": "alarm_description",
    "ActionsEnabled": "actions_enabled",
    "OKActions": "ok_actions",
    "AlarmActions": "alarm_actions",
    "InsufficientDataActions": "insufficient_data_actions",
    "MetricName": "metric_name",
    "Namespace": "namespace",
    "Statistic": "statistic",
    "ExtendedStatistic": "extended_statistic",
    "Dimensions": "dimensions",
    "Period": "period",
    "Unit": "unit",
    "EvaluationPeriods": "evaluation_periods",
    "DatapointsToAlarm": "datapoints_to_alarm",
    "Threshold": "threshold",
    "ComparisonOperator": "comparison_operator",
    "TreatMissingData": "treat_missing_data",
    "EvaluateLowSampleCountPercentile": "evaluate_low_sample_count_percentile",
    "Metrics": "metrics",
    "Tags": "tags",
    "ThresholdMetricId": "threshold_metric_id",
    "EvaluationWindow": "evaluation_window",
    "WarmUpConfiguration": "warm_up_configuration",
    "ActionConfiguration": "action_configuration",
}
_PROPAGATION: Final[Mapping[str, str]] = {
    "Enabled": "enabled",
    "IncludedTagKeys": "included_tag_keys",
    "ExcludedTagKeys": "excluded_tag_keys",
}
# Alarms on PromQL queries; there is no such engine here.
_PROMQL = ("EvaluationCriteria", "EvaluationInterval")


def from_aws(found: Mapping[str, object]) -> AlarmDefinition:
    """Read an alarm that is named as in PutMetricAlarm, in snake case, or both."""
    name = str(found.get("AlarmName", found.get("alarm_name", "")))
    for key in _PROMQL:
        if key in found:
            raise AlarmError(
                f'alarm "{name}": {key}; PromQL is not evaluated here; expected MetricName or '
                "Metrics"
            )
    values: dict[str, object] = {}
    for key, value in found.items():
        own = AWS_NAMES.get(key, key)
        if own in values:
            raise AlarmError(f'alarm "{name}": "{key}" and "{own}"; expected one of them')
        values[own] = value
    if values.get("metrics") and values.get("period") is not None and "Period" in found:
        raise AlarmError(f'alarm "{name}": Metrics and Period; expected Period inside of Metrics')
    values["action_configuration"] = read_propagation(values.get("action_configuration"))
    # Absent and null say the same, in every SDK.
    return AlarmDefinition.from_dict({key: one for key, one in values.items() if one is not None})


def to_aws(definition: AlarmDefinition) -> dict[str, object]:
    """Write a definition as PutMetricAlarm's request; what was not set is not there."""
    found: dict[str, object] = {}
    for aws, own in AWS_NAMES.items():
        value = getattr(definition, own)
        if value is None or value in ("", (), {}):
            continue
        found[aws] = list(value) if isinstance(value, tuple) else value
    if definition.metrics:
        del found["Period"]
        found["Metrics"] = [query.as_aws() for query in definition.metrics]
    for key, field in (("Dimensions", "Name"), ("Tags", "Key")):
        if key in found:
            pairs = sorted(getattr(definition, AWS_NAMES[key]).items())
            found[key] = [{field: name, "Value": value} for name, value in pairs]
    if (window := definition.evaluation_window) is not None:
        found["EvaluationWindow"] = {"WallClockWindow": {"Timezone": window.timezone}}
    if (warm_up := definition.warm_up_configuration) is not None:
        found["WarmUpConfiguration"] = {
            "WarmUpPeriodDurationInMinutes": warm_up.minutes,
            "OnlyStartEvaluatingAfterWarmUpPeriodEnds": warm_up.is_whole,
        }
    if definition.action_configuration is not None:
        fields = definition.action_configuration["alarm_tags_propagation"]
        assert isinstance(fields, Mapping)
        told = {
            aws: fields[own] for aws, own in _PROPAGATION.items() if fields.get(own) is not None
        }
        found["ActionConfiguration"] = {"AlarmTagsPropagation": told}
    return found


def read_propagation(found: object) -> object:
    """Take CloudWatch's names inside of ActionConfiguration; the rest is checked later."""
    if not isinstance(found, Mapping) or "AlarmTagsPropagation" not in found:
        return found
    fields = found["AlarmTagsPropagation"]
    if not isinstance(fields, Mapping):
        return found
    inner = {_PROPAGATION.get(str(key), str(key)): value for key, value in fields.items()}
    rest = {key: value for key, value in found.items() if key != "AlarmTagsPropagation"}
    return rest | {"alarm_tags_propagation": inner}
