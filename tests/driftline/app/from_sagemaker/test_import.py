"""Saved descriptions of SageMaker become resources that can be applied."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftline.app.cli import build
from driftline.app.from_sagemaker.descriptions import Places, read_descriptions
from driftline.app.from_sagemaker.mapping import Importer
from driftline.errors import ConflictError
from driftline.serving.processing.schedules import monitoring_job, roles_given
from driftline.serving.resources.resources import parse_resources


def definition(prefix: str, name: str, **more: Any) -> dict[str, Any]:
    """Return a description of a job definition, by botocore 1.44.5's output shapes."""
    endpoint = {"EndpointName": "churn", "LocalPath": "/opt/ml/processing/input/endpoint"}
    image = {"ImageUri": "1.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-analyzer"}
    return {
        "JobDefinitionName": name,
        f"{prefix}AppSpecification": image,
        f"{prefix}JobInput": {"EndpointInput": endpoint},
        **more,
    }


def schedule(name: str, kind: str, job: str, expression: str = "cron(0 * ? * * *)") -> Any:
    """Return a description of a schedule."""
    return {
        "MonitoringScheduleName": name,
        "MonitoringScheduleStatus": "Scheduled",
        "MonitoringType": kind,
        "MonitoringScheduleConfig": {
            "ScheduleConfig": {"ScheduleExpression": expression},
            "MonitoringJobDefinitionName": job,
            "MonitoringType": kind,
        },
        "EndpointName": "churn",
    }


