"""SageMaker's models, endpoint configurations and endpoints, as resources of ours.

What a Describe answers is what the client gave, as long as the resource is what that says; of one
that was applied otherwise, it is written anew. The texts of errors are matched by Terraform and by
scripts (reference: moto 5.2.5 sagemaker, terraform-provider-aws internal/service/sagemaker).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection

from driftline.alerts.documents import from_aws
from driftline.errors import ConflictError
from driftline.serving.aws.endpoint_description import (
    endpoint_members,
    is_changing,
    is_soon_over,
    shown_state,
)
from driftline.serving.aws.hosting_forms import (
    PART_OF,
    Document,
    config_members,
    config_spec,
    deployment_fields,
    model_members,
    model_resources,
)
from driftline.serving.aws.lists import listed
from driftline.serving.aws.ours import (
    apply_declared,
    arn_of,
    as_read,
    declared,
    delete_declared,
    reads_again,
)
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves, serves_each
from driftline.serving.operations.resources import (
    Collection,
    endpoint_state,
    list_resources,
)
from driftline.serving.operations.services import Services
from driftline.serving.operations.variants import change_variants
from driftline.serving.provisioning.apply import Declaration, Deletion
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import variants_and_shadows
from driftline.serving.resources.model_specs import containers_of
from driftline.serving.resources.specs import Kind

INVALID = "ValidationException"
# A waiter's first look comes at once, and its next after 30 s: most endpoints are up before.
HOLD_S, LOOK_S = 10.0, 0.2
_COLLECTIONS: Mapping[Kind, Collection] = {
    "Model": "models", "EndpointConfig": "endpoint-configs", "Endpoint": "endpoints"
}  # fmt: skip
_ENDPOINT_FIELDS = ("baseline", "signature", "trust_event_time")  # SageMaker has none of these.


@serves("sagemaker.CreateModel")
async def create_model(wire: Wire, given: Given) -> Answer:
    """Declare a Model; of several containers one for each, too."""
    return await _create(wire, "Model", given, model_resources(given))


@serves("sagemaker.CreateEndpointConfig")
async def create_endpoint_config(wire: Wire, given: Given) -> Answer:
    """Declare an EndpointConfig."""
    spec = config_spec(given)
    for model in dict.fromkeys(one["model_name"] for one in variants_and_shadows(spec)):
        await _get(wire, "Model", model)
    name = given["EndpointConfigName"]
    resource = {"kind": "EndpointConfig", "name": name, "spec": spec}
    return await _create(wire, "EndpointConfig", given, [resource])


@serves("sagemaker.CreateEndpoint")
async def create_endpoint(wire: Wire, given: Given) -> Answer:
    """Declare an Endpoint that names a configuration."""
    config = await _get(wire, "EndpointConfig", given["EndpointConfigName"])
    spec = {"config": config["name"], **deployment_fields(given, {})}
    resource = {"kind": "Endpoint", "name": given["EndpointName"], "spec": spec}
    return await _create(wire, "Endpoint", _with_capture(given, config), [resource])


async def _create(wire: Wire, kind: Kind, said: Given, resources: list[Document]) -> Answer:
    """Declare resources that must be new, with what was said of the last."""
    name = said[f"{kind}Name"]
    *parts, last = resources
    new = [Declaration(one, store.ABSENT) for one in parts]
    try:
        await apply_declared(wire, *new, Declaration(last, store.ABSENT, said))
    except ConflictError:
        if await declared(wire, _COLLECTIONS[kind], name) is None:
            raise
        text = f"Cannot create already existing {_named(wire, kind, name)}."
        raise WireError(INVALID, text) from None
    return {f"{kind}Arn": arn_of(wire, kind, name)}


def _with_capture(given: Given, config: Given) -> Document:
    """Return what was said of an endpoint, with what it shows of a config when that is gone."""
    return {**given, "DataCaptureConfig": config["said"].get("DataCaptureConfig")}


@serves("sagemaker.DescribeModel")
async def describe_model(wire: Wire, given: Given) -> Answer:
    """Return what a model was created with."""
    found = await _get(wire, "Model", given["ModelName"])
    specs = {found["name"]: found["spec"]}
    for name in containers_of(found["spec"]).values():
        specs[name] = (await _get(wire, "Model", name))["spec"]
    said = found["said"]
    if "ModelName" not in said or not all(
        one["spec"].items() <= specs.get(one["name"], {}).items() for one in model_resources(said)
    ):
        said = model_members(found["spec"], specs)
    return _shown(wire, found, said) | {"EnableNetworkIsolation": False}


@serves("sagemaker.DescribeEndpointConfig")
async def describe_endpoint_config(wire: Wire, given: Given) -> Answer:
    """Return what a configuration was created with: none changes."""
    found = await _get(wire, "EndpointConfig", given["EndpointConfigName"])
    said = found["said"]
    if "ProductionVariants" not in said:
        said = config_members(found["spec"], partial(_topic_arn, wire))
    variants = {
        member: [{"InitialVariantWeight": 1.0, **one} for one in said[member]]
        for member in ("ProductionVariants", "ShadowProductionVariants")
        if member in said
    }
    return _shown(wire, found, {**said, **variants}) | {"EnableNetworkIsolation": False}


@serves("sagemaker.DescribeEndpoint")
async def describe_endpoint(wire: Wire, given: Given) -> Answer:
    """Return how an endpoint fares; wait a little for one that is on its way."""
    end_s = asyncio.get_running_loop().time() + HOLD_S
    found = await _get(wire, "Endpoint", given["EndpointName"])
    while is_soon_over(found["status"]) and asyncio.get_running_loop().time() < end_s:
        await asyncio.sleep(LOOK_S)
        found = await _get(wire, "Endpoint", given["EndpointName"])
    members = endpoint_members(found, partial(_topic_arn, wire))
    return _shown(wire, found, members) | {"LastModifiedTime": found["updated_at"]}


def _shown(wire: Wire, found: Given, members: Given) -> Answer:
    kind, name = found["kind"], found["name"]
    return {
        **{member: one for member, one in members.items() if member != "Tags"},
        f"{kind}Name": name,
        f"{kind}Arn": arn_of(wire, kind, name),
        "CreationTime": found["created_at"],
    }


@serves("sagemaker.UpdateEndpoint")
@reads_again
async def update_endpoint(wire: Wire, given: Given) -> Answer:
    """Have an endpoint name another configuration; what it had answers until that is ready."""
    found = await _settled(wire, given["EndpointName"])
    config = await _get(wire, "EndpointConfig", given["EndpointConfigName"])
    spec = {key: found["spec"][key] for key in _ENDPOINT_FIELDS if key in found["spec"]}
    spec |= {**deployment_fields(given, found["spec"]), "config": config["name"]}
    resource = {key: found[key] for key in ("kind", "name", "owner", "tags")} | {"spec": spec}
    said = _with_capture(given, config)
    await apply_declared(wire, Declaration(resource, as_read(found), said))
    return {"EndpointArn": arn_of(wire, "Endpoint", found["name"])}


@serves("sagemaker.UpdateEndpointWeightsAndCapacities")
async def update_weights(wire: Wire, given: Given) -> Answer:
    """Change weights and counts of variants, all at once."""
    found, changes = await _settled(wire, given["EndpointName"]), []
    for one in from_aws(given)["desired_weights_and_capacities"]:
        serverless = one.pop("serverless_update_config", {})
        if "max_concurrency" in serverless:
            raise WireError(INVALID, "MaxConcurrency is not served; update the endpoint")
        count = serverless.get("provisioned_concurrency")
        changes.append({"desired_instance_count": count, **one})
    await wire.ask(change_variants, name=found["name"], variants=changes)
    return {"EndpointArn": arn_of(wire, "Endpoint", found["name"])}


async def _settled(wire: Wire, name: str) -> Mapping[str, Any]:
    found = await _get(wire, "Endpoint", name)
    if is_changing(found["status"]):
        arn = arn_of(wire, "Endpoint", found["name"])
        raise WireError(INVALID, f'Cannot update in-progress endpoint "{arn}".')
    return found


@serves_each("sagemaker.Delete{}", _COLLECTIONS)
@reads_again
async def delete(kind: Kind, wire: Wire, given: Given) -> Answer:
    """Delete a resource, a model in use or not and with those of its containers.

    Endpoints that name a configuration keep what it said; what an endpoint captured stays.
    """
    found = await _get(wire, kind, given[f"{kind}Name"])
    parts = [await declared(wire, "models", name) for name in containers_of(found["spec"]).values()]
    own = [one for one in parts if one is not None and one["tags"].get(PART_OF) == found["name"]]
    await delete_declared(
        wire, *(Deletion(kind, one["name"], as_read(one), in_use=True) for one in (found, *own))
    )
    return {}


@serves_each("sagemaker.List{}s", _COLLECTIONS)
async def list_kind(kind: Kind, wire: Wire, given: Given) -> Answer:
    """List resources of a kind; models of containers, too."""
    state, is_by_state = given.get("StatusEquals"), given.get("SortBy") == "Status"
    order: store.Order = "name" if given.get("SortBy") == "Name" else "created"
    after = None if is_by_state else wire.after(given, *store.ORDERS[order][1])
    limit = wire.limit(given, 10)
    where = store.narrowed(
        part=given.get("NameContains", "").casefold(),
        created=(given.get("CreationTimeAfter"), given.get("CreationTimeBefore")),
        updated=(given.get("LastModifiedTimeAfter"), given.get("LastModifiedTimeBefore")),
    )

    def read(services: Services, connection: Connection) -> list[tuple[store.Stored, str | None]]:
        has_followed = kind == "Endpoint" and services.reconciler.has_followed(connection)

        def state_of(row: store.Stored) -> str | None:
            return shown_state(endpoint_state(services, row, has_followed=has_followed))

        rows = store.list_page(
            connection, kind, *where,
            fits=None if state is None else lambda row: state_of(row) == state,
            order=order, descending=given.get("SortOrder", "Descending") == "Descending",
            after=after, limit=None if is_by_state else limit + 1, whole=False,
        )  # fmt: skip
        return [(row, state_of(row)) for row in rows]

    rows = await wire.asking.read(list_resources, read, collection=_COLLECTIONS[kind])
    found = [_summary(wire, *one) for one in rows]
    if is_by_state:  # Which no table holds.
        equals = {"StatusEquals": "EndpointStatus"}
        return listed(wire, given, found, f"{kind}s", name=f"{kind}Name", equals=equals)
    is_last = len(rows) <= limit
    token = None if is_last else wire.token(given, store.place_of(rows[limit - 1][0], order))
    return {f"{kind}s": found[:limit], "NextToken": token}


def _summary(wire: Wire, row: store.Stored, state: str | None) -> Answer:
    found: Answer = {
        f"{row.kind}Name": row.name,
        f"{row.kind}Arn": arn_of(wire, row.kind, row.name),
        "CreationTime": row.created_at,
    }
    if row.kind == "Endpoint":
        found |= {"LastModifiedTime": row.updated_at, "EndpointStatus": state}
    return found


async def _get(wire: Wire, kind: Kind, name: str) -> Mapping[str, Any]:
    found = await declared(wire, _COLLECTIONS[kind], name)
    if found is None:
        raise WireError(INVALID, f"Could not find {_named(wire, kind, name)}.")
    return found


def _named(wire: Wire, kind: Kind, name: str) -> str:
    noun = "endpoint configuration" if kind == "EndpointConfig" else kind.lower()
    return f'{noun} "{arn_of(wire, kind, name)}"'


def _topic_arn(wire: Wire, name: str) -> str:
    return f"arn:aws:sns:{wire.region}:{wire.account}:{name}"
