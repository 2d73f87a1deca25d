"""boto3's clients of CloudWatch Logs and SNS: what workers print, and topics as channels."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftline.serving.hosting.worker_output import LogFile
from tests.servers.s3 import S3Server
from tests.serving.aws.conftest import ACCOUNT, REGION, WireClient, moto_of
from tests.serving.conftest import Running, Trained, resource

GROUP = "/aws/sagemaker/Endpoints/flights"
STREAM = {"logGroupName": GROUP, "logStreamName": "AllTraffic"}


@pytest.fixture(scope="module")
def logs(wire_client: WireClient, wire_server: Running, trained: Trained) -> Any:
    assert wire_server.apply(*trained.flights()).is_success
    folder = wire_server.context.model_logs_of("flights")
    file = LogFile(folder, "AllTraffic")
    for number in range(12):
        file.write(7, [f"line {number} {'ERROR' if number % 4 == 0 else 'fine'}"])
    return wire_client("logs")


def test_groups_and_streams_are_endpoints_and_variants(logs: Any) -> None:
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")["logGroups"]
    (stream,) = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]

    assert group["logGroupName"] == GROUP
    assert stream["logStreamName"] == "AllTraffic"
    assert stream["firstEventTimestamp"] <= stream["lastEventTimestamp"] <= time.time() * 1000
    # The SageMaker SDK asks so, until a job is over.
    jobs = logs.describe_log_streams(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix="job/", limit=1,
        orderBy="LogStreamName",
    )  # fmt: skip
    assert jobs["logStreams"] == []
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/other")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(**STREAM | {"logStreamName": "Other"})


def test_a_reader_comes_to_an_end_where_the_lines_end(logs: Any) -> None:
    token, found = {}, []
    while True:
        page = logs.get_log_events(**STREAM, startFromHead=True, startTime=0, limit=5, **token)
        found += [one["message"] for one in page["events"]]
        if token == (token := {"nextToken": page["nextForwardToken"]}):
            break
    last = logs.get_log_events(**STREAM, limit=2)
    before = logs.get_log_events(**STREAM, limit=2, nextToken=last["nextBackwardToken"])

    printed = [one for one in found if one.startswith("line ")]
    assert [int(one.split()[1]) for one in printed] == list(range(12))
    assert page["events"] == []
    assert [one["message"] for one in last["events"]] == found[-2:]
    assert [one["message"] for one in before["events"]] == found[-4:-2]
    assert logs.get_log_events(**STREAM, endTime=1)["events"] == []


def test_while_two_fleets_run_their_variant_is_one_stream(
    logs: Any, wire_server: Running, until: Any
) -> None:
    traffic = {"type": "ALL_AT_ONCE", "wait_interval_in_seconds": 600}
    deployed = {"blue_green_update_policy": {"traffic_routing_configuration": traffic}}
    variant = {"variant_name": "AllTraffic", "model_name": "flights"}
    endpoint = resource(
        "Endpoint", "two", production_variants=[variant], deployment_config=deployed
    )
    wire_server.must_apply(endpoint)
    variant["initial_variant_weight"] = 2
    wire_server.client.post("/api/v1/apply", json={"resources": [endpoint]})

    def variants() -> list[str]:
        status = wire_server.client.get("/api/v1/endpoints/two").json()["status"]
        return [one["name"] for one in status["variants"]]

    until(lambda: variants() == ["AllTraffic"] * 2)
    streams = logs.describe_log_streams(logGroupName=GROUP.replace("flights", "two"))

    assert [one["logStreamName"] for one in streams["logStreams"]] == ["AllTraffic"]
    assert wire_server.client.delete("/api/v1/endpoints/two").status_code == 204


def test_lines_are_found_by_words(logs: Any) -> None:
    def found(pattern: str, **more: Any) -> list[int]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=GROUP, filterPattern=pattern, **more
        )
        return [int(one["message"].split()[1]) for page in pages for one in page["events"]]

    assert found("line ERROR") == [0, 4, 8]
    assert found('"line 4" -fine', PaginationConfig={"PageSize": 2}) == [4]
    assert found("?ERROR ?11 line") == [0, 4, 8, 11]
    with pytest.raises(ClientError, match="InvalidParameterException"):
        found("{ $.x = 1 }")


def test_a_topic_is_a_channel_that_an_alarm_can_name(
    wire_client: WireClient, wire_server: Running
) -> None:
    sns = wire_client("sns")
    arn = sns.create_topic(Name="drift_alerts", Tags=[{"Key": "a", "Value": "b"}])["TopicArn"]
    declared = "/api/v1/channels/drift-alerts"
    assert arn == f"arn:aws:sns:{REGION}:{ACCOUNT}:drift_alerts"
    assert wire_server.client.get(declared).json()["spec"]["type"] == "none"

    asked = {"TopicArn": arn, "Protocol": "https", "Endpoint": "https://hooks.example/a"}
    sns.subscribe(**asked)

    channel = wire_server.client.get(declared).json()
    assert (channel["spec"]["type"], channel["spec"]["format"]) == ("webhook", "sns")
    assert sns.create_topic(Name="drift_alerts")["TopicArn"] == arn
    listed = [one["TopicArn"].rpartition(":")[2] for one in sns.list_topics()["Topics"]]
    assert listed == ["drift-alerts"]
    for wrong in (asked, asked | {"Protocol": "email"}):
        with pytest.raises(sns.exceptions.InvalidParameterException):
            sns.subscribe(**wrong)
    sns.delete_topic(TopicArn=arn)
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.subscribe(**asked)


def spoken_of(sns: Any) -> str:
    """Create a topic, change what is said of it, and return its ARN."""
    arn: str = sns.create_topic(
        Name="spoken_of", Attributes={"DisplayName": "On call"}, Tags=[{"Key": "a", "Value": "b"}]
    )["TopicArn"]
    sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue='{"Id":"<&>"}')
    sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    sns.untag_resource(ResourceArn=arn, TagKeys=["a"])
    return arn


def test_a_topic_shows_what_was_said_of_it(wire_client: WireClient, wire_server: Running) -> None:
    """As Terraform's aws_sns_topic asks for it, before and after the channel has its URL."""
    sns = wire_client("sns")
    plain = sns.create_topic(Name="plain")["TopicArn"]
    policy = sns.get_topic_attributes(TopicArn=plain)["Attributes"]["Policy"]
    sns.delete_topic(TopicArn=plain)
    assert json.loads(policy)["Statement"] == []
    arn = spoken_of(sns)
    sns.subscribe(TopicArn=arn, Protocol="https", Endpoint="https://hooks.example/services/secret")
    sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue="On duty")

    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    tags = sns.list_tags_for_resource(ResourceArn=arn)["Tags"]

    assert attributes == {
        "TopicArn": arn, "Owner": ACCOUNT, "DisplayName": "On duty", "Policy": '{"Id":"<&>"}',
        "SubscriptionsConfirmed": "1", "SubscriptionsPending": "0", "SubscriptionsDeleted": "0",
    }  # fmt: skip
    assert tags == [{"Key": "c", "Value": "d"}]
    noted = wire_server.client.get("/api/v1/audit").json()["items"]
    assert ("update", "Channel/spoken-of") in {(one["action"], one["target"]) for one in noted}
    with pytest.raises(sns.exceptions.InvalidParameterException):
        sns.set_topic_attributes(TopicArn=arn, AttributeName="FifoTopic", AttributeValue="true")
    sns.delete_topic(TopicArn=arn)
    for function in (
        lambda: sns.get_topic_attributes(TopicArn=arn),
        lambda: sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName"),
    ):
        with pytest.raises(sns.exceptions.NotFoundException):
            function()
    with pytest.raises(sns.exceptions.ResourceNotFoundException):
        sns.tag_resource(ResourceArn=arn, Tags=[])


@pytest.mark.full
@pytest.mark.s3
def test_moto_says_the_same_of_a_topic(wire_client: WireClient, s3_server: S3Server) -> None:
    ours, theirs = (
        (one.get_topic_attributes(TopicArn=arn)["Attributes"],
         one.list_tags_for_resource(ResourceArn=arn)["Tags"])
        for one in (wire_client("sns"), moto_of(s3_server, "sns"))
        for arn in [spoken_of(one)]
    )  # fmt: skip

    assert ours[1] == theirs[1]
    assert ours[0] == {key: theirs[0][key] for key in ours[0]}
