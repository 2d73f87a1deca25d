"""Application Auto Scaling: a scalable target with all of its policies is one ScalingPolicy."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from driftline.alerts.documents import from_aws, to_aws
from driftline.serving.aws.ours import declared, every
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.resources import (
    StoredResource,
    apply,
    delete_resource,
    list_resources,
)
from driftline.serving.operations.scaling import ScalingActivity, scaling_activities
from driftline.serving.resources.scaling_specs import (
    DIMENSIONS,
    Policy,
    ScalingPolicySpec,
    ScheduledAction,
)
from driftline.serving.resources.store import ChangedError
from driftline.serving.scaling.policies import alarms_of, policy_id

_SERVICE, _COLLECTION = "application-autoscaling", "scaling-policies"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_PAGE, _TRIES, _NAME_MAX = 50, 5, 63
_ROLE = (
    "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
# What a target has several of: the field of its spec, the model of each, the field that names it,
# and the fields that stay where a new one leaves them out.
_POLICIES = "policies", Policy, "policy_name", ()
_ACTIONS = (
    "scheduled_actions", ScheduledAction, "scheduled_action_name",
    ("schedule", "timezone", "scalable_target_action"),
)  # fmt: skip
# The lists that describe targets: their operations, what asks for some of them, what these name.
_LISTS = {
    "ScalableTargets": ("DescribeScalableTargets", "ResourceIds", ("ResourceId",)),
    "ScalingPolicies": ("DescribeScalingPolicies", "PolicyNames", ("PolicyName", "PolicyARN")),
    "ScheduledActions": (
        "DescribeScheduledActions", "ScheduledActionNames", ("ScheduledActionName",),
    ),
}  # fmt: skip
_Items = tuple[str, type[BaseModel], str, tuple[str, ...]]
Resource = dict[str, Any]
Change = Callable[[Resource], None]


@serves(f"{_SERVICE}.RegisterScalableTarget")
async def register_scalable_target(wire: Wire, given: Given) -> Answer:
    """Declare the bounds of a variant, or change those that are given."""

    def change(resource: Resource) -> None:
        resource["spec"] |= _fields(given, ScalingPolicySpec)
        resource["tags"] |= given.get("Tags", {})

    stored = await _change(wire, given, change, may_be_new=True)
    return {"ScalableTargetARN": _target_arn(wire, stored)}


@serves(f"{_SERVICE}.DeregisterScalableTarget")
async def deregister_scalable_target(wire: Wire, given: Given) -> Answer:
    """Delete a target with its policies, alarms and scheduled actions."""
    name = (await _registered(wire, given)).name
    await wire.ask(delete_resource, collection=_COLLECTION, name=name)
    return {}


@serves(f"{_SERVICE}.PutScalingPolicy")
async def put_scaling_policy(wire: Wire, given: Given) -> Answer:
    """Add a policy to a target, or replace it; return its alarms."""
    stored = await _change(wire, given, partial(_put, given, _POLICIES))
    shown = _described(wire, stored)["ScalingPolicies"]
    found = next(one for one in shown if one["PolicyName"] == given["PolicyName"])
    return {key: found[key] for key in ("PolicyARN", "Alarms")}


@serves(f"{_SERVICE}.PutScheduledAction")
async def put_scheduled_action(wire: Wire, given: Given) -> Answer:
    """Add a scheduled action to a target, or change what is given of it, and its times."""
    await _change(wire, given, partial(_put, given, _ACTIONS))
    return {}


@serves(f"{_SERVICE}.DeleteScalingPolicy")
@serves(f"{_SERVICE}.DeleteScheduledAction")
async def delete_item(wire: Wire, given: Given) -> Answer:
    """Take a policy, with its alarms, or a scheduled action from a target."""
    items = _POLICIES if "PolicyName" in given else _ACTIONS
    await _change(wire, given, partial(_remove, given, items))
    return {}


async def _describe(member: str, wire: Wire, given: Given) -> Answer:
    """Return a page of targets with the bounds in force, or of their policies or actions."""
    _, names, keys = _LISTS[member]
    wanted = set(given.get(names) or ())
    found = [
        one
        for stored in await _stored(wire, given)
        for one in _described(wire, stored)[member]
        if not wanted or not wanted.isdisjoint(one[key] for key in keys)
    ]
    page, token = wire.page(
        given, lambda one: (one["ResourceId"], one[keys[0]]), found, size=_PAGE
    )  # fmt: skip
    return {member: page, "NextToken": token}


for _member, (_name, *_) in _LISTS.items():
    serves(f"{_SERVICE}.{_name}")(partial(_describe, _member))


@serves(f"{_SERVICE}.DescribeScalingActivities")
async def describe_scaling_activities(wire: Wire, given: Given) -> Answer:
    """Return what scaling changed, newest first: of all that is scaled, or of one variant."""
    targets = {_resource(one): _place(one) for one in await _stored(wire, given)}
    found: list[ScalingActivity] = []
    # Also of a variant that is scaled no more.
    for endpoint, variant in map(_named, [given] if "ResourceId" in given else targets.values()):
        asked = {"name": endpoint, "variant": variant, "limit": 1000}
        found += (await wire.ask(scaling_activities, **asked)).items
    page, token = wire.page(given, lambda one: (one.id,), found, size=_PAGE, descending=True)
    activities = []
    for one in page:
        resource = f"endpoint/{one.endpoint}/variant/{one.variant}"
        activities.append({
            "ActivityId": str(policy_id(f"{resource}/{one.id}", "activity")),
            **_place_of(resource), **targets.get(resource, {}),
            "Description": f"Setting desired instance count to {one.capacity}.",
            "Cause": one.cause, "StartTime": one.started_at, "EndTime": one.ended_at,
            "StatusCode": one.status, "StatusMessage": one.status_message,
        })  # fmt: skip
    return {"ScalingActivities": activities, "NextToken": token}


@serves(f"{_SERVICE}.ListTagsForResource")
async def list_tags(wire: Wire, given: Given) -> Answer:
    """Return the tags of a target."""
    return {"Tags": dict((await _registered(wire, given)).tags)}


@serves(f"{_SERVICE}.TagResource")
@serves(f"{_SERVICE}.UntagResource")
async def change_tags(wire: Wire, given: Given) -> Answer:
    """Add tags to a target, or take some from it."""

    def change(resource: Resource) -> None:
        left = {key: one for key, one in resource["tags"].items() if key not in gone}
        resource["tags"] = {**left, **given.get("Tags", {})}

    gone = given.get("TagKeys", ())
    await _change(wire, given, change)
    return {}


async def _stored(wire: Wire, given: Given) -> list[StoredResource]:
    """Return all targets that a request asks about, by place or by ARN."""
    place = {key: given[key] for key in _place_of("") if key in given}
    return [
        one
        for one in await every(wire, list_resources, collection=_COLLECTION)
        if place.items() <= _place(one).items()
        and given.get("ResourceARN") in (None, _target_arn(wire, one))
    ]


async def _registered(wire: Wire, given: Given) -> StoredResource:
    for one in await _stored(wire, given):
        return one
    raise _missing(given)


def _missing(given: Given) -> WireError:
    if (arn := given.get("ResourceARN")) is not None:
        return WireError("ResourceNotFoundException", f"No scalable target has the ARN {arn}")
    place = f"resource ID: {given['ResourceId']}, scalable dimension: {given['ScalableDimension']}"
    text = f"No scalable target registered for service namespace: sagemaker, {place}"
    return WireError("ObjectNotFoundException", text)


async def _change(
    wire: Wire, given: Given, change: Change, *, may_be_new: bool = False, tries: int = _TRIES
) -> StoredResource:
    """Change the resource of a target; return what is stored."""
    found, asked = await _stored(wire, given), {"if_none_match": "*"}
    stored = await declared(wire, _COLLECTION, found[0].name) if found else None
    if stored is not None:
        resource = {key: stored[key] for key in ("name", "owner", "spec", "tags")}
        asked = {"if_match": stored["etag"]}
    elif may_be_new:
        endpoint, variant = _named(given)
        name = f"{endpoint}-{variant}"
        name = name if len(name) <= _NAME_MAX else str(policy_id(name, "name"))
        spec = {"endpoint": endpoint, "variant": variant}
        resource = {"name": name, "spec": spec, "tags": {}}
    else:
        raise _missing(given)
    change(resource)
    try:
        await wire.ask(apply, resources=[{"kind": "ScalingPolicy", **resource}], **asked)
    except ChangedError:  # Two clients at once: what the other one changed is kept.
        if tries <= 1:
            raise
        return await _change(wire, given, change, may_be_new=may_be_new, tries=tries - 1)
    return await _registered(wire, given)


def _put(given: Given, items: _Items, resource: Resource) -> None:
    field, model, name, keeps = items
    item = _fields(given, model)
    others = {one[name]: one for one in resource["spec"].get(field, ())}
    old = others.get(item[name], {})
    others[item[name]] = {**{key: old[key] for key in keeps if key in old}, **item}
    resource["spec"][field] = [*others.values()]


def _remove(given: Given, items: _Items, resource: Resource) -> None:
    field, model, name, _ = items
    wanted = _fields(given, model)[name]
    left = [one for one in resource["spec"][field] if one[name] != wanted]
    if len(left) == len(resource["spec"][field]):
        raise WireError("ObjectNotFoundException", f"No {name[:-5]} found of name {wanted}")
    resource["spec"][field] = left


def _fields(given: Given, model: type[BaseModel]) -> dict[str, Any]:
    """Return those members of a request that are fields of ours."""
    return {key: one for key, one in from_aws(given).items() if key in model.model_fields}


def _described(wire: Wire, stored: StoredResource) -> dict[str, list[Answer]]:
    """Return a target, its policies and its scheduled actions in AWS's form, by list."""
    spec, place = ScalingPolicySpec.model_validate(stored.spec), _resource(stored)
    same = {**_place(stored), "CreationTime": stored.created_at}
    target = {
        **same, "ScalableTargetARN": _target_arn(wire, stored),
        "MinCapacity": stored.status["min_capacity"], "MaxCapacity": stored.status["max_capacity"],
        "RoleARN": f"arn:aws:iam::{wire.account}:{_ROLE}",
        "SuspendedState": to_aws(spec.suspended_state.model_dump()),
    }  # fmt: skip
    policies, alarm_arn = [], f"arn:aws:cloudwatch:{wire.region}:{wire.account}:alarm"
    for policy in spec.policies:
        names = [one.alarm_name for one in alarms_of(spec, policy)]
        policies.append({
            **same, **to_aws(policy.model_dump()),
            "PolicyARN": arn_of(wire, place, "scalingPolicy", f"policyName/{policy.policy_name}"),
            "PolicyType": "TargetTrackingScaling" if names else "StepScaling",
            "Alarms": [{"AlarmName": one, "AlarmARN": f"{alarm_arn}:{one}"} for one in names],
        })  # fmt: skip
    actions = [
        {
            **same, **to_aws(one.model_dump()),
            "ScheduledActionARN": arn_of(
                wire, place, "scheduledAction", f"scheduledActionName/{one.scheduled_action_name}"
            ),
        }
        for one in spec.scheduled_actions
    ]  # fmt: skip
    return {"ScalableTargets": [target], "ScalingPolicies": policies, "ScheduledActions": actions}


