"""Variants that rest without a worker, on real processes."""

from datetime import timedelta

import pytest

from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.serving.resources.reach import Reach
from tests.serving.conftest import resource

BACKLOG = {
    "policy_name": "backlog",
    "target_tracking_scaling_policy_configuration": {
        "target_value": 5,
        "customized_metric_specification": {
            "namespace": "AWS/SageMaker",
            "metric_name": "ApproximateBacklogSizePerInstance",
            "dimensions": {"EndpointName": "flights"},
            "statistic": "Average",
        },
    },
}


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero")
    outputs = folder / "outputs"
    with start(folder, reach=Reach(outputs=(str(outputs),))) as found:
        model, _, _ = trained.flights()
        later = {"output_config": {"s3_output_path": str(outputs / "flights")}}
        config = {"memory_size_in_mb": 1024, "max_concurrency": 2}
        (outputs / "flights").mkdir(parents=True)
        answer = found.apply(
            model,
            resource("Endpoint", "flights", model="flights", async_inference_config=later),
            resource("ScalingPolicy", "flights", endpoint="flights", min_capacity=0,
                     max_capacity=2, policies=[BACKLOG]),
            resource("Endpoint", "rare", model="flights", serverless_config=config),
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        yield found


def state(server, name):
    status = server.client.get(f"/api/v1/endpoints/{name}").json()["status"]
    return status["state"], status["variants"][0]["instance_count"]


def test_an_asynchronous_endpoint_lets_its_last_worker_go_and_starts_one_for_a_request(
    server, until, trained
):
    until(lambda: state(server, "flights") == ("InService", 1))
    names = [one["name"] for one in server.client.get("/api/v1/alarm-states").json()["items"]]
    (low,) = [one for one in names if "AlarmLow" in one]

    now, dimensions = server.context.now(), {"EndpointName": "flights"}
    point = Datapoint(
        "AWS/SageMaker", "ApproximateBacklogSizePerInstance", dimensions,
        now - timedelta(minutes=1), values=[0.0], counts=[1.0],
    )  # fmt: skip
    with server.engine.begin() as connection:
        add(connection, [point], now=now)
    server.client.put(f"/api/v1/alarms/{low}/state", json={"state_value": "ALARM"})

    until(lambda: state(server, "flights") == ("InService", 0))
    until(lambda: server.worker_ids() == [])

    asked = server.client.post(
        "/endpoints/flights/async-invocations",
        content=trained.csv(slice(0, 1)), headers={"content-type": "text/csv"},
    )  # fmt: skip
    path = f"/api/v1/endpoints/flights/async-invocations/{asked.json()['InferenceId']}"
    until(lambda: server.client.get(path).json()["status"] == "Completed")
    history = server.client.get("/api/v1/endpoints/flights/scaling-activities").json()["items"]
    assert [(one["capacity_before"], one["capacity"]) for one in history] == [(0, 1), (1, 0)]


def test_workers_of_a_serverless_variant_are_provisioned_by_its_policy(server, until):
    assert state(server, "rare") == ("InService", 0)

    answer = server.apply(
        resource("ScalingPolicy", "rare", endpoint="rare", min_capacity=1, max_capacity=2)
    )

    assert answer.status_code == 200, answer.text
    until(lambda: state(server, "rare") == ("InService", 1))
    refused = server.apply(resource("ScalingPolicy", "rare", endpoint="rare", max_capacity=3))
    assert refused.json()["error"]["message"].endswith("capacity 3; expected 0 to 2 here")
    assert server.client.delete("/api/v1/endpoints/rare").status_code == 204
    assert server.client.get("/api/v1/scaling-policies/rare").status_code == 404
