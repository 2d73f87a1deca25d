"""Models and configurations of endpoints as SageMaker writes them, and as resources of ours.

Both write the same fields, in PascalCase and in snake case (alerts/documents.py). Here stands which
of SageMaker's fields ours have, which are refused because a model would answer otherwise, and the
few that are written in another way. All others change nothing here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from driftline.alerts.alarms.actions import channel_of
from driftline.alerts.documents import from_aws, to_aws
from driftline.errors import InputError
from driftline.serving.resources.endpoint_specs import variants_and_shadows
from driftline.serving.resources.model_specs import MULTI_MODEL, SERIAL

Given = Mapping[str, Any]
Document = dict[str, Any]

_NAME_MAX = 63
PART_OF = "part-of"  # The tag of the models of containers.
_FIELDS = frozenset({
    # Of a model.
    "PrimaryContainer", "Containers", "ContainerHostname", "ModelDataUrl", "ModelDataSource",
    "S3DataSource", "S3Uri", "Environment", "Mode", "InferenceExecutionConfig",
    # Of a configuration.
    "ProductionVariants", "ShadowProductionVariants", "VariantName", "ModelName",
    "InitialVariantWeight", "InitialInstanceCount", "ServerlessConfig", "MemorySizeInMB",
    "MaxConcurrency", "ProvisionedConcurrency", "AsyncInferenceConfig", "OutputConfig",
    "S3OutputPath", "S3FailurePath", "NotificationConfig", "SuccessTopic", "ErrorTopic",
    "ClientConfig", "MaxConcurrentInvocationsPerInstance",
})  # fmt: skip
_REFUSED = {
    "AdditionalModelDataSources": "put all files of the model into one archive",
    "CrossRegionTrafficConfig": "driftline has no regions",
    "EnableNetworkIsolation": "workers have the network of their machine",
    "ExplainerConfig": "declare a monitor of kind attribution",
    "IncludeInferenceResponseIn": "messages name the file of the answer",
    "InstancePools": "give InitialInstanceCount",
    "ManagedInstanceScaling": "register the variant with application-autoscaling",
    "ModelPackageName": "give ModelDataUrl: driftline has no registry of packages",
}


def model_resources(given: Given) -> list[Document]:
    """Return the Model of CreateModel's fields; of several containers those of each, first."""
    name, found = given["ModelName"], from_aws(_known(given))
    containers = found.get("containers", [])
    if ("primary_container" in found) == bool(containers):
        raise InputError("expected either PrimaryContainer or Containers")
    if len(containers) < 2:
        (one,) = containers or [found["primary_container"]]
        return [{"kind": "Model", "name": name, "spec": _model_spec(one)}]
    parts = {_part_name(name, number): one for number, one in enumerate(containers, 1)}
    models = [
        {"kind": "Model", "name": part, "tags": {PART_OF: name}, "spec": _model_spec(one)}
        for part, one in parts.items()
    ]
    spec = {
        "mode": found.get("inference_execution_config", {}).get("mode", SERIAL),
        "containers": [
            {"model_name": part, "container_hostname": one.get("container_hostname")}
            for part, one in parts.items()
        ],
    }
    return [*models, {"kind": "Model", "name": name, "spec": spec}]


def model_members(spec: Given, parts: Mapping[str, Given]) -> Document:
    """Return CreateModel's fields of a Model; ``parts``: specs of its containers' models."""
    if "containers" not in spec:
        return {"PrimaryContainer": to_aws(_container(spec))}
    containers = [
        {"container_hostname": one["container_hostname"], **_container(parts[one["model_name"]])}
        for one in spec["containers"]
    ]
    return to_aws({
        "containers": containers, "inference_execution_config": {"mode": spec["mode"]}
    })  # fmt: skip


def config_spec(given: Given) -> Document:
    """Return the spec of an EndpointConfig of CreateEndpointConfig's fields."""
    known = _known(given)
    _rename_topics(known, lambda topic: channel_of(topic) or topic)
    spec = from_aws(known)
    for one in variants_and_shadows(spec):
        if "model_name" not in one:
            raise InputError(
                f'variant "{one["variant_name"]}" without ModelName: driftline has no inference '
                "components; name a model"
            )
    return spec | {"sampling_percentage": _sampling(given.get("DataCaptureConfig"))}


