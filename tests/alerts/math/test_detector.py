"""The form of a detector: read, described, refused in a sentence."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.math.detector import Configuration, Detector, TimeRange
from driftline.alerts.math.query import MetricQuery
from driftline.errors import InputError

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
