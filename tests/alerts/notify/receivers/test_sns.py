"""SNS's texts of all kinds of alarms, against recorded messages and the API's own words."""

import json
from datetime import UTC, datetime

from driftline.alerts.alarms.alarm import Point, StateChange
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.notify.event import Event
from driftline.alerts.notify.message import render_event
from driftline.alerts.notify.receivers.receiver import Style
from tests.alerts.notify.sending import rendered

TIME = datetime(2021, 11, 10, 2, 45, 55, 640_000, tzinfo=UTC)


def told(definition, *, style="sns", **more) -> dict:
    fields = {
        "alarm_id": 1,
        "alarm_name": definition.alarm_name,
        "seq": 1,
        "old": "INSUFFICIENT_DATA",
        "new": "ALARM",
        "reason": "r",
        "reason_data": "{}",
        "time": TIME,
        "period_end": TIME,
        "first_breach": TIME,
        "evaluated": (Point(TIME, 2.0, 1.0),),
    }
    render_more = {key: more.pop(key) for key in ("is_after_mute", "suppressed_by") if key in more}
    message = rendered(
        StateChange(**(fields | more)), definition,
        message_id="msg_1", style=Style(format=style), configured_at=TIME, **render_more,
    )  # fmt: skip
    return json.loads(message.body)


def metric(**more) -> AlarmDefinition:
    fields = {
        "alarm_name": "drift-x",
        "namespace": "n",
        "metric_name": "m",
        "dimensions": {"InstanceId": "abc"},
        "period": 60,
        "evaluation_periods": 3,
        "threshold": 2,
        "comparison_operator": "GreaterThanThreshold",
    }
    return AlarmDefinition(**(fields | more))


def test_a_metric_alarm_reads_as_recorded():
    """LocalStack's recording of the real service, AWS-validated snapshot of 2026-02."""
    definition = metric(
        alarm_description="..",
        unit="Seconds",
        datapoints_to_alarm=2,
        treat_missing_data="breaching",
    )

    found = json.loads(told(definition)["Message"])

    assert found["Trigger"] == {
        "MetricName": "m",
        "Namespace": "n",
        "StatisticType": "Statistic",
        "Statistic": "AVERAGE",
        "Unit": "Seconds",
        "Dimensions": [{"value": "abc", "name": "InstanceId"}],
        "Period": 60,
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 2.0,
        "TreatMissingData": "breaching",
        "EvaluateLowSampleCountPercentile": "",
    }
    assert found["ActionExecutedAfterMuteWindow"] is False
    assert found["StateChangeTime"] == "2021-11-10T02:45:55.640+0000"


MATH = [
    {"Id": "e1", "Expression": "m1 * 2", "Label": "twice", "ReturnData": True},
    {
        "Id": "m1",
        "MetricStat": {
            "Metric": {
                "Namespace": "n",
                "MetricName": "m",
                "Dimensions": [{"Name": "a", "Value": "b"}],
            },
            "Period": 300,
            "Stat": "Maximum",
            "Unit": "Count",
        },
        "ReturnData": False,
    },
]


def math_alarm() -> AlarmDefinition:
    return AlarmDefinition.from_dict(
        {
            "alarm_name": "math",
            "metrics": MATH,
            "evaluation_periods": 1,
            "threshold": 1,
            "comparison_operator": "GreaterThanThreshold",
        }
    )


def test_a_math_alarm_names_its_queries_instead_of_a_metric():
    trigger = json.loads(told(math_alarm())["Message"])["Trigger"]

    assert "MetricName" not in trigger
    assert "Statistic" not in trigger
    assert trigger["Period"] == 300
    assert trigger["Metrics"] == [
        {"Expression": "m1 * 2", "Id": "e1", "Label": "twice", "ReturnData": True},
        {
            "Id": "m1",
            "MetricStat": {
                "Metric": {
                    "Dimensions": [{"value": "b", "name": "a"}],
                    "MetricName": "m",
                    "Namespace": "n",
                },
                "Period": 300,
                "Stat": "Maximum",
                "Unit": "Count",
            },
            "ReturnData": False,
        },
    ]


