"""Texts of a change of state, against texts that the real service wrote."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.alarm import Point, judge
from driftline.alerts.reason import java_double, state_reason, state_reason_data


def say(definition, values, *, end: str, current: str = "OK") -> str:
    """Judge values, oldest first, whose newest period begins at a time dd/MM/yy HH:mm:ss."""
    return state_reason(definition, judge(definition, points(definition, values, end), current))


def points(definition, values, end: str) -> list[Point]:
    newest = datetime.strptime(end, "%d/%m/%y %H:%M:%S").replace(tzinfo=UTC)
    values = [None] * (definition.range_periods - len(values)) + values
    last = len(values) - 1
    return [
        Point(newest - timedelta(seconds=definition.period * (last - step)), value, 1.0)
        for step, value in enumerate(values)
    ]


# Recorded from the real service: EventBridge examples of the CloudWatch User Guide, mails and
# DescribeAlarms answers that users have published.
RECORDED = [
    (
        {"period": 60, "evaluation_periods": 1, "threshold": 21},
        [21.5],
        "02/10/19 16:59:00",
        "Threshold Crossed: 1 datapoint [21.5 (02/10/19 16:59:00)] was greater than the "
        "threshold (21.0).",
    ),
    (
        {
            "evaluation_periods": 1,
            "threshold": 0.2,
            "comparison_operator": "GreaterThanOrEqualToThreshold",
        },
        [0.0015765],
        "22/02/24 18:34:00",
        "Threshold Crossed: 1 datapoint [0.0015765 (22/02/24 18:34:00)] was not greater than or "
        "equal to the threshold (0.2).",
    ),
    (
        {"evaluation_periods": 1, "datapoints_to_alarm": 1, "threshold": 50},
        [99.50160229693434],
        "02/10/19 16:59:00",
        "Threshold Crossed: 1 out of the last 1 datapoints [99.50160229693434 (02/10/19 16:59:00)]"
        " was greater than the threshold (50.0) (minimum 1 datapoint for OK -> ALARM transition).",
    ),
    (
        {"evaluation_periods": 1, "datapoints_to_alarm": 1, "threshold": 50},
        [0.0666851903306472],
        "01/10/19 13:46:00",
        "Threshold Crossed: 1 out of the last 1 datapoints [0.0666851903306472 (01/10/19 13:46:00)]"
        " was not greater than the threshold (50.0) (minimum 1 datapoint for ALARM -> OK "
        "transition).",
    ),
    (
        {"period": 60, "evaluation_periods": 2, "threshold": 40},
        [65.61771561771562, 99.97497497497497],
        "07/09/26 06:14:00",
        "Threshold Crossed: 2 datapoints [99.97497497497497 (07/09/26 06:14:00), "
        "65.61771561771562 (07/09/26 06:13:00)] were greater than the threshold (40.0).",
    ),
    (
        {"period": 300, "evaluation_periods": 3, "datapoints_to_alarm": 3, "threshold": 0.005},
        [0.01, 0.002, 0.002],
        "17/07/26 04:13:00",
        "Threshold Crossed: 2 out of the last 3 datapoints [0.002 (17/07/26 04:13:00), 0.002 "
        "(17/07/26 04:08:00)] were not greater than the threshold (0.005) (minimum 1 datapoint "
        "for ALARM -> OK transition).",
    ),
    (
        {"evaluation_periods": 2, "treat_missing_data": "breaching"},
        [],
        "01/01/24 00:00:00",
        "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints "
        "were treated as [Breaching].",
    ),
    (
        {"evaluation_periods": 5, "treat_missing_data": "notBreaching"},
        [],
        "01/01/24 00:00:00",
        "Threshold Crossed: no datapoints were received for 5 periods and 5 missing datapoints "
        "were treated as [NonBreaching].",
    ),
    (
        {"evaluation_periods": 1, "treat_missing_data": "breaching"},
        [],
        "01/01/24 00:00:00",
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was "
        "treated as [Breaching].",
    ),
    (
        {"evaluation_periods": 3, "datapoints_to_alarm": 2, "treat_missing_data": "breaching"},
        [0.0, None, None],
        "01/01/24 00:00:00",
        "Threshold Crossed: 1 datapoint was received for 3 periods and 2 missing datapoints were "
        "treated as [Breaching].",
    ),
    (
        {"evaluation_periods": 1},
        [],
        "01/01/24 00:00:00",
        "Insufficient Data: 1 datapoint was unknown.",
    ),
    (
        {"evaluation_periods": 10},
        [],
        "01/01/24 00:00:00",
        "Insufficient Data: 10 datapoints were unknown.",
    ),
]


@pytest.mark.parametrize(("fields", "values", "end", "text"), RECORDED)
def test_reasons_are_what_the_real_service_wrote(define, fields, values, end, text):
    assert say(define(**fields), values, end=end) == text


@pytest.mark.parametrize(
    ("value", "text"),
    # Double.toString of Java 19 and later.
    [
        (0.0, "0.0"),
        (-2.0, "-2.0"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (0.00012345, "1.2345E-4"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (1073741824.0, "1.073741824E9"),
        (-1.5e-10, "-1.5E-10"),
        (1.23e22, "1.23E22"),
    ],
)
def test_numbers_are_written_as_java_does(value, text):
    assert java_double(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_a_written_number_reads_back_the_same(value):
    assert float(java_double(value)) == value


def test_reason_data_holds_the_points_that_decided(define):
    definition = define(period=300, evaluation_periods=1, threshold=3, statistic="Sum")
    judgement = judge(definition, points(definition, [6.0], "03/03/26 01:35:00"), "OK")
    now = datetime(2026, 3, 3, 1, 40, 5, 812_000, tzinfo=UTC)

    # Recorded from the real service, with a sample count of its own.
    assert state_reason_data(definition, judgement, now) == (
        '{"version":"1.0","queryDate":"2026-03-03T01:40:05.812+0000",'
        '"startDate":"2026-03-03T01:35:00.000+0000","statistic":"Sum","period":300,'
        '"recentDatapoints":[6.0],"threshold":3.0,"evaluatedDatapoints":'
        '[{"timestamp":"2026-03-03T01:35:00.000+0000","sampleCount":1.0,"value":6.0}]}'
    )


def test_missing_points_carry_only_their_time_and_unit_is_there_when_set(define):
    definition = define(evaluation_periods=2, unit="Seconds")
    judgement = judge(definition, points(definition, [], "02/01/24 00:00:00"), "OK")

    found = json.loads(state_reason_data(definition, judgement, datetime(2024, 1, 3, tzinfo=UTC)))

    assert found["unit"] == "Seconds"
    assert found["recentDatapoints"] == []
    assert "startDate" not in found
    assert found["evaluatedDatapoints"] == [
        {"timestamp": "2024-01-02T00:00:00.000+0000"},
        {"timestamp": "2024-01-01T00:00:00.000+0000"},
    ]


def test_texts_stay_within_cloudwatchs_limits(define):
    definition = define(period=60, evaluation_periods=1000)
    values = [1.2345678901234] * 1000
    judgement = judge(definition, points(definition, values, "02/01/24 00:00:00"), "OK")

    reason = state_reason(definition, judgement)
    data = state_reason_data(definition, judgement, datetime(2024, 1, 3, tzinfo=UTC))

    assert len(reason) <= 1023
    assert "1000 datapoints [1.2345678901234 (02/01/24 00:00:00), " in reason
    assert ", ...] were greater than the threshold (0.5)." in reason
    assert len(data) <= 4000
    assert json.loads(data)["evaluatedDatapoints"][0]["timestamp"].startswith("2024-01-02T00:00")
