"""What the AWS command line printed of one endpoint with its monitors and alarms.

Field by field as the output shapes of botocore 1.44.5 have them (sagemaker, cloudwatch); the
traffic is that of amazon-sagemaker-examples' sm-model_monitor_introduction.
"""

import json
from pathlib import Path
from typing import Any

from driftline.baseline.store import Baseline
from tests.churn import captured_churn

FIXTURES = Path(__file__).parents[3] / "fixtures" / "monitors"
ARN = "arn:aws:sagemaker:eu-west-1:123456789012"
WHEN = "2022-04-18T00:00:00+00:00"
END = "2022-04-18T01:00:00Z"


def definition(prefix: str, name: str, **more: Any) -> dict[str, Any]:
    """Return a description of a job definition."""
    endpoint = {"EndpointName": "churn", "LocalPath": "/opt/ml/processing/input/endpoint"}
    found = {
        "JobDefinitionArn": f"{ARN}:data-quality-job-definition/{name}",
        "JobDefinitionName": name,
        "CreationTime": WHEN,
        f"{prefix}AppSpecification": {"ImageUri": "1.dkr.ecr.eu-west-1.amazonaws.com/analyzer"},
        f"{prefix}JobInput": {"EndpointInput": endpoint},
        f"{prefix}JobOutputConfig": {
            "MonitoringOutputs": [
                {"S3Output": {"S3Uri": "s3://b/reports", "LocalPath": "/opt/ml/processing/output"}}
            ]
        },
        "JobResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large",
                              "VolumeSizeInGB": 20}
        },
        "RoleArn": "arn:aws:iam::123456789012:role/monitor",
    }  # fmt: skip
    return {**found, **more}


def schedule(name: str, kind: str, job: str, expression: str = "cron(0 * ? * * *)") -> Any:
    """Return a description of a schedule."""
    return {
        "MonitoringScheduleArn": f"{ARN}:monitoring-schedule/{name}",
        "MonitoringScheduleName": name,
        "MonitoringScheduleStatus": "Scheduled",
        "MonitoringType": kind,
        "CreationTime": WHEN,
        "LastModifiedTime": WHEN,
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
        "AlarmName": name,
        "AlarmArn": f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}",
        "AlarmConfigurationUpdatedTimestamp": WHEN,
        "ActionsEnabled": True,
        "OKActions": [],
        "AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:on-call"],
        "InsufficientDataActions": [],
        "StateValue": "OK",
        "StateReason": "…",
        "StateUpdatedTimestamp": WHEN,
        "MetricName": metric,
        "Namespace": namespace,
        "Statistic": "Average",
        "Dimensions": [
            {"Name": "Endpoint", "Value": "churn"},
            {"Name": "MonitoringSchedule", "Value": "churn-quality"},
        ],
        "Period": 3600,
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "Threshold": 0.1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "StateTransitionedTimestamp": WHEN,
    }


def save(folder: Path) -> Path:
    """Write the descriptions into one folder, and a copy of the bucket into another."""
    baseline = {
        "BaseliningJobName": "churn-baseline",
        "ConstraintsResource": {"S3Uri": "s3://b/results/constraints.json"},
        "StatisticsResource": {"S3Uri": "s3://b/results/statistics.json"},
    }
    quality = definition("DataQuality", "churn-data", DataQualityBaselineConfig=baseline)
    model = definition(
        "ModelQuality", "churn-model",
        ModelQualityBaselineConfig={
            "BaseliningJobName": "churn-model-baseline",
            "ConstraintsResource": {"S3Uri": "s3://b/model/constraints.json"},
        },
    )  # fmt: skip
    model["ModelQualityAppSpecification"]["ProblemType"] = "BinaryClassification"
    model["ModelQualityJobInput"]["GroundTruthS3Input"] = {"S3Uri": "s3://b/labels"}
    model["ModelQualityJobInput"]["EndpointInput"] |= {
        "InferenceAttribute": "guess", "ProbabilityAttribute": "0",
        "ProbabilityThresholdAttribute": 0.8, "StartTimeOffset": "-P1DT1H",
        "EndTimeOffset": "-PT1H",
    }  # fmt: skip
    documents = {
        "schedule.json": schedule("churn-quality", "DataQuality", "churn-data"),
        "more/schedules.json": [
            schedule("churn-model", "ModelQuality", "churn-model", "cron(0 0 ? * * *)"),
            schedule("churn-bias", "ModelBias", "not-saved"),
        ],
        "definitions.json": [quality, model],
        "endpoint.json": {
            "EndpointName": "churn", "EndpointArn": f"{ARN}:endpoint/churn",
            "EndpointConfigName": "churn-1", "EndpointStatus": "InService",
            "CreationTime": WHEN, "LastModifiedTime": WHEN,
            "DataCaptureConfig": {
                "EnableCapture": True, "CaptureStatus": "Started",
                "CurrentSamplingPercentage": 100, "DestinationS3Uri": "s3://b/captured",
                "KmsKeyId": "",
            },
        },
        "job.json": {
            "ProcessingJobName": "churn-baseline", "ProcessingJobStatus": "Completed",
            "ProcessingJobArn": f"{ARN}:processing-job/churn-baseline", "CreationTime": WHEN,
            "AppSpecification": {"ImageUri": "1.dkr.ecr.eu-west-1.amazonaws.com/analyzer"},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large",
                                  "VolumeSizeInGB": 20}
            },
            "Environment": {"dataset_format": '{"csv": {"header": true}}'},
            "ProcessingInputs": [
                {
                    "InputName": "baseline_dataset_input",
                    "S3Input": {"S3Uri": "s3://b/train/train.csv", "S3DataType": "S3Prefix"},
                }
            ],
        },
        "alarms.json": {
            "MetricAlarms": [
                alarm("State_AL drifts", "aws/sagemaker/Endpoints/data-metrics",
                      "feature_baseline_drift_State_AL"),
                alarm("disk", "AWS/EC2", "VolumeWriteOps"),
            ],
            "CompositeAlarms": [],
        },
        "notes.json": {"what": "not a description"},
    }  # fmt: skip
    for name, document in documents.items():
        file = folder / "saved" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    return folder / "saved"


def copy_bucket(folder: Path) -> Path:
    """Write a copy of the bucket: training rows, baseline, one captured hour."""
    bucket = folder / "b"
    training = FIXTURES / "training-dataset-with-header.csv"
    (bucket / "train").mkdir(parents=True)
    (bucket / "train" / "train.csv").write_bytes(training.read_bytes())
    Baseline.fit(training, compat=True).save(bucket / "results")
    rows = (FIXTURES / "test-dataset-input-cols.csv").read_text().split()
    hour = bucket / "captured" / "churn" / "AllTraffic" / "2022" / "04" / "18" / "00"
    hour.mkdir(parents=True)
    (hour / "00-21-48-000-1.jsonl").write_text(captured_churn(rows))
    return bucket
