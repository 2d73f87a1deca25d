"""Inference recommendations by boto3's own words, on real servers under load, and over a kill."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import skops.io
from botocore.config import Config
from sklearn.linear_model import LogisticRegression

from tests.kit.installation import Installation

pytestmark = pytest.mark.slow

SETTINGS = """
[serving]
prices = "prices.toml"
measure_busy = true
"""
PRICES = """
[[instance]]
name = "ml.c5.xlarge"
cores = 64
memory_gib = 512
per_hour = 0.5
"""
ROLE = "arn:aws:iam::123456789012:role/any"


def archive(*bodies: bytes) -> bytes:
    """Return a .tar.gz of requests, as SageMaker's documentation has it made."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        for number, body in enumerate(bodies):
            about = tarfile.TarInfo(f"./payload-{number}.csv")
            about.size = len(body)
            files.addfile(about, io.BytesIO(body))
    return packed.getvalue()


@pytest.fixture
def sagemaker(tmp_path: Path) -> Any:
    values = np.random.default_rng(1).normal(size=(200, 3))
    (tmp_path / "prices.toml").write_text(PRICES)
    model = LogisticRegression().fit(values, values[:, 0] > 0)
    skops.io.dump(model, tmp_path / "late.skops")
    with Installation(tmp_path, SETTINGS, words=("--only", "server")) as installed:
        session = boto3.Session("123456789012", "secret", region_name="eu-west-1")
        tried = Config(retries={"total_max_attempts": 10})
        client, s3 = (
            session.client(name, endpoint_url=installed.url, config=tried)
            for name in ("sagemaker", "s3")
        )
        s3.create_bucket(Bucket="mybucket")
        body = archive(b"0.5,1.5,-1.0\n", b"1.5,0.5,-2.0\n")
        s3.put_object(Bucket="mybucket", Key="payload.tar.gz", Body=body)
        container = {"Image": "any", "ModelDataUrl": str(tmp_path / "late.skops")}
        client.create_model(ModelName="late", PrimaryContainer=container, ExecutionRoleArn=ROLE)
        client.installed = installed
        yield client


def test_a_job_recommends_though_its_server_is_killed(sagemaker: Any) -> None:
    phase = {"InitialNumberOfUsers": 1, "SpawnRate": 60, "DurationInSeconds": 1}
    config = {
        "ModelName": "late",
        "JobDurationInSeconds": 7200,
        "TrafficPattern": {"TrafficType": "PHASES", "Phases": [phase]},
        "ResourceLimit": {"MaxNumberOfTests": 2, "MaxParallelOfTests": 1},
        "EndpointConfigurations": [
            {"InstanceType": "ml.c5.xlarge"},
            {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2}},
        ],
        "ContainerConfig": {
            "Framework": "SKLEARN",
            "PayloadConfig": {
                "SamplePayloadUrl": "s3://mybucket/payload.tar.gz",
                "SupportedContentTypes": ["text/csv"],
            },
        },
    }
    asked = {"JobName": "late-1", "JobType": "Advanced", "RoleArn": ROLE, "InputConfig": config}
    limits = [{"Percentile": "P95", "ValueInMilliseconds": 5000}]
    stops = {"MaxInvocations": 10_000_000, "ModelLatencyThresholds": limits}

    arn = sagemaker.create_inference_recommendations_job(**asked, StoppingConditions=stops)

    def steps() -> list[dict[str, Any]]:
        found = sagemaker.list_inference_recommendations_job_steps(JobName="late-1")
        return found["Steps"]

    def described() -> dict[str, Any]:
        return sagemaker.describe_inference_recommendations_job(JobName="late-1")

    wait = sagemaker.installed.wait
    first = wait(steps)[0]
    assert described()["Status"] == "IN_PROGRESS"
    processes = sagemaker.installed.processes()  # The job measures a later "server" of its own.
    os.kill(min(one for one, name in processes.items() if name == "server"), signal.SIGKILL)
    job = wait(lambda: (one := described())["Status"] in ("COMPLETED", "FAILED") and one, 120)

    assert job["Status"] == "COMPLETED", job
    assert job["JobArn"] == arn["JobArn"]
    assert job["InputConfig"] == config
    assert job["CompletionTime"] >= job["CreationTime"]
    found = job["InferenceRecommendations"]
    assert [one["RecommendationId"] for one in found] == [f"late-1/{at}" for at in (1, 2)]
    for one in found:
        metrics, form = one["Metrics"], one["EndpointConfiguration"]
        assert metrics["MaxInvocations"] > 60
        assert 0 < metrics["ModelLatency"] <= 5000
        assert metrics["CpuUtilization"] > 0
        assert 0 < metrics["MemoryUtilization"] < 100
        assert form["InitialInstanceCount"] >= 1
        assert form["InstanceType"] == "ml.c5.xlarge"
        assert metrics["CostPerHour"] == 0.5
        assert metrics["CostPerInference"] * metrics["MaxInvocations"] * 60 == pytest.approx(
            0.5, rel=0.01
        )
        assert one["ModelConfiguration"]["InferenceSpecificationName"] == "skops"
    cheapest = found[0]["Metrics"]["CostPerInference"]
    assert cheapest <= 1.05 * min(one["Metrics"]["CostPerInference"] for one in found)
    # What was measured before the kill is not measured again.
    rates = [one["Metrics"]["MaxInvocations"] for one in found]
    assert first["InferenceBenchmark"]["Metrics"]["MaxInvocations"] in rates
    assert [one["Status"] for one in steps()] == ["COMPLETED"] * 2
    own = sagemaker.installed.get("/api/v1/recommendation-jobs/late-1")
    assert {one["candidate"]["model"] for one in own["results"]} == {"late"}
    assert own["exit_message"].startswith(own["results"][0]["configuration"])
    (listed,) = sagemaker.list_inference_recommendations_jobs(
        StatusEquals="COMPLETED", ModelNameEquals="late"
    )["InferenceRecommendationsJobs"]
    assert (listed["JobName"], listed["JobType"], listed["RoleArn"]) == ("late-1", "Advanced", ROLE)


