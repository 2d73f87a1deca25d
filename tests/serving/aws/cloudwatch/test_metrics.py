"""boto3 asks of metrics, math and dashboards, as Grafana does; moto says the same."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import botocore.model
import pytest

from tests.serving.aws.cloudwatch.conftest import ALARM, METRIC, NORTH, SPAN, refused
from tests.serving.aws.conftest import ACCOUNT, WireClient, moto_of
from tests.serving.conftest import NOW, Running


def test_what_is_put_comes_back_as_statistics_and_math(client: Any) -> None:
    start = NOW - timedelta(minutes=5)
    data = [
        {"MetricName": "Orders", "Timestamp": start, "Unit": "Count", "Dimensions": NORTH, **one}
        for one in (
            {"Values": [1.0, 2.0, 4.0], "Counts": [2.0, 1.0, 1.0]},
            {"StatisticValues": {"SampleCount": 1, "Sum": 8, "Minimum": 8, "Maximum": 8}},
        )
    ]
    client.put_metric_data(Namespace="Shop", MetricData=data)
    stat = {"Metric": {**METRIC, "Dimensions": NORTH}, "Period": 60, "Stat": "Sum"}
    queries = [
        {"Id": "m1", "MetricStat": stat, "ReturnData": False},
        {"Id": "e1", "Expression": "m1 / 2", "Label": "half"},
    ]

    (point,) = client.get_metric_statistics(
        **METRIC, **SPAN, Dimensions=NORTH, Period=60, Statistics=["Sum", "SampleCount", "Maximum"],
        ExtendedStatistics=["p50"],
    )["Datapoints"]  # fmt: skip
    (result,) = client.get_metric_data(MetricDataQueries=queries, **SPAN)["MetricDataResults"]

    assert point == {
        "Timestamp": start, "Sum": 16.0, "SampleCount": 5.0, "Maximum": 8.0, "Unit": "Count",
        "ExtendedStatistics": {"p50": pytest.approx(2, abs=0.1)},
    }  # fmt: skip
    assert (result["Label"], result["Timestamps"], result["Values"]) == ("half", [start], [8.0])
    assert result["StatusCode"] == "Complete"


def test_metrics_of_a_trial_component_are_datapoints(client: Any, wire_client: WireClient) -> None:
    start = NOW - timedelta(minutes=5)
    about = {"MetricName": "loss", "Timestamp": start}
    metrics = wire_client("sagemaker-metrics")
    put = metrics.batch_put_metrics(
        TrialComponentName="trial-1",
        MetricData=[{**about, "Value": 0.5, "Step": 1}, {**about, "Value": 0.25, "Step": 2}],
    )
    code, told = refused(
        metrics.batch_put_metrics, TrialComponentName="trial-1",
        MetricData=[{**about, "Value": float("nan")}],
    )  # fmt: skip

    (point,) = client.get_metric_statistics(
        Namespace="/aws/sagemaker/TrialComponents", MetricName="loss", **SPAN, Period=60,
        Dimensions=[{"Name": "TrialComponentName", "Value": "trial-1"}],
        Statistics=["SampleCount", "Minimum"],
    )["Datapoints"]  # fmt: skip

    assert put.get("Errors", []) == []
    assert (point["SampleCount"], point["Minimum"]) == (2.0, 0.25)
    assert (code, "Value" in told) == ("ValidationException", True)


def test_a_large_put_comes_packed_and_metrics_are_listed_page_by_page(client: Any) -> None:
    data = [{"MetricName": f"m{number}", "Value": number} for number in range(700)]
    client.put_metric_data(Namespace="Many", MetricData=data)

    pages = list(client.get_paginator("list_metrics").paginate(Namespace="Many"))
    (one,) = client.list_metrics(**METRIC, Dimensions=[{"Name": "Region"}], RecentlyActive="PT3H")[
        "Metrics"
    ]

    assert [len(page["Metrics"]) for page in pages] == [500, 200]
    assert one == {**METRIC, "Dimensions": NORTH}


def test_pages_of_data_add_up_in_either_order(client: Any) -> None:
    data = [
        {"MetricName": "steps", "Value": minute, "Timestamp": NOW - timedelta(minutes=minute)}
        for minute in range(1, 8)
    ]
    client.put_metric_data(Namespace="Steps", MetricData=data)
    stat = {"Metric": {"Namespace": "Steps", "MetricName": "steps"}, "Period": 60, "Stat": "Sum"}
    asked = {"MetricDataQueries": [{"Id": "a", "MetricStat": stat}], **SPAN, "MaxDatapoints": 3}

    pages = list(
        client.get_paginator("get_metric_data").paginate(**asked, ScanBy="TimestampAscending")
    )

    found = [value for page in pages for value in page["MetricDataResults"][0]["Values"]]
    assert (len(pages), found) == (3, [7, 6, 5, 4, 3, 2, 1])
    assert refused(client.get_metric_data, **asked, NextToken="x")[0] == "InvalidNextToken"


def test_a_put_that_is_tried_again_adds_once(client: Any) -> None:
    def same_call(request: Any, **_: Any) -> None:
        request.headers["amz-sdk-invocation-id"] = "0c3c0f5e"

    client.meta.events.register("before-send.cloudwatch.PutMetricData", same_call)
    try:
        for _ in range(2):
            data = [{"MetricName": "once", "Value": 1.0, "Timestamp": NOW - timedelta(minutes=2)}]
            client.put_metric_data(Namespace="Once", MetricData=data)
    finally:
        client.meta.events.unregister("before-send.cloudwatch.PutMetricData", same_call)
    (point,) = client.get_metric_statistics(
        Namespace="Once", MetricName="once", **SPAN, Period=60, Statistics=["SampleCount"]
    )["Datapoints"]

    assert point["SampleCount"] == 1


# Recorded from the real service by LocalStack's tests, or told in CloudWatch's API reference.
DATUM = {"MetricName": "a", "Value": 1.0}
REFUSED_DATA = [
    (
        DATUM | {"Values": [1.0]},
        "InvalidParameterCombination",
        "The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually "
        "exclusive and you have specified both.",
    ),
    (
        {"MetricName": "a", "Values": [1.0], "Counts": [1.0, 2.0]},
        "InvalidParameterValue",
        "The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the "
        "same size.",
    ),
    (
        {"MetricName": "a"},
        "MissingParameter",
        "The parameter MetricData.member.1.Value is required.",
    ),
    (DATUM | {"Value": float("nan")}, "InvalidParameterValue", "The value NaN"),
]


@pytest.mark.parametrize(("datum", "code", "text"), REFUSED_DATA)
def test_data_are_refused_in_cloudwatchs_words(
    client: Any, datum: dict[str, Any], code: str, text: str
) -> None:
    found = refused(client.put_metric_data, Namespace="Shop", MetricData=[datum])

    assert found[0] == code
    assert found[1].startswith(text)


def test_statistics_are_refused_in_cloudwatchs_words(client: Any) -> None:
    asked = {**METRIC, **SPAN, "Period": 60, "Statistics": ["Sum"]}

    assert refused(client.get_metric_statistics, **asked | {"EndTime": SPAN["StartTime"]}) == (
        "InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime."
    )  # fmt: skip
    code, text = refused(
        client.get_metric_statistics, **asked | {"StartTime": NOW - timedelta(days=3)}
    )
    assert code == "InvalidParameterCombination"
    assert text.startswith("You have requested up to 4320 datapoints, which exceeds the limit of")


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "query"])
def test_what_grafana_asks_is_answered_in_each_protocol(
    client: Any, wire_client: WireClient, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """The calls of its CloudWatch data source: the check of a connection, a panel, annotations."""
    monkeypatch.setattr(botocore.model, "PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", [protocol])
    grafana = wire_client("cloudwatch")
    client.put_metric_data(
        Namespace="Grafana", MetricData=[{"MetricName": "load", "Dimensions": NORTH, "Value": 2.5}]
    )
    client.put_metric_alarm(AlarmName=f"grafana {protocol}", **ALARM | {"Namespace": "Grafana"})
    metric = {"Namespace": "Grafana", "MetricName": "load", "Dimensions": NORTH}
    stat = {"Metric": metric, "Period": 60, "Stat": "Average"}
    query = {"Id": "queryA", "MetricStat": stat, "Label": "load", "ReturnData": True}

    billing = grafana.list_metrics(Namespace="AWS/Billing", MetricName="EstimatedCharges")
    (listed,) = grafana.list_metrics(Namespace="Grafana")["Metrics"]
    (result,) = grafana.get_metric_data(
        MetricDataQueries=[query], StartTime=NOW - timedelta(hours=1),
        EndTime=NOW + timedelta(hours=1), ScanBy="TimestampAscending",
    )["MetricDataResults"]  # fmt: skip
    (alarm,) = grafana.describe_alarms_for_metric(
        Namespace="Grafana", MetricName="Orders", Dimensions=NORTH, Statistic="Sum", Period=60
    )["MetricAlarms"]
    items = grafana.describe_alarm_history(
        AlarmName=f"grafana {protocol}", StartDate=NOW - timedelta(days=1),
        EndDate=NOW + timedelta(days=1), MaxRecords=100,
    )["AlarmHistoryItems"]  # fmt: skip

    assert billing["Metrics"] == []
    assert listed == metric
    assert (result["Timestamps"], result["Values"], result["Label"]) == ([NOW], [2.5], "load")
    assert alarm["AlarmName"] == f"grafana {protocol}"
    assert [one["HistoryItemType"] for one in items] == ["ConfigurationUpdate"]
    client.delete_alarms(AlarmNames=[f"grafana {protocol}"])
    monkeypatch.undo()


DASHBOARD = {"widgets": [{"type": "text", "properties": {"markdown": "Ümläut <&>"}}]}


def test_a_dashboard_comes_back_as_it_was_put(wire_server: Running, client: Any) -> None:
    body = json.dumps(DASHBOARD, indent=2)
    for name in ("Sales", "sales", "sales-2"):
        put = client.put_dashboard(
            DashboardName=name, DashboardBody=body, Tags=[{"Key": "team", "Value": name}]
        )
        assert put["DashboardValidationMessages"] == []
    client.put_dashboard(DashboardName="sales", DashboardBody='{"widgets": []}')
    arn = f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/Sales"
    client.tag_resource(ResourceARN=arn, Tags=[{"Key": "tier", "Value": "1"}])
    client.untag_resource(ResourceARN=arn, TagKeys=["team"])

    found = client.get_dashboard(DashboardName="Sales")
    listed = client.list_dashboards(DashboardNamePrefix="sales")["DashboardEntries"]
    tags = [
        client.list_tags_for_resource(ResourceARN=one)["Tags"]
        for one in (arn, listed[0]["DashboardArn"])
    ]
    client.delete_dashboards(DashboardNames=["Sales", "sales", "never"])

    assert (found["DashboardBody"], found["DashboardArn"]) == (body, arn)
    about = [(one["DashboardName"], one["Size"], one["LastModified"]) for one in listed]
    assert about == [("sales", 15, NOW), ("sales-2", len(body), NOW)]
    assert tags == [[{"Key": "tier", "Value": "1"}], [{"Key": "team", "Value": "sales"}]]
    left = client.list_dashboards()["DashboardEntries"]
    assert [one["DashboardName"] for one in left] == ["sales-2"]
    with pytest.raises(client.exceptions.ResourceNotFound) as gone:
        client.get_dashboard(DashboardName="Sales")
    assert gone.value.response["Error"]["QueryErrorCode"] == "DashboardNotFoundError"
    noted = wire_server.client.get("/api/v1/audit").json()["items"]
    deleted = {one["target"] for one in noted if one["action"] == "delete"}
    assert deleted >= {"Dashboard/Sales", "Dashboard/sales"}
    assert "Dashboard/never" not in deleted


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("sales", "no JSON", "must be a valid JSON object"),
        ("sales", "[" * 100_000, "must be a valid JSON object"),
        ("sales", "[]", "must be a valid JSON object"),
        ("sales", '{"widgets": ["' + "ü" * (1 << 19) + '"]}', "must be a valid JSON object"),
        ("sales", "{}", "required property 'widgets'"),
        ("sales", '{"widgets": {}}', "required property 'widgets'"),
        ("the sales", '{"widgets": []}', "DashboardName"),
    ],
)
def test_a_body_that_is_no_dashboard_is_refused(
    client: Any, name: str, body: str, told: str
) -> None:
    code, message = refused(client.put_dashboard, DashboardName=name, DashboardBody=body)

    assert code == "InvalidParameterInput"
    assert told in message


@pytest.mark.full
@pytest.mark.s3
def test_moto_answers_the_same(client: Any, s3_server: Any) -> None:
    """moto's server knows these operations, too; it evaluates nothing, and begins in OK.

    It shows an empty list of metric math, and a metric once for each datapoint; AWS does not.
    """
    moto = moto_of(s3_server, "cloudwatch")
    data = [
        {
            "MetricName": "Same", "Value": value, "Unit": "Seconds",
            "Timestamp": NOW - timedelta(minutes=3 + step % 3),
        }
        for step, value in enumerate((1.0, 2.0, 4.0, 8.0))
    ]  # fmt: skip
    metric = {"Namespace": "Moto", "MetricName": "Same"}
    statistics = ["Sum", "Average", "Minimum", "Maximum", "SampleCount"]
    stat = {"Metric": metric, "Period": 60, "Stat": "Maximum"}
    alarm = {**ALARM, **metric, "Dimensions": [], "AlarmName": "moto", "Unit": "Seconds"}
    rest = {"StateValue", "StateReason", "StateUpdatedTimestamp", "StateTransitionedTimestamp"}
    rest |= {"AlarmConfigurationUpdatedTimestamp", "AlarmArn", "StateReasonData", "Metrics"}
    answers = []
    for one in (client, moto):
        one.put_metric_data(Namespace="Moto", MetricData=data)
        one.put_metric_alarm(**alarm, AlarmDescription="d", TreatMissingData="ignore")
        points = one.get_metric_statistics(**metric, **SPAN, Period=60, Statistics=statistics)
        (result,) = one.get_metric_data(
            MetricDataQueries=[{"Id": "a", "MetricStat": stat}], **SPAN, ScanBy="TimestampAscending"
        )["MetricDataResults"]
        (shown,) = one.describe_alarms(AlarmNames=["moto"])["MetricAlarms"]
        one.put_dashboard(DashboardName="moto", DashboardBody=json.dumps(DASHBOARD))
        dashboard = one.get_dashboard(DashboardName="moto")
        (entry,) = one.list_dashboards(DashboardNamePrefix="moto")["DashboardEntries"]
        one.delete_dashboards(DashboardNames=["moto"])
        answers.append(
            (
                sorted(points["Datapoints"], key=lambda point: point["Timestamp"]),
                (result["Timestamps"], result["Values"], result["StatusCode"]),
                {key: value for key, value in shown.items() if key not in rest},
                one.list_metrics(Namespace="Moto")["Metrics"][0],
                (json.loads(dashboard["DashboardBody"]), entry["DashboardName"], entry["Size"]),
            )
        )
        one.delete_alarms(AlarmNames=["moto"])

    for ours, theirs in zip(*answers, strict=True):
        assert ours == theirs