def _named(given: Given) -> tuple[str, str]:
    """Return the endpoint and the variant that a resource id names."""
    if (found := _RESOURCE.fullmatch(given["ResourceId"])) is None:
        text = f"{given['ResourceId']}; expected endpoint/NAME/variant/NAME, all that scales here"
        raise WireError("ValidationException", f"Unsupported resource ID: {text}")
    return found[1], found[2]


def _resource(stored: StoredResource) -> str:
    return f"endpoint/{stored.spec['endpoint']}/variant/{stored.spec['variant']}"


def _place(stored: StoredResource) -> dict[str, str]:
    return _place_of(_resource(stored), stored.spec["scalable_dimension"])


def _place_of(resource: str, dimension: str = DIMENSIONS[0]) -> dict[str, str]:
    names = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    return dict(zip(names, ("sagemaker", resource, dimension), strict=True))


def arn_of(wire: Wire, resource: str, kind: str, named: str) -> str:
    """Return the ARN of a policy, or a scheduled action, of endpoint/NAME/variant/NAME."""
    made = policy_id(f"{resource}/{named}", kind)
    place = f"arn:aws:autoscaling:{wire.region}:{wire.account}:{kind}:{made}"
    return f"{place}:resource/sagemaker/{resource}:{named}"


def _target_arn(wire: Wire, stored: StoredResource) -> str:
    return wire.arn(_SERVICE, "scalable-target", policy_id(_resource(stored), "target").hex)
