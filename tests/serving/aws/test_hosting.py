"""Models, configurations and endpoints by an unmodified boto3, on real workers."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from driftline.serving.provisioning import deploying
from driftline.serving.provisioning.apply import Applier
from driftline.serving.resources.reach import Reach
from driftline.storage import use_options
from tests.serving.aws.conftest import ACCOUNT, REGION, client_of
from tests.serving.conftest import Running, resource, wait_for
from tests.serving.hosting.formats.archives import pack

ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/AmazonSageMaker-ExecutionRole"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
ECHO = """
import json, os

def model_fn(model_dir):
    return os.environ["SUFFIX"]

def transform_fn(model, body, content_type, accept):
    if body == b"fail":
        raise ValueError("no such row")
    return body + model.encode(), "text/plain"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosting")


@pytest.fixture(scope="module")
def server(start: Any, folder: Path) -> Iterator[Running]:
    with start(folder, trust_pickle=True, reach=Reach(outputs=(str(folder),))) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Any]:
    with contextlib.closing(client_of(server.url, "sagemaker")) as found:
        yield found


@pytest.fixture(scope="module")
def runtime(server: Running) -> Iterator[Any]:
    with contextlib.closing(client_of(server.url, "sagemaker-runtime")) as found:
        yield found


@pytest.fixture(scope="module")
def model(client: Any, trained: Any) -> str:
    container = {"Image": IMAGE, "ModelDataUrl": f"file://{trained.file}"}
    client.create_model(ModelName="late", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return "late"


@pytest.fixture(scope="module")
def echo(client: Any, folder: Path) -> dict[str, Any]:
    """A container whose code answers what it was sent, and what its environment says."""
    archive = pack(folder / "echo.tar.gz", {"code/serve.py": ECHO})
    variables = {"SAGEMAKER_PROGRAM": "serve.py", "SUFFIX": "!"}
    return {"Image": IMAGE, "ModelDataUrl": str(archive), "Environment": variables}


def variant(name: str, model: str, **more: Any) -> dict[str, Any]:
    more = more or {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    return {"VariantName": name, "ModelName": model, **more}


def serve(client: Any, name: str, *variants: dict[str, Any], **config: Any) -> None:
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[*variants], **config)
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})


def refusal(call: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**given)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_an_endpoint_lives_as_in_amazons_examples(
    client: Any, runtime: Any, model: str, trained: Any
) -> None:
    """create config, endpoint, waiter, invoke, weights, TargetVariant, another config, delete."""
    rows = trained.csv(slice(3))
    weighted = [
        {**variant("blue", model), "InitialVariantWeight": 1.0},
        {**variant("green", model), "InitialVariantWeight": 0.0},
    ]
    serve(client, "flights", *weighted)

    def ask(**more: Any) -> str:
        answer = runtime.invoke_endpoint(
            EndpointName="flights", ContentType="text/csv", Accept="text/csv", Body=rows, **more
        )
        assert answer["ContentType"].startswith("text/csv")
        assert len(answer["Body"].read().split()) == 3
        return str(answer["InvokedProductionVariant"])

    before = {ask() for _ in range(5)}
    named = ask(TargetVariant="green", InferenceId="customer-81", CustomAttributes="trace=1")
    client.update_endpoint_weights_and_capacities(
        EndpointName="flights",
        DesiredWeightsAndCapacities=[
            {"VariantName": "blue", "DesiredWeight": 0},
            {"VariantName": "green", "DesiredWeight": 5, "DesiredInstanceCount": 2},
        ],
    )
    after, changed = {ask() for _ in range(5)}, client.describe_endpoint(EndpointName="flights")
    client.create_endpoint_config(
        EndpointConfigName="flights-2", ProductionVariants=[variant("red", model)]
    )
    client.delete_endpoint_config(EndpointConfigName="flights")
    client.update_endpoint(EndpointName="flights", EndpointConfigName="flights-2")
    client.get_waiter("endpoint_in_service").wait(EndpointName="flights")
    updated = client.describe_endpoint(EndpointName="flights")
    last = ask()
    client.delete_endpoint(EndpointName="flights")
    client.get_waiter("endpoint_deleted").wait(EndpointName="flights")

    assert (before, named, after, last) == ({"blue"}, "green", {"green"}, "red")
    shown = {
        one["VariantName"]: (
            one["DesiredWeight"],
            one["CurrentWeight"],
            one["DesiredInstanceCount"],
        )
        for one in changed["ProductionVariants"]
    }
    assert shown == {"blue": (0, 0, 1), "green": (5, 5, 2)}
    assert updated["EndpointConfigName"] == "flights-2"
    assert updated["EndpointArn"] == f"{ARN}:endpoint/flights"
    assert "FailureReason" not in updated
    assert (
        refusal(runtime.invoke_endpoint, EndpointName="flights", Body=b"")[0] == "ValidationError"
    )


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