def alarm(name: str, namespace: str, metric: str) -> dict[str, Any]:
    """Return one of the alarms that describe-alarms lists."""
    return {
        "AlarmName": name, "AlarmArn": f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}",
        "ActionsEnabled": True, "OKActions": [], "InsufficientDataActions": [],
        "AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:on-call"],
        "StateValue": "OK", "StateReason": "…", "MetricName": metric, "Namespace": namespace,
        "Statistic": "Average", "Period": 3600, "EvaluationPeriods": 3, "DatapointsToAlarm": 2,
        "Dimensions": [{"Name": "Endpoint", "Value": "churn"},
                       {"Name": "MonitoringSchedule", "Value": "churn-quality"}],
        "Threshold": 0.1, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Descriptions of an endpoint with its monitors and alarms, in several files."""
    baseline = {"BaseliningJobName": "churn-baseline"}
    quality = definition("DataQuality", "churn-data", DataQualityBaselineConfig=baseline)
    quality["DataQualityAppSpecification"]["ConfigUri"] = "s3://b/bias/config.json"
    model = definition("ModelQuality", "churn-model")
    model["ModelQualityAppSpecification"]["ProblemType"] = "BinaryClassification"
    model["ModelQualityJobInput"]["EndpointInput"] |= {
        "InferenceAttribute": "guess", "ProbabilityAttribute": "0",
        "ProbabilityThresholdAttribute": 0.8, "EndTimeOffset": "-PT1H",
    }  # fmt: skip
    rows = {"S3Uri": "s3://b/train/train.csv"}
    documents = {
        "schedule.json": schedule("churn-quality", "DataQuality", "churn-data"),
        "more/schedules.json": [
            schedule("churn-model", "ModelQuality", "churn-model", "cron(0 0 ? * * *)"),
            schedule("churn-bias", "ModelBias", "not-saved"),
        ],
        "definitions.json": [quality, model],
        "endpoint.json": {
            "EndpointName": "churn", "EndpointStatus": "InService",
            "DataCaptureConfig": {"DestinationS3Uri": "s3://b/captured"},
        },
        "job.json": {
            "ProcessingJobName": "churn-baseline", "AppSpecification": {},
            "ProcessingInputs": [{"InputName": "baseline_dataset_input", "S3Input": rows}],
        },
        "alarms.json": {
            "MetricAlarms": [
                alarm("State_AL drifts", "aws/sagemaker/Endpoints/data-metrics",
                      "feature_baseline_drift_State_AL"),
                alarm("disk", "AWS/EC2", "VolumeWriteOps"),
            ],
            "CompositeAlarms": [
                {"AlarmName": "any", "AlarmRule": 'ALARM("State_AL drifts") OR ALARM("disk")'},
                {"AlarmName": "outer", "AlarmRule": "ALARM(any)"},
                {"AlarmName": "all", "AlarmRule": "ALARM(both)"},
                {"AlarmName": "both", "AlarmRule": 'NOT ALARM("State_AL drifts")'},
                {"AlarmName": "monitor", "AlarmRule": "ALARM(churn-quality)"},
            ],
        },
        "notes.json": {"what": "not a description"},
    }  # fmt: skip
    for name, document in documents.items():
        file = tmp_path / "saved" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    return tmp_path / "saved"


def test_schedules_and_alarms_are_resources_that_can_be_declared(saved: Path) -> None:
    config = {
        "label": "churned", "label_values_or_threshold": [1],
        "facet": [{"name_or_index": "State", "value_or_threshold": ["AL"]}],
    }  # fmt: skip
    (saved.parent / "bias").mkdir()
    (saved.parent / "bias" / "config.json").write_text(json.dumps(config))
    places = Places.of([f"s3://b={saved.parent}"])

    found = Importer(read_descriptions(saved), places, {"churn-model": "scored.csv"}, True).run()

    parse_resources(found.resources)
    specs = {f"{one['kind']}/{one['name']}": one["spec"] for one in found.resources}
    remarks = {one["what"]: one["todo"] for one in found.remarks}
    assert [key.partition("/")[0] for key in specs] == [
        "Baseline", "Monitor", "Baseline", "Monitor", "Endpoint", "Alarm",
        "CompositeAlarm", "CompositeAlarm",
    ]  # fmt: skip
    assert specs["Monitor/churn-quality"] == {
        "kind": "data-quality", "endpoint": "churn", "baseline": "churn-quality",
        "schedule": "cron(0 * ? * * *)", "compat": True,
    }  # fmt: skip
    assert specs["Baseline/churn-quality"] == {
        "data": f"{saved.parent}/train/train.csv", "label": "churned", "positive": "1",
        "facet": ["State=AL"],
    }  # fmt: skip
    assert specs["Endpoint/churn"] == {"baseline": "churn-quality"}
    assert specs["Baseline/churn-model"] == {
        "data": "scored.csv", "prediction": "guess", "threshold": 0.8, "problem": "binary",
    }  # fmt: skip
    assert specs["Monitor/churn-model"]["delay_s"] == 3600
    assert "probability is column 0" in remarks["Baseline/churn-model"]
    left_out = {"CompositeAlarm/any", "CompositeAlarm/outer", "CompositeAlarm/monitor"}
    assert {"Monitor/churn-bias", "Alarm/disk"} | left_out <= remarks.keys()
    assert found.commands == [
        f"driftline capture import {saved.parent}/captured/churn --endpoint churn"
    ]
    drifts = specs["Alarm/State_AL drifts"]
    assert drifts["metric_name"] == "feature_baseline_drift_State_AL"
    assert (drifts["evaluation_periods"], drifts["datapoints_to_alarm"]) == (3, 2)
    assert not [key for key in drifts if key.startswith(("state", "alarm"))]


def test_the_command_writes_a_file_once(saved: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(saved.parent)
    asked = ["import", "sagemaker", "saved", "-o", "churn.yaml"]

    build("import")(asked, standalone_mode=False)

    written = Path("churn.yaml").read_text()
    kinds = [one["kind"] for one in yaml.safe_load_all(written)]
    assert kinds == ["Baseline", "Monitor", "Endpoint", "Alarm", *["CompositeAlarm"] * 2]
    assert "# Monitor/churn-bias: its job definition" in written
    assert "next: driftline apply -f churn.yaml" in capsys.readouterr().out
    with pytest.raises(ConflictError):
        build("import")(asked, standalone_mode=False)


def test_a_name_of_a_raised_digit_is_no_position() -> None:
    job = monitoring_job("DataQuality", {"DataQualityJobInput": {"EndpointInput": {}}})
    environment = {"inference_attribute": "²", "probability_attribute": "2"}

    assert roles_given(job, environment, None) == ({"prediction": "²"}, {"probability": "2"})
