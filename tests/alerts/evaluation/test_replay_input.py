"""Replay of what cannot be replayed: one sentence, with the value."""

import pytest

from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.replay import replay
from tests.alerts.replays import at, document

WRONG = {
    "not an object": ([], "expected an object"),
    "nothing in it": ({}, "expected either an alarm or a composite"),
    "both": ({"composite": {}}, "expected either an alarm or a composite"),
    "unknown key": ({"datapoint": []}, 'unknown key "datapoint"'),
    "no start": ({"start": None}, '"start" is missing'),
    "no time": ({"end": "tomorrow"}, "end 'tomorrow'; expected a time"),
    "backwards": ({"end": at(-60)}, "expected start < end"),
    "far away": ({"start": "0001-01-01T00:00:00Z"}, "from 1970 to 2199"),
    "no step": ({"step_s": 0}, "step_s 0; expected a number of seconds above 0"),
    "too many": ({"step_s": 0.001, "end": at(1e7)}, "evaluations from start to end; expected"),
    "no state": ({"initial_state": "GREEN"}, "expected OK, ALARM or INSUFFICIENT_DATA"),
    "short range": ({"evaluation_range": 0}, "evaluation_range 0; expected 1 to 20"),
    "no list": ({"datapoints": {"a": 1}}, "expected a list of datapoints"),
    "no datapoint": ({"datapoints": [3]}, "datapoints, number 1: datapoint: 3; expected an object"),
    "no value": ({"datapoints": [{"Timestamp": at(0)}]}, "no value; expected Value, Values"),
    "text": (
        {"datapoints": [{"Timestamp": at(0), "Value": "1"}]},
        "The value 1 for parameter datapoint.Value is no number",
    ),
    "nan": (
        {"datapoints": [{"Timestamp": at(0), "Value": float("nan")}]},
        "The value NaN for parameter datapoint.Value is invalid",
    ),
    "typo": ({"datapoints": [{"Timestamp": at(0), "Valeu": 1}]}, 'unknown field "valeu"'),
    "series": ({"series": {}}, "series beside an alarm on one metric"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_input_is_one_sentence_with_the_value(name):
    change, message = WRONG[name]
    found = change if not change else document([1.0]) | change

    with pytest.raises(AlarmError, match=message):
        list(replay(found))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Period": 45}, "period 45 s; expected 10, 20, 30 or a multiple of 60"),
        ({"DatapointsToAlarm": 2}, "datapoints_to_alarm 2; expected 1 to 1"),
        ({"Threshold": None}, "threshold None; expected a finite number"),
        ({"ComparisonOperator": ">"}, 'comparison_operator ">"; expected one of Greater'),
        ({"EvaluationPeriods": None}, '"evaluation_periods" is missing'),
        ({"ExtendedStatistic": "p99"}, "statistic and extended_statistic; expected one of them"),
        ({"ActionConfiguration": 5}, "action_configuration 5; expected alarm_tags_propagation"),
        ({"EvaluationCriteria": {}}, "PromQL is not evaluated here"),
        ({"Metrics": [{"Id": "m1"}]}, "Metrics and Period"),
        (
            {"TreatMissingData": "never"},
            r"The value never is not supported for TreatMissingData parameter\. Supported values "
            r"are \[breaching, notBreaching, ignore, missing\]\.$",
        ),
        (
            {"EvaluateLowSampleCountPercentile": "never"},
            r"Option never is not supported\. Supported options for parameter "
            r"EvaluateLowSampleCountPercentile are evaluate and ignore\.$",
        ),
    ],
)
def test_an_alarm_that_put_metric_alarm_refuses_is_refused(change, message):
    with pytest.raises(AlarmError, match=message):
        replay(document([1.0], **change))
