"""Alarms declared with CloudWatch's own names, as PutMetricAlarm's body has them."""

import pytest
from pydantic import ValidationError

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.serving.resources.resources import ResourceError, parse_resources
from driftline.serving.resources.specs import ChannelSpec

OWN = {
    "namespace": "shop",
    "metric_name": "latency",
    "dimensions": {"region": "north"},
    "statistic": "Sum",
    "period": 60,
    "evaluation_periods": 2,
    "threshold": 5,
    "comparison_operator": "GreaterThanThreshold",
    "ok_actions": ["pager"],
}
AWS = {
    "AlarmName": "slow",
    "Namespace": "shop",
    "MetricName": "latency",
    "Dimensions": [{"Name": "region", "Value": "north"}],
    "Statistic": "Sum",
    "ExtendedStatistic": None,
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
    "OKActions": ["pager"],
    "Tags": [{"Key": "team", "Value": "shop"}],
}


def parsed(spec, kind="Alarm", **envelope):
    (found,) = parse_resources([{"kind": kind, "name": "slow", "spec": spec, **envelope}])
    return found


def test_the_body_of_put_metric_alarm_declares_the_same_alarm():
    assert parsed(AWS) == parsed(OWN, tags={"team": "shop"})


def test_the_body_of_put_composite_alarm_declares_the_same_alarm():
    body = {"AlarmName": "slow", "AlarmRule": "ALARM(a)", "AlarmActions": ["pager"]}
    own = {"alarm_rule": "ALARM(a)", "alarm_actions": ["pager"]}

    assert parsed(body, "CompositeAlarm") == parsed(own, "CompositeAlarm")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AlarmName": "other"}, 'expected "slow", as name says'),
        ({"namespace": "shop"}, "expected one of them"),
        ({"Treshold": 5}, 'nearest known one is "threshold"'),
        ({"Dimensions": "region"}, "such as {region: north} or"),
        ({"Dimensions": [{"Name": "a"}]}, "expected each name once"),
        ({"Dimensions": [{"Name": "a", "Value": 1}]}, "such as {region: north} or"),
        ({"Tags": "team"}, "expected an object"),
    ],
)
def test_what_is_wrong_in_it_is_said(change, said):
    with pytest.raises(ResourceError) as caught:
        parsed(AWS | change)

    assert said in str(caught.value)


def test_no_error_of_what_may_hold_a_secret_quotes_it():
    with pytest.raises(ValidationError) as raised:
        ChannelSpec.model_validate({"secret": ["hunter2"], "authorization": ["hunter2"]})

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("receiver", [one for one in RECEIVERS.values() if one.key])
def test_no_error_quotes_a_services_key(receiver):
    with pytest.raises(ChannelError) as raised:
        receiver.options.checked({receiver.key: ["hunter2"]})

    assert "hunter2" not in str(raised.value)
