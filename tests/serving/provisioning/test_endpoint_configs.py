"""Configurations of endpoints: named, shared, never changed; endpoints go on without them."""

from __future__ import annotations

from typing import Any

import pytest

CONFIGS = "/api/v1/endpoint-configs"


def variant(name: str, model: str = "flights", **more: Any) -> dict[str, Any]:
    return {"variant_name": name, "model_name": model, **more}


@pytest.fixture
def resources(trained: Any, declare: Any) -> list[dict[str, Any]]:
    model, baseline, _ = trained.flights()
    return [
        declare("Endpoint", "flights", config="first", baseline="flights", trust_event_time=True),
        declare(
            "EndpointConfig", "first", production_variants=[variant("blue"), variant("green")],
            sampling_percentage=50,
        ),
        baseline,
        model,
    ]  # fmt: skip


def test_an_endpoint_serves_what_its_config_says_until_it_names_another(
    shared: Any, resources: Any, declare: Any
) -> None:
    endpoint = resources[0]

    def names() -> list[str]:
        status = shared.client.get("/api/v1/endpoints/flights").json()["status"]
        return [one["name"] for one in status["variants"]]

    assert shared.apply(*resources).status_code == 200
    first = names()
    again = shared.apply(*resources).json()["changes"]
    other = declare("EndpointConfig", "first", production_variants=[variant("blue")])
    changed = shared.apply(other)
    deleted = shared.client.delete(f"{CONFIGS}/first")
    second = declare("EndpointConfig", "second", production_variants=[variant("red")])
    endpoint["spec"]["config"] = "second"
    shared.apply(second, endpoint)

    assert first == ["blue", "green"]
    assert {one["action"] for one in again} == {"unchanged"}
    assert (changed.status_code, deleted.status_code) == (409, 204)
    assert names() == ["red"]
