"""One server for all files of this folder, with a baseline; its processing jobs are processes."""

import json
from datetime import timedelta
from io import BytesIO

import pytest

from driftline.serving.resources.reach import Reach
from driftline.storage import use_options
from tests.servers.commands import ForkedJob
from tests.serving.aws.conftest import ACCOUNT, REGION, client_of
from tests.serving.conftest import NOW, resource, settings_of, wait_for

ROLE = "arn:aws:iam::123456789012:role/monitor"
IMAGE = f"468650794304.dkr.ecr.{REGION}.amazonaws.com/sagemaker-model-monitor-analyzer"
CLARIFY = f"131013547314.dkr.ecr.{REGION}.amazonaws.com/sagemaker-clarify-processing:1.0"
CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
INPUT, OUTPUT = "/opt/ml/processing/input", "/opt/ml/processing/output"
JOB = {"JobResources": {"ClusterConfig": CLUSTER}, "RoleArn": ROLE}
OUTPUTS = {"MonitoringOutputs": [{"S3Output": {
    "S3Uri": "s3://mybucket/reports", "LocalPath": OUTPUT, "S3UploadMode": "Continuous",
}}]}  # fmt: skip
HOURLY = {"ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"}}
# Of a baseline's lines, which have the label first, and of captured ones.
SCRIPT = """
def preprocess_handler(record):
    is_line = isinstance(record, str)
    text = record[record.index(",") + 1:] if is_line else record.endpoint_input.data
    rows = [line.split(",") for line in text.strip().splitlines()]
    return [{"by": carrier, "km": 2 * float(distance)} for carrier, _, distance, _ in rows]
"""


@pytest.fixture(scope="package")
def server(start, trained, tmp_path_factory):
    """Run a server with own buckets, and processes for its jobs."""
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "scripts").mkdir()
    (folder / "scripts" / "rows.py").write_text(SCRIPT)
    settings = settings_of(folder)
    (folder / "driftline.toml").write_text(
        f'[storage]\nroot = "{folder / "root"}"\n'
        f'[scheduler]\nscripts_dir = "{folder / "scripts"}"\n'
    )
    use_options({}, settings.buckets_dir)

    def begin(kind, job, owner):
        return ForkedJob(folder / "driftline.toml", kind, job, owner)

    scripts = str(folder / "scripts")
    with start(
        folder, reach=Reach(own=(folder,)), start_job=begin, scripts_dir=scripts, trust_pickle=True
    ) as found:
        url = found.engine.url.render_as_string(hide_password=False)
        with (folder / "driftline.toml").open("a") as file:
            file.write(f'[database]\nurl = "{url}"\n')
        model = resource("Model", "late", path=str(trained.file))
        endpoint = resource("Endpoint", "ep", model="late")
        assert found.apply(model, endpoint).status_code == 200
        yield found
    use_options({})


@pytest.fixture(scope="package")
def sagemaker(server):
    return client_of(server.url, "sagemaker")


@pytest.fixture(scope="package")
def s3(server):
    found = client_of(server.url, "s3")
    found.create_bucket(Bucket="mybucket")
    return found


def read(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def csv_of(frame):
    text = BytesIO()
    frame.to_csv(text, index=False)
    return text.getvalue()


def ended(sagemaker, name):
    found = {}

    def has_ended():
        found.update(sagemaker.describe_processing_job(ProcessingJobName=name))
        return found["ProcessingJobStatus"] not in ("InProgress", "Stopping")

    wait_for(has_ended)
    return found


def settled(sagemaker, name):
    found = {}

    def has_settled():
        found.update(sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name))
        return found["MonitoringScheduleStatus"] != "Pending"

    wait_for(has_settled)
    return found


def sent_to(endpoint, **more):
    """Return what a monitor reads: what an endpoint captured."""
    return {"EndpointInput": {
        "EndpointName": endpoint, "LocalPath": f"{INPUT}/endpoint", **more,
    }}  # fmt: skip


def daily(endpoint, job="base-1", *, app=None, **baseline):
    """Return a schedule that has its definition in it."""
    known = {"BaseliningJobName": job} if job else {}
    return {
        "MonitoringType": "DataQuality",
        "MonitoringJobDefinition": {
            "BaselineConfig": {**known, **baseline}, "MonitoringInputs": [sent_to(endpoint)],
            "MonitoringOutputConfig": OUTPUTS, "MonitoringResources": {"ClusterConfig": CLUSTER},
            "MonitoringAppSpecification": {"ImageUri": IMAGE, **(app or {})}, "RoleArn": ROLE,
        },
    }  # fmt: skip


