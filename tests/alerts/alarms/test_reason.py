"""Texts of a change of state, against texts that the real service wrote."""

from datetime import UTC, datetime, timedelta

import pytest

from driftline.alerts.alarms.alarm import Point, judge
from driftline.alerts.alarms.reason import java_double, state_reason, state_reason_data
from driftline.alerts.math.query import MetricQuery


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
    # Published by users of the real service: gaps that were filled while the points decided.
    (
        {
            "period": 300,
            "evaluation_periods": 20,
            "datapoints_to_alarm": 1,
            "threshold": 1,
            "comparison_operator": "GreaterThanOrEqualToThreshold",
            "treat_missing_data": "notBreaching",
        },
        [613.0],
        "16/03/24 12:15:00",
        "Threshold Crossed: 1 out of the last 20 datapoints [613.0 (16/03/24 12:15:00)] was "
        "greater than or equal to the threshold (1.0) and 19 missing datapoints were treated as "
        "[NonBreaching] (minimum 1 datapoint for OK -> ALARM transition).",
    ),
    (
        {
            "period": 900,
            "evaluation_periods": 8,
            "threshold": 0,
            "comparison_operator": "LessThanOrEqualToThreshold",
            "treat_missing_data": "breaching",
        },
        [2.0],
        "19/08/26 09:36:00",
        "Threshold Crossed: 1 datapoint [2.0 (19/08/26 09:36:00)] was not less than or equal to "
        "the threshold (0.0) and 7 missing datapoints were treated as [Breaching].",
    ),
    (
        {
            "evaluation_periods": 2,
            "datapoints_to_alarm": None,
            "threshold": 1,
            "comparison_operator": "GreaterThanOrEqualToThreshold",
            "treat_missing_data": "breaching",
        },
        [0.0],
        "03/08/26 11:42:00",
        "Threshold Crossed: 1 datapoint [0.0 (03/08/26 11:42:00)] was not greater than or equal "
        "to the threshold (1.0) and 1 missing datapoint was treated as [Breaching].",
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


BAND = {
    "namespace": "",
    "metric_name": "",
    "dimensions": {},
    "statistic": None,
    "threshold": None,
    "threshold_metric_id": "ad1",
}


def band_alarm(define, comparison, *, n=1, m: int | None = 1, period=60):
    metric = {"namespace": "AWS/EC2", "metric_name": "CPUUtilization"}
    queries = (
        MetricQuery(id="m1", stat="Average", period=period, **metric),
        MetricQuery(id="ad1", expression="ANOMALY_DETECTION_BAND(m1, 2)"),
    )
    return define(
        **BAND,
        period=period,
        metrics=queries,
        evaluation_periods=n,
        datapoints_to_alarm=m,
        comparison_operator=comparison,
    )


def banded(end: str, *rows: tuple[float, float, float], period=60) -> list[Point]:
    """Return points (value, lower, upper), oldest first, with two empty periods before them."""
    newest = datetime.strptime(end, "%d/%m/%y %H:%M:%S").replace(tzinfo=UTC)
    step = timedelta(seconds=period)
    known = [
        Point(newest - (len(rows) - 1 - place) * step, value, lower=lower, upper=upper)
        for place, (value, lower, upper) in enumerate(rows)
    ]
    return [Point(known[0].start - 2 * step), Point(known[0].start - step), *known]


BOTH = "LessThanLowerOrGreaterThanUpperThreshold"
UPPER = "GreaterThanUpperThreshold"
# The first two: EventBridge examples of the CloudWatch User Guide. Then published by users.
RECORDED_BANDS = [
    (
        (BOTH, 1, 60),
        ("03/10/19 15:58:00", (0.0, 0.020599444741798756, 0.3006915352732461)),
        "Thresholds Crossed: 1 out of the last 1 datapoints [0.0 (03/10/19 15:58:00)] was less "
        "than the lower thresholds [0.020599444741798756] or greater than the upper thresholds "
        "[0.3006915352732461] (minimum 1 datapoint for OK -> ALARM transition).",
    ),
    (
        (BOTH, 1, 60),
        ("03/10/19 15:57:00", (0.166666666664241, 0.0206719426210418, 0.30076870222143803)),
        "Thresholds Crossed: 1 out of the last 1 datapoints [0.166666666664241 (03/10/19 "
        "15:57:00)] was not less than the lower thresholds [0.0206719426210418] or not greater "
        "than the upper thresholds [0.30076870222143803] (minimum 1 datapoint for ALARM -> OK "
        "transition).",
    ),
    (
        (UPPER, 1, 60),
        ("25/07/24 07:21:00", (239.0, 0.0, 225.71426732099445)),
        "Thresholds Crossed: 1 out of the last 1 datapoints [239.0 (25/07/24 07:21:00)] was "
        "greater than the upper thresholds [225.71426732099445] (minimum 1 datapoint for OK -> "
        "ALARM transition).",
    ),
    (
        (UPPER, 1, 60),
        ("25/07/24 06:59:00", (209.0, 0.0, 330.3191408914422)),
        "Thresholds Crossed: 1 out of the last 1 datapoints [209.0 (25/07/24 06:59:00)] was not "
        "greater than the upper thresholds [330.3191408914422] (minimum 1 datapoint for ALARM -> "
        "OK transition).",
    ),
    (
        (BOTH, 2, 300),
        (
            "22/11/19 00:57:00",
            (27.035814838199848, 31.317673764600034, 32.68864166862828),
            (28.244242980188464, 31.723549397187316, 33.09242087209403),
        ),
        "Thresholds Crossed: 2 out of the last 2 datapoints [28.244242980188464 (22/11/19 "
        "00:57:00), 27.035814838199848 (22/11/19 00:52:00)] were less than the lower thresholds "
        "[31.723549397187316, 31.317673764600034] or greater than the upper thresholds "
        "[33.09242087209403, 32.68864166862828] (minimum 2 datapoints for OK -> ALARM "
        "transition).",
    ),
]


@pytest.mark.parametrize(("alarm", "rows", "text"), RECORDED_BANDS)
def test_reasons_of_bands_are_what_the_real_service_wrote(define, alarm, rows, text):
    comparison, n, period = alarm
    definition = band_alarm(define, comparison, n=n, m=n, period=period)

    judgement = judge(definition, banded(*rows, period=period), "OK")

    assert state_reason(definition, judgement) == text


def test_reason_data_of_a_band_holds_its_edges_and_no_threshold(define):
    definition = band_alarm(define, UPPER)
    judged = judge(definition, banded("25/07/24 07:21:00", (239.0, 0.0, 225.71426732099445)), "OK")
    now = datetime(2024, 7, 25, 7, 22, 32, 386_000, tzinfo=UTC)

    # Published by a user of the real service.
    assert state_reason_data(definition, judged, now) == (
        '{"version":"1.0","queryDate":"2024-07-25T07:22:32.386+0000",'
        '"startDate":"2024-07-25T07:21:00.000+0000","period":60,"recentDatapoints":[239.0],'
        '"recentUpperThresholds":[225.71426732099445],"evaluatedDatapoints":'
        '[{"timestamp":"2024-07-25T07:21:00.000+0000","value":239.0,'
        '"threshold":225.71426732099445}]}'
    )


def test_reason_data_without_datapoints_is_what_the_real_service_wrote(define):
    definition = define(period=60, evaluation_periods=5, threshold=5)
    judged = judge(definition, points(definition, [], "04/08/23 12:30:00"), "OK")
    now = datetime(2023, 8, 4, 12, 31, 29, 591_000, tzinfo=UTC)

    # The Lambda example of the CloudWatch User Guide.
    minutes = [
        '{"timestamp":"2023-08-04T12:' + f'{minute}:00.000+0000"' + "}"
        for minute in range(30, 25, -1)
    ]
    assert state_reason_data(definition, judged, now) == (
        '{"version":"1.0","queryDate":"2023-08-04T12:31:29.591+0000","statistic":"Average",'
        '"period":60,"recentDatapoints":[],"threshold":5.0,"evaluatedDatapoints":['
        + ",".join(minutes)
        + "]}"
    )
