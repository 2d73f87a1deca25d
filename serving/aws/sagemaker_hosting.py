"""SageMaker's models, endpoint configurations and endpoints, as resources of ours.

What a Describe answers is what the client gave, as long as the resource is what that says; of one
that was applied otherwise, it is written anew. The texts of errors are matched by Terraform and by
scripts (reference: moto 5.2.5 sagemaker, terraform-provider-aws internal/service/sagemaker).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from driftline.errors import ConflictError, DriftlineError, NotFoundError
from driftline.serving.aws.deployment_forms import (
    active_deployment,
    deployment_fields,
    deployment_members,
    old_variant_status,
)
from driftline.serving.aws.hosting_forms import (
    PART_OF,
    config_members,
    config_spec,
    model_members,
    model_resources,
    names_of_models,
    serverless_members,
)
from driftline.serving.aws.kept import keep, kept
from driftline.serving.aws.ours import declared, every, page_of, token_for
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.resources import (
    Collection,
    StoredResource,
    apply,
    delete_resource,
    list_resources,
)
from driftline.serving.operations.variants import VariantChange, change_variants
from driftline.serving.resources.resources import parse_resources
from driftline.serving.resources.specs import Kind

INVALID = "ValidationException"
# A waiter's first look comes at once, and its next after 30 s: most endpoints are up before.
HOLD_S, LOOK_S = 10.0, 0.2
_ENDPOINT_FIELDS = ("baseline", "signature", "trust_event_time")
_IN_PROGRESS = ("Creating", "Updating", "RollingBack")


@dataclass(frozen=True)
class _Sort:
    """A sort of resource, by our names and by AWS's."""

    collection: Collection
    kind: Kind
    arn: str
    noun: str
    name: str  # The member that has its name.


_MODEL = _Sort("models", "Model", "model", "model", "ModelName")
_CONFIG = _Sort(
    "endpoint-configs", "EndpointConfig", "endpoint-config", "endpoint configuration",
    "EndpointConfigName",
)  # fmt: skip
_ENDPOINT = _Sort("endpoints", "Endpoint", "endpoint", "endpoint", "EndpointName")


@serves("sagemaker.CreateModel")
async def create_model(wire: Wire, given: Given) -> Answer:
    """Declare a Model; of several containers one for each, too."""
    return {"ModelArn": await _create(wire, _MODEL, given, model_resources(given))}


@serves("sagemaker.DescribeModel")
async def describe_model(wire: Wire, given: Given) -> Answer:
    """Return what a model was created with."""
    found = await _get(wire, _MODEL, given["ModelName"])
    said = found["said"]
    if not (said and _is_same(model_resources, said, found)):
        names = {one["model_name"] for one in found["spec"].get("containers", ())}
        parts = {name: (await _get(wire, _MODEL, name))["spec"] for name in names}
        said = model_members(found["spec"], parts)
    members = (
        "PrimaryContainer", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn",
        "VpcConfig",
    )  # fmt: skip
    return {
        **{name: said.get(name) for name in members},
        "ModelName": found["name"],
        "ModelArn": _arn(wire, _MODEL, found["name"]),
        "CreationTime": _time(found["created_at"]),
        "EnableNetworkIsolation": False,
    }


@serves("sagemaker.DeleteModel")
async def delete_model(wire: Wire, given: Given) -> Answer:
    """Delete a model, in use or not, and those of its containers."""
    found = await _get(wire, _MODEL, given["ModelName"])
    await wire.ask(delete_resource, collection="models", name=found["name"], in_use=True)
    for one in found["spec"].get("containers", ()):
        part = await declared(wire, "models", one["model_name"])
        if part is not None and part["tags"].get(PART_OF) == found["name"]:
            await wire.ask(delete_resource, collection="models", name=part["name"], in_use=True)
    return {}


@serves("sagemaker.ListModels")
async def list_models(wire: Wire, given: Given) -> Answer:
    """List models, those of containers, too."""
    return await _list(wire, _MODEL, given, "Models")


@serves("sagemaker.CreateEndpointConfig")
async def create_endpoint_config(wire: Wire, given: Given) -> Answer:
    """Declare an EndpointConfig."""
    name, spec = given["EndpointConfigName"], config_spec(given)
    for model in names_of_models(given):
        await _get(wire, _MODEL, model)
    resource = {"kind": "EndpointConfig", "name": name, "spec": spec}
    return {"EndpointConfigArn": await _create(wire, _CONFIG, given, [resource])}


