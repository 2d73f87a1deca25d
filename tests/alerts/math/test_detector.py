"""The form of a detector: read, described, refused in a sentence."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import AlarmError, DetectorError, ExpressionError
from driftline.alerts.math.detector import Configuration, Detector, Subject, TimeRange
from driftline.alerts.math.query import MetricQuery
from driftline.errors import InputError

NOW = datetime(2024, 1, 15, tzinfo=UTC)
ORDERS = {"namespace": "Shop", "metric_name": "Orders", "dimensions": {"Shop": "north"},
          "stat": "Sum"}  # fmt: skip


AWS = {
    "SingleMetricAnomalyDetector": {
        "Namespace": "Shop",
        "MetricName": "Orders",
        "Dimensions": [{"Name": "Shop", "Value": "north"}],
        "Stat": "Sum",
    },
    "Configuration": {
        "ExcludedTimeRanges": [
            {"StartTime": "2024-01-02T00:00:00Z", "EndTime": "2024-01-03T00:00:00Z"}
        ],
        "MetricTimezone": "Europe/Berlin",
        "AdaptationSpeed": "SLOW",
        "OutlierFilteringStrength": "MINIMAL",
    },
    "MetricCharacteristics": {"PeriodicSpikes": True},
}


def orders(**more) -> Detector:
    return Detector.from_dict({"single_metric_anomaly_detector": ORDERS, "period": 3600} | more)


def test_awss_form_is_read_and_described():
    detector = Detector.from_dict(AWS)

    assert detector.subject.key == orders().subject.key
    assert detector.configuration == Configuration(
        excluded_time_ranges=[
            TimeRange(
                start_time=datetime(2024, 1, 2, tzinfo=UTC),
                end_time=datetime(2024, 1, 3, tzinfo=UTC),
            )
        ],
        metric_timezone="Europe/Berlin",
        adaptation_speed="SLOW",
        outlier_filtering_strength="MINIMAL",
        periodic_spikes=True,
    )
    described = {**detector.subject.as_dict(), **detector.configuration.as_dict()}
    assert Detector.from_dict(described) == detector
    flat = {**AWS["SingleMetricAnomalyDetector"], "Configuration": AWS["Configuration"]}
    assert Detector.from_dict(flat).subject == detector.subject


def test_how_it_learns_is_what_the_words_say():
    subject = orders().subject
    slow = Configuration(adaptation_speed="SLOW", outlier_filtering_strength="STRICT").learning(
        subject
    )
    spiky = Configuration(outlier_filtering_strength="STRICT", periodic_spikes=True).learning(
        subject
    )
    drift = Subject(
        (
            MetricQuery(
                id="m1", namespace="aws/sagemaker/Endpoints/data-metrics", period=3600,
                metric_name="feature_baseline_drift_delay", stat="Average",
            ),
        )
    )  # fmt: skip

    assert (slow.half_life_d, slow.tail, slow.high) == (10.0, None, None)
    assert spiky.tail == 0.99
    assert Configuration().learning(drift).high == 1.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a detector of none or several metrics"),
        ({**AWS, "Namespace": "Shop"}, "a detector of none or several metrics"),
        ({**AWS, "Sensitivity": 3}, 'unknown field "sensitivity"'),
        ({**AWS, "Configuration": {"Speed": 1}}, 'configuration: unknown field "speed"'),
        ({**AWS, "Configuration": {"AdaptationSpeed": "fast"}}, 'adaptation_speed "fast"'),
        ({**AWS, "Configuration": {"MetricTimezone": "Mars"}}, 'time zone "Mars"'),
        (
            {**AWS, "Configuration": {"ExcludedTimeRanges": [{"StartTime": 2, "EndTime": 1}]}},
            "expected the start before the end",
        ),
        (
            {**AWS, "Configuration": {"ExcludedTimeRanges": [{"StartTime": 1, "EndTime": 2}] * 11}},
            "11 excluded time ranges; expected 10 or fewer",
        ),
        (
            {**AWS, "Configuration": {"ExcludedTimeRanges": [{"StartTime": "then"}]}},
            "time 'then' of an excluded range",
        ),
        ({**AWS, "MetricCharacteristics": {"PeriodicSpikes": "yes"}}, "periodic_spikes 'yes'"),
        ({**AWS, "Period": 10}, "period 10 s with a band; expected 60 or more"),
        ({"metric_math_anomaly_detector": {"metric_data_queries": 3}}, "expected a list"),
    ],
)
def test_what_is_wrong_with_a_detector_is_said(given, said):
    with pytest.raises((DetectorError, AlarmError, ExpressionError)) as refused:
        Detector.from_dict(given)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([("e1", "m1 * 2", False)], "0 queries return data"),
        ([("e1", "m1 * 2", True), ("e2", "m1", True)], "2 queries return data (e1, e2)"),
        ([("e1", "METRICS() * 2", True)], "gives several time series"),
        ([("e1", "SUM(METRICS())", True)], "uses METRICS or a band"),
        ([("e1", "LAST(ANOMALY_DETECTION_BAND(m1))", True)], "uses METRICS or a band"),
        ([("e1", "m1 + m2", True)], "metrics with the periods [3600, 7200]"),
        ([("e1", "TIME_SERIES(1)", True)], "metrics with the periods []"),
        ([("e1", "AVG(m1)", True)], "gives a number"),
        (
            [(f"e{i}", f"{'m1' if i == 1 else f'e{i - 1}'} + 1", i == 11) for i in range(1, 12)],
            "needs 12 queries; expected 10 or fewer",
        ),
    ],
)
def test_expressions_are_held_to_cloudwatchs_rules(queries, said):
    metrics = [{"id": f"m{i}", "period": 3600 * i, "return_data": False} | ORDERS for i in (1, 2)]
    given = [
        *metrics,
        *({"id": id_, "expression": text, "return_data": flag} for id_, text, flag in queries),
    ]

    with pytest.raises((DetectorError, ExpressionError)) as refused:
        Detector.from_dict({"metric_math_anomaly_detector": {"metric_data_queries": given}})

    assert said in str(refused.value)


NAMES = st.sampled_from(
    ["SingleMetricAnomalyDetector", "MetricMathAnomalyDetector", "MetricDataQueries", "Namespace",
     "Configuration", "MetricCharacteristics", "Period", "MetricName", "Dimensions", "Stat", "Id",
     "Expression", "Label", "ReturnData", "MetricStat", "Metric", "ExcludedTimeRanges",
     "MetricTimezone", "PeriodicSpikes", "StartTime", "EndTime"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["m1", "Sum", "p99", 60, 3600, "UTC", "2024-01-01", "m1 * 2", "METRICS()"]),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, ANYTHING, max_size=6))
def test_whatever_is_given_is_a_detector_or_refused(given_):
    for read in (Detector.from_dict, MetricQuery.from_dict):
        with contextlib.suppress(InputError):
            read(given_)
