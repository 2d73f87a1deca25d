"""Models and configurations of endpoints as SageMaker writes them, and as resources of ours.

Both ways, without anything of the wire: what imports and exports use, too. What changes how a model
answers, and cannot be had here, is refused; what changes nothing here is left out of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from driftline.errors import InputError
from driftline.serving.resources.model_specs import MULTI_MODEL, SERIAL

Given = Mapping[str, Any]
Document = dict[str, Any]

_NAME_MAX = 63
PART_OF = "part-of"  # The tag of the models of containers.
# What would answer otherwise than here, and why it does not.
_OF_CONTAINER = {
    "ModelPackageName": "give ModelDataUrl: driftline has no registry of packages",
    "AdditionalModelDataSources": "put all files of the model into one archive",
}
_OF_CONFIG = {
    "ExplainerConfig": "declare a monitor of kind attribution",
    "CrossRegionTrafficConfig": "driftline has no regions",
    "EnableNetworkIsolation": "workers have the network of their machine",
}
_OF_VARIANT = {
    "InstancePools": "give InitialInstanceCount",
    "ManagedInstanceScaling": "register the variant with application-autoscaling",
}
_SUBMIT = "SAGEMAKER_SUBMIT_DIRECTORY"
_BOTH = {"Input", "Output"}


def model_resources(given: Given) -> list[Document]:
    """Return the Model of CreateModel's fields; of several containers those of each, first."""
    name, containers = given["ModelName"], _containers(given)
    _refuse(given, {"EnableNetworkIsolation": _OF_CONFIG["EnableNetworkIsolation"]})
    if len(containers) == 1:
        return [_resource("Model", name, _container_spec(containers[0]))]
    mode = given.get("InferenceExecutionConfig", {}).get("Mode", SERIAL)
    parts = [_part_name(name, number) for number in range(1, len(containers) + 1)]
    models = [
        {**_resource("Model", part, _container_spec(one)), "tags": {PART_OF: name}}
        for part, one in zip(parts, containers, strict=True)
    ]
    named = any("ContainerHostname" in one for one in containers) or mode != SERIAL
    spec = {
        "mode": mode,
        "containers": [
            {"model_name": part}
            | ({"container_hostname": _hostname(one, number, mode)} if named else {})
            for number, (part, one) in enumerate(zip(parts, containers, strict=True), 1)
        ],
    }
    return [*models, _resource("Model", name, spec)]


def model_members(spec: Given, parts: Mapping[str, Given]) -> Document:
    """Return CreateModel's fields of a Model; ``parts``: specs of its containers' models."""
    if "containers" not in spec:
        return {"PrimaryContainer": _container_members(spec)}
    containers = [
        _given(ContainerHostname=one["container_hostname"])
        | _container_members(parts[one["model_name"]])
        for one in spec["containers"]
    ]
    return {"Containers": containers, "InferenceExecutionConfig": {"Mode": spec["mode"]}}


def config_spec(given: Given) -> Document:
    """Return the spec of an EndpointConfig of CreateEndpointConfig's fields."""
    _refuse(given, _OF_CONFIG)
    shadows = given.get("ShadowProductionVariants", ())
    later = given.get("AsyncInferenceConfig")
    return {
        "production_variants": [_variant_spec(one) for one in given["ProductionVariants"]],
        "shadow_production_variants": [_variant_spec(one) for one in shadows],
        "sampling_percentage": _sampling(given.get("DataCaptureConfig")),
        "async_inference_config": None if later is None else _async_spec(later),
    }


def config_members(spec: Given, topic_arn: Callable[[str], str]) -> Document:
    """Return CreateEndpointConfig's fields of a configuration, but for DataCaptureConfig.

    That names a bucket, and what is captured here lies in a table. ``topic_arn``: of a channel.
    """
    shadows, later = spec["shadow_production_variants"], spec["async_inference_config"]
    return _given(
        ProductionVariants=[_variant_members(one) for one in spec["production_variants"]],
        ShadowProductionVariants=[_variant_members(one) for one in shadows] or None,
        AsyncInferenceConfig=None if later is None else _async_members(later, topic_arn),
    )


def _containers(given: Given) -> Sequence[Given]:
    primary, several = given.get("PrimaryContainer"), given.get("Containers") or ()
    if (primary is None) == (not several):
        raise InputError("expected either PrimaryContainer or Containers")
    return several if primary is None else [primary]


def _container_spec(one: Given) -> Document:
    _refuse(one, _OF_CONTAINER)
    source = one.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    place = one.get("ModelDataUrl") or source
    if place is None:
        raise InputError(
            "a container without ModelDataUrl: driftline runs no images; name the model's file as "
            "a path, file:// or s3://"
        )
    environment = dict(one.get("Environment", {}))
    if environment.get(_SUBMIT, "").startswith("s3://"):
        raise InputError(
            f"Environment: {_SUBMIT} is {environment[_SUBMIT]}; put the code into the model's "
            "archive, as code/inference.py"
        )
    if one.get("Mode") == MULTI_MODEL:
        found = {"mode": MULTI_MODEL, "model_data_prefix": place.rstrip("/")}
    else:
        found = {"path": place}
    return found | ({"environment": environment} if environment else {})