@serves("sagemaker.DescribeEndpointConfig")
async def describe_endpoint_config(wire: Wire, given: Given) -> Answer:
    """Return what a configuration was created with."""
    found = await _get(wire, _CONFIG, given["EndpointConfigName"])
    said = found["said"]
    if not said.get("ProductionVariants"):
        said = config_members(found["spec"], lambda name: _topic(wire, name))
    variants: Answer = {
        members: [{"InitialVariantWeight": 1.0, **one} for one in said[members]]
        for members in ("ProductionVariants", "ShadowProductionVariants")
        if members in said
    }
    return {
        **{name: one for name, one in said.items() if name != "Tags"},
        **variants,
        "EndpointConfigName": found["name"],
        "EndpointConfigArn": _arn(wire, _CONFIG, found["name"]),
        "CreationTime": _time(found["created_at"]),
        "EnableNetworkIsolation": False,
    }


@serves("sagemaker.DeleteEndpointConfig")
async def delete_endpoint_config(wire: Wire, given: Given) -> Answer:
    """Delete a configuration; endpoints that name it keep what it said."""
    await _delete(wire, _CONFIG, given["EndpointConfigName"])
    return {}


@serves("sagemaker.ListEndpointConfigs")
async def list_endpoint_configs(wire: Wire, given: Given) -> Answer:
    """List configurations."""
    return await _list(wire, _CONFIG, given, "EndpointConfigs")


@serves("sagemaker.CreateEndpoint")
async def create_endpoint(wire: Wire, given: Given) -> Answer:
    """Declare an Endpoint that names a configuration."""
    config = await _get(wire, _CONFIG, given["EndpointConfigName"])
    fields = deployment_fields(given, {})
    resource = _resource(given["EndpointName"], {"config": config["name"], **fields})
    said = {**given, **await _of_config(wire, config["name"])}
    return {"EndpointArn": await _create(wire, _ENDPOINT, said, [resource])}


@serves("sagemaker.DescribeEndpoint")
async def describe_endpoint(wire: Wire, given: Given) -> Answer:
    """Return how an endpoint fares; wait a little for one that is on its way."""
    end_s = asyncio.get_running_loop().time() + HOLD_S
    found = await _get(wire, _ENDPOINT, given["EndpointName"])
    while _is_on_its_way(found["status"]) and asyncio.get_running_loop().time() < end_s:
        await asyncio.sleep(LOOK_S)
        found = await _get(wire, _ENDPOINT, given["EndpointName"])
    said, status = found["said"], found["status"]
    running = status["running"]
    later = config_members(running, lambda name: _topic(wire, name)) if running else {}
    is_failed = "Failed" in (status["state"], status["phase"])
    return {
        "EndpointName": found["name"],
        "EndpointArn": _arn(wire, _ENDPOINT, found["name"]),
        "EndpointConfigName": running.get("config", found["spec"].get("config")),
        "EndpointStatus": _state(status["state"]),
        "FailureReason": (status["reason"] or "")[:1024] or None if is_failed else None,
        "CreationTime": _time(found["created_at"]),
        "LastModifiedTime": _time(found["updated_at"]),
        "DataCaptureConfig": _capture(said.get("DataCaptureConfig"), running),
        "AsyncInferenceConfig": later.get("AsyncInferenceConfig"),
        "ProductionVariants": _variants(status, "production_variants"),
        "ShadowProductionVariants": _variants(status, "shadow_production_variants"),
        **deployment_members(found["spec"], status),
    }


@serves("sagemaker.UpdateEndpoint")
async def update_endpoint(wire: Wire, given: Given) -> Answer:
    """Have an endpoint name another configuration; what it had answers until that is ready."""
    found = await _require_settled(wire, given["EndpointName"])
    config = await _get(wire, _CONFIG, given["EndpointConfigName"])
    kept_fields = {key: found["spec"][key] for key in _ENDPOINT_FIELDS if key in found["spec"]}
    kept_fields |= deployment_fields(given, found["spec"])
    resource = _resource(found["name"], {**kept_fields, "config": config["name"]})
    owned = {"owner": found["owner"], "tags": found["tags"]}
    await wire.ask(apply, resources=[{**resource, **owned}], if_match=found["etag"])
    said = found["said"]
    said = {name: one for name, one in said.items() if name != "DataCaptureConfig"}
    said |= {**given, **await _of_config(wire, config["name"])}
    await keep(wire, "Endpoint", found["name"], said)
    return {"EndpointArn": _arn(wire, _ENDPOINT, found["name"])}