def composite(**more) -> CompositeDefinition:
    fields = {"alarm_name": "both", "alarm_rule": "ALARM(a) OR ALARM(b)"}
    return CompositeDefinition(**(fields | more))


REASON_DATA = json.dumps(
    {
        "triggeringAlarms": [
            {
                "arn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a",
                "state": {"value": "ALARM", "timestamp": "2021-11-10T02:45:55.640+0000"},
            }
        ]
    }
)


def test_a_composite_alarm_tells_its_rule_and_who_moved_it():
    """A message recorded on 2021-11-10 from the real service by a public project's tests."""
    found = json.loads(told(composite(), reason_data=REASON_DATA)["Message"])

    assert found["AlarmRule"] == "ALARM(a) OR ALARM(b)"
    assert found["TriggeringChildren"] == [
        {
            "Arn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a",
            "State": {"Value": "ALARM", "Timestamp": "2021-11-10T02:45:55.640+0000"},
        }
    ]
    assert "Trigger" not in found
    assert "AlarmConfigurationUpdatedTimestamp" not in found


def test_what_was_held_back_says_by_what():
    found = json.loads(told(composite(), suppressed_by="WaitPeriod")["Message"])

    assert found["ActionsSuppressedBy"] == "WaitPeriod"
    assert found["ActionsSuppressedReason"] == "Actions suppressed by WaitPeriod"
    assert json.loads(told(metric(), is_after_mute=True)["Message"])[
        "ActionExecutedAfterMuteWindow"
    ]


def test_what_is_no_alarm_is_in_the_same_envelope():
    event = Event("webhook.test", TIME, "Test", "A test", data={"channel": "pager"})

    found = json.loads(render_event(event, message_id="m", style=Style(format="sns")).body)

    assert (found["Type"], found["Subject"], found["MessageId"]) == ("Notification", "Test", "m")
    assert json.loads(found["Message"])["type"] == "webhook.test"


def test_eventbridge_gives_the_event_of_the_user_guide():
    """CloudWatch User Guide, "State change for a single-metric alarm", with our own names."""
    definition = metric(
        alarm_name="ServerCpuTooHigh", alarm_description="Goes into alarm when too high!",
        namespace="AWS/EC2", metric_name="CPUUtilization", period=300,
        dimensions={"InstanceId": "i-12345678901234567"},
    )  # fmt: skip
    found = told(
        definition, style="eventbridge", old="OK", reason_data='{"version":"1.0"}',
        old_reason="Threshold Crossed: before", old_reason_data='{"version":"0.9"}',
        old_changed_at=datetime(2021, 11, 9, tzinfo=UTC),
    )  # fmt: skip

    identity = found["detail"]["configuration"]["metrics"][0].pop("id")
    assert len(identity) == len(found.pop("id")) == 36
    assert found == {
        "version": "0",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": "000000000000",
        "time": "2021-11-10T02:45:55Z",
        "region": "us-east-1",
        "resources": ["arn:aws:cloudwatch:us-east-1:000000000000:alarm:ServerCpuTooHigh"],
        "detail": {
            "alarmName": "ServerCpuTooHigh",
            "state": {
                "value": "ALARM",
                "reason": "r",
                "reasonData": '{"version":"1.0"}',
                "timestamp": "2021-11-10T02:45:55.640+0000",
            },
            "previousState": {
                "value": "OK",
                "reason": "Threshold Crossed: before",
                "reasonData": '{"version":"0.9"}',
                "timestamp": "2021-11-09T00:00:00.000+0000",
            },
            "configuration": {
                "description": "Goes into alarm when too high!",
                "metrics": [
                    {
                        "metricStat": {
                            "metric": {
                                "namespace": "AWS/EC2",
                                "name": "CPUUtilization",
                                "dimensions": {"InstanceId": "i-12345678901234567"},
                            },
                            "period": 300,
                            "stat": "Average",
                        },
                        "returnData": True,
                    }
                ],
            },
        },
    }
