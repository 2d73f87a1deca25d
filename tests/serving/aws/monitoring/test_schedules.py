"""Schedules of the SageMaker SDK, call by call (reference/aws-api.md, section 9.1)."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.serving.aws.monitoring.conftest import (
    HOURLY,
    IMAGE,
    JOB,
    OUTPUTS,
    daily,
    documents,
    ended,
    process,
    read,
    run,
    sent_to,
    settled,
)
from tests.serving.conftest import resource


def test_a_schedule_runs_from_definition_to_violations(server, sagemaker, s3, baseline, trained):
    definition = {
        "JobDefinitionName": "dq-definition",
        "DataQualityAppSpecification": {
            "ImageUri": IMAGE, "Environment": {"publish_cloudwatch_metrics": "Enabled"},
        },
        "DataQualityBaselineConfig": {"BaseliningJobName": "base-1", **documents("base-1")},
        "DataQualityJobInput": sent_to(
            "ep", S3InputMode="File", S3DataDistributionType="FullyReplicated"
        ),
        "DataQualityJobOutputConfig": OUTPUTS,
        **JOB,
    }  # fmt: skip
    hourly = {
        "MonitoringJobDefinitionName": "dq-definition", "MonitoringType": "DataQuality", **HOURLY,
    }  # fmt: skip

    arn = sagemaker.create_data_quality_job_definition(**definition)["JobDefinitionArn"]
    made = sagemaker.create_monitoring_schedule(
        MonitoringScheduleName="watch", MonitoringScheduleConfig=hourly, Tags=[]
    )
    tags = [{"Key": "team", "Value": "ml"}]
    for tagged in (arn, made["MonitoringScheduleArn"]):
        sagemaker.add_tags(ResourceArn=tagged, Tags=tags)
        assert sagemaker.list_tags(ResourceArn=tagged)["Tags"] == tags
    schedule = settled(sagemaker, "watch")
    described = sagemaker.describe_data_quality_job_definition(JobDefinitionName="dq-definition")

    assert arn.endswith(":data-quality-job-definition/dq-definition")
    assert {key: described[key] for key in definition} == definition
    assert schedule["MonitoringScheduleStatus"] == "Scheduled", schedule.get("FailureReason")
    assert schedule["MonitoringScheduleConfig"] == hourly
    assert schedule["MonitoringScheduleArn"] == made["MonitoringScheduleArn"]
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName="watch", MonitoringScheduleConfig=hourly
        )
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.delete_data_quality_job_definition(JobDefinitionName="dq-definition")

    rows = trained.inputs[:200].assign(temp=lambda one: one["temp"] + 900, carrier="XX")
    assert server.invoke("ep", rows.to_csv(header=False, index=False)).status_code == 200
    server.sink_all()
    ran = run(server, "watch")
    assert ran["status"] == "CompletedWithViolations", ran

    found = sagemaker.list_monitoring_executions(
        MonitoringScheduleName="watch", SortBy="ScheduledTime", SortOrder="Descending",
        MaxResults=100,
    )["MonitoringExecutionSummaries"]  # fmt: skip
    name = found[0]["ProcessingJobArn"].split(":")[5][len("processing-job/") :]
    job = sagemaker.describe_processing_job(ProcessingJobName=name)
    output = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    violations = json.loads(read(s3, f"{output}/constraint_violations.json"))["violations"]

    assert found[0]["MonitoringExecutionStatus"] == "CompletedWithViolations"
    assert job["ProcessingJobStatus"] == "Completed"
    assert job["ExitMessage"] == (
        f"CompletedWithViolations: Job completed successfully with {len(violations)} violations."
    )
    assert output == "s3://mybucket/reports/ep/watch/2026/01/15/07"
    checks = {(one["feature_name"], one["constraint_check_type"]) for one in violations}
    assert ("temp", "baseline_drift_check") in checks
    assert ("carrier", "categorical_values_check") in checks
    assert not {check for _, check in checks} & {"missing_column_check", "extra_column_check"}

    _stopped_while_another_client_changes_it(server, sagemaker)
    _stopped_and_deleted(sagemaker)


def _stopped_while_another_client_changes_it(server, sagemaker):
    """Neither change is lost, whichever comes first."""
    api = server.client
    for turn in range(5):
        change = (sagemaker.stop_monitoring_schedule, sagemaker.start_monitoring_schedule)[turn % 2]
        with ThreadPoolExecutor(1) as threads:
            changing = threads.submit(change, MonitoringScheduleName="watch")
            status = None
            while status != 200:
                seen = api.get("/api/v1/monitors/watch")
                given = {**seen.json(), "kind": "Monitor", "tags": {"turn": str(turn)}}
                given = {key: given[key] for key in ("kind", "name", "spec", "tags")}
                given["spec"]["schedule"] = f"cron(0 {turn} ? * * *)"
                etag = {"if-match": seen.headers["etag"]}
                status = api.post(
                    "/api/v1/apply", json={"resources": [given]}, headers=etag
                ).status_code
            changing.result()
        found = api.get("/api/v1/monitors/watch").json()
        assert (found["tags"], found["spec"]["paused"]) == ({"turn": str(turn)}, turn % 2 == 0)
    sagemaker.start_monitoring_schedule(MonitoringScheduleName="watch")
    config = settled(sagemaker, "watch")["MonitoringScheduleConfig"]
    assert config["ScheduleConfig"] == {"ScheduleExpression": "cron(0 4 ? * * *)"}


def _stopped_and_deleted(sagemaker):
    sagemaker.stop_monitoring_schedule(MonitoringScheduleName="watch")
    assert settled(sagemaker, "watch")["MonitoringScheduleStatus"] == "Stopped"
    sagemaker.start_monitoring_schedule(MonitoringScheduleName="watch")
    assert settled(sagemaker, "watch")["MonitoringScheduleStatus"] == "Scheduled"
    sagemaker.update_monitoring_alert(
        MonitoringScheduleName="watch", MonitoringAlertName="violations", DatapointsToAlert=2,
        EvaluationPeriod=3,
    )  # fmt: skip
    (alert,) = sagemaker.list_monitoring_alerts(MonitoringScheduleName="watch")[
        "MonitoringAlertSummaries"
    ]
    assert (alert["DatapointsToAlert"], alert["EvaluationPeriod"]) == (2, 3)
    assert alert["AlertStatus"] == "OK"
    history = sagemaker.list_monitoring_alert_history(MonitoringScheduleName="watch")
    assert history["MonitoringAlertHistory"] == []
    listed = sagemaker.list_monitoring_schedules(EndpointName="ep", NameContains="wat")
    assert [one["MonitoringScheduleName"] for one in listed["MonitoringScheduleSummaries"]] == [
        "watch"
    ]
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="watch")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_monitoring_schedule(MonitoringScheduleName="watch")
    sagemaker.delete_data_quality_job_definition(JobDefinitionName="dq-definition")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_data_quality_job_definition(JobDefinitionName="dq-definition")


def test_edited_documents_alone_are_a_baseline(server, sagemaker, s3, baseline, trained):
    for name in ("statistics.json", "constraints.json"):
        document = json.loads(read(s3, f"s3://mybucket/base-1/{name}"))
        if "monitoring_config" in document:
            document["monitoring_config"]["evaluate_constraints"] = "Disabled"
        s3.put_object(Bucket="mybucket", Key=f"edited/{name}", Body=json.dumps(document))
    made = server.apply(resource("Endpoint", "lenient", model="late"))
    assert made.status_code == 200
    config = daily("lenient", None, **documents("edited"))

    sagemaker.create_monitoring_schedule(
        MonitoringScheduleName="lenient", MonitoringScheduleConfig=config
    )
    schedule = settled(sagemaker, "lenient")
    rows = trained.inputs[:100].assign(carrier="XX")
    assert server.invoke("lenient", rows.to_csv(header=False, index=False)).status_code == 200
    server.sink_all()
    ran = run(server, "lenient")

    assert schedule["MonitoringScheduleStatus"] == "Scheduled", schedule.get("FailureReason")
    assert schedule["MonitoringScheduleConfig"] == config
    assert (ran["status"], ran["row_count"]) == ("Completed", 100), ran.get("failure_reason")
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="lenient")


def test_rows_of_a_schedule_are_preprocessed_as_those_of_its_baseline_were(
    server, sagemaker, s3, baseline, trained
):
    script = "/opt/ml/processing/code/rows.py"
    process(sagemaker, "base-2", "s3://mybucket/base", record_preprocessor_script=script)
    job = ended(sagemaker, "base-2")
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert server.apply(resource("Endpoint", "scripted", model="late")).status_code == 200
    app = {"RecordPreprocessorSourceUri": "s3://mybucket/code/rows.py"}
    config = daily("scripted", "base-2", app=app, **documents("base-2"))

    def schedule_it():
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName="scripted", MonitoringScheduleConfig=config
        )

    with pytest.raises(ClientError, match="with a baseline of rows as they are sent"):
        schedule_it()
    raw = resource("Baseline", "raw", data="s3://mybucket/base/base.csv", label="late")
    named = resource("Endpoint", "scripted", model="late", baseline="raw")
    assert server.apply(raw, named).status_code == 200
    schedule_it()
    schedule = settled(sagemaker, "scripted")
    assert schedule["MonitoringScheduleStatus"] == "Scheduled", schedule.get("FailureReason")
    rows = trained.inputs[:100].to_csv(header=False, index=False)
    assert server.invoke("scripted", rows).status_code == 200
    server.sink_all()
    ran = run(server, "scripted")

    assert (ran["status"], ran["row_count"]) == ("Completed", 100), ran.get("failure_reason")


def test_a_baseline_of_others_is_neither_replaced_nor_deleted(server, sagemaker, baseline):
    """Of REST, of a definition of another kind, of a definition that a schedule is named as."""
    own = resource("Baseline", "own", data="s3://mybucket/base/base.csv")
    assert server.apply(own, resource("Endpoint", "guarded", model="late")).status_code == 200
    inputs = sent_to("guarded")
    named = {"MonitoringType": "DataQuality", "MonitoringJobDefinitionName": "mine"}
    in_use = sagemaker.exceptions.ResourceInUse

    def define(name):
        sagemaker.create_data_quality_job_definition(
            JobDefinitionName=name, DataQualityAppSpecification={"ImageUri": IMAGE},
            DataQualityBaselineConfig={"BaseliningJobName": "base-1"},
            DataQualityJobInput=inputs, DataQualityJobOutputConfig=OUTPUTS, **JOB,
        )  # fmt: skip

    def schedule(name, config):
        sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=name, MonitoringScheduleConfig=config
        )

    define("mine")
    schedule("mine", named)
    for refused in (
        lambda: define("own"),
        lambda: schedule("own", daily("guarded")),
        lambda: sagemaker.create_model_quality_job_definition(
            JobDefinitionName="mine",
            ModelQualityAppSpecification={"ImageUri": IMAGE, "ProblemType": "Regression"},
            ModelQualityBaselineConfig={"BaseliningJobName": "base-1"},
            ModelQualityJobInput={**inputs, "GroundTruthS3Input": {"S3Uri": "s3://mybucket/t"}},
            ModelQualityJobOutputConfig=OUTPUTS, **JOB,
        ),
    ):  # fmt: skip
        with pytest.raises(in_use):
            refused()
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="mine")
    with pytest.raises(in_use):
        schedule("mine", daily("guarded"))
    with pytest.raises(in_use):
        define("mine")
    # Its Baseline stays, for the endpoint's columns are named by it; the name is its own again.
    sagemaker.delete_data_quality_job_definition(JobDefinitionName="mine")
    assert server.client.get("/api/v1/baselines/mine").status_code == 200
    define("mine")
    spec = {
        "kind": "data-quality",
        "endpoint": "guarded",
        "schedule": "cron(0 * ? * * *)",
        "baseline": "own",
    }
    assert server.apply({"kind": "Monitor", "name": "own", "spec": spec}).status_code == 200
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="own")

    shown = server.client.get("/api/v1/baselines/own").json()
    assert (shown["generation"], shown["tags"]) == (1, {})


def test_what_others_change_while_a_schedule_is_declared_is_kept(
    server, sagemaker, baseline, meanwhile
):
    watched = resource("Endpoint", "busy", model="late")
    server.must_apply(watched)
    once = daily("busy")
    hourly = {**once, **HOURLY}

    def create(config):
        return sagemaker.create_monitoring_schedule(
            MonitoringScheduleName="busy", MonitoringScheduleConfig=config
        )

    # Of two who create one name, one does.
    meanwhile(lambda: create(hourly))
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        create(once)
    assert settled(sagemaker, "busy")["MonitoringScheduleConfig"] == hourly
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="busy")

    # The endpoint, which is given the columns of the baseline.
    server.must_apply(watched)
    meanwhile(lambda: server.must_apply({**watched, "tags": {"team": "a"}}))
    made = create(once)
    endpoint = server.client.get("/api/v1/endpoints/busy").json()
    assert (endpoint["tags"], endpoint["spec"].get("baseline")) == ({"team": "a"}, "busy")

    # The Monitor, of which a schedule says a part.
    monitor = server.client.get("/api/v1/monitors/busy").json()
    ours = {"priority": 3, "false_alarms_per_year": 2.0, "compat": False}
    spec = {**monitor["spec"], **ours, "timeout_s": 60.0}
    own = {"kind": "Monitor", "name": "busy", "owner": "ops", "tags": {"tier": "1"}, "spec": spec}
    server.must_apply(own)
    tags, arn = [{"Key": "team", "Value": "ml"}], made["MonitoringScheduleArn"]

    def change():
        sagemaker.add_tags(ResourceArn=arn, Tags=tags)
        sagemaker.stop_monitoring_schedule(MonitoringScheduleName="busy")

    meanwhile(change)
    sagemaker.update_monitoring_schedule(
        MonitoringScheduleName="busy", MonitoringScheduleConfig=hourly
    )
    shown = server.client.get("/api/v1/monitors/busy").json()
    default = {"timeout_s": 86_400.0}  # StoppingCondition says it, or nobody.
    hours = {"schedule": "cron(0 * ? * * *)", "paused": True}
    assert shown["spec"] == {**spec, **default, **hours}
    assert (shown["owner"], shown["tags"]) == ("ops", {"tier": "1"})
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags
    assert settled(sagemaker, "busy")["MonitoringScheduleConfig"] == hourly
