"""boto3 asks of alarms, their history, detectors and mute rules."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic.alias_generators import to_snake

from driftline.alerts.evaluation.evaluator import Evaluator
from tests.serving.aws.cloudwatch.conftest import ALARM, METRIC, NORTH, TOPIC, refused
from tests.serving.aws.conftest import ACCOUNT, REGION
from tests.serving.conftest import NOW, Running, resource


def test_an_alarm_is_shown_as_it_was_put_and_no_field_more(client: Any) -> None:
    client.put_metric_alarm(AlarmName="plain", AlarmActions=[TOPIC], **ALARM)

    (shown,) = client.describe_alarms(AlarmNames=["plain"])["MetricAlarms"]

    for key in (
        "AlarmConfigurationUpdatedTimestamp", "StateUpdatedTimestamp", "StateTransitionedTimestamp",
    ):  # fmt: skip
        assert shown.pop(key) == NOW
    assert shown == {
        **ALARM,
        "AlarmName": "plain",
        "AlarmArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:plain",
        "ActionsEnabled": True,
        "AlarmActions": [TOPIC],
        "OKActions": [],
        "InsufficientDataActions": [],
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": "Unchecked: Initial alarm creation",
    }


def test_actions_are_shown_as_arns(client: Any, wire_server: Running) -> None:
    policy = (
        "arn:aws:autoscaling:eu-west-1:1:scalingPolicy:0c3c0f5e:resource/sagemaker/"
        "endpoint/e/variant/v:policyName/p"
    )
    spec = {**ALARM, "Dimensions": {"Region": "north"}}
    own = {to_snake(key): value for key, value in spec.items()}
    actions = {"alarm_actions": ["on-call", "scaling:e/v/p"], "ok_actions": [policy]}
    assert wire_server.apply(resource("Alarm", "ours", **own, **actions)).is_success

    (shown,) = client.describe_alarms(AlarmNames=["ours"])["MetricAlarms"]

    channel, scaling = shown["AlarmActions"]
    assert channel == f"arn:aws:sns:{REGION}:{ACCOUNT}:on-call"
    assert scaling.startswith(f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:")
    assert scaling.endswith(policy.partition(":resource")[2])
    assert shown["OKActions"] == [policy]


def test_every_form_of_an_alarm_comes_back(client: Any) -> None:
    stat = {"Metric": {**METRIC, "Dimensions": NORTH}, "Period": 300, "Stat": "Average"}
    common = {"EvaluationPeriods": 3, "DatapointsToAlarm": 2, "TreatMissingData": "breaching"}
    band = {"Id": "b", "Expression": "ANOMALY_DETECTION_BAND(m, 2)", "ReturnData": True}
    forms = {
        "math": {
            "Metrics": [
                {"Id": "m", "MetricStat": stat, "ReturnData": False},
                {"Id": "e", "Expression": "m * 2", "Label": "twice", "ReturnData": True},
            ],
            "Threshold": 1.0,
            "ComparisonOperator": "LessThanThreshold",
        },
        "band": {
            "Metrics": [{"Id": "m", "MetricStat": stat, "ReturnData": True}, band],
            "ThresholdMetricId": "b",
            "ComparisonOperator": "GreaterThanUpperThreshold",
        },
        "percentile": {
            **{key: one for key, one in ALARM.items() if key != "Statistic"},
            "ExtendedStatistic": "p99",
            "EvaluateLowSampleCountPercentile": "ignore",
            "Unit": "Count",
            "AlarmDescription": "slow",
            "EvaluationWindow": {"WallClockWindow": {"Timezone": "Europe/Berlin"}},
            "WarmUpConfiguration": {
                "WarmUpPeriodDurationInMinutes": 5,
                "OnlyStartEvaluatingAfterWarmUpPeriodEnds": True,
            },
            "ActionConfiguration": {"AlarmTagsPropagation": {"Enabled": True}},
        },
    }
    for name, form in forms.items():
        client.put_metric_alarm(AlarmName=f"form {name}", **{**form, **common})

    found = client.describe_alarms(AlarmNamePrefix="form ")["MetricAlarms"]

    for shown in found:
        form = forms[shown["AlarmName"].removeprefix("form ")] | common
        assert {key: shown.get(key) for key in form} == form
        is_math = "Metrics" in form
        assert is_math == ("Metrics" in shown) == ("Period" not in shown)
    assert len(found) == len(forms)


REFUSED_ALARMS = [
    (
        {"TreatMissingData": "bogus"},
        "The value bogus is not supported for TreatMissingData parameter. Supported values are "
        "[breaching, notBreaching, ignore, missing].",
    ),
    (
        {"EvaluateLowSampleCountPercentile": "x"},
        "Option x is not supported. Supported options for parameter "
        "EvaluateLowSampleCountPercentile are evaluate and ignore.",
    ),
    ({"Period": 45}, "period 45 s; expected 10, 20, 30 or a multiple of 60"),
    ({"AlarmActions": ["arn:aws:lambda:eu-west-1:1:function:f"]}, 'action "arn:aws:lambda'),
    (
        {"AlarmActions": [f"{TOPIC}2"]},
        'Channel "on-call2" does not exist; the nearest known one is "on-call"',
    ),
]


@pytest.mark.parametrize(("field", "text"), REFUSED_ALARMS)
def test_alarms_are_refused_in_cloudwatchs_words(
    client: Any, field: dict[str, Any], text: str
) -> None:
    code, said = refused(client.put_metric_alarm, AlarmName="wrong", **{**ALARM, **field})

    assert code == "ValidationError"
    assert said.startswith(text)


def test_an_alarm_goes_through_its_states_and_its_composite_follows(client: Any) -> None:
    client.put_metric_alarm(AlarmName="child", **ALARM)
    client.put_composite_alarm(
        AlarmName="parent", AlarmRule='ALARM("child")', AlarmActions=[TOPIC], ActionsEnabled=False
    )
    client.set_alarm_state(AlarmName="child", StateValue="ALARM", StateReason="a drill")
    client.set_alarm_state(
        AlarmName="child", StateValue="OK", StateReason="over", StateReasonData='{"a": 1}'
    )

    (parent,) = client.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    (inner,) = client.describe_alarms(ChildrenOfAlarmName="parent")["MetricAlarms"]
    (outer,) = client.describe_alarms(ParentsOfAlarmName="child")["CompositeAlarms"]
    items = client.describe_alarm_history(AlarmName="child")["AlarmHistoryItems"]
    above = client.describe_alarm_history(
        AlarmTypes=["CompositeAlarm"], HistoryItemType="StateUpdate", ScanBy="TimestampAscending"
    )["AlarmHistoryItems"]

    assert (parent["StateValue"], parent["ActionsEnabled"]) == ("OK", False)
    assert parent["StateReason"].startswith("arn:aws:cloudwatch:")
    assert (inner.keys(), outer.keys()) == (
        {"AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp"},
        {"AlarmName", "AlarmArn"},
    )
    assert [one["HistorySummary"] for one in items] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "child" created',
    ]
    new = json.loads(items[0]["HistoryData"])["newState"]
    assert (new["stateValue"], new["stateReason"]) == ("OK", "over")
    made = json.loads(items[2]["HistoryData"])["createdAlarm"]
    assert made["metricName"] == "Orders"
    assert made["dimensions"] == [{"name": "Region", "value": "north"}]
    assert [(one["AlarmName"], one["AlarmType"]) for one in above[-2:]] == [
        ("parent", "CompositeAlarm")
    ] * 2
    client.put_metric_alarm(AlarmName="aside", **ALARM)
    both = ["aside", "child"]
    assert refused(client.delete_alarms, AlarmNames=both) == (
        "ValidationError",
        "Cannot delete child as there are composite alarm(s) depending on it. Change or delete "
        "first: parent",
    )
    kept = client.describe_alarms(AlarmNames=both)["MetricAlarms"]
    assert [one["AlarmName"] for one in kept] == both
    client.delete_alarms(AlarmNames=[*both, "parent", "never there"])
    assert client.describe_alarms(AlarmNames=[*both, "parent"])["MetricAlarms"] == []
    gone = client.describe_alarm_history(AlarmName="parent", AlarmTypes=["CompositeAlarm"])
    assert gone["AlarmHistoryItems"][0]["HistorySummary"] == 'Alarm "parent" deleted'
    assert not client.describe_alarm_history(AlarmName="parent")["AlarmHistoryItems"]


def test_lists_of_alarms_keep_their_rules(client: Any) -> None:
    for number in range(7):
        actions = [TOPIC] if number % 2 else []
        client.put_metric_alarm(AlarmName=f"list {number}", OKActions=actions, **ALARM)
    asked = {"AlarmNamePrefix": "list "}

    pages = list(client.get_paginator("describe_alarms").paginate(**asked, MaxRecords=3))
    names = [one["AlarmName"] for page in pages for one in page["MetricAlarms"]]
    acting = client.describe_alarms(**asked, ActionPrefix=TOPIC[:20])["MetricAlarms"]
    on_metric = client.describe_alarms_for_metric(**METRIC, Dimensions=NORTH, Statistic="Sum")
    elsewhere = client.describe_alarms_for_metric(**METRIC)

    assert names == [f"list {number}" for number in range(7)]
    assert [len(page["MetricAlarms"]) for page in pages] == [3, 3, 1]
    assert [one["AlarmName"][-1] for one in acting] == ["1", "3", "5"]
    assert {*names} <= {one["AlarmName"] for one in on_metric["MetricAlarms"]}
    assert elsewhere["MetricAlarms"] == []
    both = {"AlarmNames": ["list 1"], **asked}
    assert refused(client.describe_alarms, **both)[0] == "InvalidParameterCombination"
    family = {"ChildrenOfAlarmName": "list 1", **asked}
    assert refused(client.describe_alarms, **family)[0] == "ValidationError"


def test_unknown_names_are_told_as_cloudwatch_does(client: Any) -> None:
    state = {"AlarmName": "nobody", "StateValue": "OK", "StateReason": ""}

    assert refused(client.set_alarm_state, **state)[0] == "ResourceNotFound"
    code, text = refused(client.set_alarm_state, **state | {"StateValue": "INVALID"})
    assert code == "ValidationError"
    assert text.startswith(
        "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy "
        "constraint: Member must satisfy enum value set: ["
    )
    assert refused(client.put_composite_alarm, AlarmName="c", AlarmRule="ALARM(nobody)") == (
        "ValidationError",
        "Could not save the composite alarm as alarms [nobody] in the alarm rule do not exist",
    )
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.delete_alarms(AlarmNames=["nobody"])


def test_tags_and_switches_of_an_alarm_outlive_a_new_put(
    client: Any, wire_server: Running, meanwhile: Any
) -> None:
    client.put_metric_alarm(AlarmName="tagged", Tags=[{"Key": "team", "Value": "a"}], **ALARM)
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:tagged"
    new = [{"Key": "tier", "Value": "1"}]
    client.put_metric_alarm(AlarmName="tagged", Tags=[{"Key": "x", "Value": "y"}], **ALARM)
    # Another client's change at the same time stays, too.
    meanwhile(lambda: client.tag_resource(ResourceARN=arn, Tags=new))
    client.untag_resource(ResourceARN=arn, TagKeys=["team"])
    client.disable_alarm_actions(AlarmNames=["tagged"])

    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "tier", "Value": "1"}]
    (shown,) = client.describe_alarms(AlarmNames=["tagged"])["MetricAlarms"]
    assert shown["ActionsEnabled"] is False
    client.enable_alarm_actions(AlarmNames=["tagged"])
    declared = wire_server.client.get("/api/v1/alarms/tagged").json()
    assert (declared["tags"], declared["status"]["actions_enabled"]) == ({"tier": "1"}, True)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.list_tags_for_resource(ResourceARN=f"{arn}2")


def test_an_alarm_that_is_changed_while_it_is_put_keeps_that(
    client: Any, wire_server: Running, meanwhile: Any
) -> None:
    client.put_metric_alarm(AlarmName="shared", **ALARM)
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:shared"
    tags = [{"Key": "tier", "Value": "1"}]

    meanwhile(lambda: client.tag_resource(ResourceARN=arn, Tags=tags))
    client.put_metric_alarm(AlarmName="shared", **{**ALARM, "Threshold": 7.0})

    declared = wire_server.client.get("/api/v1/alarms/shared").json()
    assert (declared["tags"], declared["spec"]["threshold"]) == ({"tier": "1"}, 7.0)


def test_a_detector_is_put_described_and_deleted(client: Any, wire_server: Running) -> None:
    subject = {**METRIC, "Dimensions": NORTH, "Stat": "Sum"}
    ranges = [{"StartTime": NOW - timedelta(days=2), "EndTime": NOW - timedelta(days=1)}]
    client.put_anomaly_detector(
        SingleMetricAnomalyDetector=subject, Configuration={"ExcludedTimeRanges": ranges}
    )

    (found,) = client.describe_anomaly_detectors(**METRIC, Dimensions=NORTH)["AnomalyDetectors"]
    none = client.describe_anomaly_detectors(AnomalyDetectorTypes=["METRIC_MATH"])

    del found["AnomalyDetectorId"]
    assert found == {
        **subject,
        "SingleMetricAnomalyDetector": subject,
        "Configuration": {"ExcludedTimeRanges": ranges},
        "StateValue": "PENDING_TRAINING",
    }
    assert none["AnomalyDetectors"] == []
    client.delete_anomaly_detector(**subject)
    # CloudWatch has no units there, and clients that know none are shown the rest.
    own = {"namespace": "Shop", "metric_name": "Orders", "stat": "Sum", "unit": "Count"}
    put = wire_server.client.post("/api/v1/detectors", json={"single_metric_anomaly_detector": own})
    (unit,) = client.describe_anomaly_detectors(**METRIC, Dimensions=[])["AnomalyDetectors"]
    assert (put.status_code, unit["SingleMetricAnomalyDetector"]["Stat"]) == (200, "Sum")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.delete_anomaly_detector(SingleMetricAnomalyDetector=subject)


def test_a_mute_rule_is_a_silence(client: Any, wire_server: Running) -> None:
    schedule = {"Expression": "cron(0 2 * * *)", "Duration": "PT8H", "Timezone": "UTC"}
    client.put_alarm_mute_rule(
        Name="nights", Description="maintenance", Rule={"Schedule": schedule},
        MuteTargets={"AlarmNames": ["plain"]}, StartDate=NOW - timedelta(days=1),
    )  # fmt: skip

    found = client.get_alarm_mute_rule(AlarmMuteRuleName="nights")
    listed = client.list_alarm_mute_rules(AlarmName="plain", Statuses=["ACTIVE"])
    silence = wire_server.client.get("/api/v1/silences/nights").json()

    del found["ResponseMetadata"]
    assert found == {
        "Name": "nights",
        "AlarmMuteRuleArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm-mute-rule:nights",
        "Description": "maintenance",
        "Rule": {"Schedule": schedule},
        "MuteTargets": {"AlarmNames": ["plain"]},
        "StartDate": NOW - timedelta(days=1),
        "Status": "ACTIVE",
        "LastUpdatedTimestamp": NOW,
        "MuteType": "RECURRING",
    }
    assert [one["Status"] for one in listed["AlarmMuteRuleSummaries"]] == ["ACTIVE"]
    assert silence["status"]["status"] == "ACTIVE"
    client.delete_alarm_mute_rule(AlarmMuteRuleName="nights")
    client.delete_alarm_mute_rule(AlarmMuteRuleName="nights")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_alarm_mute_rule(AlarmMuteRuleName="nights")


def test_data_put_an_alarm_into_its_states_as_time_goes_by(
    client: Any, wire_server: Running
) -> None:
    """The reason is of the form that LocalStack's tests recorded from the real service."""
    fields = {"MetricName": "live", "TreatMissingData": "notBreaching", "AlarmActions": [TOPIC]}
    client.put_metric_alarm(AlarmName="live", **ALARM | fields)
    datum = {"MetricName": "live", "Dimensions": NORTH, "Timestamp": NOW - timedelta(minutes=1)}
    client.put_metric_data(Namespace="Shop", MetricData=[{**datum, "Value": 120.0}])
    clock, states = [NOW], []
    evaluator = Evaluator(wire_server.engine, now=lambda: clock[0])

    for minute in range(6):
        clock[0] = NOW + timedelta(minutes=minute, seconds=1)
        evaluator.step()
        states += client.describe_alarms(AlarmNames=["live"])["MetricAlarms"]

    found = [one["StateValue"] for one in states]
    assert found == ["ALARM"] * 3 + ["OK"] * 3
    assert states[0]["StateReason"] == (
        "Threshold Crossed: 1 datapoint [120.0 (15/01/26 05:59:00)] was greater than the "
        "threshold (100.0)."
    )
    data = json.loads(states[0]["StateReasonData"])
    assert (data["recentDatapoints"], data["threshold"]) == ([120.0], 100.0)
    sent = wire_server.client.get("/api/v1/deliveries", params={"alarm": "live"}).json()["items"]
    assert [(one["channel"], one["state"]) for one in sent] == [("on-call", "ALARM")]
