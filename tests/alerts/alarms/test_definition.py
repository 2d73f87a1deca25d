import pytest

from driftline.alerts.alarms.definition import (
    BAND_COMPARISONS,
    AlarmDefinition,
    evaluation_range,
)
from driftline.alerts.errors import AlarmError
from driftline.alerts.math.query import MetricQuery
from driftline.errors import InputError


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"alarm_name": ""}, "expected 1 to 255"),
        ({"alarm_name": "a\nb"}, "control characters"),
        ({"alarm_description": "x" * 1025}, "1025 characters"),
        ({"period": 45}, "period 45 s; expected 10, 20, 30 or a multiple of 60"),
        ({"period": 0}, "period 0 s"),
        ({"evaluation_periods": 0}, "evaluation_periods 0; expected 1 or more"),
        ({"datapoints_to_alarm": 2}, "datapoints_to_alarm 2; expected 1 to 1"),
        ({"datapoints_to_alarm": 0}, "datapoints_to_alarm 0; expected 1 to 1"),
        ({"threshold": float("nan")}, "expected a finite number"),
        ({"threshold": 10**400}, "expected a finite number"),
        ({"period": 60 * 10**15}, "expected 3653 days or less"),
        ({"period": 86_400 * 30, "evaluation_periods": 120}, "expected 3653 days or less"),
        ({"comparison_operator": ">"}, 'comparison_operator ">"; expected one of Greater'),
        ({"statistic": "p99"}, 'statistic "p99"; expected one of SampleCount'),
        ({"unit": "Bananas"}, 'unit "Bananas"'),
        ({"severity": "shout"}, "expected page or ticket"),
        ({"alarm_actions": tuple("abcdef")}, "6 actions for ALARM; expected 5"),
        ({"ok_actions": ("a", "a")}, "2 actions for OK; expected 5 or fewer, each once"),
        ({"evaluation_range": -1}, "evaluation_range -1; expected 1 to 20"),
        (
            {"evaluation_periods": 3, "datapoints_to_alarm": 2.0},
            "datapoints_to_alarm 2.0; expected 1 to 3",
        ),
        ({"datapoints_to_alarm": True}, "datapoints_to_alarm True; expected 1 to 1"),
        (
            {"evaluation_periods": 3, "evaluation_range": 2.5},
            "evaluation_range 2.5; expected 3 to 40",
        ),
        ({"treshold": None}, 'unknown key "treshold"; the nearest known one is "threshold"'),
        ({"evaluation_periods": 1001}, "evaluation_periods 1001; expected 1000 or fewer"),
        (
            {"treat_missing_data": "perhaps"},
            "The value perhaps is not supported for TreatMissingData parameter. Supported values "
            r"are \[breaching, notBreaching, ignore, missing\]\.",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_with_field_and_value(define, more, message):
    with pytest.raises(AlarmError, match=message) as caught:
        define(**more)

    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("period", "count", "is_allowed"),
    [(60, 1440, True), (60, 1441, False), (3600, 168, True), (3600, 169, False)],
)
def test_the_span_of_other_metrics_is_cloudwatchs(define, period, count, is_allowed):
    fields = {"namespace": "shop", "period": period, "evaluation_periods": count}

    if is_allowed:
        define(**fields)
    else:
        with pytest.raises(AlarmError, match="period x evaluation_periods is"):
            define(**fields)


def test_defaults_are_n_of_n_and_missing(define):
    found = define(evaluation_periods=3)

    assert found.required_breaches == 3
    assert found.treatment == "missing"
    assert found.range_periods == 5


def test_the_evaluation_range_is_five_for_three_as_documented():
    assert [evaluation_range(n) for n in (1, 2, 3, 5, 9, 12)] == [3, 4, 5, 7, 12, 16]


METRIC = {"namespace": "shop", "metric_name": "orders", "stat": "Sum", "period": 60}
MATH = {"namespace": "", "metric_name": "", "dimensions": {}, "statistic": None, "period": 0}


def query(id_, **more):
    return MetricQuery(id=id_, **(more if "expression" in more else METRIC | more))