def test_a_canary_is_described_as_sagemaker_does_and_taken_back_by_an_alarm(
    client: Any, server: Running, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UpdateEndpoint with DeploymentConfig, as in the guide's "Canary traffic shifting"."""
    monkeypatch.setattr(deploying, "LOOK_S", 0.02)
    drill = resource(
        "Alarm", "drill", namespace="n", metric_name="m", period=60, evaluation_periods=1,
        threshold=1, comparison_operator="GreaterThanThreshold",
    )  # fmt: skip
    assert server.apply(drill).status_code == 200
    config = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                "WaitIntervalInSeconds": 600,
            },
            "TerminationWaitInSeconds": 60,
            "MaximumExecutionTimeoutInSeconds": 1800,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "drill"}]},
    }
    serve(client, "staged", variant("all", model))
    weight = {"VariantName": "all", "DesiredInstanceCount": 2}
    client.update_endpoint_weights_and_capacities(
        EndpointName="staged", DesiredWeightsAndCapacities=[weight]
    )
    other = {**variant("all", model), "InitialVariantWeight": 3.0}
    client.create_endpoint_config(EndpointConfigName="staged-2", ProductionVariants=[other])
    client.get_waiter("endpoint_in_service").wait(EndpointName="staged")

    asked = {"EndpointName": "staged", "EndpointConfigName": "staged-2"}
    client.update_endpoint(
        **asked, DeploymentConfig=config, RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )  # fmt: skip

    def baking() -> Any:
        found = client.describe_endpoint(EndpointName="staged")
        new = found.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
        return found if new and new[0]["VariantStatus"][0]["Status"] == "Baking" else None

    during = wait_for(baking)
    refused = refusal(client.update_endpoint, **asked)
    state = {"state_value": "ALARM"}
    assert server.client.put("/api/v1/alarms/drill/state", json=state).is_success
    client.get_waiter("endpoint_in_service").wait(EndpointName="staged", WaiterConfig={"Delay": 1})
    after = client.describe_endpoint(EndpointName="staged")

    pending, (old,) = during["PendingDeploymentSummary"], during["ProductionVariants"]
    assert (during["EndpointStatus"], during["EndpointConfigName"]) == ("Updating", "staged")
    assert during["LastDeploymentConfig"] == config
    assert pending["EndpointConfigName"] == "staged-2"
    (new,) = pending["ProductionVariants"]
    assert (new["DesiredWeight"], new["CurrentInstanceCount"]) == (3.0, 1)  # Half of two.
    assert (old["CurrentWeight"], old["CurrentInstanceCount"]) == (1.0, 2)
    assert old["VariantStatus"][0]["Status"] == "Updating"
    assert "Cannot update in-progress endpoint" in refused[1]
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "staged")
    assert after["FailureReason"] == 'rolled back to generation 1: alarm "drill" is in ALARM'
    assert "PendingDeploymentSummary" not in after
    client.delete_endpoint(EndpointName="staged")


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


