"""The two alarms of each policy that tracks a target: users see them, and cannot change them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import delete_alarms, find_row, put_alarm
from driftline.serving.resources.scaling_specs import (
    CustomizedMetric,
    Policy,
    ScalingPolicySpec,
    TargetTracking,
)
from driftline.serving.scaling.decision import LOW_SHARE

# Name and statistic, under AWS/SageMaker, each minute and variant. Those that are not there while
# nobody asks are as good as zero, as SageMaker writes them.
_PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum"),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": (
        "ConcurrentRequestsPerModel", "Average",
    ),
    "SageMakerVariantProvisionedConcurrencyUtilization": (
        "ServerlessProvisionedConcurrencyUtilization", "Average",
    ),
}  # fmt: skip
_PREFIX = "TargetTracking-endpoint/"
_PERIOD_S, _HIGH_PERIODS, _LOW_PERIODS = 60, 3, 15


def policy_key(spec: ScalingPolicySpec, policy: Policy) -> str:
    """Return how actions of alarms name a policy, after "scaling:"."""
    return f"{spec.endpoint}/{spec.variant}/{policy.policy_name}"


def policy_id(key: str, part: str = "policy") -> UUID:
    """Return the id of a policy, or of one of its alarms, which no other has."""
    return uuid5(NAMESPACE_URL, f"driftline:scaling:{part}:{key.casefold()}")


def alarm_name(spec: ScalingPolicySpec, policy: Policy, side: str) -> str:
    """Return the name of the alarm "High" or "Low" of a policy."""
    variant = f"{spec.endpoint}/variant/{spec.variant}"
    return f"{_PREFIX}{variant}-Alarm{side}-{policy_id(policy_key(spec, policy), side)}"


def alarms_of(spec: ScalingPolicySpec, policy: Policy) -> list[AlarmDefinition]:
    """Return the two alarms of a policy; none of one in steps, whose alarms are the user's."""
    if (tracking := policy.tracking) is None:
        return []
    metric, is_predefined = _metric(spec, tracking)
    action = f"scaling:{policy_key(spec, policy)}"
    sides: list[tuple[str, dict[str, Any]]] = [
        ("High", {
            "comparison_operator": "GreaterThanThreshold", "evaluation_periods": _HIGH_PERIODS,
            "threshold": tracking.target_value,
        }),
        ("Low", {
            "comparison_operator": "LessThanThreshold", "evaluation_periods": _LOW_PERIODS,
            "threshold": LOW_SHARE * tracking.target_value,
            "treat_missing_data": "breaching" if is_predefined else "missing",
        }),
    ]  # fmt: skip
    return [
        AlarmDefinition.from_dict({
            **metric, **fields, "alarm_name": alarm_name(spec, policy, side),
            "alarm_description": f'Of scaling policy "{policy.policy_name}"; change that instead.',
            "alarm_actions": [action], "severity": "ticket",
        })
        for side, fields in sides
    ]  # fmt: skip


def is_managed(connection: Connection, name: str) -> bool:
    """Whether an alarm, which nobody declared, is one of a policy's."""
    return name.startswith(_PREFIX) and find_row(connection, name) is not None


def put_alarms(
    connection: Connection,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    now: datetime,
) -> None:
    """Store the alarms of a spec, in the place of those of the one before."""
    old, new = ({} if one is None else _by_name(one) for one in (before, after))
    gone = [name for name in old.keys() - new.keys() if find_row(connection, name) is not None]
    if gone:
        delete_alarms(connection, sorted(gone), now)
    for definition in new.values():
        put_alarm(connection, definition, now)


def _by_name(stored: Mapping[str, Any]) -> dict[str, AlarmDefinition]:
    spec = ScalingPolicySpec.model_validate(stored)
    found = [alarm for policy in spec.policies for alarm in alarms_of(spec, policy)]
    return {one.alarm_name: one for one in found}


def _metric(spec: ScalingPolicySpec, tracking: TargetTracking) -> tuple[dict[str, Any], bool]:
    """Return the metric of a policy in the fields of an alarm, and whether it is predefined."""
    if (predefined := tracking.predefined_metric_specification) is not None:
        name, statistic = _PREDEFINED[predefined.predefined_metric_type]
        return {
            "namespace": "AWS/SageMaker", "metric_name": name, "statistic": statistic,
            "dimensions": {"EndpointName": spec.endpoint, "VariantName": spec.variant},
            "period": _PERIOD_S,
        }, True  # fmt: skip
    given = tracking.customized_metric_specification or CustomizedMetric()
    if given.metrics is None:
        fields = given.model_dump(exclude={"metrics"}, exclude_none=True)
        return {**fields, "period": _PERIOD_S}, False
    return {"metrics": [_with_period(one) for one in given.metrics]}, False


def _with_period(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query of metric math with the period that a scaling policy's leaves out."""
    stat = next((key for key in ("metric_stat", "MetricStat") if query.get(key)), None)
    period = "Period" if stat == "MetricStat" else "period"
    return dict(query) if stat is None else {**query, stat: {period: _PERIOD_S, **query[stat]}}