def config_members(spec: Given, topic_arn: Callable[[str], str]) -> Document:
    """Return CreateEndpointConfig's fields of a configuration, but for DataCaptureConfig.

    That names a bucket, and what is captured here lies in a table. ``topic_arn``: of a channel.
    """
    names = ("production_variants", "shadow_production_variants", "async_inference_config")
    found = to_aws({name: spec[name] for name in names if spec.get(name)})
    _rename_topics(found, topic_arn)
    return found


def deployment_fields(given: Given, before: Given) -> Document:
    """Return what UpdateEndpoint and CreateEndpoint say of deployments, as fields of an Endpoint.

    ``before``: the spec as declared until now, whose config RetainDeploymentConfig goes on with.
    """
    config = before.get("deployment_config") if given.get("RetainDeploymentConfig") else None
    if "DeploymentConfig" in given:
        config = from_aws(given["DeploymentConfig"])
    excluded = given.get("ExcludeRetainedVariantProperties", ())
    return {
        "deployment_config": config,
        "retain_all_variant_properties": bool(given.get("RetainAllVariantProperties")),
        "exclude_retained_variant_properties": [one["VariantPropertyType"] for one in excluded],
    }


def _known(given: Given) -> Document:
    """Return the fields that ours have, too; refuse those that are to be refused."""
    found = {}
    for name, value in given.items():
        is_off = isinstance(value, Mapping) and value.get("Status") == "DISABLED"
        if name in _REFUSED and value and not is_off:
            raise InputError(f"{name} is not served; {_REFUSED[name]}")
        if name not in _FIELDS:
            continue
        if isinstance(value, list):
            value = [_known(one) for one in value]
        elif isinstance(value, Mapping) and name != "Environment":
            value = _known(value)
        found[name] = value
    return found


def _model_spec(container: Given) -> Document:
    source = container.get("model_data_source", {}).get("s3_data_source", {})
    place = container.get("model_data_url") or source.get("s3_uri")
    if place is None:
        raise InputError(
            "a container without ModelDataUrl: driftline runs no images; name the model's file as "
            "a path, file:// or s3://"
        )
    environment = container.get("environment", {})
    if container.get("mode") == MULTI_MODEL:
        found = {"mode": MULTI_MODEL, "model_data_prefix": place.rstrip("/")}
    else:
        found = {"path": place}
    return {**found, "environment": environment}


def _container(spec: Given) -> Document:
    is_many = spec["mode"] == MULTI_MODEL
    return {
        "mode": MULTI_MODEL if is_many else None,
        "model_data_url": f"{spec['model_data_prefix']}/" if is_many else spec["path"],
        "environment": spec["environment"],
    }


def _part_name(name: str, number: int) -> str:
    """Return the name of a container's model; a long one keeps its beginning."""
    found = f"{name}-{number}"
    if len(found) <= _NAME_MAX:
        return found
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _NAME_MAX - 12]}-{digest}-{number}"


def _rename_topics(config: Document, rename: Callable[[str], str]) -> None:
    """Write the topics of a configuration, in AWS's form, in another way."""
    output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
    if topics := output.pop("NotificationConfig", None):
        output["NotificationConfig"] = {key: rename(topic) for key, topic in topics.items()}


def _sampling(capture: Given | None) -> float:
    """Return the percentage that is captured: as in SageMaker nothing if nothing is said."""
    if capture is None or not capture.get("EnableCapture", False):
        return 0.0
    modes = {one["CaptureMode"] for one in capture["CaptureOptions"]}
    if "InputAndOutput" not in modes and modes != {"Input", "Output"}:
        raise InputError(
            "DataCaptureConfig: CaptureOptions without both Input and Output; driftline captures "
            "requests together with their answers"
        )
    return float(capture["InitialSamplingPercentage"])
