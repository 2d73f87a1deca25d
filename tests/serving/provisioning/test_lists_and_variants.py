"""Lists in an order and of a part, what must not be there yet, and variants changed in service."""

from __future__ import annotations

from typing import Any

import pytest

MODELS = "/api/v1/models"


def test_a_list_is_of_names_and_times(shared: Any, trained: Any, declare: Any) -> None:
    for name in ("list-c", "list-a", "other"):
        shared.apply(declare("Model", name, path=str(trained.file)))

    def names(**asked: Any) -> list[str]:
        page = shared.client.get(MODELS, params={"contains": "IST-", **asked}).json()
        return [one["name"] for one in page["items"]]

    created = shared.client.get(f"{MODELS}/list-c").json()["created_at"]

    assert names(created_after=created, updated_after=created) == ["list-a", "list-c"]
    # The clock of these tests stands still: of one moment the name decides.
    assert names(order="created", descending=True) == ["list-c", "list-a"]
    assert names(created_before=created) == names(state="InService") == []


def test_what_must_not_be_there_yet_changes_nothing_that_is(
    shared: Any, trained: Any, declare: Any
) -> None:
    def create(*names: str) -> int:
        resources = [declare("Model", name, path=str(trained.file)) for name in names]
        body, head = {"resources": resources}, {"if-none-match": "*"}
        return int(shared.client.post("/api/v1/apply", json=body, headers=head).status_code)

    assert [create("new-one"), create("new-one"), create("new-two", "new-one")] == [200, 412, 412]
    assert shared.client.get(f"{MODELS}/new-two").status_code == 404


@pytest.fixture
def endpoint(shared: Any, trained: Any, declare: Any) -> str:
    shared.must_apply(*resources(trained, declare))
    return "/api/v1/endpoints/served"


def resources(trained: Any, declare: Any, **config: Any) -> list[dict[str, Any]]:
    pair = [
        {"variant_name": name, "model_name": "served", "initial_variant_weight": 1}
        for name in ("blue", "green")
    ]
    return [
        declare("Endpoint", "served", config="served"),
        declare("EndpointConfig", "served", production_variants=pair, **config),
        declare("Model", "served", path=str(trained.file)),
    ]


def test_a_config_never_changes_and_endpoints_go_on_without_it_and_their_model(
    shared: Any, trained: Any, declare: Any, endpoint: str
) -> None:
    again = shared.apply(*resources(trained, declare)).json()["changes"]
    changed = shared.apply(*resources(trained, declare, sampling_percentage=50))
    refused = shared.client.delete(f"{MODELS}/served")
    gone = [
        shared.client.delete("/api/v1/endpoint-configs/served"),
        shared.client.delete(f"{MODELS}/served", params={"in_use": True}),
    ]

    assert {one["action"] for one in again} == {"unchanged"}
    assert changed.status_code == refused.status_code == 409
    assert [one.status_code for one in gone] == [204, 204]
    assert shared.invoke("served", trained.csv(slice(2))).status_code == 200
    status = shared.client.get(endpoint).json()["status"]
    assert (status["phase"], status["running"]["config"]) == ("Ready", "served")


def test_weights_and_counts_change_at_once_and_hold_until_the_next_generation(
    shared: Any, declare: Any, endpoint: str, until: Any
) -> None:
    def change(*variants: dict[str, Any]) -> Any:
        return shared.client.post(f"{endpoint}/variants", json={"variants": [*variants]})

    def state() -> dict[str, tuple[float, float, int]]:
        found = shared.client.get(endpoint).json()["status"]["variants"]
        return {
            one["name"]: (one["weight"], one["desired_weight"], one["desired_instance_count"])
            for one in found
        }

    first = change(
        {"variant_name": "blue", "desired_weight": 3},
        {"variant_name": "green", "desired_weight": 0, "desired_instance_count": 2},
    )
    weighted = state()
    second = change({"variant_name": "green", "desired_weight": 1})
    unknown = change({"variant_name": "blue", "desired_weight": 9}, {"variant_name": "red"})
    twice = change({"variant_name": "blue"}, {"variant_name": "blue"})

    assert first.status_code == second.status_code == 200
    assert weighted == {"blue": (3, 3, 1), "green": (0, 0, 2)}
    assert second.json()["items"][1] == {
        "variant_name": "green", "desired_weight": 1, "desired_instance_count": 2,
    }  # fmt: skip
    assert unknown.status_code == twice.status_code == 400
    assert 'no variant "red"; it has blue, green' in unknown.json()["error"]["message"]
    assert state() == {"blue": (3, 3, 1), "green": (1, 1, 2)}

    shared.apply(declare("Endpoint", "served", model="served"))

    until(lambda: state() == {"AllTraffic": (1, 1, 1)})
