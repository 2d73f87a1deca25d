import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.alerts.alarms.alarm import Point, StateChange
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.notify.event import without_values
from driftline.alerts.notify.receivers.receiver import Style
from tests.alerts.notify.sending import rendered

TIME = datetime(2013, 1, 16, 0, 5, 1, 123_000, tzinfo=UTC)
DAY = datetime(2013, 1, 15, tzinfo=UTC)
CAUSE = 'carrier: 6.2% = values never seen in the reference, mostly "EVX"'
NOTE = {
    "cause": CAUSE,
    "link": "/monitors/flights?window=20130115T000000Z&feature=carrier#rows",
    "monitor": "flights",
    "execution": "e1",
    "window": "20130115T000000Z",
    "violations": [{"feature_name": f"f{number}"} for number in range(12)],
}


def change(**more) -> StateChange:
    fields = {
        "alarm_id": 1,
        "alarm_name": "drift",
        "seq": 7,
        "old": "OK",
        "new": "ALARM",
        "reason": "Threshold Crossed: 1 datapoint [2.0 (15/01/13 00:00:00)] was greater than ...",
        "reason_data": "{}",
        "time": TIME,
        "period_end": datetime(2013, 1, 16, tzinfo=UTC),
        "first_breach": DAY,
        "evaluated": (Point(DAY, 2.0, 1.0),),
        "note": NOTE,
    }
    return StateChange(**(fields | more))


def own(definition, **more) -> dict:
    message = rendered(
        change(**more), definition, message_id="msg_1", dashboard_url="http://127.0.0.1:8081/"
    )
    assert message.content_type == "application/json"
    return json.loads(message.body)


def test_the_body_says_what_where_and_since_when(define):
    found = own(define(alarm_description="Drift of flights", severity="ticket"))

    assert found["type"] == "alarm.state_changed"
    assert found["timestamp"] == "2013-01-16T00:05:01Z"
    data = found["data"]
    assert data["alarm"]["severity"] == "ticket"
    assert (data["state"]["old"], data["state"]["new"]) == ("OK", "ALARM")
    assert data["cause"] == 'carrier: 6.2% = values never seen in the reference, mostly "…"'
    assert data["first_seen"] == "2013-01-15T00:00:00Z"
    assert data["datapoints"] == [{"time": "2013-01-15T00:00:00Z", "value": 2.0}]
    assert data["monitor"] == {
        "monitor": "flights",
        "execution": "e1",
        "window": "20130115T000000Z",
    }
    assert len(data["violations"]) == 10
    assert data["seq"] == 7
    assert data["group_key"] == "alarm=drift,endpoint=flights"


def test_values_of_rows_are_quoted_only_where_the_channel_wants_them(define):
    note = NOTE | {
        "violations": [
            {"feature_name": 'the "best" one', "description": 'mostly "EVX", not "AA", of 5%'},
        ]
    }

    def told(**options):
        message = rendered(
            change(note=note), define(), message_id="msg_1", style=Style(options=options)
        )
        return json.loads(message.body)["data"]

    assert told(include_values=True)["cause"] == CAUSE
    assert told(include_values=True)["violations"] == note["violations"]
    assert "EVX" not in json.dumps(told())
    assert told()["violations"] == [{"feature_name": 'the "best" one', "description": 'mostly "…"'}]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("5% of rows empty", "5% of rows empty"),
        ('mostly "a"', 'mostly "…"'),
        ('mostly "EVX", carrier = "EV" holds 62% of them (5% of all rows)', 'mostly "…"'),
        ('where origin = "EWR": 5% empty; b: x', 'where origin = "…"'),
        ('mostly "a", b" of them', 'mostly "…"'),
        ('mostly "cut short …', 'mostly "…"'),
        ('mostly ""', 'mostly "…"'),
        ('mostly "two\nlines"', 'mostly "…"'),
    ],
)
def test_what_is_quoted_is_taken_out(text, plain):
    assert without_values(text) == plain


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(0, 5000), st.integers(0, 50), st.integers(0, 400))
def test_a_body_stays_under_20_kb(violations, size, tags, points):
    definition = AlarmDefinition(
        alarm_name="ä" * 255,
        namespace="Driftline",
        metric_name="m",
        period=60,
        evaluation_periods=1,
        threshold=1,
        comparison_operator="GreaterThanThreshold",
        tags={f"tag {number}": "x" * 256 for number in range(tags)},
        alarm_description="ü" * 1024,
    )
    note = {"cause": "ö" * size, "violations": [{"description": "x" * size}] * violations}
    found = change(note=note, evaluated=tuple(Point(DAY, 1.0) for _ in range(points)))

    body = rendered(found, definition, message_id="msg_1").body

    assert len(body) <= 20_000
    assert json.loads(body)["data"]["state"]["new"] == "ALARM"


def test_sns_format_is_what_receivers_of_cloudwatch_parse(define):
    definition = define(
        datapoints_to_alarm=1, unit="Seconds", statistic="SampleCount", alarm_actions=("pager",)
    )
    message = rendered(
        change(), definition, message_id="msg_1", style=Style(format="sns"), configured_at=DAY
    )

    assert message.content_type == "text/plain; charset=UTF-8"
    envelope = json.loads(message.body)
    assert envelope["Type"] == "Notification"
    assert envelope["MessageId"] == "msg_1"
    assert envelope["Subject"] == 'ALARM: "drift" in US East (N. Virginia)'
    # Keys and their forms as LocalStack recorded them from the real service.
    found = json.loads(envelope["Message"])
    assert list(found) == [
        "AlarmName",
        "AlarmDescription",
        "AWSAccountId",
        "AlarmConfigurationUpdatedTimestamp",
        "NewStateValue",
        "NewStateReason",
        "StateChangeTime",
        "Region",
        "AlarmArn",
        "OldStateValue",
        "OKActions",
        "AlarmActions",
        "InsufficientDataActions",
        "ActionExecutedAfterMuteWindow",
        "Trigger",
    ]
    assert found["StateChangeTime"] == "2013-01-16T00:05:01.123+0000"
    assert found["AlarmConfigurationUpdatedTimestamp"] == "2013-01-15T00:00:00.000+0000"
    assert found["Trigger"] == {
        "MetricName": "drift",
        "Namespace": "Driftline",
        "StatisticType": "Statistic",
        "Statistic": "SAMPLE_COUNT",
        "Unit": "Seconds",
        "Dimensions": [{"value": "flights", "name": "Endpoint"}],
        "Period": 86400,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0.5,
        "TreatMissingData": "",
        "EvaluateLowSampleCountPercentile": "",
    }
