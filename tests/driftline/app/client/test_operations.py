"""The client's methods are those of the operations."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx

import driftline
from driftline.app.client import generate
from driftline.app.client.operation_table import operations
from driftline.serving.operations.registry import OPERATIONS

# Operations that no method calls, and who calls them.
OTHERS = {
    "GET /healthz": "an orchestrator",
    "GET /readyz": "an orchestrator",
    "GET /metrics": "Prometheus",
    "POST /v1/cloudevents": "KServe's logger",
}
# Bodies and answers that are no JSON: their methods are written by hand.
BY_HAND = {
    "POST /endpoints/{name}/invocations": "invoke",
    "POST /endpoints/{name}/async-invocations": "invoke_async",
    "POST /api/v1/endpoints/{name}/truth": "put_truth",
    "POST /api/v1/endpoints/{name}/capture/lines": "import_lines",
    "GET /api/v1/endpoints/{name}/capture/lines": "captured_lines",
    "POST /api/v1/metrics": "put_metrics",
    "GET /api/v1/executions/{execution_id}/violations/rows": "violation_rows",
}
NOW = datetime(2026, 1, 12, tzinfo=UTC)


def test_the_table_and_the_types_of_the_client_are_those_of_the_operations() -> None:
    assert generate.written() == tuple(one.read_text() for one in generate.FILES), (
        "run scripts/client"
    )


def test_every_operation_has_a_method_or_somebody_else_who_calls_it() -> None:
    made = {f"{one['method']} {one['path']}" for one in operations()}

    assert set(OPERATIONS) - made == {*OTHERS, *BY_HAND}
    assert all(hasattr(driftline.Client, one["name"]) for one in operations())
    assert all(hasattr(driftline.Client, name) for name in BY_HAND.values())


def test_a_method_asks_by_the_parameters_of_its_operation() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"items": [{"id": 1}], "next_token": None, "tags": {}})

    with driftline.Client("http://driftline.test", token="t") as asking:
        asking._http = httpx.Client(base_url=asking.server, transport=httpx.MockTransport(answer))
        found = asking.alarm_history("a/b", start=NOW, order="oldest", limit=5)
        asking.set_alarm_state("late", "OK", state_reason="a drill")

    assert found == [{"id": 1}]
    assert asked[0].url.raw_path == (
        b"/api/v1/alarms/a%2Fb/history?from=2026-01-12T00%3A00%3A00%2B00%3A00&order=oldest&limit=5"
    )
    assert [json.loads(one.content) for one in asked[1:]] == [
        {"state_value": "OK", "state_reason": "a drill"},
    ]
