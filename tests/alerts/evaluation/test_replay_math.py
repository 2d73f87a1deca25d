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


def test_a_period_without_a_band_is_missing():
    found = band_document("GreaterThanUpperThreshold", [50], series={"ad1": []})

    assert states(found) == ["INSUFFICIENT_DATA"]


def test_a_band_is_learnt_from_what_lies_before_the_start():
    values = [10 + (place % 3) for place in range(600)] + [11, 40]
    found = band_document("GreaterThanUpperThreshold", values, start=at(600 * 60), end=at(602 * 60))

    assert states(found) == ["OK", "ALARM"]


def test_a_band_of_too_short_a_history_judges_nothing():
    found = band_document("GreaterThanUpperThreshold", [10] * 20 + [99], start=at(20 * 60))

    assert states(found) == ["INSUFFICIENT_DATA"]


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


@pytest.mark.parametrize("treatment", ["missing", "breaching", "notBreaching"])
def test_an_alarm_whose_band_is_gone_leaves_its_state(treatment):
    found = band_document("GreaterThanUpperThreshold", [99], initial_state="ALARM")
    found["alarm"]["TreatMissingData"] = treatment

    assert states(found) == ["INSUFFICIENT_DATA"]


def test_an_alarm_that_ignores_missing_data_keeps_its_state_without_its_band():
    found = band_document("GreaterThanUpperThreshold", [99], initial_state="ALARM")
    found["alarm"]["TreatMissingData"] = "ignore"

    (line,) = replay(found)

    assert (line.state, line.reason) == ("ALARM", "Unchecked: Initial alarm creation")


def test_a_trained_band_and_no_datapoints_are_judged_by_the_treatment():
    values = [10 + (place % 3) for place in range(600)] + [11, 10, 12, None, None, None]
    found = band_document("GreaterThanUpperThreshold", values, start=at(600 * 60))
    found["datapoints"] = [one for one in found["datapoints"] if one["Value"] is not None]
    found["alarm"]["TreatMissingData"] = "breaching"

    lines = list(replay(found))

    assert [line.state for line in lines] == ["OK"] * 5 + ["ALARM"]
    assert lines[-1].reason == (
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was "
        "treated as [Breaching]."
    )


@pytest.mark.parametrize(
    "more",
    [
        # Beside the band of an expression, and a threshold for an expression made of a band.
        {"ThresholdMetricId": "ad1"},
        {"Threshold": 0},
    ],
)
def test_metric_math_with_a_band_that_is_not_trained_judges_nothing(more):
    found = math_document({"errors": [5] * 8, "requests": [10] * 8}, start=at(7 * 60))
    alarm = found["alarm"]
    del alarm["Threshold"]
    band = {"Id": "ad1", "Expression": "ANOMALY_DETECTION_BAND(share, 2)"}
    alarm |= more | {"TreatMissingData": "breaching"}
    if "Threshold" in more:
        alarm["Metrics"][0]["ReturnData"] = False
        band = {"Id": "over", "Expression": "share - FIRST(ANOMALY_DETECTION_BAND(share, 2))"}
    else:
        alarm["ComparisonOperator"] = "GreaterThanUpperThreshold"
    alarm["Metrics"].append(band)

    (line,) = replay(found)

    assert line.state == "INSUFFICIENT_DATA"
    assert "The band of share is not trained: it has 7 of the 30 datapoints" in line.reason


def test_a_band_that_an_alarm_does_not_need_may_be_untrained():
    found = math_document({"errors": [5], "requests": [10]})
    band = {"Id": "ad1", "Expression": "ANOMALY_DETECTION_BAND(errors)", "ReturnData": False}
    found["alarm"]["Metrics"].append(band)

    assert states(found) == ["ALARM"]
