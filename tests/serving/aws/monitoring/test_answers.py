"""What the schedules of one endpoint take its answers for, each by its own baseline."""

import json

import pytest
from sklearn.metrics import roc_auc_score

from tests.serving.aws.monitoring.conftest import (
    CLARIFY,
    HOURLY,
    IMAGE,
    JOB,
    OUTPUTS,
    csv_of,
    daily,
    ended,
    process,
    read,
    run,
    sent_to,
    settled,
)
from tests.serving.conftest import NOW, resource
from tests.serving.hosting.formats.archives import coded


def test_data_quality_and_bias_are_watched_on_an_endpoint(
    server, sagemaker, s3, scored, trained, baseline
):
    """The first schedule takes the first column, "late", for the prediction; it is the label."""
    model = {"endpoint": "scored", "quality": "quality-definition", "bias": "bias-definition"}
    made = server.apply(resource("Endpoint", "scored", model="late"))
    assert made.status_code == 200
    sagemaker.create_monitoring_schedule(
        MonitoringScheduleName="by-data", MonitoringScheduleConfig={**daily("scored"), **HOURLY}
    )
    assert settled(sagemaker, "by-data")["MonitoringScheduleStatus"] == "Scheduled"
    inputs = {
        **sent_to(model["endpoint"], StartTimeOffset="-PT2H", EndTimeOffset="-PT1H"),
        "GroundTruthS3Input": {"S3Uri": "s3://mybucket/truth"},
    }
    sagemaker.create_model_quality_job_definition(
        JobDefinitionName=model["quality"],
        ModelQualityAppSpecification={
            "ImageUri": IMAGE, "ProblemType": "BinaryClassification",
        },
        ModelQualityBaselineConfig={
            "BaseliningJobName": "quality-1",
            "ConstraintsResource": {"S3Uri": "s3://mybucket/quality-1/constraints.json"},
        },
        ModelQualityJobInput=inputs, ModelQualityJobOutputConfig=OUTPUTS, **JOB,
    )  # fmt: skip
    sagemaker.create_model_bias_job_definition(
        JobDefinitionName=model["bias"],
        ModelBiasAppSpecification={
            "ImageUri": CLARIFY, "ConfigUri": "s3://mybucket/config/analysis_config.json",
        },
        ModelBiasBaselineConfig={
            "ConstraintsResource": {"S3Uri": "s3://mybucket/bias-1/analysis.json"},
        },
        # The SDK gives the place of the prediction in the answer; the rows hold no answers.
        ModelBiasJobInput={
            **inputs, "EndpointInput": {**inputs["EndpointInput"], "InferenceAttribute": "0"},
        },
        ModelBiasJobOutputConfig=OUTPUTS, **JOB,
    )  # fmt: skip

    for name, definition, kind in (
        ("by-quality", model["quality"], "ModelQuality"), ("by-bias", model["bias"], "ModelBias"),
    ):  # fmt: skip
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=name,
            MonitoringScheduleConfig={
                "MonitoringJobDefinitionName": definition, "MonitoringType": kind, **HOURLY,
            },
        )  # fmt: skip
        found = settled(sagemaker, name)
        assert found["MonitoringScheduleStatus"] == "Scheduled", found.get("FailureReason")
        monitor = server.client.get(f"/api/v1/monitors/{name}").json()
        assert monitor["spec"]["labels"] == "s3://mybucket/truth"

    labels = 1 - trained.frame["late"][:200]  # The model is wrong as often as it was right.
    for at in range(4):
        rows = slice(at * 50, at * 50 + 50)
        answer = server.invoke(
            "scored", trained.csv(rows), x_amzn_sagemaker_inference_id=f"batch-{at}"
        )
        assert answer.status_code == 200
        data = ",".join(str(int(one)) for one in labels[rows])
        given = {
            "groundTruthData": {"data": data, "encoding": "CSV"},
            "eventMetadata": {"eventId": f"batch-{at}"}, "eventVersion": "0",
        }  # fmt: skip
        key = f"truth/{NOW:%Y/%m/%d/%H}/{at}.jsonl"
        s3.put_object(Bucket="mybucket", Key=key, Body=json.dumps(given))
    server.sink_all()
    ran = run(server, "by-data")
    assert (ran["status"], ran["row_count"]) == ("Completed", 200), ran
    for name, check in (("by-quality", "accuracy"), ("by-bias", "bias_drift_check")):
        ran = run(server, name)
        assert ran["status"] == "CompletedWithViolations", ran
        key = f"s3://mybucket/reports/scored/{name}/2026/01/15/07/constraint_violations.json"
        assert check in read(s3, key)
    found = sagemaker.list_monitoring_executions(EndpointName="scored")
    assert {one["MonitoringType"] for one in found["MonitoringExecutionSummaries"]} == {
        "DataQuality", "ModelQuality", "ModelBias",
    }  # fmt: skip


