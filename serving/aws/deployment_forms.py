"""Deployments as SageMaker writes them, and as fields and statuses of an Endpoint of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_pascal

from driftline.alerts.documents import snake

Given = Mapping[str, Any]
Document = dict[str, Any]


def deployment_fields(given: Given, before: Given) -> Document:
    """Return what UpdateEndpoint and CreateEndpoint say of deployments, as fields of an Endpoint.

    ``before``: the spec as declared until now, whose config RetainDeploymentConfig goes on with.
    """
    config = _renamed(given.get("DeploymentConfig"), snake)
    if config is None and given.get("RetainDeploymentConfig"):
        config = before.get("deployment_config")
    excluded = given.get("ExcludeRetainedVariantProperties", ())
    return {
        "deployment_config": config,
        "retain_all_variant_properties": bool(given.get("RetainAllVariantProperties")),
        "exclude_retained_variant_properties": [one["VariantPropertyType"] for one in excluded],
    }


def deployment_members(spec: Given, status: Given) -> Document:
    """Return LastDeploymentConfig and PendingDeploymentSummary of an Endpoint's spec and status."""
    found, config = active_deployment(status), spec.get("deployment_config")
    members: Document = {"LastDeploymentConfig": _renamed(config, to_pascal)} if config else {}
    if found is None:
        return members
    new = [one for one in status["variants"] if one["is_new"]]
    members["PendingDeploymentSummary"] = {
        "EndpointConfigName": spec.get("config", f"generation-{found['generation']}"),
        "StartTime": found["started_at"],
        "ProductionVariants": [
            {
                "VariantName": one["name"],
                "CurrentWeight": one["weight"],
                "DesiredWeight": one["desired_weight"],
                "CurrentInstanceCount": one["instance_count"],
                "DesiredInstanceCount": one["desired_instance_count"],
                "VariantStatus": [_variant_status(found, _new_status(found))],
            }
            for one in new
        ],
    }
    return members


def active_deployment(status: Given) -> Given | None:
    """Return the deployment of a status that goes on."""
    found: Given | None = status["deployment"]
    return found if found is not None and found["ended_at"] is None else None


def old_variant_status(deployment: Given) -> Document:
    """Return the VariantStatus of a variant that a deployment replaces."""
    is_leaving = deployment["stage"] == "Terminating"
    return _variant_status(deployment, "Deleting" if is_leaving else "Updating")


def _variant_status(found: Given, status: str) -> Document:
    message = (
        f"step {found['step']} of {found['steps']}, {100 * found['share']:g}% on the new fleet"
    )
    since = found["since"]
    return {"Status": status, "StatusMessage": message, "StartTime": since}


def _new_status(found: Given) -> str:
    if found["stage"] == "Creating":  # The workers of a later step take part of the requests.
        return "Creating" if found["step"] == 1 else "ActivatingTraffic"
    return "Deleting" if found["stage"] == "RollingBack" else "Baking"


def _renamed(given: Any, rename: Any) -> Any:  # noqa: ANN401 - any JSON value, and a function
    """Return a document with all its names written another way, without what is null."""
    if isinstance(given, Mapping):
        return {rename(key): _renamed(one, rename) for key, one in given.items() if one is not None}
    return [_renamed(one, rename) for one in given] if isinstance(given, list) else given