@pytest.mark.parametrize(
    ("metrics", "more", "message"),
    [
        ([query("m1"), query("m2")], {}, "2 metrics with return_data that are judged"),
        ([query("m1", return_data=False)], {}, "0 metrics with return_data that are judged"),
        ([query("m1"), query("m1", return_data=False)], {}, 'two queries have the id "m1"'),
        (
            [query("m1"), query("m2", period=300, return_data=False)],
            {},
            r"metrics with periods \[60, 300\] s; expected one period for all",
        ),
        (
            [query("e1", expression="TIME_SERIES(1)")],
            {},
            r"none of its metrics has a period; expected at least one",
        ),
        ([query("e1", expression="m9"), query("m1", return_data=False)], {}, 'names "m9"'),
        ([query("e1", expression="METRICS()"), query("m1", return_data=False)], {}, "several time"),
        ([query("e1", expression="AVG(m1)"), query("m1", return_data=False)], {}, "a number"),
        (
            [query("e1", expression="SEARCH('{A} B', 'Sum', 60)"), query("m1", return_data=False)],
            {},
            "SEARCH",
        ),
        ([query("m1")], {"period": 300}, "metrics and period 300 s"),
        ([query("m1")], {"namespace": "shop"}, "metrics and namespace"),
        ([query("m1")], {"statistic": "Sum"}, "metrics and statistic"),
        ([query("m1")], {"unit": "Count"}, "metrics and unit"),
        (
            [query("m1")] + [query(f"n{i}", return_data=False) for i in range(10)],
            {},
            "11 metrics; expected 10 or fewer",
        ),
        ([query("m1")], {"threshold_metric_id": "ad1"}, "beside threshold_metric_id"),
    ],
)
def test_metric_math_that_cannot_be_judged_is_refused(define, metrics, more, message):
    with pytest.raises(AlarmError, match=message):
        define(**(MATH | {"metrics": tuple(metrics)} | more))


BAND = {
    **MATH,
    "metrics": (query("m1"), query("ad1", expression="ANOMALY_DETECTION_BAND(m1)")),
    "threshold": None,
    "threshold_metric_id": "ad1",
    "comparison_operator": "GreaterThanUpperThreshold",
}


@pytest.mark.parametrize("operator", BAND_COMPARISONS)
def test_a_band_has_three_operators_of_its_own(define, operator):
    alarm = define(**(BAND | {"comparison_operator": operator}))

    assert (alarm.is_band, alarm.watched_id) == (True, "m1")
    assert AlarmDefinition.from_dict(alarm.as_dict()) == alarm


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"comparison_operator": "GreaterThanUpperThreshold"}, "need threshold_metric_id"),
        ({"threshold_metric_id": "ad1"}, "threshold_metric_id without metrics"),
        ({"statistic": "Sum", "extended_statistic": "p99"}, "statistic and extended_statistic"),
        ({"statistic": None, "extended_statistic": "p101"}, 'statistic "p101"'),
        ({**BAND, "alarm_actions": ["scaling:a/b/c"]}, "is a scaling policy; name it in an alarm"),
        ({"owner": "x" * 256}, "owner of 256 characters"),
        ({"tags": {str(i): "" for i in range(51)}}, "51 tags; expected 50 or fewer"),
        ({"actions_enabled": "yes"}, "actions_enabled 'yes'; expected true or false"),
        (
            {"evaluate_low_sample_count_percentile": "maybe"},
            r"Option maybe is not supported\. Supported options for parameter "
            r"EvaluateLowSampleCountPercentile are evaluate and ignore\.$",
        ),
    ],
)
def test_what_put_metric_alarm_refuses_besides_is_refused(define, more, message):
    with pytest.raises(AlarmError, match=message):
        define(**more)


@pytest.mark.parametrize("tags", [{"": ""}, {"k" * 129: ""}, {"k": "v" * 257}])
def test_tags_are_as_long_as_cloudwatchs_and_no_longer(define, tags):
    # API reference, Tag: a key of 1 to 128 characters, a value of 0 to 256.
    define(tags={"k" * 128: "v" * 256, "k": ""})

    with pytest.raises(
        AlarmError, match="a key of 1 to 128 characters and a value of 256 or fewer"
    ):
        define(tags=tags)