def test_a_job_is_stopped_and_what_cannot_be_measured_is_refused(sagemaker: Any) -> None:
    payload = {"PayloadConfig": {"SamplePayloadUrl": "s3://mybucket/payload.tar.gz"}}
    asked = {"JobType": "Default", "RoleArn": ROLE}
    config = {"ModelName": "late", "ContainerConfig": payload}
    error = sagemaker.exceptions.ClientError
    package = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/late/1"
    many = {"InitialNumberOfUsers": 1, "SpawnRate": 1000, "DurationInSeconds": 120}
    refused = [
        ({"ModelPackageVersionArn": package}, "driftline has no registry of packages"),
        ({"ModelName": "late"}, "expected ModelName, and ContainerConfig with SamplePayloadUrl"),
        ({**config, "Endpoints": [{"EndpointName": "late"}]}, "endpoint that runs is not loaded"),
        ({**config, "ModelName": "none"}, "none"),
        ({**config, "TrafficPattern": {"Phases": [many]}}, "at most 500 users"),
        ({**config, "TrafficPattern": {"Stairs": {"NumberOfSteps": 3}}}, "Stairs: give Phases"),
    ]
    for given, sentence in refused:
        with pytest.raises(error, match=sentence) as found:
            sagemaker.create_inference_recommendations_job(JobName="no", **asked, InputConfig=given)
        assert found.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(error) as unknown:
        sagemaker.describe_inference_recommendations_job(JobName="no")
    assert unknown.value.response["Error"]["Code"] == "ResourceNotFound"

    sagemaker.create_inference_recommendations_job(JobName="long", **asked, InputConfig=config)
    with pytest.raises(error) as twice:
        sagemaker.create_inference_recommendations_job(JobName="long", **asked, InputConfig=config)
    assert twice.value.response["Error"]["Code"] == "ResourceInUse"

    def described(name: str) -> dict[str, Any]:
        return sagemaker.describe_inference_recommendations_job(JobName=name)

    missing = {"PayloadConfig": {"SamplePayloadUrl": "s3://mybucket/none.tar.gz"}}
    config["ContainerConfig"] = missing
    sagemaker.create_inference_recommendations_job(JobName="none", **asked, InputConfig=config)
    sagemaker.installed.wait(lambda: described("long")["Status"] == "IN_PROGRESS")
    assert described("none")["Status"] == "PENDING"
    sagemaker.stop_inference_recommendations_job(JobName="long")

    sagemaker.installed.wait(lambda: described("long")["Status"] == "STOPPED")
    sagemaker.installed.wait(lambda: described("none")["Status"] == "FAILED")
    assert "no such file" in described("none")["FailureReason"]
