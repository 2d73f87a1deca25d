"""PutMetricAlarm's own names."""

import pytest

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.errors import AlarmError

PLAIN = {
    "AlarmName": "slow",
    "AlarmDescription": "too slow",
    "ActionsEnabled": False,
    "OKActions": ["green"],
    "AlarmActions": ["pager"],
    "InsufficientDataActions": ["desk"],
    "MetricName": "ModelLatency",
    "Namespace": "AWS/SageMaker",
    "ExtendedStatistic": "p99.5",
    "Dimensions": [{"Name": "EndpointName", "Value": "flights"}],
    "Period": 300,
    "Unit": "Microseconds",
    "EvaluationPeriods": 5,
    "DatapointsToAlarm": 3,
    "Threshold": 2e5,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
    "EvaluateLowSampleCountPercentile": "ignore",
    "Tags": [{"Key": "team", "Value": "a"}],
    "EvaluationWindow": {"WallClockWindow": {"Timezone": "Europe/Berlin"}},
    "WarmUpConfiguration": {
        "WarmUpPeriodDurationInMinutes": 30,
        "OnlyStartEvaluatingAfterWarmUpPeriodEnds": True,
    },
    "ActionConfiguration": {"AlarmTagsPropagation": {"Enabled": True, "IncludedTagKeys": ["team"]}},
}
from_aws = AlarmDefinition.from_aws

BAND = {
    "AlarmName": "odd",
    "ActionsEnabled": True,
    "EvaluationPeriods": 2,
    "ComparisonOperator": "LessThanLowerOrGreaterThanUpperThreshold",
    "Metrics": [
        {
            "Id": "m1",
            "MetricStat": {
                "Metric": {"Namespace": "shop", "MetricName": "orders", "Dimensions": []},
                "Period": 60,
                "Stat": "Sum",
            },
            "ReturnData": True,
        },
        {"Id": "ad1", "Expression": "ANOMALY_DETECTION_BAND(m1, 2)", "ReturnData": True},
    ],
    "ThresholdMetricId": "ad1",
}


@pytest.mark.parametrize("request_", [PLAIN, BAND], ids=["metric", "band"])
def test_a_request_is_read_and_stored_in_snake_case(request_):
    found = from_aws(request_)

    assert AlarmDefinition.from_dict(found.as_dict()) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Period": 300, "period": 60}, '"Period" and "period"; expected one of them'),
        ({"EvaluationInterval": 60}, "EvaluationInterval; PromQL is not evaluated here"),
        ({"Metrics": BAND["Metrics"]}, "Metrics and Period"),
        ({"AlarmTags": []}, 'unknown key "AlarmTags"'),
        ({"Treshold": 1}, 'unknown key "Treshold"; the nearest known one is "threshold"'),
        ({"Tags": [{"Key": "a"}]}, "expected an object of texts"),
        (
            {"ActionConfiguration": {"AlarmTagsPropagation": {"Enabled": 1}}},
            "expected enabled",
        ),
        (
            {
                "ActionConfiguration": {
                    "AlarmTagsPropagation": {
                        "Enabled": True,
                        "IncludedTagKeys": ["a"],
                        "ExcludedTagKeys": ["b"],
                    }
                }
            },
            "included_tag_keys and excluded_tag_keys; expected one of them",
        ),
        ({"ActionConfiguration": {"Other": {}}}, "expected alarm_tags_propagation"),
    ],
)
def test_a_wrong_request_names_the_field(change, message):
    with pytest.raises(AlarmError, match=message):
        from_aws(PLAIN | change)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (None, {}),
        ({"enabled": False}, {}),
        ({"enabled": True}, {"a": "1", "b": "2"}),
        ({"enabled": True, "included_tag_keys": ["a", "c"]}, {"a": "1"}),
        ({"enabled": True, "excluded_tag_keys": ["a"]}, {"b": "2"}),
    ],
)
def test_tags_are_told_as_their_propagation_says(define, fields, told):
    configuration = None if fields is None else {"alarm_tags_propagation": fields}
    alarm = define(tags={"a": "1", "b": "2"}, action_configuration=configuration)

    assert alarm.propagated_tags == told
