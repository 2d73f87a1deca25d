"""Each kind of endpoint by an unmodified boto3, on real workers."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from driftline.app.recommend.trial import Candidate
from driftline.database.engine import read_connection
from driftline.serving.jobs.pinned_model import PinnedModel
from driftline.serving.provisioning import deploying
from driftline.serving.resources import store
from driftline.storage import use_options
from tests.serving.aws.conftest import client_of
from tests.serving.aws.hosting.conftest import ARN, ECHO, IMAGE, refusal, serve, variant
from tests.serving.conftest import Running, resource, wait_for
from tests.serving.hosting.formats.archives import pack


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

    def has_both() -> bool:  # It is in service with one of them.
        (found,) = client.describe_endpoint(EndpointName="staged")["ProductionVariants"]
        return bool(found["CurrentInstanceCount"] == 2)

    wait_for(has_both)
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
    server: Running, client: Any, runtime: Any, echo: dict[str, Any], mode: str
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
    client.delete_endpoint_config(EndpointConfigName=name)
    parts = [{"model_name": f"{name}-{number}"} for number in (2, 2)]
    server.must_apply(resource("Model", "other", mode="Serial", containers=parts))
    code, text = refusal(client.delete_model, ModelName=name)
    assert client.describe_model(ModelName=name) | {"ResponseMetadata": None} == shown | {
        "ResponseMetadata": None
    }
    client.delete_model(ModelName="other")
    client.delete_model(ModelName=name)

    assert (code, text) == (
        "ValidationException", f'Model "{name}-2" is needed by Model "other"; delete or change '
        "that first",
    )  # fmt: skip
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


def test_a_model_whose_code_lay_apart_is_tried_as_it_was_made(
    client: Any, server: Running, tmp_path: Path
) -> None:
    """As a recommendation job tries it, in an installation without its bucket."""
    use_options({}, server.context.settings.buckets_dir)
    archive = pack(tmp_path / "model.tar.gz", {"code/serve.py": "old"})
    code = pack(tmp_path / "sourcedir.tar.gz", {"serve.py": ECHO})
    variables = {"SAGEMAKER_PROGRAM": "serve.py", "SUFFIX": "!"}
    submitted = {**variables, "SAGEMAKER_SUBMIT_DIRECTORY": "s3://code/sourcedir.tar.gz"}
    with contextlib.closing(client_of(server.url, "s3")) as s3:
        s3.create_bucket(Bucket="code")
        s3.upload_file(str(code), "code", "sourcedir.tar.gz")
        container = {"Image": IMAGE, "ModelDataUrl": str(archive), "Environment": submitted}
        client.create_model(ModelName="apart", PrimaryContainer=container)
        serve(client, "apart", variant("v", "apart"))
        s3.delete_object(Bucket="code", Key="sourcedir.tar.gz")
    use_options({})
    with read_connection(server.engine) as connection:
        model = PinnedModel.of("apart", store.get_ready(connection, "Model", "apart").made)
    worker = model.worker("job", server.context)

    candidate = Candidate("model.tar.gz", worker.path, workers=1)
    server.must_apply(*candidate.resources("tried", dict(worker.environment)))

    assert dict(worker.environment) == variables
    for name in ("apart", "tried"):
        assert server.invoke(name, "a", content_type="application/x").text == "a!"
