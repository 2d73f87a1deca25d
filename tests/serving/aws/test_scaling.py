"""Application Auto Scaling by boto3: what scripts and Terraform do, as Amazon publishes it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.serving.aws.conftest import ACCOUNT, REGION
from tests.serving.conftest import NOW, resource

PLACE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/flights/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {
        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
    },
    "ScaleInCooldown": 600,
    "ScaleOutCooldown": 300,
}


@pytest.fixture(scope="module")
def scaling(wire_server, wire_client, trained):
    model, _, _ = trained.flights()
    endpoint = resource("Endpoint", "flights", model="flights")
    answer = wire_server.apply(model, endpoint)
    assert answer.status_code == 200, answer.text
    return wire_client("application-autoscaling")


def test_a_variant_is_scaled_by_policies_and_schedules(scaling, wire_client, wire_server, until):
    made = scaling.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4)
    assert made["ScalableTargetARN"].startswith(
        f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/"
    )

    put = scaling.put_scaling_policy(
        PolicyName="load", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING, **PLACE,
    )  # fmt: skip
    names = [one["AlarmName"] for one in put["Alarms"]]
    shown = wire_server.client.get("/api/v1/alarm-states").json()["items"]
    assert sorted(names) == sorted(one["name"] for one in shown)
    assert {one["threshold"] for one in shown} == {70.0, 63.0}

    steps = scaling.put_scaling_policy(
        PolicyName="queue", PolicyType="StepScaling", **PLACE,
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity", "Cooldown": 60,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    )  # fmt: skip
    assert steps["PolicyARN"].startswith(f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:")
    assert steps["PolicyARN"].endswith(f"resource/sagemaker/{PLACE['ResourceId']}:policyName/queue")

    load, queue = sorted(
        scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"],
        key=lambda one: one["PolicyType"], reverse=True,
    )  # fmt: skip
    expected = {**TRACKING, "DisableScaleIn": False}
    assert load["TargetTrackingScalingPolicyConfiguration"] == expected
    assert load["Alarms"] == put["Alarms"]
    assert queue["StepScalingPolicyConfiguration"]["StepAdjustments"] == [
        {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}
    ]

    start = datetime(2026, 1, 1, tzinfo=UTC)
    scaling.put_scheduled_action(
        ScheduledActionName="morning", Schedule="cron(0 8 ? * MON-FRI *)", Timezone="Europe/Berlin",
        StartTime=start, ScalableTargetAction={"MinCapacity": 2}, **PLACE,
    )  # fmt: skip
    (action,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert action["ScheduledActionName"] == "morning"
    assert action["ScalableTargetAction"] == {"MinCapacity": 2}
    assert action["StartTime"] == start
    # What is not said stays, but for the times.
    scaling.put_scheduled_action(
        ScheduledActionName="morning", ScalableTargetAction={"MinCapacity": 1}, **PLACE
    )
    (action,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert (action["Schedule"], action["Timezone"]) == ("cron(0 8 ? * MON-FRI *)", "Europe/Berlin")
    assert "StartTime" not in action

    # What is not said stays.
    scaling.register_scalable_target(
        **PLACE, MinCapacity=2, SuspendedState={"DynamicScalingInSuspended": True}
    )
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
    assert target["SuspendedState"]["DynamicScalingInSuspended"] is True
    assert target["ScalableTargetARN"] == made["ScalableTargetARN"]

    def activity():
        asked = {key: PLACE[key] for key in ("ServiceNamespace", "ResourceId")}
        found = scaling.describe_scaling_activities(**asked)["ScalingActivities"]
        return found[0] if found and found[0]["StatusCode"] == "Successful" else None

    done = until(activity)
    assert done["Cause"] == "minimum capacity was set to 2"
    assert done["Description"] == "Setting desired instance count to 2."
    (variant,) = wire_server.client.get("/api/v1/endpoints/flights").json()["status"]["variants"]
    assert variant["instance_count"] == 2

    scaling.delete_scheduled_action(
        ServiceNamespace="sagemaker", ScheduledActionName="morning", ResourceId=PLACE["ResourceId"],
        ScalableDimension=PLACE["ScalableDimension"],
    )  # fmt: skip
    scaling.delete_scaling_policy(PolicyName="load", **PLACE)
    assert wire_server.client.get("/api/v1/alarm-states").json()["items"] == []
    scaling.deregister_scalable_target(**PLACE)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []


def test_an_alarm_of_cloudwatch_scales_by_the_arn_of_a_policy(
    scaling, wire_client, wire_server, until
):
    cloudwatch = wire_client("cloudwatch")
    scaling.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4)
    policy = scaling.put_scaling_policy(
        PolicyName="queue", PolicyType="StepScaling", **PLACE,
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ExactCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 3}],
        },
    )  # fmt: skip
    point = {"MetricName": "length", "Timestamp": NOW - timedelta(minutes=1), "Value": 12.0}
    cloudwatch.put_metric_data(Namespace="Queue", MetricData=[point])
    cloudwatch.put_metric_alarm(
        AlarmName="queue is long", Namespace="Queue", MetricName="length", Statistic="Average",
        Period=60, EvaluationPeriods=1, Threshold=10.0,
        ComparisonOperator="GreaterThanThreshold", AlarmActions=[policy["PolicyARN"]],
    )  # fmt: skip

    cloudwatch.set_alarm_state(AlarmName="queue is long", StateValue="ALARM", StateReason="a drill")

    def workers():
        status = wire_server.client.get("/api/v1/endpoints/flights").json()["status"]
        return status["variants"][0]["instance_count"]

    until(lambda: workers() == 3)
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["queue is long"])["MetricAlarms"]
    assert alarm["AlarmActions"] == [policy["PolicyARN"]]
    cloudwatch.delete_alarms(AlarmNames=["queue is long"])
    scaling.deregister_scalable_target(**PLACE)


def test_names_that_read_alike_together_are_of_two_targets(scaling, wire_server):
    variants = {"a-b": "c", "a": "b-c"}
    for endpoint, variant in variants.items():
        served = [{"variant_name": variant, "model_name": "flights"}]
        wire_server.must_apply(resource("Endpoint", endpoint, production_variants=served))
    places = [{**PLACE, "ResourceId": f"endpoint/{a}/variant/{b}"} for a, b in variants.items()]

    for most, place in enumerate(places, 2):
        scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=most)

    asked = {key: PLACE[key] for key in ("ServiceNamespace", "ScalableDimension")}
    found = scaling.describe_scalable_targets(**asked)["ScalableTargets"]
    assert {one["ResourceId"]: one["MaxCapacity"] for one in found} == {
        place["ResourceId"]: most for most, place in enumerate(places, 2)
    }
    names = [
        one["name"] for one in wire_server.client.get("/api/v1/scaling-policies").json()["items"]
    ]
    assert all(name.startswith("a-b-c-") for name in names)
    for endpoint in variants:
        assert wire_server.client.delete(f"/api/v1/endpoints/{endpoint}").status_code == 204


def test_metric_math_is_shown_as_amazon_spells_it_however_it_was_declared(scaling, wire_server):
    metric = {
        "Namespace": "N", "MetricName": "m", "Dimensions": [{"Name": "EndpointName", "Value": "f"}]
    }  # fmt: skip
    math = [
        {"Id": "m1", "MetricStat": {"Metric": metric, "Stat": "Sum"}, "ReturnData": False},
        {"Id": "e1", "Expression": "m1 / 2", "Label": "half", "ReturnData": True},
    ]
    rule = {"target_value": 7.0, "customized_metric_specification": {"metrics": math}}
    policy = {"policy_name": "math", "target_tracking_scaling_policy_configuration": rule}

    wire_server.must_apply(
        resource("ScalingPolicy", "math", endpoint="flights", max_capacity=2, policies=[policy])
    )

    (found,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    shown = found["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
    assert shown["Metrics"] == math
    scaling.deregister_scalable_target(**PLACE)


def test_targets_have_tags_which_clients_may_change_at_once(scaling, meanwhile):
    arn = scaling.register_scalable_target(
        **PLACE, MinCapacity=1, MaxCapacity=2, Tags={"team": "ops", "tier": "1"}
    )["ScalableTargetARN"]

    scaling.tag_resource(ResourceARN=arn, Tags={"team": "data"})
    meanwhile(lambda: scaling.tag_resource(ResourceARN=arn, Tags={"stage": "test"}))
    scaling.untag_resource(ResourceARN=arn, TagKeys=["tier"])

    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {
        "team": "data",
        "stage": "test",
    }
    scaling.deregister_scalable_target(**PLACE)


@pytest.mark.parametrize(
    ("call", "given", "code"),
    [
        ("register_scalable_target", {"MinCapacity": 1}, "ValidationException"),
        ("register_scalable_target", {"MinCapacity": 3, "MaxCapacity": 2}, "ValidationException"),
        ("register_scalable_target", {"MinCapacity": 0, "MaxCapacity": 2}, "ValidationException"),
        (
            "register_scalable_target",
            {"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "endpoint/gone/variant/AllTraffic"},
            "ValidationException",
        ),
        (
            "register_scalable_target",
            {"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "inference-component/one"},
            "ValidationException",
        ),
        ("deregister_scalable_target", {}, "ObjectNotFoundException"),
        (
            "put_scaling_policy",
            {"PolicyName": "a", "TargetTrackingScalingPolicyConfiguration": TRACKING},
            "ObjectNotFoundException",
        ),
        ("delete_scaling_policy", {"PolicyName": "a"}, "ObjectNotFoundException"),
        ("delete_scheduled_action", {"ScheduledActionName": "a"}, "ObjectNotFoundException"),
    ],
)
def test_what_cannot_be_done_is_refused_by_amazons_codes(scaling, call, given, code):
    with pytest.raises(scaling.exceptions.ClientError) as refused:
        getattr(scaling, call)(**{**PLACE, **given})

    assert refused.value.response["Error"]["Code"] == code


def test_the_alarms_of_a_policy_are_not_to_be_changed(scaling, wire_server):
    scaling.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=2)
    put = scaling.put_scaling_policy(
        PolicyName="load", TargetTrackingScalingPolicyConfiguration=TRACKING, **PLACE
    )
    alarm = resource(
        "Alarm", put["Alarms"][0]["AlarmName"], namespace="a", metric_name="b", period=60,
        evaluation_periods=1, threshold=1, comparison_operator="GreaterThanThreshold",
    )  # fmt: skip

    refused = wire_server.apply(alarm)

    assert refused.status_code == 409
    assert "belongs to a ScalingPolicy" in refused.json()["error"]["message"]
    scaling.deregister_scalable_target(**PLACE)
