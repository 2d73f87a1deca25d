"""PutMetricData's rules, with CloudWatch's own words."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.putdata import read_put

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def put(*data, **top):
    return read_put({"Namespace": "shop", "MetricData": list(data)} | top, NOW)


def datum(**more):
    return {"MetricName": "orders", "Value": 1} | more


def without_value(**more):
    return {"MetricName": "orders"} | more


def test_all_fields_are_read_in_either_spelling():
    wanted = {
        "MetricName": "orders",
        "Dimensions": [{"Name": "region", "Value": "north"}],
        "Timestamp": "2026-03-02T11:00:00Z",
        "Values": [1, 2.5],
        "Counts": [3, 0.5],
        "Unit": "Count",
        "StorageResolution": 1,
    }
    (camel,) = put(wanted)
    (snake,) = read_put(
        {
            "namespace": "shop",
            "metric_data": [
                {
                    "metric_name": "orders",
                    "dimensions": {"region": "north"},
                    "timestamp": datetime(2026, 3, 2, 11, tzinfo=UTC).timestamp(),
                    "values": [1, 2.5],
                    "counts": [3, 0.5],
                    "unit": "Count",
                    "storage_resolution": 1,
                }
            ],
        },
        NOW,
    )
    assert camel == snake
    assert camel.dimensions == {"region": "north"}
    assert (camel.period_s, camel.unit, camel.time) == (1, "Count", NOW - timedelta(hours=1))
    assert camel.statistics == (3.5, 4.25, 1.0, 2.5)


def test_a_statistic_set_is_read():
    summary = {"SampleCount": 3, "Sum": 9, "Minimum": 1, "Maximum": 5}
    (found,) = put(without_value(StatisticValues=summary))
    assert found.statistics == (3.0, 9.0, 1.0, 5.0)


def test_a_datum_without_time_is_of_now_and_one_without_zone_of_utc():
    late, bare = put(datum(), datum(Timestamp="2026-03-02T11:59:00"))
    assert late.time == NOW
    assert bare.time == NOW - timedelta(minutes=1)


def test_data_of_entities_are_taken_too():
    entity = {"Entity": {"KeyAttributes": {"Type": "Service"}}, "MetricData": [datum(Value=7)]}
    assert [one.value for one in put(datum(), EntityMetricData=[entity])] == [1.0, 7.0]


@pytest.mark.parametrize("hours", [-14 * 24, 2])
def test_two_weeks_back_and_two_hours_ahead_are_the_limits(hours):
    time = NOW + timedelta(hours=hours)
    assert put(datum(Timestamp=time.isoformat()))[0].time == time


M = "MetricData.member.1"
BIG = 2.0**361


# The first two texts are recorded from the service (LocalStack's snapshots); PutMetricData's
# limits are in its API reference.
@pytest.mark.parametrize(
    ("one", "message"),
    [
        (
            datum(Values=[1]),
            f"The parameters {M}.Value and {M}.Values are mutually exclusive and you have "
            "specified both.",
        ),
        (
            without_value(Values=[1, 2], Counts=[1]),
            f"The parameters {M}.Values and {M}.Counts must be of the same size.",
        ),
        (
            datum(StatisticValues={"Sum": 1}),
            f"The parameters {M}.Value and {M}.StatisticValues are mutually exclusive and you have "
            "specified both.",
        ),
        (without_value(), f"The parameter {M}.Value is required."),
        (without_value(Counts=[1]), f"The parameter {M}.Value is required."),
        (datum(Counts=[1]), f"The parameter {M}.Values is required."),
        (
            without_value(StatisticValues={"Sum": 1, "Minimum": 1, "Maximum": 1}),
            f"The parameter {M}.StatisticValues.SampleCount is required.",
        ),
        ({"Value": 1}, f"The parameter {M}.MetricName is required."),
        (datum(Value=math.nan), f"The value NaN for parameter {M}.Value is invalid."),
        (datum(Value="NaN"), f"The value NaN for parameter {M}.Value is invalid."),
        (datum(Value=-math.inf), f"The value -inf for parameter {M}.Value is invalid."),
        (datum(Value=BIG), f"The value {BIG} for parameter {M}.Value is invalid."),
        (datum(Value="1"), f"The value 1 for parameter {M}.Value is no number."),
        (datum(Value=True), f"The value True for parameter {M}.Value is no number."),
        (
            without_value(Values=[1, math.nan]),
            f"The value NaN for parameter {M}.Values is invalid.",
        ),
        (
            without_value(Values=list(range(151))),
            f"The collection {M}.Values must not have a size greater than 150.",
        ),
        (without_value(Values=[]), f"The parameter {M}.Values is no list of numbers."),
        (
            without_value(Values=[1], Counts=[-1]),
            f"The value -1.0 for parameter {M}.Counts is invalid.",
        ),
        (
            datum(Timestamp="2026-02-16T11:59:59Z"),
            f"The parameter {M}.Timestamp must specify a time within the past two weeks.",
        ),
        (
            datum(Timestamp="2026-03-02T14:00:01Z"),
            f"The parameter {M}.Timestamp must specify a time no more than two hours in the "
            "future.",
        ),
        (datum(Timestamp="noon"), f"The value noon for parameter {M}.Timestamp is invalid; "),
        (datum(Timestamp=1e300), f"The value 1e+300 for parameter {M}.Timestamp is invalid; expe"),
        (datum(Unit="Bananas"), f"The parameter {M}.Unit must be a value in the set [ Bits, "),
        (datum(StorageResolution=5), f"The value 5 for parameter {M}.StorageResolution is invalid"),
        (datum(Colour="red"), f'{M} has no field "Colour".'),
        (datum(Dimensions=[{"Value": "x"}]), f"The parameter {M}.Dimensions.member.1.Name is requ"),
        (datum(Dimensions=[{"Name": "x"}]), 'The value of dimension "x" of MetricData.member.1 is'),
        (
            datum(Dimensions=[{"Name": "x", "Value": "1"}, {"Name": "x", "Value": "2"}]),
            f'The parameter {M}.Dimensions.member.2.Name is "x" a second time',
        ),
        (datum(Dimensions=7), f"The parameter {M}.Dimensions is no list."),
        (datum(MetricName=""), "metric name ''; expected 1 to 255 printable"),
        (7, f"{M} is no object"),
    ],
)
def test_what_breaks_a_rule_is_refused_in_cloudwatchs_words(one, message):
    with pytest.raises(DatapointError) as caught:
        put(one)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "the request is no object"),
        ({"MetricData": [datum()]}, "The parameter Namespace is required."),
        ({"Namespace": "shop"}, "The parameter MetricData is required."),
        ({"Namespace": "shop", "MetricData": []}, "The parameter MetricData is required."),
        ({"Namespace": "shop", "MetricData": {}}, "The parameter MetricData is no list."),
        (
            {"Namespace": "shop", "MetricData": [datum()] * 1001},
            "The collection MetricData must not have a size greater than 1000.",
        ),
        ({"Namespace": ":x", "MetricData": [datum()]}, 'namespace ":x" starts with ":"'),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(body, message):
    with pytest.raises(DatapointError) as caught:
        read_put(body, NOW)
    assert str(caught.value).startswith(message)
