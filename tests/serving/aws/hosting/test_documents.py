"""What boto3 is shown of models, configurations and endpoints, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from driftline.serving.provisioning.apply import Applier
from tests.serving.aws.hosting.conftest import ARN, IMAGE, ROLE, refusal, variant
from tests.serving.conftest import Running


def test_describe_shows_what_was_given(client: Any, trained: Any) -> None:
    """As Terraform's plan without a difference needs it (aws_sagemaker_model, …_configuration)."""
    container = {
        "Image": IMAGE, "ModelDataUrl": str(trained.file), "Mode": "SingleModel",
        "Environment": {"SAGEMAKER_CONTAINER_LOG_LEVEL": "20"},
        "ImageConfig": {"RepositoryAccessMode": "Platform"},
    }  # fmt: skip
    network = {"SecurityGroupIds": ["sg-0a1b2c"], "Subnets": ["subnet-0a1b2c"]}
    given = {"PrimaryContainer": container, "ExecutionRoleArn": ROLE, "VpcConfig": network}
    tags = [{"Key": "team", "Value": "pricing"}]
    model = client.create_model(ModelName="Echoed", Tags=tags, **given)
    capture = {
        "EnableCapture": True, "InitialSamplingPercentage": 20, "DestinationS3Uri": "s3://b/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }  # fmt: skip
    production = {
        **variant("AllTraffic", "Echoed"), "InitialVariantWeight": 1.0, "VolumeSizeInGB": 30,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }  # fmt: skip
    shadow = {**variant("Shadow", "Echoed"), "InitialVariantWeight": 0.5}
    config = {
        "ProductionVariants": [production], "ShadowProductionVariants": [shadow],
        "DataCaptureConfig": capture, "KmsKeyId": "key",
    }  # fmt: skip
    client.create_endpoint_config(EndpointConfigName="Echoed", **config)
    client.create_endpoint(EndpointName="Echoed", EndpointConfigName="Echoed")

    shown = client.describe_model(ModelName="Echoed")
    configured = client.describe_endpoint_config(EndpointConfigName="Echoed")
    client.delete_endpoint_config(EndpointConfigName="Echoed")
    served = client.describe_endpoint(EndpointName="Echoed")
    client.add_tags(ResourceArn=model["ModelArn"], Tags=[{"Key": "stage", "Value": "test"}])
    client.delete_tags(ResourceArn=model["ModelArn"], TagKeys=["team"])

    assert model["ModelArn"] == shown["ModelArn"] == f"{ARN}:model/echoed"
    assert {key: shown[key] for key in given} == given
    assert {key: configured[key] for key in config} == config
    assert served["DataCaptureConfig"] == {
        "EnableCapture": True, "CaptureStatus": "Started", "CurrentSamplingPercentage": 20,
        "DestinationS3Uri": "s3://b/capture", "KmsKeyId": "",
    }  # fmt: skip
    assert [one["VariantName"] for one in served["ShadowProductionVariants"]] == ["Shadow"]
    tagged = client.list_tags(ResourceArn=model["ModelArn"])["Tags"]
    assert tagged == [{"Key": "stage", "Value": "test"}]
    client.delete_model(ModelName="Echoed")
    assert client.describe_endpoint(EndpointName="Echoed")["EndpointStatus"] == "InService"
    client.delete_endpoint(EndpointName="Echoed")
    assert refusal(client.list_tags, ResourceArn=model["ModelArn"])[0] == "ValidationException"


def test_what_was_applied_otherwise_is_described_as_it_is(
    client: Any, server: Running, trained: Any, declare: Any, folder: Path
) -> None:
    moved = folder / "moved.skops"
    shutil.copyfile(trained.file, moved)
    client.create_model(ModelName="moved", PrimaryContainer={"ModelDataUrl": str(trained.file)})
    line = [{"model_name": "moved", "container_hostname": host} for host in ("a", "b")]
    async_config = {"output_config": {"s3_output_path": str(folder)}}
    server.apply(
        declare("Model", "moved", path=str(moved)),
        declare("Model", "line", mode="Direct", containers=line),
        declare(
            "EndpointConfig", "night", async_inference_config=async_config,
            production_variants=[{"variant_name": "v", "model_name": "moved"}],
        ),
        declare("Endpoint", "app", signature={"version": 1, "features": [], "outputs": []}),
    )  # fmt: skip

    one, several = (client.describe_model(ModelName=name) for name in ("moved", "line"))
    night = client.describe_endpoint_config(EndpointConfigName="night")

    assert one["PrimaryContainer"]["ModelDataUrl"] == str(moved)
    assert several["InferenceExecutionConfig"] == {"Mode": "Direct"}
    assert [part["ContainerHostname"] for part in several["Containers"]] == ["a", "b"]
    assert night["ProductionVariants"] == [
        {"VariantName": "v", "ModelName": "moved", "InitialVariantWeight": 1.0}
    ]
    assert night["AsyncInferenceConfig"]["OutputConfig"] == {"S3OutputPath": str(folder)}


def test_errors_have_the_texts_that_scripts_match(client: Any, model: str) -> None:
    container = {"ModelDataUrl": "/nowhere/model.skops"}
    missing = {"EndpointName": "none", "EndpointConfigName": "none", "ModelName": "none"}

    def code_and_text(operation: str, *names: str, **given: Any) -> tuple[str, str]:
        named = {name: missing[name] for name in names}
        return refusal(getattr(client, operation), **named, **given)

    found = [
        code_and_text("describe_endpoint", "EndpointName"),
        code_and_text("delete_endpoint", "EndpointName"),
        code_and_text("update_endpoint", "EndpointName", "EndpointConfigName"),
        code_and_text("describe_endpoint_config", "EndpointConfigName"),
        code_and_text("delete_endpoint_config", "EndpointConfigName"),
        code_and_text("create_endpoint", "EndpointName", "EndpointConfigName"),
        code_and_text("describe_model", "ModelName"),
        code_and_text("delete_model", "ModelName"),
        code_and_text("create_endpoint_config", "EndpointConfigName",
                      ProductionVariants=[variant("v", "none")]),
        refusal(client.create_model, ModelName=model, PrimaryContainer=container),
    ]  # fmt: skip

    endpoint, config, named = (
        f'Could not find {noun} "{ARN}:{kind}/none".'
        for noun, kind in (
            ("endpoint", "endpoint"), ("endpoint configuration", "endpoint-config"),
            ("model", "model"),
        )
    )  # fmt: skip
    assert {code for code, _ in found} == {"ValidationException"}
    assert [text for _, text in found[:-1]] == [
        endpoint, endpoint, endpoint, config, config, config, named, named, named,
    ]  # fmt: skip
    assert found[-1][1].endswith("/nowhere/model.skops: no such file")


def test_nothing_that_exists_is_created_again(client: Any, model: str, trained: Any) -> None:
    container = {"ModelDataUrl": str(trained.file)}
    other = {"ProductionVariants": [variant("other", model)]}
    client.create_endpoint_config(
        EndpointConfigName="twice", ProductionVariants=[variant("one", model)]
    )
    found = [
        refusal(client.create_model, ModelName=model, PrimaryContainer=container),
        refusal(client.create_endpoint_config, EndpointConfigName="twice", **other),
    ]
    assert found == [
        ("ValidationException", f'Cannot create already existing {noun} "{ARN}:{arn}".')
        for noun, arn in (("model", "model/late"),
                          ("endpoint configuration", "endpoint-config/twice"))
    ]  # fmt: skip


def test_what_was_said_is_stored_with_the_resource_that_it_is_of(
    client: Any, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the server is killed once a request has stored something."""
    apply = Applier.apply

    async def killed(*given: Any, **named: Any) -> None:
        await apply(*given, **named)
        raise RuntimeError("killed")

    given: dict[str, Any] = {
        "ModelName": "half", "ExecutionRoleArn": ROLE, "Tags": [{"Key": "team", "Value": "a"}],
        "PrimaryContainer": {"ModelDataUrl": str(trained.file)},
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(Applier, "apply", killed)
        refusal(client.create_model, **given)

    shown = client.describe_model(ModelName="half")
    tags = client.list_tags(ResourceArn=shown["ModelArn"])["Tags"]
    assert (shown.get("ExecutionRoleArn"), tags) == (ROLE, given["Tags"])


def test_tags_that_are_added_while_an_endpoint_is_updated_stay(
    client: Any, model: str, meanwhile: Any
) -> None:
    for name in ("tagged", "tagged-2"):
        one = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
        client.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant("one", model, **one)]
        )
    arn = client.create_endpoint(EndpointName="tagged", EndpointConfigName="tagged")["EndpointArn"]
    client.get_waiter("endpoint_in_service").wait(EndpointName="tagged", WaiterConfig={"Delay": 1})
    tags = [{"Key": "team", "Value": "a"}]

    meanwhile(lambda: client.add_tags(ResourceArn=arn, Tags=tags))
    client.update_endpoint(EndpointName="tagged", EndpointConfigName="tagged-2")

    assert client.list_tags(ResourceArn=arn)["Tags"] == tags
    assert client.describe_endpoint(EndpointName="tagged")["EndpointArn"] == arn


def test_what_would_answer_otherwise_is_refused(
    client: Any, model: str, trained: Any, tmp_path: Path
) -> None:
    place = {"ModelDataUrl": str(trained.file)}
    capture = {
        "EnableCapture": True, "InitialSamplingPercentage": 1, "DestinationS3Uri": "s3://b/c",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }  # fmt: skip
    many = {"ModelDataUrl": str(trained.file.parent), "Mode": "MultiModel"}
    submit = {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://b/sourcedir.tar.gz"}
    (tmp_path / "MLmodel").touch()
    refused = [
        refusal(client.create_model, ModelName="x", PrimaryContainer={"Image": IMAGE}),
        refusal(client.create_model, ModelName="x",
                PrimaryContainer={"ModelDataUrl": str(tmp_path), "Environment": submit}),
        refusal(client.create_model, ModelName="x",
                PrimaryContainer={**many, "Environment": submit}),
        refusal(client.create_model, ModelName="x", PrimaryContainer=place,
                EnableNetworkIsolation=True),
        refusal(client.create_endpoint_config, EndpointConfigName="x", DataCaptureConfig=capture,
                ProductionVariants=[variant("v", model)]),
        refusal(client.create_endpoint_config, EndpointConfigName="x",
                ProductionVariants=[{"VariantName": "v"}]),
    ]  # fmt: skip
    assert {code for code, _ in refused} == {"ValidationException"}
    beginnings = (
        "a container without ModelDataUrl",
        'Model "x": SAGEMAKER_SUBMIT_DIRECTORY is s3://b/sourcedir.tar.gz, and test_what',
        'Model "x": SAGEMAKER_SUBMIT_DIRECTORY is s3://b',
        "EnableNetworkIsolation", "DataCaptureConfig: CaptureOptions", 'variant "v" without',
    )  # fmt: skip
    for (_, text), beginning in zip(refused, beginnings, strict=True):
        assert text.startswith(beginning), text


def test_lists_are_filtered_sorted_and_paged(client: Any, trained: Any) -> None:
    for number in (2, 0, 1):
        container = {"ModelDataUrl": str(trained.file)}
        client.create_model(ModelName=f"listed-{number}", PrimaryContainer=container)

    def names(**asked: Any) -> list[list[str]]:
        pages = client.get_paginator("list_models").paginate(NameContains="listed", **asked)
        return [[one["ModelName"] for one in page["Models"]] for page in pages]

    page = client.list_models(NameContains="listed", MaxResults=1)

    assert names(SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}) == [
        ["listed-0", "listed-1"], ["listed-2"],
    ]  # fmt: skip
    assert names(SortBy="Name") == [["listed-2", "listed-1", "listed-0"]]
    assert names(CreationTimeBefore="2020-01-01") == [[]]
    token = refusal(client.list_models, NameContains="other", NextToken=page["NextToken"])
    assert token[0] == "ValidationException"
    found = client.list_endpoints(StatusEquals="Failed")["Endpoints"]
    assert [one["EndpointStatus"] for one in found] == ["Failed"] * len(found)
    pages = client.get_paginator("list_endpoints").paginate(
        SortBy="Status", SortOrder="Ascending", PaginationConfig={"PageSize": 1}
    )
    states = [one["EndpointStatus"] for page in pages for one in page["Endpoints"]]
    assert states == sorted(states)
    assert len(states) == len(client.list_endpoints(MaxResults=100)["Endpoints"])
