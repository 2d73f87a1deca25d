"""Jobs of the SageMaker SDK: baselines, checks, scores (reference/aws-api.md, section 9.1)."""

import json

import pytest
from botocore.exceptions import ClientError

from driftline.baseline.store import Baseline
from driftline.roles import Roles
from tests.serving.aws.monitoring.conftest import (
    CLUSTER,
    IMAGE,
    INPUT,
    OUTPUT,
    ROLE,
    csv_of,
    ended,
    process,
    read,
)


def test_a_baseline_is_suggested_with_the_files_of_compat(server, sagemaker, s3, baseline):
    known = Baseline.of("s3://mybucket/base/base.csv", Roles(), compat=True)

    assert baseline["ProcessingJobStatus"] == "Completed", baseline.get("FailureReason")
    assert baseline["ExitMessage"].startswith("Completed: ")
    assert baseline["RoleArn"] == ROLE
    assert baseline["Environment"]["publish_cloudwatch_metrics"] == "Disabled"
    assert read(s3, "s3://mybucket/base-1/statistics.json") == known.statistics.to_json()
    assert read(s3, "s3://mybucket/base-1/constraints.json") == known.constraints.to_json()
    listed = sagemaker.list_processing_jobs(NameContains="base", StatusEquals="Completed")
    assert "base-1" in [one["ProcessingJobName"] for one in listed["ProcessingJobSummaries"]]


def test_rows_are_checked_against_documents_by_a_job(sagemaker, s3, baseline, trained):
    """As the SDK's QualityCheckStep does."""
    frame = trained.frame[["late", "carrier", "origin", "distance", "temp"]].assign(carrier="XX")
    s3.put_object(Bucket="mybucket", Key="today/today.csv", Body=csv_of(frame))
    sagemaker.create_processing_job(
        ProcessingJobName="check-1",
        ProcessingInputs=[
            {"InputName": name, "S3Input": {
                "S3Uri": uri, "LocalPath": f"{INPUT}/{name}", "S3DataType": "S3Prefix",
            }}
            for name, uri in (
                ("baseline_dataset_input", "s3://mybucket/today"),
                ("constraints", "s3://mybucket/base-1/constraints.json"),
                ("statistics", "s3://mybucket/base-1/"),
            )
        ],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "monitoring_output", "S3Output": {
            "S3Uri": "s3://mybucket/check-1", "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob",
        }}]},
        ProcessingResources={"ClusterConfig": CLUSTER},
        AppSpecification={"ImageUri": IMAGE},
        RoleArn=ROLE,
        Environment={
            "dataset_source": f"{INPUT}/baseline_dataset_input", "output_path": OUTPUT,
            "dataset_format": '{"csv": {"header": true}}',
            "baseline_constraints": f"{INPUT}/constraints",
            "baseline_statistics": f"{INPUT}/statistics/statistics.json",
        },
    )  # fmt: skip

    job = ended(sagemaker, "check-1")

    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ExitMessage"].startswith("CompletedWithViolations: ")
    violations = json.loads(read(s3, "s3://mybucket/check-1/constraint_violations.json"))
    assert {one["feature_name"] for one in violations["violations"]} == {"carrier"}


def test_quality_and_bias_have_baselines_too(s3, scored):
    quality, bias = scored

    assert quality["ProcessingJobStatus"] == "Completed", quality.get("FailureReason")
    constraints = json.loads(read(s3, "s3://mybucket/quality-1/constraints.json"))
    assert "auc" in constraints["binary_classification_constraints"]
    assert bias["ProcessingJobStatus"] == "Completed", bias.get("FailureReason")
    analysis = json.loads(read(s3, "s3://mybucket/bias-1/analysis.json"))
    assert "origin" in analysis["pre_training_bias_metrics"]["facets"]


def test_what_cannot_be_done_is_refused_in_a_sentence(sagemaker, s3, baseline):
    def refused(call, **given):
        with pytest.raises(ClientError) as caught:
            call(**given)
        return caught.value.response["Error"]

    other = refused(
        lambda: process(sagemaker, "other", "s3://mybucket/base", image="123.dkr.ecr/mine:1")
    )
    twice = refused(lambda: process(sagemaker, "base-1", "s3://mybucket/base"))
    missing = refused(sagemaker.describe_processing_job, ProcessingJobName="none")
    outside = refused(lambda: process(sagemaker, "outside", "s3://mybucket/x/../../y"))
    stopped = refused(sagemaker.stop_processing_job, ProcessingJobName="base-1")

    assert other["Code"] == "ValidationException"
    assert "runs no containers" in other["Message"]
    assert twice["Code"] == "ResourceInUse"
    assert missing == {
        "Code": "ValidationException",
        "Message": "Could not find requested job with name: none",
    }
    assert outside["Code"] == "ValidationException"
    assert stopped["Code"] == "ValidationException"
    process(sagemaker, "empty", "s3://mybucket/nothing-there")
    assert ended(sagemaker, "empty")["ProcessingJobStatus"] == "Failed"


def test_files_are_scored_by_a_transform_job(sagemaker, s3, trained):
    s3.put_object(Bucket="mybucket", Key="batch/a.csv", Body=trained.csv(slice(0, 20)).encode())
    job = {
        "TransformJobName": "score-1", "ModelName": "late",
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://mybucket/batch/"}
            },
            "ContentType": "text/csv", "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": "s3://mybucket/scores", "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }  # fmt: skip

    sagemaker.create_transform_job(**job)
    sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
        TransformJobName="score-1", WaiterConfig={"Delay": 1, "MaxAttempts": 90}
    )
    found = sagemaker.describe_transform_job(TransformJobName="score-1")

    assert {key: found[key] for key in job} == job
    arn, tags = found["TransformJobArn"], [{"Key": "team", "Value": "ml"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=tags)
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags
    assert sagemaker.describe_transform_job(TransformJobName="score-1")["ModelName"] == "late"
    assert found["TransformJobStatus"] == "Completed", found.get("FailureReason")
    assert len(read(s3, "s3://mybucket/scores/a.csv.out").splitlines()) == 20
    listed = sagemaker.list_transform_jobs()["TransformJobSummaries"]
    assert [one["TransformJobName"] for one in listed] == ["score-1"]
    assert found["MaxPayloadInMB"] == 6
    for more in (
        {"DataCaptureConfig": {"DestinationS3Uri": "s3://mybucket/captured"}},
        {"Environment": {"MODE": "fast"}},
    ):
        with pytest.raises(ClientError, match=next(iter(more))):
            sagemaker.create_transform_job(**{**job, "TransformJobName": "score-2"}, **more)