@serves("sagemaker.UpdateEndpointWeightsAndCapacities")
async def update_weights(wire: Wire, given: Given) -> Answer:
    """Change weights and counts of variants, all at once."""
    found, changes = await _require_settled(wire, given["EndpointName"]), []
    running = found["status"]["running"]
    there = [one["variant_name"] for one in running.get("production_variants", ())]
    asked = [one["VariantName"] for one in given["DesiredWeightsAndCapacities"]]
    if unknown := [f'"{name}"' for name in asked if name not in there]:
        raise WireError(
            INVALID,
            f"The variant name(s) {', '.join(unknown)} is/are not present within endpoint "
            f'configuration "{running.get("config", found["name"])}".',
        )
    for one in given["DesiredWeightsAndCapacities"]:
        if asked.count(one["VariantName"]) > 1:
            name = one["VariantName"]
            raise WireError(
                INVALID, f'The variant name "{name}" was non-unique within the request.'
            )
        serverless = one.get("ServerlessUpdateConfig", {})
        if "MaxConcurrency" in serverless:
            raise WireError(INVALID, "MaxConcurrency is not served; update the endpoint")
        changes.append(
            VariantChange(
                variant_name=one["VariantName"],
                desired_weight=one.get("DesiredWeight"),
                desired_instance_count=one.get(
                    "DesiredInstanceCount", serverless.get("ProvisionedConcurrency")
                ),
            )
        )
    await wire.ask(change_variants, name=found["name"], variants=changes)
    return {"EndpointArn": _arn(wire, _ENDPOINT, found["name"])}


@serves("sagemaker.DeleteEndpoint")
async def delete_endpoint(wire: Wire, given: Given) -> Answer:
    """Delete an endpoint; what it captured stays."""
    await _delete(wire, _ENDPOINT, given["EndpointName"])
    return {}


@serves("sagemaker.ListEndpoints")
async def list_endpoints(wire: Wire, given: Given) -> Answer:
    """List endpoints with their states."""
    return await _list(wire, _ENDPOINT, given, "Endpoints")


def _is_on_its_way(status: Mapping[str, Any]) -> bool:
    """Whether it is soon in another state: a deployment may take hours."""
    return status["state"] in _IN_PROGRESS and active_deployment(status) is None


async def _require_settled(wire: Wire, name: str) -> Mapping[str, Any]:
    found = await _get(wire, _ENDPOINT, name)
    if found["status"]["state"] in _IN_PROGRESS:
        arn = _arn(wire, _ENDPOINT, found["name"])
        raise WireError(INVALID, f'Cannot update in-progress endpoint "{arn}".')
    return found


async def _create(wire: Wire, sort: _Sort, said: Given, resources: list[Any]) -> str:
    """Declare resources that must be new, and keep what was said; return the ARN of the last."""
    name = said[sort.name]
    arn = _arn(wire, sort, name)
    try:
        await wire.ask(apply, resources=resources, if_none_match="*")
    except ConflictError:
        if await declared(wire, sort.collection, name) is None:
            raise
        raise WireError(INVALID, f'Cannot create already existing {sort.noun} "{arn}".') from None
    await keep(wire, sort.kind, name, said)
    return arn


async def _get(wire: Wire, sort: _Sort, name: str) -> Mapping[str, Any]:
    found = await declared(wire, sort.collection, name)
    if found is None:
        raise _missing(wire, sort, name)
    return found


async def _delete(wire: Wire, sort: _Sort, name: str) -> None:
    try:
        await wire.ask(delete_resource, collection=sort.collection, name=name)
    except NotFoundError:
        raise _missing(wire, sort, name) from None


def _missing(wire: Wire, sort: _Sort, name: str) -> WireError:
    return WireError(INVALID, f'Could not find {sort.noun} "{_arn(wire, sort, name)}".')


