"""Application Auto Scaling: a scalable target with all of its policies is one ScalingPolicy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from driftline.alerts.documents import from_aws, to_aws
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.resources import (
    StoredResource,
    apply,
    delete_resource,
    list_resources,
)
from driftline.serving.operations.scaling import ScalingActivity, scaling_activities
from driftline.serving.resources.scaling_specs import DIMENSIONS, ScalingPolicySpec
from driftline.serving.resources.store import ChangedError
from driftline.serving.scaling.alarms import alarms_of, policy_id

_SERVICE, _COLLECTION = "application-autoscaling", "scaling-policies"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_PAGE, _TRIES, _NAME_MAX = 50, 5, 63
_POLICIES, _ACTIONS = ("policies", "policy_name"), ("scheduled_actions", "scheduled_action_name")
_CONFIGURATIONS = ("TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration")
_TIMES = ("start_time", "end_time")
Change = Callable[[dict[str, Any]], None]


@serves(f"{_SERVICE}.RegisterScalableTarget")
async def register_scalable_target(wire: Wire, given: Given) -> Answer:
    """Declare the bounds of a variant, or change those that are given."""
    asked = ("MinCapacity", "MaxCapacity", "SuspendedState", "ScalableDimension")
    fields = from_aws({name: given[name] for name in asked if name in given})
    stored = await _change(wire, given, lambda spec: spec.update(fields), given.get("Tags", {}))
    return {"ScalableTargetARN": _target_arn(wire, stored)}


@serves(f"{_SERVICE}.DescribeScalableTargets")
async def describe_scalable_targets(wire: Wire, given: Given) -> Answer:
    """Return targets with the bounds in force."""
    wanted = given.get("ResourceIds")
    found = [one for one in await _stored(wire, given) if not wanted or _resource(one) in wanted]
    page, token = wire.page(given, lambda one: (_resource(one),), found, size=_PAGE)
    role = "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    role += "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    targets = [
        {
            **_place(one), "CreationTime": one.created_at,
            "MinCapacity": one.status["min_capacity"], "MaxCapacity": one.status["max_capacity"],
            "RoleARN": f"arn:aws:iam::{wire.account}:{role}",
            "SuspendedState": to_aws(one.spec["suspended_state"]),
            "ScalableTargetARN": _target_arn(wire, one),
        }
        for one in page
    ]  # fmt: skip
    return {"ScalableTargets": targets, "NextToken": token}


@serves(f"{_SERVICE}.DeregisterScalableTarget")
async def deregister_scalable_target(wire: Wire, given: Given) -> Answer:
    """Delete a target with its policies, alarms and scheduled actions."""
    name = (await _registered(wire, given)).name
    await wire.ask(delete_resource, collection=_COLLECTION, name=name)
    return {}


@serves(f"{_SERVICE}.PutScalingPolicy")
async def put_scaling_policy(wire: Wire, given: Given) -> Answer:
    """Add a policy to a target, or change it; return its alarms."""
    policy = from_aws({name: given[name] for name in _CONFIGURATIONS if name in given})
    policy["policy_name"] = given["PolicyName"]
    stored = await _change(wire, given, _put(_POLICIES, policy))
    found = _policies(wire, stored)[given["PolicyName"]]
    return {key: found[key] for key in ("PolicyARN", "Alarms")}


@serves(f"{_SERVICE}.DescribeScalingPolicies")
async def describe_scaling_policies(wire: Wire, given: Given) -> Answer:
    """Return policies with their alarms."""
    wanted = given.get("PolicyNames")
    found = [
        one
        for stored in await _stored(wire, given)
        for name, one in _policies(wire, stored).items()
        if not wanted or name in wanted or one["PolicyARN"] in wanted
    ]
    page, token = wire.page(given, lambda one: (one["PolicyARN"],), found, size=_PAGE)
    return {"ScalingPolicies": page, "NextToken": token}


@serves(f"{_SERVICE}.DeleteScalingPolicy")
async def delete_scaling_policy(wire: Wire, given: Given) -> Answer:
    """Take a policy, with its alarms, from a target."""
    await _change(wire, given, _remove(_POLICIES, given["PolicyName"]))
    return {}


@serves(f"{_SERVICE}.PutScheduledAction")
async def put_scheduled_action(wire: Wire, given: Given) -> Answer:
    """Add a scheduled action to a target, or change what is given of it."""
    names = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
    action = from_aws({name: given[name] for name in names if name in given})
    action["scheduled_action_name"] = given["ScheduledActionName"]
    await _change(wire, given, _put(_ACTIONS, action))
    return {}


@serves(f"{_SERVICE}.DescribeScheduledActions")
async def describe_scheduled_actions(wire: Wire, given: Given) -> Answer:
    """Return scheduled actions."""
    wanted, found = given.get("ScheduledActionNames"), []
    for stored in await _stored(wire, given):
        for one in stored.spec["scheduled_actions"]:
            name = one["scheduled_action_name"]
            times = {key: datetime.fromisoformat(one[key]) for key in _TIMES if one[key]}
            arn = _arn(wire, stored, "scheduledAction", f"scheduledActionName/{name}")
            action = {**_place(stored), **to_aws({**one, **times}), "ScheduledActionARN": arn}
            if not wanted or name in wanted:
                found.append({**action, "CreationTime": stored.created_at})
    page, token = wire.page(given, lambda one: (one["ScheduledActionARN"],), found, size=_PAGE)
    return {"ScheduledActions": page, "NextToken": token}


@serves(f"{_SERVICE}.DeleteScheduledAction")
async def delete_scheduled_action(wire: Wire, given: Given) -> Answer:
    """Take a scheduled action from a target."""
    await _change(wire, given, _remove(_ACTIONS, given["ScheduledActionName"]))
    return {}


@serves(f"{_SERVICE}.DescribeScalingActivities")
async def describe_scaling_activities(wire: Wire, given: Given) -> Answer:
    """Return what scaling changed, newest first: of all that is scaled, or of one variant."""
    stored = await _stored(wire, given)
    dimensions = {_resource(one): one.spec["scalable_dimension"] for one in stored}
    # Also of a variant that is scaled no more.
    named = [_named(given)] if "ResourceId" in given else [*map(_named, map(_place, stored))]
    found: list[ScalingActivity] = []
    for endpoint, variant in named:
        asked = {"name": endpoint, "variant": variant, "limit": 1000}
        found += (await wire.ask(scaling_activities, **asked)).items
    page, token = wire.page(given, lambda one: (one.id,), found, size=_PAGE, descending=True)
    activities = []
    for one in page:
        resource = f"endpoint/{one.endpoint}/variant/{one.variant}"
        activities.append({
            "ActivityId": str(policy_id(f"{resource}/{one.id}", "activity")),
            "ServiceNamespace": "sagemaker", "ResourceId": resource,
            "ScalableDimension": dimensions.get(resource, DIMENSIONS[0]),
            "Description": f"Setting desired instance count to {one.capacity}.",
            "Cause": one.cause, "StartTime": one.started_at, "EndTime": one.ended_at,
            "StatusCode": one.status, "StatusMessage": one.status_message,
        })  # fmt: skip
    return {"ScalingActivities": activities, "NextToken": token}


@serves(f"{_SERVICE}.ListTagsForResource")
async def list_tags(wire: Wire, given: Given) -> Answer:
    """Return the tags of a target."""
    return {"Tags": dict((await _by_arn(wire, given)).tags)}


@serves(f"{_SERVICE}.TagResource")
async def tag_resource(wire: Wire, given: Given) -> Answer:
    """Add tags to a target."""
    stored = await _by_arn(wire, given)
    await _apply(wire, stored, stored.spec, {**stored.tags, **given["Tags"]})
    return {}


@serves(f"{_SERVICE}.UntagResource")
async def untag_resource(wire: Wire, given: Given) -> Answer:
    """Take tags from a target."""
    stored = await _by_arn(wire, given)
    left = {key: value for key, value in stored.tags.items() if key not in given["TagKeys"]}
    await _apply(wire, stored, stored.spec, left)
    return {}


def _named(given: Given) -> tuple[str, str]:
    """Return the endpoint and the variant that a resource id names."""
    if (found := _RESOURCE.fullmatch(given["ResourceId"])) is None:
        text = f"{given['ResourceId']}; expected endpoint/NAME/variant/NAME, all that scales here"
        raise WireError("ValidationException", f"Unsupported resource ID: {text}")
    return found[1], found[2]


async def _stored(wire: Wire, given: Given) -> list[StoredResource]:
    """Return all targets that a request asks about."""
    found: list[StoredResource] = []
    token: str | None = ""
    while token is not None and given.get("ServiceNamespace", "sagemaker") == "sagemaker":
        asked = {"collection": _COLLECTION, "limit": 1000, "next_token": token or None}
        page = await wire.ask(list_resources, **asked)
        found, token = found + page.items, page.next_token
    resource, dimension = given.get("ResourceId"), given.get("ScalableDimension")
    return [
        one
        for one in found
        if resource in (None, _resource(one))
        and dimension in (None, one.spec["scalable_dimension"])
    ]


async def _registered(wire: Wire, given: Given) -> StoredResource:
    for one in await _stored(wire, given):
        return one
    raise WireError(
        "ObjectNotFoundException",
        "No scalable target registered for service namespace: sagemaker, resource ID: "
        f"{given['ResourceId']}, scalable dimension: {given['ScalableDimension']}",
    )


async def _by_arn(wire: Wire, given: Given) -> StoredResource:
    for one in await _stored(wire, {}):
        if _target_arn(wire, one) == given["ResourceARN"]:
            return one
    raise WireError("ResourceNotFoundException", f"No target has the ARN {given['ResourceARN']}")


async def _change(
    wire: Wire, given: Given, change: Change, tags: Mapping[str, str] | None = None
) -> StoredResource:
    """Change the spec of a target as it is, or with tags of a new one; return what is stored."""
    endpoint, variant = _named(given)
    for _ in range(_TRIES):
        stored = next(iter(await _stored(wire, given)), None)
        if stored is None and tags is None:
            await _registered(wire, given)
        spec = {"endpoint": endpoint, "variant": variant, **(stored.spec if stored else {})}
        change(spec)
        try:
            await _apply(wire, stored, spec, {**(stored.tags if stored else {}), **(tags or {})})
        except ChangedError:
            continue  # Two clients at once: what the other one changed is kept.
        return await _registered(wire, given)
    raise WireError("ConcurrentUpdateException", "others change this target; try again")


async def _apply(
    wire: Wire, stored: StoredResource | None, spec: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    resource: dict[str, Any] = {"kind": "ScalingPolicy", "spec": spec, "tags": dict(tags)}
    if stored is None:
        name = f"{spec['endpoint']}-{spec['variant']}"
        resource["name"] = name if len(name) <= _NAME_MAX else str(policy_id(name, "name"))
        await wire.ask(apply, resources=[resource], if_none_match="*")
        return
    assert stored.created_at is not None
    edition = f"{round(stored.created_at.timestamp() * 1e6):x}.{stored.generation}"
    resource |= {"name": stored.name, "owner": stored.owner}
    await wire.ask(apply, resources=[resource], if_match=f'"{edition}"')


def _put(field: tuple[str, str], item: Mapping[str, Any]) -> Change:
    name, key = field

    def change(spec: dict[str, Any]) -> None:
        items = {one[key]: one for one in spec.get(name, ())}
        # Of a scheduled action, what is not given stays; a policy is replaced.
        before = items.get(item[key], {}) if field == _ACTIONS else {}
        spec[name] = [*{**items, item[key]: {**before, **item}}.values()]

    return change


def _remove(field: tuple[str, str], named: str) -> Change:
    name, key = field

    def change(spec: dict[str, Any]) -> None:
        left = [one for one in spec[name] if one[key] != named]
        if len(left) == len(spec[name]):
            raise WireError("ObjectNotFoundException", f"No {key[:-5]} found of name {named}")
        spec[name] = left

    return change


def _policies(wire: Wire, stored: StoredResource) -> dict[str, dict[str, Any]]:
    """Return the policies of a target in AWS's form, by name."""
    spec, found = ScalingPolicySpec.model_validate(stored.spec), {}
    alarm_arn = f"arn:aws:cloudwatch:{wire.region}:{wire.account}:alarm"
    for policy, given in zip(spec.policies, stored.spec["policies"], strict=True):
        name, names = policy.policy_name, [one.alarm_name for one in alarms_of(spec, policy)]
        found[name] = {
            **_place(stored), **to_aws(given), "CreationTime": stored.created_at,
            "PolicyARN": _arn(wire, stored, "scalingPolicy", f"policyName/{name}"),
            "PolicyType": "StepScaling" if policy.tracking is None else "TargetTrackingScaling",
            "Alarms": [
                {"AlarmName": one, "AlarmARN": f"{alarm_arn}:{one}"} for one in names
            ],
        }  # fmt: skip
    return found


def _resource(stored: StoredResource) -> str:
    return f"endpoint/{stored.spec['endpoint']}/variant/{stored.spec['variant']}"


def _place(stored: StoredResource) -> dict[str, Any]:
    dimension = stored.spec["scalable_dimension"]
    names = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    return dict(zip(names, ("sagemaker", _resource(stored), dimension), strict=True))


def _arn(wire: Wire, stored: StoredResource, kind: str, named: str) -> str:
    return arn_of(wire, _resource(stored), kind, named)


def arn_of(wire: Wire, resource: str, kind: str, named: str) -> str:
    """Return the ARN of a policy, or a scheduled action, of endpoint/NAME/variant/NAME."""
    made = policy_id(f"{resource}/{named}", kind)
    place = f"arn:aws:autoscaling:{wire.region}:{wire.account}:{kind}:{made}"
    return f"{place}:resource/sagemaker/{resource}:{named}"


def _target_arn(wire: Wire, stored: StoredResource) -> str:
    return wire.arn(_SERVICE, "scalable-target", policy_id(_resource(stored), "target").hex)
