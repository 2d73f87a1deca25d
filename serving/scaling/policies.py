"""Declared ScalingPolicies: whether they fit their endpoint, and the alarms that track targets.

Users see these alarms, and cannot change them. The row of a ScalingPolicy is made of what scaling
leaves of its variant: a `Capacity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import delete_alarms, find_row, put_alarm
from driftline.errors import ConflictError
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import INSTANCES_MAX, variants_of
from driftline.serving.resources.resources import ResourceError
from driftline.serving.resources.scaling_specs import (
    DIMENSIONS,
    PERIOD_S,
    PREDEFINED,
    Policy,
    ScalingPolicySpec,
    TargetTracking,
)
from driftline.serving.scaling.decision import LOW_SHARE

ALARMS = "TargetTracking-endpoint/"  # How the names of these alarms begin.
# Comparison, threshold as a share of the target, and periods, as AWS has them.
_SIDES = {
    "High": ("GreaterThanThreshold", 1.0, 3),
    "Low": ("LessThanThreshold", LOW_SHARE, 15),
}


def policy_key(spec: ScalingPolicySpec, policy: Policy) -> str:
    """Return how actions of alarms name a policy, after "scaling:"."""
    return f"{spec.endpoint}/{spec.variant}/{policy.policy_name}"


def policy_id(key: str, part: str = "policy") -> UUID:
    """Return the id of a policy, or of one of its alarms, which no other has."""
    return uuid5(NAMESPACE_URL, f"driftline:scaling:{part}:{key.casefold()}")


def alarms_of(spec: ScalingPolicySpec, policy: Policy) -> list[AlarmDefinition]:
    """Return the two alarms of a policy; none of one in steps, whose alarms are the user's."""
    rule = policy.rule
    if not isinstance(rule, TargetTracking):
        return []
    key, metric = policy_key(spec, policy), _metric(spec, rule)
    variant = f"{spec.endpoint}/variant/{spec.variant}"
    return [
        AlarmDefinition.from_dict({
            **metric, "alarm_name": f"{ALARMS}{variant}-Alarm{side}-{policy_id(key, side)}",
            "alarm_description": f'Of scaling policy "{policy.policy_name}"; change that instead.',
            "alarm_actions": [f"scaling:{key}"], "severity": "ticket",
            "comparison_operator": comparison, "evaluation_periods": periods,
            "threshold": share * rule.target_value,
        })
        for side, (comparison, share, periods) in _SIDES.items()
    ]  # fmt: skip


def _metric(spec: ScalingPolicySpec, rule: TargetTracking) -> dict[str, Any]:
    """Return the metric of a policy in the fields of an alarm."""
    if (predefined := rule.predefined_metric_specification) is not None:
        name, statistic = PREDEFINED[predefined.predefined_metric_type]
        return {
            "namespace": "AWS/SageMaker", "metric_name": name, "statistic": statistic,
            "dimensions": {"EndpointName": spec.endpoint, "VariantName": spec.variant},
            "period": PERIOD_S,
        }  # fmt: skip
    given = rule.customized_metric_specification
    assert given is not None
    if given.metrics is None:
        return {**given.model_dump(exclude_none=True), "period": PERIOD_S}
    return {"metrics": given.metrics}


def is_managed(connection: Connection, name: str) -> bool:
    """Whether an alarm, which nobody declared, is one of a policy's."""
    return name.startswith(ALARMS) and find_row(connection, name) is not None


def variant_key(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Return endpoint and variant of a policy's spec as they are compared."""
    return spec["endpoint"].casefold(), spec["variant"].casefold()


def variant_of(endpoint: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return a variant of an endpoint's spec by its name, ignoring case."""
    found = {one["variant_name"].casefold(): one for one in variants_of(endpoint)}
    return found.get(name.casefold())


def fitted(
    title: str, spec: ScalingPolicySpec, name: str, endpoint: Mapping[str, Any]
) -> ScalingPolicySpec:
    """Return a spec with the names as its endpoint spells them; InputError: it does not fit."""
    if (variant := variant_of(endpoint, spec.variant)) is None:
        known = ", ".join(one["variant_name"] for one in variants_of(endpoint)) or "no model"
        raise ResourceError(
            f'{title}: spec.variant "{spec.variant}"; endpoint "{name}" has {known}'
        )
    serverless = variant.get("serverless_config")
    rests = serverless is not None or endpoint.get("async_inference_config") is not None
    least, most = 0 if rests else 1, serverless["max_concurrency"] if serverless else INSTANCES_MAX
    for bounds in (spec, *(one.scalable_target_action for one in spec.scheduled_actions)):
        for bound in (bounds.min_capacity, bounds.max_capacity):
            if bound is not None and not least <= bound <= most:
                raise ResourceError(f"{title}: capacity {bound}; expected {least} to {most} here")
    dimension = DIMENSIONS[serverless is not None]
    if spec.scalable_dimension not in (None, dimension):
        raise ResourceError(f"{title}: spec.scalable_dimension; expected {dimension} here")
    names = {"endpoint": name, "variant": variant["variant_name"], "scalable_dimension": dimension}
    found = spec.model_copy(update=names)
    _alarms(found)  # Of a metric that none can watch, they cannot be made.
    return found


def declare(
    connection: Connection, before: store.Stored | None, after: store.Stored | None, now: datetime
) -> None:
    """Have a declared policy scaled in the place of the one before, with its alarms; None: none."""
    alarms, old_alarms = (
        {} if row is None else _alarms(ScalingPolicySpec.model_validate(row.spec))
        for row in (after, before)
    )
    if gone := sorted(old_alarms.keys() - alarms.keys()):
        delete_alarms(connection, gone, now)
    for definition in alarms.values():
        put_alarm(connection, definition, now)
    if after is None:
        return
    new, key = after.spec, variant_key(after.spec)
    old = {} if before is None or variant_key(before.spec) != key else before.spec
    for row in () if old else store.list_kind(connection, "ScalingPolicy"):
        if row.name != after.name and variant_key(row.spec) == key:
            raise ConflictError(
                f'variant "{new["variant"]}" of endpoint "{new["endpoint"]}" has a ScalingPolicy '
                "already; change that one"
            )
    made = dict(after.made) if old else {}
    if old.get("scheduled_actions") != new["scheduled_actions"]:
        # What one would have fired before is none of its firings.
        made["scheduled_until"] = now.isoformat()
    bounds = {name: new[name] for name in ("min_capacity", "max_capacity")}
    if not bounds.items() <= old.items():
        made |= bounds
    store.write(connection, after, made=made)


def _alarms(spec: ScalingPolicySpec) -> dict[str, AlarmDefinition]:
    found = [alarm for policy in spec.policies for alarm in alarms_of(spec, policy)]
    return {one.alarm_name: one for one in found}
