"""Replay of metric math and of bands, given or learnt."""

import json

import pytest

from driftline.alerts.evaluation.replay import replay
from tests.alerts.replays import at, states


def math_document(series, **more):
    return {
        "alarm": {
            "AlarmName": "rate",
            "Metrics": [
                {"Id": "share", "Expression": "errors / requests", "ReturnData": True},
                *(
                    {
                        "Id": name,
                        "MetricStat": {
                            "Metric": {"Namespace": "shop", "MetricName": name},
                            "Period": 60,
                            "Stat": "Sum",
                        },
                        "ReturnData": False,
                    }
                    for name in ("errors", "requests")
                ),
            ],
            "EvaluationPeriods": 1,
            "Threshold": 0.1,
            "ComparisonOperator": "GreaterThanThreshold",
        },
        "series": {
            name: [
                {"Timestamp": at(60 * place), "Value": value}
                for place, value in enumerate(values)
                if value is not None
            ]
            for name, values in series.items()
        },
        "start": at(0),
        "end": at(60 * max(map(len, series.values()))),
        **more,
    }


def test_metric_math_is_judged_on_series_by_id():
    found = math_document({"errors": [1, 5, None, 0], "requests": [100, 10, 10, 10]}, explain=True)

    lines = list(replay(found))

    # A side that is missing beside one that is there counts as 0 (reference, metric math).
    assert [line.state for line in lines] == ["OK", "ALARM", "OK", "OK"]
    data = json.loads(lines[1].as_dict()["reason_data"])
    assert "statistic" not in data
    assert data["recentDatapoints"] == [0.5]
    assert lines[1].reason == (
        "Threshold Crossed: 1 datapoint [0.5 (01/01/24 00:01:00)] was greater than the threshold "
        "(0.1)."
    )


def band_document(comparison, values, **more):
    return {
        "alarm": {
            "AlarmName": "odd",
            "Metrics": [
                {
                    "Id": "m1",
                    "MetricStat": {
                        "Metric": {"Namespace": "shop", "MetricName": "orders"},
                        "Period": 60,
                        "Stat": "Average",
                    },
                },
                {"Id": "ad1", "Expression": "ANOMALY_DETECTION_BAND(m1, 2)"},
            ],
            "ThresholdMetricId": "ad1",
            "EvaluationPeriods": 1,
            "ComparisonOperator": comparison,
        },
        "datapoints": [
            {"Timestamp": at(60 * place), "Value": value} for place, value in enumerate(values)
        ],
        "start": at(0),
        "end": at(60 * len(values)),
        **more,
    }


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("LessThanLowerOrGreaterThanUpperThreshold", ["OK", "ALARM", "OK", "OK", "ALARM"]),
        ("LessThanLowerThreshold", ["OK", "ALARM", "OK", "OK", "OK"]),
        ("GreaterThanUpperThreshold", ["OK", "OK", "OK", "OK", "ALARM"]),
    ],
)
def test_a_given_band_is_compared_strictly_at_its_own_edges(comparison, expected):
    values = [5, 0.9, 1, 9, 9.1]
    edges = [{"Timestamp": at(60 * place), "Lower": 1, "Upper": 9} for place in range(5)]
    found = band_document(comparison, values, series={"ad1": edges})

    assert states(found) == expected


def test_a_band_is_learnt_from_what_lies_before_the_start():
    values = [10 + (place % 3) for place in range(600)] + [11, 40]
    found = band_document("GreaterThanUpperThreshold", values, start=at(600 * 60), end=at(602 * 60))

    assert states(found) == ["OK", "ALARM"]


@pytest.mark.parametrize("treatment", ["missing", "ignore", "breaching", "notBreaching"])
@pytest.mark.parametrize("values", [[10] * 12 + [99], [10] * 12 + [None]])
def test_no_treatment_of_missing_data_judges_a_band_that_is_not_trained(treatment, values):
    found = band_document("GreaterThanUpperThreshold", values, start=at(12 * 60))
    found["datapoints"] = [one for one in found["datapoints"] if one["Value"] is not None]
    found["alarm"]["TreatMissingData"] = treatment

    (line,) = replay(found)

    assert line.state == "INSUFFICIENT_DATA"
    # Reference 6: fewer than 30 points are no band.
    assert line.reason == (
        "Insufficient Data: 1 datapoint was unknown. The band of m1 is not trained: it has 12 of "
        "the 30 datapoints that it needs."
    )
