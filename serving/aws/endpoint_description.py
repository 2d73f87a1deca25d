"""How an endpoint fares, as DescribeEndpoint says it: its variants, its capture, its deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from driftline.alerts.documents import to_aws
from driftline.serving.aws.hosting_forms import Document, Given, config_members

_IN_PROGRESS = ("Creating", "Updating", "RollingBack")
_REASON_CHARACTERS = 1024  # SageMaker's limit.
# Of a variant, what its status says.
_FARES = {
    "CurrentWeight": "weight", "DesiredWeight": "desired_weight",
    "CurrentInstanceCount": "instance_count", "DesiredInstanceCount": "desired_instance_count",
}  # fmt: skip


def shown_state(state: str | None) -> str | None:
    """Return a state in AWS's words: one whose app is elsewhere takes no requests here."""
    return "OutOfService" if state == "CapturedOnly" else state


def is_changing(status: Given) -> bool:
    """Whether an endpoint refuses to be updated."""
    return status["state"] in _IN_PROGRESS


def is_soon_over(status: Given) -> bool:
    """Whether an endpoint is soon in another state: a deployment may take hours."""
    return is_changing(status) and _active_deployment(status) is None


def endpoint_members(found: Given, topic_arn: Callable[[str], str]) -> Document:
    """Return DescribeEndpoint's fields of an Endpoint: its spec, its status, and what was said."""
    spec, status, said = found["spec"], found["status"], found["said"]
    running, deployment = status["running"], _active_deployment(status)
    is_failed = "Failed" in (status["state"], status["phase"])
    reason, config = status["reason"], spec.get("deployment_config")
    old = None
    if deployment is not None:
        is_leaving = deployment["stage"] == "Terminating"
        old = [_variant_status(deployment, "Deleting" if is_leaving else "Updating")]
    return {
        "EndpointConfigName": running.get("config", spec.get("config")),
        "EndpointStatus": shown_state(status["state"]),
        "FailureReason": reason[:_REASON_CHARACTERS] if is_failed and reason else None,
        "DataCaptureConfig": _capture(said.get("DataCaptureConfig"), running),
        "AsyncInferenceConfig": config_members(running, topic_arn).get("AsyncInferenceConfig"),
        "ProductionVariants": _variants(status, "production_variants", old),
        "ShadowProductionVariants": _variants(status, "shadow_production_variants", old),
        "LastDeploymentConfig": to_aws(config) if config else None,
        "PendingDeploymentSummary": _pending(spec, status, deployment),
    }


def _active_deployment(status: Given) -> Given | None:
    found: Given | None = status["deployment"]
    return found if found is not None and found["ended_at"] is None else None


def _variants(status: Given, field: str, state: Any) -> list[Document] | None:  # noqa: ANN401 - a list or None
    """Return how the variants that run fare; of two fleets, those of the old one."""
    fares = {one["name"]: one for one in status["variants"] if not one["is_new"]}
    found = []
    for one in status["running"].get(field, ()):
        fare = fares.get(one["variant_name"], {})
        shown = _fares(one["variant_name"], fare, state)
        if (serverless := one.get("serverless_config")) is not None:
            provisioned = shown.pop("DesiredInstanceCount") or serverless["provisioned_concurrency"]
            config = to_aws({**serverless, "provisioned_concurrency": provisioned})
            shown |= {"CurrentServerlessConfig": config, "DesiredServerlessConfig": config}
            del shown["CurrentInstanceCount"]
        found.append(shown)
    return found or None


def _fares(name: str, fare: Given, state: Any) -> Document:  # noqa: ANN401 - as above
    members = {member: fare.get(field) for member, field in _FARES.items()}
    return {"VariantName": name, **members, "VariantStatus": state}


def _pending(spec: Given, status: Given, deployment: Given | None) -> Document | None:
    if deployment is None:
        return None
    state = "Deleting" if deployment["stage"] == "RollingBack" else "Baking"
    if deployment["stage"] == "Creating":  # Workers of a later step take part of the requests.
        state = "Creating" if deployment["step"] == 1 else "ActivatingTraffic"
    new = [_variant_status(deployment, state)]
    return {
        "EndpointConfigName": spec.get("config", f"generation-{deployment['generation']}"),
        "StartTime": deployment["started_at"],
        "ProductionVariants": [
            _fares(one["name"], one, new) for one in status["variants"] if one["is_new"]
        ],
    }


def _variant_status(deployment: Given, status: str) -> Document:
    step, steps, percent = deployment["step"], deployment["steps"], 100 * deployment["share"]
    message = f"step {step} of {steps}, {percent:g}% on the new fleet"
    return {"Status": status, "StatusMessage": message, "StartTime": deployment["since"]}


def _capture(said: Mapping[str, Any] | None, running: Given) -> Document | None:
    if said is None:
        return None
    percentage = running.get("sampling_percentage")
    is_enabled = bool(said.get("EnableCapture"))
    return {
        "EnableCapture": is_enabled,
        "CaptureStatus": "Started" if is_enabled and percentage != 0 else "Stopped",
        "CurrentSamplingPercentage": 100 if percentage is None else percentage,
        "DestinationS3Uri": said["DestinationS3Uri"],
        "KmsKeyId": said.get("KmsKeyId", ""),
    }