# The chance of a row, which depends on its distance.
CHANCES = """
rows = [line.split(",") for line in body.strip().splitlines()]
return "\\n".join(str(float(row[2]) % 97 / 97) for row in rows), "text/csv"
"""


@pytest.mark.parametrize("order", [("data", "quality"), ("quality", "data")])
def test_a_probability_alone_is_watched_for_data_and_quality(
    server, sagemaker, s3, trained, baseline, order
):
    """Whichever schedule comes first, and so names the endpoint's columns."""
    endpoint = f"alone-{order[0]}"
    archive = coded(server.root.parent / f"{endpoint}.tar.gz", CHANCES)
    model = resource("Model", endpoint, path=str(archive))
    assert server.apply(model, resource("Endpoint", endpoint, model=endpoint)).status_code == 200
    frame = trained.frame[["late", "carrier", "origin", "distance", "temp"]]
    frame.insert(0, "score", frame["distance"] % 97 / 97)
    s3.put_object(Bucket="mybucket", Key=f"rows/{endpoint}/rows.csv", Body=csv_of(frame))
    process(
        sagemaker, endpoint, f"s3://mybucket/rows/{endpoint}", analysis_type="MODEL_QUALITY",
        problem_type="BinaryClassification", ground_truth_attribute="late",
        probability_attribute="score", probability_threshold_attribute="0.5",
    )  # fmt: skip
    assert ended(sagemaker, endpoint)["ProcessingJobStatus"] == "Completed"
    chance = {"ProbabilityAttribute": "0", "ProbabilityThresholdAttribute": 0.5}
    jobs = {
        "data": ("DataQuality", "base-1", sent_to(endpoint), {}),
        "quality": (
            "ModelQuality", endpoint,
            {
                **sent_to(endpoint, **chance),
                "GroundTruthS3Input": {"S3Uri": f"s3://mybucket/truth-{endpoint}"},
            },
            {"ProblemType": "BinaryClassification"},
        ),
    }  # fmt: skip
    for name in order:
        kind, job, inputs, more = jobs[name]
        define = {
            "data": sagemaker.create_data_quality_job_definition,
            "quality": sagemaker.create_model_quality_job_definition,
        }[name]
        define(
            JobDefinitionName=f"{endpoint}-{name}",
            **{
                f"{kind}AppSpecification": {"ImageUri": IMAGE, **more},
                f"{kind}BaselineConfig": {"BaseliningJobName": job},
                f"{kind}JobInput": inputs,
                f"{kind}JobOutputConfig": OUTPUTS,
            },
            **JOB,
        )
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=f"{endpoint}-{name}",
            MonitoringScheduleConfig={
                "MonitoringJobDefinitionName": f"{endpoint}-{name}", "MonitoringType": kind,
                **HOURLY,
            },
        )  # fmt: skip
        found = settled(sagemaker, f"{endpoint}-{name}")
        assert found["MonitoringScheduleStatus"] == "Scheduled", found.get("FailureReason")

    answer = server.invoke(
        endpoint, trained.csv(slice(0, 200)), x_amzn_sagemaker_inference_id=endpoint
    )
    assert answer.status_code == 200
    given = {
        "groundTruthData": {
            "data": ",".join(str(one) for one in trained.frame["late"][:200]), "encoding": "CSV",
        },
        "eventMetadata": {"eventId": endpoint}, "eventVersion": "0",
    }  # fmt: skip
    s3.put_object(
        Bucket="mybucket", Key=f"truth-{endpoint}/{NOW:%Y/%m/%d/%H}/0.jsonl", Body=json.dumps(given)
    )
    server.sink_all()
    ran = {name: run(server, f"{endpoint}-{name}") for name in order}

    # As SageMaker has it, data quality compares the chances with the first column, a label.
    assert ran["data"]["cause"] == "late: 99% of values not Integral"
    assert ran["quality"]["status"] == "Completed", ran["quality"]
    report = json.loads((server.root / ran["quality"]["folder"] / "report.json").read_text())
    measured = {one["name"]: one["value"] for one in report["metrics"]}
    asked = frame[:200]
    assert measured["auc"] == pytest.approx(roc_auc_score(asked["late"], asked["score"]))
    assert measured["accuracy"] == ((asked["score"] > 0.5) == asked["late"]).mean()
