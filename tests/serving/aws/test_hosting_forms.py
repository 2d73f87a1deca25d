"""What is written as SageMaker's documents reads back as the same resource."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import InputError
from driftline.serving.aws.hosting_forms import (
    config_members,
    config_spec,
    model_members,
    model_resources,
)
from driftline.serving.resources.resources import parse_resources

NAMES = st.from_regex(r"[a-zA-Z0-9](-[a-zA-Z0-9]){0,8}", fullmatch=True)
PATHS = st.from_regex(r"(/|s3://b/)[a-z/]{0,20}[a-z]\.skops", fullmatch=True)
WEIGHTS = st.floats(0, 1e6)
VARIABLES = st.dictionaries(
    st.from_regex(r"[A-Z_]{1,9}", fullmatch=True).filter(lambda name: name != "PATH"),
    st.text("ab =", max_size=4), max_size=3,
)  # fmt: skip
SERVERLESS = st.fixed_dictionaries(
    {"MemorySizeInMB": st.sampled_from([1024, 6144]), "MaxConcurrency": st.integers(5, 200)},
    optional={"ProvisionedConcurrency": st.integers(1, 5)},
)
ASYNC = st.fixed_dictionaries(
    {
        "OutputConfig": st.fixed_dictionaries(
            {"S3OutputPath": PATHS},
            optional={
                "S3FailurePath": PATHS,
                "NotificationConfig": st.just({"ErrorTopic": "arn:aws:sns:r:a:pager"}),
            },
        ),
    },
    optional={"ClientConfig": st.just({"MaxConcurrentInvocationsPerInstance": 7})},
)


def declared(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the spec as it is stored, with its defaults."""
    (found,) = parse_resources([resource])
    return dict(found.spec.model_dump(mode="json"))


@given(NAMES, PATHS, VARIABLES, st.booleans())
def test_a_model_reads_back(name: str, path: str, variables: dict[str, str], is_many: bool) -> None:
    container = {"ModelDataUrl": path, "Environment": variables}
    container |= {"Mode": "MultiModel"} if is_many else {}
    (resource,) = model_resources({"ModelName": name, "PrimaryContainer": container})
    written = model_members(declared(resource), {})

    (again,) = model_resources({"ModelName": name, **written})

    assert declared(again) == declared(resource)


@given(st.lists(PATHS, min_size=2, max_size=15), st.sampled_from(["Serial", "Direct"]))
def test_containers_read_back_as_models_of_their_own(paths: list[str], mode: str) -> None:
    containers = [
        {"ContainerHostname": f"host-{number}", "ModelDataUrl": path}
        for number, path in enumerate(paths)
    ]
    asked = {
        "ModelName": "n" * 63, "Containers": containers, "InferenceExecutionConfig": {"Mode": mode},
    }  # fmt: skip
    *parts, whole = model_resources(asked)
    specs = {one["name"]: declared(one) for one in parts}

    written = model_members(declared(whole), specs)

    assert len(specs) == len(paths)
    assert max(map(len, specs)) <= 63
    assert model_resources({"ModelName": "n" * 63, **written})[-1] == whole


@given(NAMES, NAMES, WEIGHTS, st.none() | SERVERLESS, st.none() | ASYNC)
def test_a_configuration_reads_back(
    name: str, model: str, weight: float, serverless: Any, later: Any
) -> None:
    variant = {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight}
    variant |= {"InitialInstanceCount": 3} if serverless is None else {}
    variant |= {} if serverless is None else {"ServerlessConfig": serverless}
    asked = {"ProductionVariants": [variant]}
    asked |= {} if later is None else {"AsyncInferenceConfig": later}
    spec = config_spec(asked)
    stored = declared({"kind": "EndpointConfig", "name": "one", "spec": spec})

    again = config_spec(config_members(stored, lambda topic: f"arn:aws:sns:r:a:{topic}"))

    assert declared({"kind": "EndpointConfig", "name": "one", "spec": again}) == stored
    assert stored["sampling_percentage"] == 0


def test_containers_without_hostnames_answer_in_a_row_only() -> None:
    containers = [{"ModelDataUrl": "/a.skops"}, {"ModelDataUrl": "/b.skops"}]
    asked = {"ModelName": "two", "Containers": containers}

    assert declared(model_resources(asked)[-1])["containers"][0]["container_hostname"] is None
    with pytest.raises(InputError, match="expected container_hostname of all"):
        declared(model_resources({**asked, "InferenceExecutionConfig": {"Mode": "Direct"}})[-1])