def _container_members(spec: Given) -> Document:
    is_many = spec["mode"] == MULTI_MODEL
    place = f"{spec['model_data_prefix']}/" if is_many else spec["path"]
    mode = {"Mode": MULTI_MODEL} if is_many else {}
    return {**mode, "ModelDataUrl": place, "Environment": dict(spec.get("environment") or {})}


def _part_name(name: str, number: int) -> str:
    """Return the name of a container's model; a long one keeps its beginning."""
    found = f"{name}-{number}"
    if len(found) <= _NAME_MAX:
        return found
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _NAME_MAX - 12]}-{digest}-{number}"


def _hostname(one: Given, number: int, mode: str) -> str:
    found: str | None = one.get("ContainerHostname")
    if found is None and mode != SERIAL:
        raise InputError(f"Containers: mode {mode}; expected ContainerHostname of all")
    return found or f"container-{number}"


def _variant_spec(one: Given) -> Document:
    _refuse(one, _OF_VARIANT)
    if "ModelName" not in one:
        raise InputError(
            f'variant "{one["VariantName"]}" without ModelName: driftline has no inference '
            "components; name a model"
        )
    found = {"variant_name": one["VariantName"], "model_name": one["ModelName"]}
    if "InitialVariantWeight" in one:
        found["initial_variant_weight"] = one["InitialVariantWeight"]
    if (serverless := one.get("ServerlessConfig")) is not None:
        return found | {"serverless_config": _renamed(serverless, _SERVERLESS)}
    return found | {"initial_instance_count": one.get("InitialInstanceCount")}


_SERVERLESS = {
    "MemorySizeInMB": "memory_size_in_mb",
    "MaxConcurrency": "max_concurrency",
    "ProvisionedConcurrency": "provisioned_concurrency",
}


def _variant_members(one: Given) -> Document:
    serverless = one.get("serverless_config")
    return _given(
        VariantName=one["variant_name"],
        ModelName=one["model_name"],
        InitialVariantWeight=one["initial_variant_weight"],
        InitialInstanceCount=one.get("initial_instance_count"),
        ServerlessConfig=None if serverless is None else serverless_members(serverless),
    )


def serverless_members(spec: Given) -> Document:
    """Return ProductionVariantServerlessConfig's fields."""
    return _given(**_renamed(spec, {ours: theirs for theirs, ours in _SERVERLESS.items()}))


def _async_spec(given: Given) -> Document:
    output = given["OutputConfig"]
    notification = output.get("NotificationConfig", {})
    _refuse(notification, {"IncludeInferenceResponseIn": "messages name the file of the answer"})
    return {
        "output_config": {
            **_renamed(output, _OUTPUT),
            "notification_config": {
                ours: topic.rpartition(":")[2]
                for theirs, ours in _TOPICS.items()
                if (topic := notification.get(theirs)) is not None
            },
        },
        "client_config": _renamed(given.get("ClientConfig", {}), _CLIENT),
    }


_OUTPUT = {"S3OutputPath": "s3_output_path", "S3FailurePath": "s3_failure_path"}
_TOPICS = {"SuccessTopic": "success_topic", "ErrorTopic": "error_topic"}
_CLIENT = {"MaxConcurrentInvocationsPerInstance": "max_concurrent_invocations_per_instance"}


def _async_members(spec: Given, topic_arn: Callable[[str], str]) -> Document:
    output, client = spec["output_config"], spec["client_config"]
    notification = output["notification_config"]
    topics = {
        theirs: topic_arn(notification[ours])
        for theirs, ours in _TOPICS.items()
        if notification[ours] is not None
    }
    return {
        "OutputConfig": _given(
            **{theirs: output[ours] for theirs, ours in _OUTPUT.items()},
            NotificationConfig=topics or None,
        ),
        "ClientConfig": {theirs: client[ours] for theirs, ours in _CLIENT.items()},
    }


def _sampling(capture: Given | None) -> float:
    """Return the percentage that is captured: as in SageMaker nothing if nothing is said."""
    if capture is None or not capture.get("EnableCapture", False):
        return 0.0
    modes = {one["CaptureMode"] for one in capture["CaptureOptions"]}
    if "InputAndOutput" not in modes and modes != _BOTH:
        raise InputError(
            "DataCaptureConfig: CaptureOptions without both Input and Output; driftline captures "
            "requests together with their answers"
        )
    return float(capture["InitialSamplingPercentage"])


def _refuse(given: Given, names: Mapping[str, str]) -> None:
    for name, mend in names.items():
        found = given.get(name)
        if found and not (isinstance(found, Mapping) and found.get("Status") == "DISABLED"):
            raise InputError(f"{name} is not served; {mend}")


def _renamed(given: Given, names: Mapping[str, str]) -> Document:
    return {names[name]: given[name] for name in names.keys() & given.keys()}


def _given(**members: Any) -> Document:  # noqa: ANN401 - values of documents
    return {name: value for name, value in members.items() if value is not None}


def _resource(kind: str, name: str, spec: Document) -> Document:
    return {"kind": kind, "name": name, "spec": spec}


def names_of_models(given: Given) -> Iterable[str]:
    """Return the models that CreateEndpointConfig's fields name."""
    variants = (*given["ProductionVariants"], *given.get("ShadowProductionVariants", ()))
    return dict.fromkeys(one["ModelName"] for one in variants if "ModelName" in one)