def test_what_would_answer_otherwise_is_refused(client: Any, model: str, trained: Any) -> None:
    place = {"ModelDataUrl": str(trained.file)}
    capture = {
        "EnableCapture": True, "InitialSamplingPercentage": 1, "DestinationS3Uri": "s3://b/c",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }  # fmt: skip
    submit = {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://b/sourcedir.tar.gz"}
    refused = [
        refusal(client.create_model, ModelName="x", PrimaryContainer={"Image": IMAGE}),
        refusal(client.create_model, ModelName="x",
                PrimaryContainer={**place, "Environment": submit}),
        refusal(client.create_model, ModelName="x", PrimaryContainer=place,
                EnableNetworkIsolation=True),
        refusal(client.create_endpoint_config, EndpointConfigName="x", DataCaptureConfig=capture,
                ProductionVariants=[variant("v", model)]),
        refusal(client.create_endpoint_config, EndpointConfigName="x",
                ProductionVariants=[{"VariantName": "v"}]),
    ]  # fmt: skip
    assert {code for code, _ in refused} == {"ValidationException"}
    beginnings = (
        "a container without ModelDataUrl", "Environment: SAGEMAKER_SUBMIT_DIRECTORY",
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


def test_a_model_that_cannot_be_loaded_fails_its_endpoint(client: Any, folder: Path) -> None:
    broken = pack(folder / "broken.tar.gz", {"code/inference.py": "import nowhere"})
    client.create_model(ModelName="broken", PrimaryContainer={"ModelDataUrl": str(broken)})
    client.create_endpoint_config(
        EndpointConfigName="broken", ProductionVariants=[variant("v", "broken")]
    )
    client.create_endpoint(EndpointName="broken", EndpointConfigName="broken")

    found = client.describe_endpoint(EndpointName="broken")

    assert found["EndpointStatus"] == "Failed"
    assert "No module named 'nowhere'" in found["FailureReason"]


def test_code_and_its_environment_answer_in_whole_and_as_a_stream(
    client: Any, runtime: Any, echo: dict[str, Any]
) -> None:
    client.create_model(ModelName="echo", PrimaryContainer=echo)
    serve(client, "echo", variant("AllTraffic", "echo"))
    asked = {"EndpointName": "echo", "ContentType": "text/plain"}
    long = "x" * 600_000

    whole = runtime.invoke_endpoint(Body=b"hello", **asked)
    stream = runtime.invoke_endpoint_with_response_stream(Body=long, Accept="text/plain", **asked)
    with contextlib.closing(stream["Body"]) as events:
        parts = [event["PayloadPart"]["Bytes"] for event in events]
    with pytest.raises(ClientError) as plain:
        runtime.invoke_endpoint(Body=b"fail", **asked)
    with pytest.raises(ClientError) as streamed:
        runtime.invoke_endpoint_with_response_stream(Body=b"fail", **asked)

    assert whole["Body"].read() == b"hello!"
    assert (stream["ContentType"], stream["InvokedProductionVariant"]) == (
        "text/plain",
        "AllTraffic",
    )
    assert b"".join(parts).decode() == f"{long}!"
    assert len(parts) == 3
    for caught in (plain, streamed):
        error = caught.value.response
        assert error["Error"]["Code"] == "ModelError"
        assert error["OriginalStatusCode"] == 500
        assert "no such row" in error["OriginalMessage"]
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert not isinstance(streamed.value, EventStreamError)


@pytest.mark.parametrize("mode", ["Serial", "Direct"])
def test_several_containers_answer_in_a_row_or_by_name(
    client: Any, runtime: Any, echo: dict[str, Any], mode: str
) -> None:
    second = {**echo, "Environment": {**echo["Environment"], "SUFFIX": "?"}}
    containers = [
        {**one, "ContainerHostname": host} for host, one in (("first", echo), ("second", second))
    ]
    name = f"several-{mode}"
    client.create_model(
        ModelName=name, Containers=containers, InferenceExecutionConfig={"Mode": mode}
    )
    serve(client, name, variant("AllTraffic", name))

    chosen = {} if mode == "Serial" else {"TargetContainerHostname": "second"}
    answer = runtime.invoke_endpoint(
        EndpointName=name, ContentType="text/plain", Body="row", **chosen
    )
    shown = client.describe_model(ModelName=name)
    client.delete_endpoint(EndpointName=name)
    client.delete_model(ModelName=name)

    assert answer["Body"].read() == (b"row!?" if mode == "Serial" else b"row?")
    assert shown["Containers"] == containers
    assert client.list_models(NameContains=name)["Models"] == []


def test_many_models_below_a_prefix_are_asked_by_name(
    client: Any, runtime: Any, trained: Any, folder: Path
) -> None:
    shops = folder / "shops"
    shops.mkdir()
    for name in ("one.skops", "two.skops"):
        shutil.copyfile(trained.file, shops / name)
    container = {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": f"file://{shops}/"}
    client.create_model(ModelName="shops", PrimaryContainer=container)
    serve(client, "shops", variant("AllTraffic", "shops"))
    asked = {"EndpointName": "shops", "ContentType": "text/csv", "Body": trained.csv(slice(1))}

    answers = [
        runtime.invoke_endpoint(TargetModel=name, **asked)["Body"].read()
        for name in ("one.skops", "two.skops")
    ]
    missing = refusal(runtime.invoke_endpoint, TargetModel="three.skops", **asked)

    assert answers[0] == answers[1] != b""
    assert client.describe_model(ModelName="shops")["PrimaryContainer"] == container
    assert missing[0] == "ValidationError"
    assert "Failed to download model data" in missing[1]


def test_a_serverless_endpoint_starts_with_a_request(
    client: Any, runtime: Any, model: str, trained: Any
) -> None:
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    serve(client, "rare", variant("AllTraffic", model, ServerlessConfig=serverless))

    found = client.describe_endpoint(EndpointName="rare")["ProductionVariants"][0]
    answer = runtime.invoke_endpoint(
        EndpointName="rare", ContentType="text/csv", Body=trained.csv(slice(1))
    )["Body"].read()

    client.update_endpoint_weights_and_capacities(
        EndpointName="rare",
        DesiredWeightsAndCapacities=[
            {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 1}}
        ],
    )
    changed = client.describe_endpoint(EndpointName="rare")["ProductionVariants"][0]
    too_many = {"VariantName": "AllTraffic", "DesiredInstanceCount": 1000}
    refused = refusal(
        client.update_endpoint_weights_and_capacities, EndpointName="rare",
        DesiredWeightsAndCapacities=[too_many],
    )  # fmt: skip

    assert refused[0] == "ValidationException"
    assert found["CurrentServerlessConfig"] == found["DesiredServerlessConfig"] == serverless
    assert changed["DesiredServerlessConfig"] == {**serverless, "ProvisionedConcurrency": 1}
    assert "CurrentInstanceCount" not in found
    assert answer.count(b"\n") == 1


def test_an_asynchronous_endpoint_answers_by_a_file(
    client: Any, runtime: Any, model: str, trained: Any, folder: Path, until: Any
) -> None:
    def later(output: str) -> dict[str, Any]:
        client_config = {"MaxConcurrentInvocationsPerInstance": 2}
        return {"OutputConfig": {"S3OutputPath": output}, "ClientConfig": client_config}

    refused = refusal(
        client.create_endpoint_config, EndpointConfigName="elsewhere",
        ProductionVariants=[variant("v", model)], AsyncInferenceConfig=later("s3://bucket/out"),
    )  # fmt: skip
    answers = folder / "later"
    answers.mkdir()
    (answers / "rows.csv").write_text(trained.csv(slice(2)))
    serve(client, "later", variant("v", model), AsyncInferenceConfig=later(str(answers)))

    accepted = runtime.invoke_endpoint_async(
        EndpointName="later", InputLocation=str(answers / "rows.csv"), ContentType="text/csv",
        Accept="text/csv", InferenceId="night-1", RequestTTLSeconds=600,
    )  # fmt: skip
    until(Path(accepted["OutputLocation"]).is_file)
    shown = client.describe_endpoint(EndpointName="later")["AsyncInferenceConfig"]

    assert "not in a folder for outputs" in refused[1]
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "night-1"
    assert accepted["FailureLocation"].startswith(str(answers))
    assert len(Path(accepted["OutputLocation"]).read_text().split()) == 2
    assert shown == later(str(answers))


def test_a_model_and_rows_are_uploaded_and_answers_downloaded(
    client: Any, runtime: Any, server: Running, trained: Any, tmp_path: Path, until: Any
) -> None:
    use_options({}, server.context.settings.buckets_dir)  # As the server's process does.
    later = {"OutputConfig": {"S3OutputPath": "s3://shop/answers"}}
    elsewhere = refusal(
        client.create_model, ModelName="elsewhere",
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://nowhere/late.skops"},
    )  # fmt: skip
    with contextlib.closing(client_of(server.url, "s3")) as s3:
        s3.create_bucket(Bucket="shop")
        s3.upload_file(str(trained.file), "shop", "models/late.skops")
        s3.put_object(Bucket="shop", Key="uploaded/rows.csv", Body=trained.csv(slice(2)))
        client.create_model(
            ModelName="uploaded",
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://shop/models/late.skops"},
        )
        serve(client, "uploaded", variant("v", "uploaded"), AsyncInferenceConfig=later)
        accepted = runtime.invoke_endpoint_async(
            EndpointName="uploaded", InputLocation="s3://shop/uploaded/rows.csv",
            ContentType="text/csv", Accept="text/csv",
        )  # fmt: skip
        key = accepted["OutputLocation"].removeprefix("s3://shop/")
        until(lambda: s3.list_objects_v2(Bucket="shop", Prefix=key).get("Contents"))
        s3.download_file("shop", key, str(tmp_path / "answers.csv"))
    use_options({})

    assert 'no bucket "nowhere"' in elsewhere[1]
    assert len((tmp_path / "answers.csv").read_text().split()) == 2


def test_all_of_these_are_resources_of_ours(server: Running, client: Any, model: str) -> None:
    kinds = Counter(
        one["kind"]
        for kind in ("models", "endpoint-configs", "endpoints")
        for one in server.client.get(f"/api/v1/{kind}").json()["items"]
    )
    assert kinds["Model"] >= 5
    assert kinds["EndpointConfig"] >= 3
    log = server.client.get("/api/v1/audit").json()["items"]
    assert any(one["target"] == f"Model/{model}" for one in log)