async def _list(wire: Wire, sort: _Sort, given: Given, member: str) -> Answer:
    by, state = given.get("SortBy"), given.get("StatusEquals")
    is_descending = given.get("SortOrder", "Descending") == "Descending"
    asked = {
        "collection": sort.collection,
        "contains": given.get("NameContains", ""),
        "created_after": given.get("CreationTimeAfter"),
        "created_before": given.get("CreationTimeBefore"),
        "updated_after": given.get("LastModifiedTimeAfter"),
        "updated_before": given.get("LastModifiedTimeBefore"),
        "state": "CapturedOnly" if state == "OutOfService" else state,
        "order": "name" if by == "Name" else "created",
        "descending": is_descending,
    }
    if by == "Status":  # Which no table holds.
        found = [_summary(wire, sort, one) for one in await every(wire, list_resources, **asked)]
        shown, token = wire.page(
            given, lambda one: (one["EndpointStatus"], one[sort.name]), found,
            descending=is_descending,
        )  # fmt: skip
        return {member: shown, "NextToken": token}
    limit, place = wire.limit(given, 10), page_of(wire, given)
    page = await wire.ask(list_resources, **asked, limit=limit, next_token=place)
    shown = [_summary(wire, sort, one) for one in page.items]
    return {member: shown, "NextToken": token_for(wire, given, page.next_token)}


def _summary(wire: Wire, sort: _Sort, one: StoredResource) -> Answer:
    found: Answer = {
        sort.name: one.name,
        f"{sort.kind}Arn": _arn(wire, sort, one.name),
        "CreationTime": one.created_at,
    }
    if sort is _ENDPOINT:
        found["LastModifiedTime"] = one.updated_at
        found["EndpointStatus"] = _state(one.status["state"])
    return found


def _is_same(read: Any, said: Given, found: Mapping[str, Any]) -> bool:  # noqa: ANN401 - a function of forms
    """Whether what was said when it was created still says what is declared."""
    try:
        *_, last = parse_resources(read(said))
    except (DriftlineError, KeyError):  # Tags alone, of what was applied by other means.
        return False
    return bool(last.spec.model_dump(mode="json") == found["spec"])


async def _of_config(wire: Wire, name: str) -> Answer:
    """Return what of a configuration's words an endpoint shows, also when that is gone."""
    said = await kept(wire, "EndpointConfig", name)
    return {key: said[key] for key in ("DataCaptureConfig",) if key in said}


def _capture(said: Mapping[str, Any] | None, running: Mapping[str, Any]) -> Answer | None:
    if said is None:
        return None
    percentage = running.get("sampling_percentage")
    is_on = bool(said.get("EnableCapture")) and percentage != 0
    return {
        "EnableCapture": bool(said.get("EnableCapture")),
        "CaptureStatus": "Started" if is_on else "Stopped",
        "CurrentSamplingPercentage": 100 if percentage is None else percentage,
        "DestinationS3Uri": said["DestinationS3Uri"],
        "KmsKeyId": said.get("KmsKeyId", ""),
    }


def _variants(status: Mapping[str, Any], member: str) -> list[Answer] | None:
    """Return how the variants that run fare; of two fleets, those of the old one."""
    deployment = active_deployment(status)
    fares = {one["name"]: one for one in status["variants"] if not one["is_new"]}
    found = []
    for one in status["running"].get(member, ()):
        name, serverless = one["variant_name"], one.get("serverless_config")
        fare = fares.get(name) or {}
        shown = {"VariantName": name, "CurrentWeight": fare.get("weight"),
                 "DesiredWeight": fare.get("desired_weight")}  # fmt: skip
        if deployment is not None:
            shown["VariantStatus"] = [old_variant_status(deployment)]
        if serverless is None:
            shown["CurrentInstanceCount"] = fare.get("instance_count")
            shown["DesiredInstanceCount"] = fare.get("desired_instance_count")
        else:
            config = serverless_members(serverless)
            if provisioned := fare.get("desired_instance_count"):
                config["ProvisionedConcurrency"] = provisioned
            shown |= {"CurrentServerlessConfig": config, "DesiredServerlessConfig": config}
        found.append(shown)
    return found or None


def _state(state: str) -> str:
    """Return a state in AWS's words: one whose app is elsewhere takes no requests here."""
    return "OutOfService" if state == "CapturedOnly" else state


def _resource(name: str, spec: Mapping[str, Any]) -> Answer:
    return {"kind": "Endpoint", "name": name, "spec": dict(spec)}


def _arn(wire: Wire, sort: _Sort, name: str) -> str:
    return wire.arn("sagemaker", sort.arn, name)


def _topic(wire: Wire, name: str) -> str:
    return f"arn:aws:sns:{wire.region}:{wire.account}:{name}"


def _time(text: datetime) -> datetime:
    return text
