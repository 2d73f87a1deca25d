"""Application Auto Scaling: a scalable target with all of its policies is one ScalingPolicy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from driftline.alerts.documents import from_aws, to_aws
from driftline.serving.aws.ours import declared, every
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.resources import (
    Collection,
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
from driftline.serving.resources.spec import Spec
from driftline.serving.resources.store import ChangedError
from driftline.serving.scaling.policies import alarms_of, policy_id

_SERVICE = "application-autoscaling"
_COLLECTION: Collection = "scaling-policies"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_PAGE, _TRIES, _NAME_MAX = 50, 5, 63
# What a target has several of: the field of its spec, the one that names each, and those that stay
# where one that is put leaves them out.
_POLICIES = "policies", "policy_name", Policy, set[str]()
_ACTIONS = (
    "scheduled_actions", "scheduled_action_name", ScheduledAction,
    {"schedule", "timezone", "scalable_target_action"},
)  # fmt: skip
_Items = tuple[str, str, type[Spec], set[str]]
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


@serves(f"{_SERVICE}.DescribeScalableTargets")
async def describe_scalable_targets(wire: Wire, given: Given) -> Answer:
    """Return targets with the bounds in force."""
    found = [_target(wire, one) for one in await _stored(wire, given)]
    return _page(wire, given, "ScalableTargets", "ResourceId", found)


@serves(f"{_SERVICE}.PutScalingPolicy")
async def put_scaling_policy(wire: Wire, given: Given) -> Answer:
    """Add a policy to a target, or replace it; return its alarms."""
    stored, name = await _put(wire, given, _POLICIES), given["PolicyName"]
    found = next(one for one in _policies(wire, stored) if one["PolicyName"] == name)
    return {key: found[key] for key in ("PolicyARN", "Alarms")}


@serves(f"{_SERVICE}.DescribeScalingPolicies")
async def describe_scaling_policies(wire: Wire, given: Given) -> Answer:
    """Return policies with their alarms."""
    found = [one for stored in await _stored(wire, given) for one in _policies(wire, stored)]
    return _page(wire, given, "ScalingPolicies", "PolicyName", found)


@serves(f"{_SERVICE}.PutScheduledAction")
async def put_scheduled_action(wire: Wire, given: Given) -> Answer:
    """Add a scheduled action to a target, or change what is given of it, and its times."""
    await _put(wire, given, _ACTIONS)
    return {}


@serves(f"{_SERVICE}.DescribeScheduledActions")
async def describe_scheduled_actions(wire: Wire, given: Given) -> Answer:
    """Return scheduled actions."""
    found = [one for stored in await _stored(wire, given) for one in _actions(wire, stored)]
    return _page(wire, given, "ScheduledActions", "ScheduledActionName", found)


@serves(f"{_SERVICE}.DeleteScalingPolicy")
@serves(f"{_SERVICE}.DeleteScheduledAction")
async def delete_item(wire: Wire, given: Given) -> Answer:
    """Take a policy, with its alarms, or a scheduled action from a target."""
    field, key, *_ = _POLICIES if "PolicyName" in given else _ACTIONS
    name = from_aws(given)[key]

    def change(resource: Resource) -> None:
        found = {one[key]: one for one in resource["spec"][field]}
        if found.pop(name, None) is None:
            raise WireError("ObjectNotFoundException", f"No {key[:-5]} found of name {name}")
        resource["spec"][field] = [*found.values()]

    await _change(wire, given, change)
    return {}


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


async def _put(wire: Wire, given: Given, items: _Items) -> StoredResource:
    field, key, model, keeps = items
    item = _fields(given, model)

    def change(resource: Resource) -> None:
        found = {one[key]: one for one in resource["spec"].get(field, ())}
        old = found.get(item[key], {})
        found[item[key]] = {name: old[name] for name in keeps & old.keys()} | item
        resource["spec"][field] = [*found.values()]

    return await _change(wire, given, change)


def _fields(given: Given, model: type[Spec]) -> dict[str, Any]:
    """Return those members of a request that are fields of ours."""
    return {key: one for key, one in from_aws(given).items() if key in model.model_fields}


def _target(wire: Wire, stored: StoredResource) -> Answer:
    status, suspended = stored.status, stored.spec["suspended_state"]
    return {
        **_place(stored), "ScalableTargetARN": _target_arn(wire, stored),
        "MinCapacity": status["min_capacity"], "MaxCapacity": status["max_capacity"],
        "RoleARN": f"arn:aws:iam::{wire.account}:role/aws-service-role/{_SERVICE}.amazonaws.com",
        "SuspendedState": to_aws(suspended),
        "CreationTime": stored.created_at,
    }  # fmt: skip


def _policies(wire: Wire, stored: StoredResource) -> Iterator[Answer]:
    spec = ScalingPolicySpec.model_validate(stored.spec)
    alarm_arn = f"arn:aws:cloudwatch:{wire.region}:{wire.account}:alarm"
    for one in spec.policies:
        name, names = one.policy_name, [alarm.alarm_name for alarm in alarms_of(spec, one)]
        yield {
            **_place(stored), **to_aws(one.model_dump()), "CreationTime": stored.created_at,
            "PolicyARN": arn_of(wire, _resource(stored), "scalingPolicy", f"policyName/{name}"),
            "PolicyType": "TargetTrackingScaling" if names else "StepScaling",
            "Alarms": [{"AlarmName": one, "AlarmARN": f"{alarm_arn}:{one}"} for one in names],
        }  # fmt: skip


def _actions(wire: Wire, stored: StoredResource) -> Iterator[Answer]:
    for one in ScalingPolicySpec.model_validate(stored.spec).scheduled_actions:
        name = f"scheduledActionName/{one.scheduled_action_name}"
        yield {
            **_place(stored), **to_aws(one.model_dump()), "CreationTime": stored.created_at,
            "ScheduledActionARN": arn_of(wire, _resource(stored), "scheduledAction", name),
        }  # fmt: skip


def _page(wire: Wire, given: Given, member: str, key: str, found: list[Answer]) -> Answer:
    """Return a page of those that a request names, policies by their ARNs, too; else of all."""
    wanted = set(given.get(f"{key}s") or ())
    chosen = [one for one in found if not wanted or wanted & {one[key], one.get("PolicyARN")}]
    page, token = wire.page(given, lambda one: (one["ResourceId"], one[key]), chosen, size=_PAGE)
    return {member: page, "NextToken": token}


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
