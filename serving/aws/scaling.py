"""Application Auto Scaling: a scalable target with all of its policies is one ScalingPolicy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from driftline.alerts.documents import from_aws, to_aws
from driftline.serving.aws.ours import apply_declared, as_read, declared, every, reads_again
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.resources import (
    Collection,
    StoredResource,
    delete_resource,
    list_resources,
)
from driftline.serving.operations.scaling import ScalingActivity, scaling_activities
from driftline.serving.provisioning.apply import Declaration
from driftline.serving.resources.scaling_specs import (
    DIMENSIONS,
    Policy,
    ScalingPolicySpec,
    ScheduledAction,
)
from driftline.serving.resources.spec import Spec
from driftline.serving.scaling.policies import alarms_of, policy_id

_SERVICE = "application-autoscaling"
_COLLECTION: Collection = "scaling-policies"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_PAGE, _NAME_MAX = 50, 63
# What names the items of the lists of a spec, and what of one stays where a put leaves it out.
_KEYS = {"policies": "policy_name", "scheduled_actions": "scheduled_action_name"}
_STAYS = ("schedule", "timezone", "scalable_target_action")
Resource = dict[str, Any]


@serves(f"{_SERVICE}.RegisterScalableTarget")
async def register_scalable_target(wire: Wire, given: Given) -> Answer:
    """Declare the bounds of a variant, or change those that are given."""
    spec, tags = _fields(given, ScalingPolicySpec), given.get("Tags", {})
    stored = await _change(wire, given, spec, tags)
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
    name = given["PolicyName"]
    stored = await _change(wire, given, {"policies": {name: _fields(given, Policy)}})
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
    actions = {given["ScheduledActionName"]: _fields(given, ScheduledAction)}
    await _change(wire, given, {"scheduled_actions": actions})
    return {}


@serves(f"{_SERVICE}.DescribeScheduledActions")
async def describe_scheduled_actions(wire: Wire, given: Given) -> Answer:
    """Return scheduled actions."""
    found = [one for stored in await _stored(wire, given) for one in _actions(wire, stored)]
    return _page(wire, given, "ScheduledActions", "ScheduledActionName", found)


@serves(f"{_SERVICE}.DeleteScalingPolicy")
async def delete_scaling_policy(wire: Wire, given: Given) -> Answer:
    """Take a policy, with its alarms, from a target."""
    await _change(wire, given, {"policies": {given["PolicyName"]: None}})
    return {}


@serves(f"{_SERVICE}.DeleteScheduledAction")
async def delete_scheduled_action(wire: Wire, given: Given) -> Answer:
    """Take a scheduled action from a target."""
    await _change(wire, given, {"scheduled_actions": {given["ScheduledActionName"]: None}})
    return {}


@serves(f"{_SERVICE}.DescribeScalingActivities")
async def describe_scaling_activities(wire: Wire, given: Given) -> Answer:
    """Return what scaling changed, newest first: of all that is scaled, or of one variant."""
    targets = {_resource(one): _place_of(one) for one in await _stored(wire, given)}
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
            **_place(resource), **targets.get(resource, {}),
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
    place = _place_of(await _registered(wire, given))
    tags = {**given.get("Tags", {}), **dict.fromkeys(given.get("TagKeys", ()))}
    await _change(wire, place, {}, tags)
    return {}


async def _stored(wire: Wire, given: Given) -> list[StoredResource]:
    """Return all targets that a request asks about, by place or by ARN."""
    place = {key: given[key] for key in _place("") if key in given}
    return [
        one
        for one in await every(wire, list_resources, collection=_COLLECTION)
        if place.items() <= _place_of(one).items()
        and given.get("ResourceARN") in (None, _target_arn(wire, one))
    ]


async def _registered(wire: Wire, given: Given) -> StoredResource:
    for one in await _stored(wire, given):
        return one
    if (arn := given.get("ResourceARN")) is not None:
        raise WireError("ResourceNotFoundException", f"No scalable target has the ARN {arn}")
    place = f"resource ID: {given['ResourceId']}, scalable dimension: {given['ScalableDimension']}"
    text = f"No scalable target registered for service namespace: sagemaker, {place}"
    raise WireError("ObjectNotFoundException", text)


@reads_again
async def _change(
    wire: Wire, given: Given, spec: Given, tags: Given | None = None
) -> StoredResource:
    """Change fields, items and tags of a target; return what is stored.

    None takes an item or a tag away. A target may be new where it is said which tags it has.
    """
    found = await _stored(wire, given) if tags is not None else [await _registered(wire, given)]
    stored = await declared(wire, _COLLECTION, found[0].name) if found else None
    if stored is not None:
        resource = {key: stored[key] for key in ("name", "owner", "spec", "tags")}
    else:
        endpoint, variant = _named(given)
        # Endpoint and variant alone would be one name for "a-b" and "c", and for "a" and "b-c".
        digest = policy_id(given["ResourceId"], "name").hex[:8]
        name = f"{endpoint}-{variant}"[: _NAME_MAX - 1 - len(digest)] + f"-{digest}"
        resource = {"name": name, "spec": {"endpoint": endpoint, "variant": variant}, "tags": {}}
    for field, value in spec.items():
        key, old = _KEYS.get(field), resource["spec"].get(field, ())
        resource["spec"][field] = value if key is None else _items(old, key, value)
    labels = {**resource["tags"], **(tags or {})}
    resource["tags"] = {key: text for key, text in labels.items() if text is not None}
    policy = {"kind": "ScalingPolicy", **resource}
    await apply_declared(wire, Declaration(policy, as_read(stored)))
    return await _registered(wire, given)


def _items(given: Iterable[Resource], key: str, changes: Given) -> list[Resource]:
    """Return the items of a list with changes of some, by their names."""
    found: dict[str, Resource | None] = {one[key]: one for one in given}
    for name, item in changes.items():
        if item is None and name not in found:
            text = f"No {key.removesuffix('_name').replace('_', ' ')} found of name {name}"
            raise WireError("ObjectNotFoundException", text)
        old = found.get(name) or {}
        found[name] = item and {**{one: old[one] for one in _STAYS if one in old}, **item}
    return [one for one in found.values() if one is not None]


def _fields(given: Given, model: type[Spec]) -> dict[str, Any]:
    """Return those members of a request that are fields of ours."""
    return {key: one for key, one in from_aws(given).items() if key in model.model_fields}


def _target(wire: Wire, stored: StoredResource) -> Answer:
    bounds = {name: stored.status[name] for name in ("min_capacity", "max_capacity")}
    return {
        **_place_of(stored), **to_aws(bounds), "CreationTime": stored.created_at,
        "ScalableTargetARN": _target_arn(wire, stored),
        "RoleARN": f"arn:aws:iam::{wire.account}:role/aws-service-role/{_SERVICE}.amazonaws.com",
        "SuspendedState": to_aws(stored.spec["suspended_state"]),
    }  # fmt: skip


def _policies(wire: Wire, stored: StoredResource) -> Iterator[Answer]:
    spec = ScalingPolicySpec.model_validate(stored.spec)
    alarm_arn = f"arn:aws:cloudwatch:{wire.region}:{wire.account}:alarm"
    for one in spec.policies:
        name, names = one.policy_name, [alarm.alarm_name for alarm in alarms_of(spec, one)]
        yield {
            **_place_of(stored), **to_aws(one.model_dump()), "CreationTime": stored.created_at,
            "PolicyARN": arn_of(wire, _resource(stored), "scalingPolicy", f"policyName/{name}"),
            "PolicyType": "TargetTrackingScaling" if names else "StepScaling",
            "Alarms": [{"AlarmName": one, "AlarmARN": f"{alarm_arn}:{one}"} for one in names],
        }  # fmt: skip


def _actions(wire: Wire, stored: StoredResource) -> Iterator[Answer]:
    for one in ScalingPolicySpec.model_validate(stored.spec).scheduled_actions:
        name = f"scheduledActionName/{one.scheduled_action_name}"
        yield {
            **_place_of(stored), **to_aws(one.model_dump()), "CreationTime": stored.created_at,
            "ScheduledActionARN": arn_of(wire, _resource(stored), "scheduledAction", name),
        }  # fmt: skip


def _page(wire: Wire, given: Given, member: str, key: str, found: list[Answer]) -> Answer:
    """Return a page of those that a request names; else of all."""
    wanted = given.get(f"{key}s")
    chosen = [one for one in found if not wanted or one[key] in wanted]
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


def _place_of(stored: StoredResource) -> dict[str, str]:
    return _place(_resource(stored), stored.spec["scalable_dimension"])


def _place(resource: str, dimension: str = DIMENSIONS[0]) -> dict[str, str]:
    names = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    return dict(zip(names, ("sagemaker", resource, dimension), strict=True))


def arn_of(wire: Wire, resource: str, kind: str, named: str) -> str:
    """Return the ARN of a policy, or a scheduled action, of endpoint/NAME/variant/NAME."""
    made = policy_id(f"{resource}/{named}", kind)
    place = f"arn:aws:autoscaling:{wire.region}:{wire.account}:{kind}:{made}"
    return f"{place}:resource/sagemaker/{resource}:{named}"


def _target_arn(wire: Wire, stored: StoredResource) -> str:
    return wire.arn(_SERVICE, "scalable-target", policy_id(_resource(stored), "target").hex)