def documents(folder):
    """Return the documents of a folder as a definition names them."""
    return {
        "ConstraintsResource": {"S3Uri": f"s3://mybucket/{folder}/constraints.json"},
        "StatisticsResource": {"S3Uri": f"s3://mybucket/{folder}/statistics.json"},
    }


def run(server, monitor):
    """Judge the hour of the tests; return what is told of it."""
    window = {"from": NOW.isoformat(), "to": (NOW + timedelta(hours=1)).isoformat()}
    return server.client.post(f"/api/v1/monitors/{monitor}/run", json=window).json()


def process(sagemaker, name, data, *, image=IMAGE, **environment):
    """Create a processing job as the SDK's suggest_baseline does."""
    source = f"{INPUT}/baseline_dataset_input"
    return sagemaker.create_processing_job(
        ProcessingJobName=name,
        ProcessingInputs=[{
            "InputName": "baseline_dataset_input",
            "AppManaged": False,
            "S3Input": {
                "S3Uri": data, "LocalPath": source, "S3DataType": "S3Prefix", "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None",
            },
        }],
        ProcessingOutputConfig={"Outputs": [{
            "OutputName": "monitoring_output", "AppManaged": False,
            "S3Output": {
                "S3Uri": f"s3://mybucket/{name}", "LocalPath": OUTPUT,
                "S3UploadMode": "EndOfJob",
            },
        }]},
        ProcessingResources={"ClusterConfig": CLUSTER},
        StoppingCondition={"MaxRuntimeInSeconds": 1800},
        AppSpecification={"ImageUri": image},
        Environment={
            "output_path": OUTPUT, "publish_cloudwatch_metrics": "Disabled",
            "dataset_format": json.dumps(
                {"csv": {"header": True, "output_columns_position": "START"}}
            ),
            "dataset_source": source, **environment,
        },
        RoleArn=ROLE,
        Tags=[{"Key": "team", "Value": "ml"}],
    )  # fmt: skip


@pytest.fixture(scope="package")
def baseline(sagemaker, s3, trained):
    """Suggest a baseline of data quality; return the finished job."""
    frame = trained.frame[["late", "carrier", "origin", "distance", "temp"]]
    s3.put_object(Bucket="mybucket", Key="base/base.csv", Body=csv_of(frame))
    answer = process(sagemaker, "base-1", "s3://mybucket/base")
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job/base-1"
    assert answer["ProcessingJobArn"] == arn
    return ended(sagemaker, "base-1")


@pytest.fixture(scope="package")
def scored(sagemaker, s3, trained):
    """Suggest baselines of model quality and of bias; return the finished jobs."""
    frame = trained.frame.assign(
        prediction=trained.model.predict(trained.inputs),
        score=trained.model.predict_proba(trained.inputs)[:, 1],
    )
    s3.put_object(Bucket="mybucket", Key="scored/scored.csv", Body=csv_of(frame))
    rows = csv_of(frame).partition(b"\n")[2]  # Their names are in the configuration.
    s3.put_object(Bucket="mybucket", Key="plain/rows.csv", Body=rows)
    config = {
        "dataset_type": "text/csv", "headers": list(frame.columns), "label": "late",
        "label_values_or_threshold": [1], "predicted_label_headers": None,
        "facet": [{"name_or_index": "origin", "value_or_threshold": ["EWR"]}],
        "methods": {"pre_training_bias": {"methods": "all"}},
    }  # fmt: skip
    s3.put_object(
        Bucket="mybucket", Key="config/analysis_config.json", Body=json.dumps(config).encode()
    )
    process(
        sagemaker, "quality-1", "s3://mybucket/scored", analysis_type="MODEL_QUALITY",
        problem_type="BinaryClassification", ground_truth_attribute="late",
        inference_attribute="prediction", probability_attribute="score",
    )  # fmt: skip
    sagemaker.create_processing_job(
        ProcessingJobName="bias-1",
        ProcessingInputs=[
            {"InputName": name, "S3Input": {
                "S3Uri": f"s3://mybucket/{key}", "LocalPath": f"{INPUT}/{name}",
                "S3DataType": "S3Prefix",
            }}
            for name, key in (
                ("dataset", "plain/rows.csv"), ("analysis_config", "config/analysis_config.json")
            )
        ],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "analysis_result", "S3Output": {
            "S3Uri": "s3://mybucket/bias-1", "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob",
        }}]},
        ProcessingResources={"ClusterConfig": CLUSTER},
        AppSpecification={"ImageUri": CLARIFY},
        RoleArn=ROLE,
    )  # fmt: skip

    return ended(sagemaker, "quality-1"), ended(sagemaker, "bias-1")
